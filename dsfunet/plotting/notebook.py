"""Results and components as HTML for Jupyter: a picture and a small table.

`dsfunet` calls `register_html` when it is imported in a running IPython, so that the data classes do not depend on
pictures. Matplotlib takes a second to import, so it is imported when the first picture is drawn.
"""

import base64
import html
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dsfunet.factorize.components import Components
    from dsfunet.planes.result import Result

_DOTS_PER_INCH = 90


def register_html(shell: Any) -> None:
    """Register `result_html` and `components_html` with an IPython shell.

    The classes are registered by name, so nothing is imported until one of them is shown.
    """
    formatter = shell.display_formatter.formatters["text/html"]
    formatter.for_type_by_name("dsfunet.planes.result", "Result", result_html)
    formatter.for_type_by_name("dsfunet.factorize.components", "Components", components_html)


def result_html(result: "Result") -> str:
    """Return the picture of `draw_components` above a table of R, lattice, weights and missing pixels.

    Rows without a value are left out. The picture is embedded as PNG, so the page needs no file.
    """
    from dsfunet.plotting.result import draw_components

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
    """Return pictures of both components, of the first plane, above a table of missing pixels and wR2."""
    from dsfunet.planes.result import TITLES, Result
    from dsfunet.plotting.result import Panel, draw_panels, intensity_scale

    stack = components.form_factor.reshape(-1, *components.form_factor.shape[-2:])
    order = components.short_range_order.reshape(stack.shape)[0]
    measured = components.mask.reshape(stack.shape)
    # Only its frame is used: components do not hold the measured plane.
    frame = Result(stack[0], stack[0], order, stack[0], stack[0], measured[0])
    panels = [
        Panel(TITLES[name].capitalize(), values, intensity_scale(values))
        for name, values in (("form_factor", stack[0]), ("short_range_order", order))
    ]
    rows = {"planes": "" if len(stack) == 1 else f"{len(stack)}; the first is drawn"}
    rows["missing"] = f"{100 * float(1 - measured.mean()):.1f} % of the pixels"
    if components.lattice_answers:
        answer = components.lattice_answers[0]
        rows["lattice"] = (
            "no reliable lattice found"
            if answer is None
            else f"{'used' if answer.accepted else 'not used, it does not explain the plane'}: wR2"
            f" {answer.residual:.3f} on the lattice, {answer.residual_of_networks:.3f} with the networks alone"
        )
    return _page(draw_panels(frame, panels, "Components of diffuse scattering"), rows)


def _page(figure: "Figure", rows: Mapping[str, str]) -> str:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_DOTS_PER_INCH)
    picture = base64.b64encode(stream.getvalue()).decode("ascii")
    table = "".join(
        f'<tr><th style="text-align:left">{html.escape(name)}</th>'
        f'<td style="text-align:left">{html.escape(value)}</td></tr>'
        for name, value in rows.items()
        if value
    )
    image = f'<img alt="pictures of the planes of this result" src="data:image/png;base64,{picture}"/>'
    return f"<div>{image}<table>{table}</table></div>"
