"""Type aliases for the arrays used in the three packages, one for each kind of number."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
"""Double precision, any shape."""

Float32 = npt.NDArray[np.float32]
"""Single precision, any shape."""

Floats = npt.NDArray[np.floating[Any]]
"""Any real precision, any shape."""

Planes = npt.NDArray[np.float32]
"""One plane (n, n) or a stack of planes (count, n, n), single precision."""

Mask = npt.NDArray[np.bool_]
"""True where a pixel was measured, unless its name says otherwise."""

Integers = npt.NDArray[np.int64]
"""Integers, any shape."""

ComplexArray = npt.NDArray[np.complex128]
"""Complex, double precision, any shape."""
