"""Names of the scales on which files hold intensities, apart from their arithmetic: commands need only the names."""

from typing import Literal, TypeAlias

Scale: TypeAlias = Literal["auto", "linear", "spread", "centred", "sqrt", "log", "log10", "log1p"]
"""Scale of the numbers in a file, in terms of the intensity x: x itself (linear), 2 sqrt(x) - 1 (spread), 2 x - 1
(centred), sqrt(x), ln(x) (log), log10(x) or ln(1 + x) (log1p). "auto" is linear, or one of the two of DSFU-Net
where its files are recognised."""
