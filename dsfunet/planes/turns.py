"""Rotated and flipped copies of a plane: the eight symmetries of the square."""

from typing import Any

import numpy as np
import numpy.typing as npt

from dsfunet.errors import InputError

MOST_PASSES = 8
"""Turns and flips of a square plane; the first is the plane as it is."""


def rotate_and_flip(planes: npt.NDArray[Any], which: int) -> npt.NDArray[Any]:
    """One of the eight symmetries of the square, on the last two axes."""
    rotated = np.rot90(planes, which % 4, axes=(-2, -1))
    return np.swapaxes(rotated, -2, -1) if which >= 4 else rotated


def choose_turns(passes: int, seed: int) -> tuple[int, ...]:
    """Which turns are taken, as `dsfunet.planes.turns.rotate_and_flip` numbers them: the plane as it is, then others by chance.

    Raises:
        InputError: fewer than 1 or more than MOST_PASSES passes, or a negative seed.
    """
    if not 1 <= passes <= MOST_PASSES:
        raise InputError(
            f"{passes} passes: expected 1 to {MOST_PASSES}, as many as a square has turns and flips"
        )
    if seed < 0:
        raise InputError(f"seed {seed}: expected 0 or more")
    others = np.random.default_rng(seed).permutation(np.arange(1, MOST_PASSES))
    return (0, *(int(each) for each in others[: passes - 1]))


def undo_rotation_and_flip(planes: npt.NDArray[Any], which: int) -> npt.NDArray[Any]:
    """The inverse of `dsfunet.planes.turns.rotate_and_flip`, on the last two axes."""
    unswapped = np.swapaxes(planes, -2, -1) if which >= 4 else planes
    return np.ascontiguousarray(np.rot90(unswapped, -(which % 4), axes=(-2, -1)))
