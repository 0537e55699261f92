"""One simulated plane in memory, and how it follows from what a store keeps of it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsfunet.preprocessing import normalise


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


def sample_from_stored(
    form_factor: npt.NDArray[np.float16],
    short_range_order: npt.NDArray[np.float16],
    packed_mask: npt.NDArray[np.uint8],
    floors: tuple[float, float],
    scattering: npt.NDArray[np.float16] | None = None,
) -> Sample:
    """A sample from what a store holds of it, with its clean scattering rebuilt."""
    components = form_factor.astype(np.float32), short_range_order.astype(np.float32)
    clean = scattering_plane(*components, *floors)
    return Sample(
        *components,
        scattering=clean if scattering is None else scattering.astype(np.float32),
        clean=clean,
        mask=unpacked(packed_mask),
        short_range_order_floor=floors[1],
    )
