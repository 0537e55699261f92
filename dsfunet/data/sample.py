"""One simulated plane in memory, and how it follows from what a store keeps of it."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dsfunet.planes.preprocessing import normalise


@dataclass(frozen=True)
class Sample:
    """One simulated plane; all pictures (256, 256), intensities linear float32 in [0, 1].

    Attributes:
        form_factor: I_FF.
        short_range_order: I_SRO.
        scattering: What was measured and is shown to a network; missing pixels are not taken out yet.
        clean: The exact product of the components; the same as `scattering` unless the store is of degraded planes.
        mask: True = measured.
        short_range_order_floor: What normalisation took away from I_SRO, minimum over range, 0 or more.
    """

    form_factor: npt.NDArray[np.float32]
    short_range_order: npt.NDArray[np.float32]
    scattering: npt.NDArray[np.float32]
    clean: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]
    short_range_order_floor: float


class StoredPlane(NamedTuple):
    """What a store holds of a plane's pictures; components and scattering (256, 256), linear, in [0, 1].

    Attributes:
        form_factor: I_FF.
        short_range_order: I_SRO.
        packed_mask: (256, 32), 1 = measured, eight pixels of a row a byte.
        floors: What normalisation took away from I_FF and I_SRO, minimum over range, 0 or more.
        scattering: What was measured; None where that is the product of the components.
    """

    form_factor: npt.NDArray[np.float16]
    short_range_order: npt.NDArray[np.float16]
    packed_mask: npt.NDArray[np.uint8]
    floors: tuple[float, float]
    scattering: npt.NDArray[np.float16] | None = None


def scattering_plane(
    form_factor: npt.NDArray[np.float32],
    short_range_order: npt.NDArray[np.float32],
    form_factor_floor: float,
    short_range_order_floor: float,
) -> npt.NDArray[np.float32]:
    """I = I_FF I_SRO (equation 5) from normalised components and their floors, normalised to [0, 1]."""
    product = form_factor + np.float32(form_factor_floor)
    product *= short_range_order + np.float32(short_range_order_floor)
    return normalise(product)[0]


def unpacked(packed_mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """A mask (256, 256), True = measured, from its packed bits (256, 32)."""
    return np.unpackbits(packed_mask, axis=-1).view(np.bool_)


def sample_from_stored(stored: StoredPlane) -> Sample:
    """A sample from what a store holds of it, with its clean scattering rebuilt."""
    components = stored.form_factor.astype(np.float32), stored.short_range_order.astype(np.float32)
    clean = scattering_plane(*components, *stored.floors)
    return Sample(
        *components,
        scattering=clean if stored.scattering is None else stored.scattering.astype(np.float32),
        clean=clean,
        mask=unpacked(stored.packed_mask),
        short_range_order_floor=stored.floors[1],
    )
