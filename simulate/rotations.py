"""Random orientations of molecules and crystals."""

import numpy as np
import numpy.typing as npt


def random_rotation(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Draw a proper rotation matrix (3, 3), uniform over orientations, from a unit quaternion (Shoemake 1992)."""
    quaternion = rng.standard_normal(4)
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
