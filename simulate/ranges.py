"""Checks for recipes: ranges in order and within bounds, probabilities from 0 to 1."""

from collections.abc import Iterable, Mapping

from dsfunet.errors import InputError


def check_ranges(recipe: object, what: str, bounds: Mapping[str, tuple[float, float]]) -> None:
    """Check that each named field of a recipe is a (lowest, highest) pair within its bounds.

    Raises:
        InputError: a field is not; the message starts with `what`, the name of the recipe.
    """
    for name, (lowest, highest) in bounds.items():
        pair = getattr(recipe, name)
        if len(pair) != 2 or not lowest <= pair[0] <= pair[1] <= highest:
            raise InputError(
                f"{what} {name} is {pair}; expected (lowest, highest) within {lowest:g} to {highest:g}"
            )


def check_shares(recipe: object, what: str, names: Iterable[str]) -> None:
    """Check that each named field of a recipe is a share from 0 to 1.

    Raises:
        InputError: a field is not; the message starts with `what`, the name of the recipe.
    """
    for name in names:
        if not 0 <= getattr(recipe, name) <= 1:
            raise InputError(f"{what} {name} is {getattr(recipe, name)}; expected a share from 0 to 1")
