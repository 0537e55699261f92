"""What planes of a crystal determine: correlations of a layer, or Warren-Cowley parameters of the crystal.

Layers of index l, each on a scale of its own, give I_SRO(h, k, l) up to a factor g(l). Any g(l) that has the symmetry
of the crystal is a sum of cosines of l, so alphas of vectors that differ along the normal can be exchanged freely: only
the correlations of each layer are determined (`dsfunet.physics.layer_orbits`). The Laue class excludes this where it
maps the normal onto another direction, because g(l) would then have to be the same function of h and of k.
"""

from collections.abc import Sequence

import numpy as np

from dsfunet.analysis.refinement.settings import RefinementSettings
from dsfunet.errors import InputError
from dsfunet.physics.symmetry import AXES, laue_rotations
from dsfunet.planes.result import Result


def check_determined(settings: RefinementSettings, results: Sequence[Result]) -> None:
    """Check that planes determine what is to be refined.

    Args:
        settings: of the refinement, as the user gave them.
        results: with their grids, along two axes of the cell.

    Raises:
        InputError: they determine correlations of layers only, and alphas are asked for; or planes of different
            orientations have no common axis along which order could vanish.
    """
    axes = {result.grid.name.layer.fixed_axis for result in results if result.grid is not None}
    if len(axes) != 1:
        if settings.no_order_along_axis:
            raise InputError(
                "--no-order-along-axis true: the planes have different orientations and no common third axis; expected"
                " layers of one orientation"
            )
        return
    if settings.no_order_along_axis or settings.layer:
        return
    axis = axes.pop()
    along = AXES[axis]
    if settings.out_of_plane:
        if not _moves_axis(settings, axis):
            raise InputError(
                f"--out-of-plane true: Laue class {settings.laue} maps {along} onto itself, so layers on scales of"
                f" their own leave open any order along {along}; expected planes of another orientation, a whole"
                " volume, or --no-order-along-axis true in place of it"
            )
        return
    if len(results) > 1:
        raise InputError(
            f"found {len(results)} layers of one orientation, each on a scale of its own, which determine the"
            f" correlations of each layer only; expected one layer, --no-order-along-axis true if correlations along"
            f" {along} vanish, or --out-of-plane true if the Laue class ties {along} to the other axes"
        )
    if settings.bounds:
        raise InputError(
            "--bounds true: the bounds are those of alphas, and one layer gives correlations of the layer; add"
            f" --no-order-along-axis true if correlations along {along} vanish, or omit --bounds"
        )


def _moves_axis(settings: RefinementSettings, axis: int) -> bool:
    """Return whether the Laue class maps an axis onto another direction than itself or its opposite."""
    rotations = laue_rotations(settings.laue, settings.unique_axis)
    images = np.delete(rotations[:, :, axis], axis, axis=1)
    return bool(images.any())
