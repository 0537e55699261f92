"""Results and components as HTML, for Jupyter: the picture, and a small table of what is known of them."""

import base64
import html
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from dsfunet.planes.result import TITLES, Result
from dsfunet.plotting.result import Panel, draw_components, draw_panels, intensity_scale

if TYPE_CHECKING:
    from dsfunet.factorize.components import Components

_DOTS_PER_INCH = 90


def result_html(result: Result) -> str:
    """The picture of `draw_components`, embedded, above a table of R, lattice, weights and missing pixels.

    What a result has no record of is left out of the table. The picture is PNG in base64: the page needs no file.
    """
    process = result.process
    rows = {"plane": "" if result.grid is None else result.grid.describe()}
    if "r_factor" in process:
        rows["R = sum |I - P| / sum I"] = f"{100 * float(process['r_factor']):.1f} %"
    rows["missing"] = f"{100 * float(1 - np.mean(result.mask)):.1f} % of the pixels"
    rows["lattice"] = str(process.get("lattice_mode", ""))
    rows["weights"] = f"{process.get('weights', '')} {str(process.get('weights_sha256', ''))[:12]}".strip()
    rows["verdict"] = str(process.get("verdict", ""))
    return _page(draw_components(result), rows)


def components_html(components: "Components") -> str:
    """Both components, of several planes the first, above a table of missing pixels and, with a lattice, of wR2."""
    stack = components.form_factor.reshape(-1, *components.form_factor.shape[-2:])
    order = components.short_range_order.reshape(stack.shape)[0]
    measured = components.mask.reshape(stack.shape)
    # Stands for the frame alone: components know nothing of the plane they are of.
    frame = Result(stack[0], stack[0], order, stack[0], stack[0], measured[0])
    panels = [
        Panel(TITLES[name].capitalize(), values, intensity_scale(values))
        for name, values in (("form_factor", stack[0]), ("short_range_order", order))
    ]
    rows = {"planes": "" if len(stack) == 1 else f"{len(stack)}, drawn is the first"}
    rows["missing"] = f"{100 * float(1 - measured.mean()):.1f} % of the pixels"
    if components.lattice_answers:
        answer = components.lattice_answers[0]
        rows["lattice"] = (
            "none found that convinces"
            if answer is None
            else f"{'used' if answer.accepted else 'does not explain the plane'}: wR2 {answer.residual:.3f} on it,"
            f" {answer.residual_of_networks:.3f} by the networks alone"
        )
    return _page(draw_panels(frame, panels, "Components of diffuse scattering"), rows)


def _page(figure: Figure, rows: Mapping[str, str]) -> str:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_DOTS_PER_INCH)
    picture = base64.b64encode(stream.getvalue()).decode("ascii")
    table = "".join(
        f'<tr><th style="text-align:left">{html.escape(name)}</th>'
        f'<td style="text-align:left">{html.escape(value)}</td></tr>'
        for name, value in rows.items()
        if value
    )
    image = f'<img alt="the planes of this result, drawn" src="data:image/png;base64,{picture}"/>'
    return f"<div>{image}<table>{table}</table></div>"
