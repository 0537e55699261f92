"""Numbers and vectors of h, k, l as text, for the names of planes."""

from typing import TypeAlias

import numpy as np

from dsfunet.errors import InputError

Indices: TypeAlias = tuple[float, float, float]
"""h, k, l [r.l.u.]."""

LONGEST_NAME = 200
"""Longest name that is parsed [characters]: in a longer one, digits can be grouped in too many ways to try them all."""

_DECIMALS = 6


def parse_number(text: str, word: str) -> float:
    """Return the number that a word of a plane name stands for, such as 1.5 or 1/2.

    Raises:
        InputError: It is not finite.
    """
    numerator, _, denominator = word.partition("/")
    divisor = float(denominator or 1)
    value = float(numerator) / divisor if divisor else np.inf
    if not np.isfinite(value):
        raise InputError(
            f"plane {text!r}: {word} is not a finite number; expected a value such as 1.5 or 1/2"
        )
    return value


def shorten(text: str) -> str:
    """Return a text for a message, cut after `LONGEST_NAME` characters."""
    return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}..."


def format_number(value: float) -> str:
    """Return a number with as few digits as it needs, at most six decimals: files round their limits to float32."""
    return np.format_float_positional(round(value, _DECIMALS) + 0.0, trim="-")


def format_term(value: float, letter: str) -> str:
    """Return a multiple of an index, such as "2h", "-k" or "0"."""
    if value == 0:
        return "0"
    factor = "" if abs(value) == 1 else format_number(abs(value))
    return ("-" if value < 0 else "") + factor + letter


def format_vector(vector: Indices) -> str:
    """Return h, k, l in brackets, such as "[1 1 0]"."""
    return f"[{' '.join(map(format_number, vector))}]"
