"""Checks that recipes share: ranges in order and in bounds, probabilities between 0 and 1."""

from collections.abc import Iterable, Mapping

from dsfunet.errors import InputError


def check_ranges(recipe: object, what: str, bounds: Mapping[str, tuple[float, float]]) -> None:
    """Check that the named fields of a recipe are each a (lowest, highest) within their bounds.

    Raises:
        InputError: one is not; `what` says which recipe it is of.
    """
    for name, (lowest, highest) in bounds.items():
        pair = getattr(recipe, name)
        if len(pair) != 2 or not lowest <= pair[0] <= pair[1] <= highest:
            raise InputError(
                f"{what} {name} is {pair}: expected (lowest, highest) in [{lowest:g}, {highest:g}]"
            )


def check_shares(recipe: object, what: str, names: Iterable[str]) -> None:
    """Check that the named fields of a recipe are shares.

    Raises:
        InputError: one is not in [0, 1]; `what` says which recipe it is of.
    """
    for name in names:
        if not 0 <= getattr(recipe, name) <= 1:
            raise InputError(f"{what} {name} is {getattr(recipe, name)}: expected a share in [0, 1]")
