"""One thread for linear algebra: a joint fit makes many small calls, for which several threads mostly wait."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from threadpoolctl import threadpool_limits

P = ParamSpec("P")
R = TypeVar("R")


def use_one_thread(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function with one BLAS thread while it runs."""

    @wraps(function)
    def limited(*args: P.args, **kwargs: P.kwargs) -> R:
        with threadpool_limits(1, user_api="blas"):
            return function(*args, **kwargs)

    return limited
