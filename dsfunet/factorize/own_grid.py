"""Planes on a grid of their own: resampled for the networks, and their components brought back."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Planes
from dsfunet.factorize.components import Components
from dsfunet.planes.geometry import Geometry
from dsfunet.planes.preprocessing import check_planes
from dsfunet.planes.resampling import to_network_plane, to_user_grid


def factorize_on_own_grid(
    factorize: Callable[..., Components],
    planes: npt.NDArray[Any],
    mask: npt.NDArray[np.bool_] | None,
    geometry: Geometry,
    passes: int,
    seed: int,
) -> Components:
    """Resample planes to the networks' grid, factorise each, and bring the components back to the planes' own grid.

    Args:
        factorize: A `Factorizer`, or any callable with its signature.
        planes: Intensities (n, m) or (count, n, m).
        mask: True where a pixel was measured.
        geometry: The lattice, and where the pixels lie.
        passes: As for `Factorizer`.
        seed: As for `Factorizer`.

    Raises:
        InputError: As for `Factorizer`.
    """
    stack, measured = check_planes(planes, mask, geometry.shape)
    parts = []
    for plane, its_mask in zip(stack, measured, strict=True):
        shown, place = to_network_plane(np.where(its_mask, plane, np.nan), geometry)
        parts.append(
            (factorize(shown, None, geometry.with_pixels(place).lattice_plane(), passes, seed), place)
        )

    def bring_back(name: str) -> Planes | None:
        answers = [(getattr(each, name), place) for each, place in parts]
        if any(values is None for values, _ in answers):
            return None
        own = [to_user_grid(values, place, geometry) for values, place in answers]
        return np.stack(own).astype(np.float32).reshape(np.shape(planes))

    form_factor, order = bring_back("form_factor"), bring_back("short_range_order")
    assert form_factor is not None and order is not None  # only the uncertainties are optional
    return Components(
        form_factor,
        order,
        measured.reshape(np.shape(planes)),
        tuple(each.lattice_answers[0] for each, _ in parts),
        sigma_form_factor=bring_back("sigma_form_factor"),
        sigma_short_range_order=bring_back("sigma_short_range_order"),
        uncertainty=parts[0][0].uncertainty,
    )
