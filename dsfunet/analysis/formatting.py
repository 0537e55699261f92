"""Numbers as crystallographers print them, with the standard uncertainty in brackets: -0.123(4)."""

import math


def with_uncertainty(value: float, uncertainty: float) -> str:
    """Format a value with its standard uncertainty in brackets, as in "-0.123(4)" or "1.25(12)".

    The value is rounded so that the uncertainty is 2 to 19 units of the last digit. Without a positive finite
    uncertainty the value stands alone, with four decimals.
    """
    if not math.isfinite(value):
        return str(value)
    # Rule of 19: 19.5 units round to 20, which is written as 2 of the next digit.
    place = math.floor(math.log10(uncertainty / 1.95)) if 0 < uncertainty < math.inf else 0
    if not 0 < uncertainty < math.inf or place < -12:
        return _unsigned_zero(f"{value:.4f}")
    units = round(uncertainty / 10.0**place)
    if place >= 0:
        return f"{_unsigned_zero(f'{round(value / 10**place) * 10**place:d}')}({units * 10**place})"
    return f"{_unsigned_zero(f'{value:.{-place}f}')}({units})"


def _unsigned_zero(text: str) -> str:
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text
