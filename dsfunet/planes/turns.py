"""Rotated and flipped copies of a plane: the eight symmetry operations of the square."""

from typing import Any

import numpy as np
import numpy.typing as npt

from dsfunet.errors import InputError

MOST_PASSES = 8
"""Number of rotations and flips of a square plane. Turn 0 leaves the plane as it is."""


def rotate_and_flip(planes: npt.NDArray[Any], turn: int) -> npt.NDArray[Any]:
    """Apply one of the eight symmetry operations of the square to the last two axes.

    Args:
        planes: planes, shape (..., n, n).
        turn: number of the operation: `turn` % 4 quarter rotations and, from 4 on, a transposition.

    Examples:
        >>> import numpy as np
        >>> from dsfunet.planes.turns import rotate_and_flip
        >>> rotate_and_flip(np.array([[1, 2], [3, 4]]), 1)
        array([[2, 4],
               [1, 3]])
    """
    rotated = np.rot90(planes, turn % 4, axes=(-2, -1))
    return np.swapaxes(rotated, -2, -1) if turn >= 4 else rotated


def undo_rotation_and_flip(planes: npt.NDArray[Any], turn: int) -> npt.NDArray[Any]:
    """Apply the inverse of `rotate_and_flip` to the last two axes; `turn` is the same number."""
    unswapped = np.swapaxes(planes, -2, -1) if turn >= 4 else planes
    return np.ascontiguousarray(np.rot90(unswapped, -(turn % 4), axes=(-2, -1)))


def choose_turns(passes: int, seed: int) -> tuple[int, ...]:
    """Choose which turns to use: turn 0, then others in random order, as `rotate_and_flip` numbers them.

    Args:
        passes: number of turns, 1 to 8.
        seed: seed of the random order, 0 or more.

    Raises:
        InputError: `passes` or `seed` is out of range.
    """
    if not 1 <= passes <= MOST_PASSES:
        raise InputError(
            f"passes is {passes}; expected 1 to {MOST_PASSES}, the number of rotations and flips of a square"
        )
    if seed < 0:
        raise InputError(f"seed is {seed}; expected 0 or more")
    others = np.random.default_rng(seed).permutation(np.arange(1, MOST_PASSES))
    return (0, *(int(each) for each in others[: passes - 1]))
