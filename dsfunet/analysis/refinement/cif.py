"""The contents of the CIF file of a refinement.

The cell, the lattice type and the program have names of the IUCr's core and symmetry dictionaries. There are none for
correlations: theirs begin with _dsfunet_.
"""

import math
from collections.abc import Sequence

import gemmi

from dsfunet._version import __version__
from dsfunet.analysis.formatting import with_uncertainty
from dsfunet.analysis.refinement.fit import Refinement
from dsfunet.analysis.refinement.reports import (
    AT_BOUND,
    Record,
    list_components,
    list_rows,
    quality_of_all,
    quality_of_plane,
    quantity_of,
)
from dsfunet.physics import Cell

_CELL_NAMES = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")


def as_cif(refinement: Refinement, cell: Cell, settings: Record, sources: Sequence[Record]) -> str:
    """Return everything but maps and correlations as CIF: standard names for the cell, _dsfunet_... for the rest.

    Arguments are those of `as_record`.
    """
    document = gemmi.cif.Document()
    block = document.add_new_block("short_range_order")
    block.set_pair("_audit_creation_method", gemmi.cif.quote(f"dsfunet refine {__version__}"))
    for name, value in zip(_CELL_NAMES, cell.parameters, strict=True):
        block.set_pair(f"_cell_{name}", f"{value:g}")
    if settings.get("laue_class"):
        block.set_pair("_space_group_Laue_class", gemmi.cif.quote(str(settings["laue_class"])))
    if settings.get("centring"):
        block.set_pair("_space_group_centring_type", str(settings["centring"]))
    for name, setting in {**(sources[0] if len(sources) == 1 else {}), **settings}.items():
        # Without quotes a dot is CIF's word for "not applicable".
        text = "." if setting is None else gemmi.cif.quote(str(setting))
        block.set_pair(f"_dsfunet_{name}", text)
    block.set_pair("_dsfunet_sro_quantity", gemmi.cif.quote(quantity_of(refinement)))
    if sources:
        _add_planes(block, refinement, sources)
    is_alpha = quantity_of(refinement) == "alpha"
    columns = ["vector_i", "vector_j", "vector_k", "multiplicity", "vector_length"]
    loop = block.init_loop(
        "_dsfunet_sro_" if is_alpha else "_dsfunet_layer_correlation_",
        [*columns, "alpha" if is_alpha else "value", "at_bound"],
    )
    for orbit, alpha, sigma, bound in list_rows(refinement):
        loop.add_row(
            [
                *map(str, list_components(orbit, orbit.representative)),
                str(len(orbit.vectors)),
                f"{orbit.length_angstrom:.5g}",
                with_uncertainty(alpha, sigma),
                gemmi.cif.quote(AT_BOUND[bound]) if bound else ".",
            ]
        )
    return document.as_string()


def _add_planes(block: gemmi.cif.Block, refinement: Refinement, sources: Sequence[Record]) -> None:
    """Add scales and quality of the fit to a CIF block, as a loop if there are several planes."""
    scales = [
        with_uncertainty(plane.scale, sigma)
        for plane, sigma in zip(refinement.planes, refinement.scale_uncertainties.tolist(), strict=True)
    ]
    one = len(sources) == 1
    if one:
        block.set_pair("_dsfunet_sro_scale", scales[0])
    for name, number in (
        quality_of_plane(refinement.planes[0]) if one else quality_of_all(refinement)
    ).items():
        block.set_pair(f"_dsfunet_sro_{name}", _cif_number(number))
    if one:
        return
    table = block.init_loop(
        "_dsfunet_plane_", [*sources[0], "scale", *quality_of_plane(refinement.planes[0])]
    )
    for source, scale, plane in zip(sources, scales, refinement.planes, strict=True):
        recorded = [gemmi.cif.quote(str(value)) for value in source.values()]
        table.add_row([*recorded, scale, *map(_cif_number, quality_of_plane(plane).values())])


def _cif_number(number: float | None) -> str:
    return "." if number is None or not math.isfinite(number) else f"{number:.6g}"
