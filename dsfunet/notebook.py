"""A result as HTML, for Jupyter: the picture, and a small table of what is known of it."""

import base64
import html
import io

import numpy as np

from dsfunet.io.nexus import Result
from dsfunet.plots import draw_components


def result_html(result: Result, dots_per_inch: int = 90) -> str:
    """The picture of `draw_components`, embedded, above a table of R, lattice, weights and missing pixels.

    What a result has no record of is left out of the table. The picture is PNG in base64: the page needs no file.
    """
    stream = io.BytesIO()
    draw_components(result).savefig(stream, format="png", dpi=dots_per_inch)
    picture = base64.b64encode(stream.getvalue()).decode("ascii")
    process = result.process
    rows = {"plane": "" if result.grid is None else result.grid.describe()}
    if "r_factor" in process:
        rows["R = sum |I - P| / sum I"] = f"{100 * float(process['r_factor']):.1f} %"
    rows["missing"] = f"{100 * float(1 - np.mean(result.mask)):.1f} % of the pixels"
    rows["lattice"] = str(process.get("lattice_mode", ""))
    rows["weights"] = f"{process.get('weights', '')} {str(process.get('weights_sha256', ''))[:12]}".strip()
    rows["verdict"] = str(process.get("verdict", ""))
    table = "".join(
        f'<tr><th style="text-align:left">{html.escape(name)}</th>'
        f'<td style="text-align:left">{html.escape(value)}</td></tr>'
        for name, value in rows.items()
        if value
    )
    image = (
        f'<img alt="measured plane, components, product, residual" src="data:image/png;base64,{picture}"/>'
    )
    return f"<div>{image}<table>{table}</table></div>"
