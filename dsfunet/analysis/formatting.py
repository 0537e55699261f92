"""Values with their standard uncertainties as crystallographers write them: -0.123(4)."""

import math


def with_uncertainty(value: float, uncertainty: float) -> str:
    """A value rounded to where its standard uncertainty has 2 to 19 units, these in brackets: "-0.123(4)", "1.25(12)".

    Without a positive finite uncertainty the value is given alone, to four decimals.
    """
    if not math.isfinite(value):
        return str(value)
    # 19.5 units round to 20, 1.95 to 2: the rule of 19.
    place = math.floor(math.log10(uncertainty / 1.95)) if 0 < uncertainty < math.inf else 0
    if not 0 < uncertainty < math.inf or place < -12:
        return _unsigned_zero(f"{value:.4f}")
    units = round(uncertainty / 10.0**place)
    if place >= 0:
        return f"{_unsigned_zero(f'{round(value / 10**place) * 10**place:d}')}({units * 10**place})"
    return f"{_unsigned_zero(f'{value:.{-place}f}')}({units})"


def _unsigned_zero(text: str) -> str:
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text
