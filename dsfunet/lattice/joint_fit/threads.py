"""One thread for linear algebra: a joint fit makes many small calls, for which several threads mostly wait."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController

P = ParamSpec("P")
R = TypeVar("R")


def use_one_thread(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function with one BLAS thread while it runs."""

    @wraps(function)
    def limited(*args: P.args, **kwargs: P.kwargs) -> R:
        with _controller().limit(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return limited


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    """The libraries for linear algebra; looking for them takes 5 ms, and NumPy and SciPy have loaded theirs by now."""
    return ThreadpoolController()
