"""One simulated plane in memory, and its reconstruction from the arrays of a store."""

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
        scattering: measured intensity, the input of the networks; missing pixels are not yet removed.
        clean: exact product of the components; equal to `scattering` unless the store holds degraded planes.
        mask: True = measured.
        short_range_order_floor: minimum of I_SRO before normalisation, divided by its range, 0 or more.
    """

    form_factor: npt.NDArray[np.float32]
    short_range_order: npt.NDArray[np.float32]
    scattering: npt.NDArray[np.float32]
    clean: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]
    short_range_order_floor: float


class StoredPlane(NamedTuple):
    """The arrays of one plane as a store holds them; components and scattering (256, 256), linear, in [0, 1].

    Attributes:
        form_factor: I_FF.
        short_range_order: I_SRO.
        packed_mask: (256, 32), 1 = measured, eight pixels of a row per byte.
        floors: minimum of I_FF and of I_SRO before normalisation, divided by their ranges, 0 or more.
        scattering: measured intensity; None if it is the product of the components.
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
    """Return I = I_FF I_SRO (equation 5), normalised to [0, 1], of normalised components and their floors."""
    product = form_factor + np.float32(form_factor_floor)
    product *= short_range_order + np.float32(short_range_order_floor)
    return normalise(product)[0]


def unpack_mask(packed_mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return the mask (256, 256), True = measured, of packed bits (256, 32)."""
    return np.unpackbits(packed_mask, axis=-1).view(np.bool_)


def rebuild_sample(stored: StoredPlane) -> Sample:
    """Return the sample of a stored plane, with its clean scattering computed from the components."""
    components = stored.form_factor.astype(np.float32), stored.short_range_order.astype(np.float32)
    clean = scattering_plane(*components, *stored.floors)
    return Sample(
        *components,
        scattering=clean if stored.scattering is None else stored.scattering.astype(np.float32),
        clean=clean,
        mask=unpack_mask(stored.packed_mask),
        short_range_order_floor=stored.floors[1],
    )
