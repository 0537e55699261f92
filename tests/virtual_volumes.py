"""Whole volumes of virtual crystals (see `tests.virtual_crystals`), with the holes that real volumes have."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tests.virtual_crystals import Array, Correlations, contrast, correlate


@dataclass(frozen=True, eq=False)
class VirtualVolume:
    """A measured volume and its truth.

    Attributes:
        counts: Poisson counts, shape (n, m, o).
        mask: True where measured.
        axes: coordinates along h, k, l [r.l.u.].
        form_factor: F in counts, so that the expected counts are F times I_SRO.
        order: I_SRO, with a mean of 1 over a zone.
        correlations: of the crystal.
    """

    counts: Array
    mask: npt.NDArray[np.bool_]
    axes: tuple[Array, Array, Array]
    form_factor: Array
    order: Array
    correlations: Correlations


def measure_volume(
    name: str,
    seed: int = 0,
    reach: tuple[float, float, float] = (3.0, 3.0, 3.0),
    steps: tuple[float, float, float] = (1 / 12, 1 / 12, 1 / 12),
    brightest: float = 2000.0,
    missing: bool = False,
    crystal_seed: int = 0,
) -> VirtualVolume:
    """Count photons in a volume of a crystal.

    Args:
        name: of the crystal.
        seed: of the noise.
        reach: largest index along each axis.
        steps: of the voxels along each axis [r.l.u.].
        brightest: expected counts of the brightest voxel.
        missing: whether about 30 % are missing: a cone, a shadow, a beam stop and Bragg positions.
        crystal_seed: seed of the configurations.
    """
    found = correlate(name, crystal_seed)
    h, k, l = (  # noqa: E741
        step * np.arange(-round(end / step), round(end / step) + 1)
        for end, step in zip(reach, steps, strict=True)
    )
    order = np.asarray(found.alphas, dtype=np.complex128)
    for axis, values in enumerate((h, k, l)):
        steps_of = np.fft.fftfreq(order.shape[0], 1 / order.shape[0])
        order = np.tensordot(order, np.exp(1j * np.pi * np.outer(steps_of, values)), axes=(0, 0))
        del axis
    form_factor = np.stack(
        [
            contrast(found.crystal, np.stack(np.meshgrid([value], k, l, indexing="ij"), axis=-1))[0]
            for value in h
        ]
    )
    expected = form_factor * order.real
    scale = brightest / expected.max()
    random = np.random.default_rng([seed, 11])
    counts = random.poisson(np.maximum(scale * expected, 0)).astype(np.float64)
    mask = hide_voxels(h, k, l) if missing else np.full(expected.shape, True)
    return VirtualVolume(counts, mask, (h, k, l), scale * form_factor, order.real, found)


def hide_voxels(h: Array, k: Array, l: Array) -> npt.NDArray[np.bool_]:  # noqa: E741
    """Return a mask without a cone about l, a shadow on one side, a beam stop and the surroundings of whole h, k, l."""
    x, y, z = np.meshgrid(h, k, l, indexing="ij")
    u, v, w = x / np.abs(h).max(), y / np.abs(k).max(), z / np.abs(l).max()
    cone = u**2 + v**2 < (0.45 * w) ** 2
    shadow = (v > 0.35) & (np.abs(u - 0.3) < 0.45)
    stop = u**2 + v**2 + w**2 < 0.15**2
    bragg = np.sqrt(sum((each - np.round(each)) ** 2 for each in (x, y, z))) < 0.12
    return np.asarray(~(cone | shadow | stop | bragg))
