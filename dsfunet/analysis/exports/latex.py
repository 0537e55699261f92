r"""A table of refined correlations for LaTeX, with the rules of booktabs."""

from fractions import Fraction

from dsfunet.analysis.exports.content import ExportedCorrelations
from dsfunet.analysis.formatting import with_uncertainty
from dsfunet.analysis.refinement.reports import AT_BOUND, list_rows
from dsfunet.physics.centring import Component
from dsfunet.physics.symmetry import Orbit

_INDICES = "uvw"


def write_latex(correlations: ExportedCorrelations) -> str:
    """Return a table environment; it needs the package booktabs."""
    cell = ", ".join(f"{value:g}" for value in correlations.cell.parameters)
    axis = correlations.summed_axis
    if axis is None:
        symbol, what = r"\alpha_{uvw}", "Warren--Cowley parameters"
    else:
        pair = _INDICES.replace(_INDICES[axis], "")
        symbol, what = rf"\alpha^{{\mathrm{{layer}}}}_{{{pair}}}", "Correlations of the layer"
    caption = (
        f"{what} of {_escape(correlations.source)}, with standard uncertainties in brackets (Laue class"
        f" ${_laue(correlations.laue)}$, lattice {correlations.centring}, cell {cell} in \\AA{{}} and degrees)."
    )
    if axis is not None:
        caption += f" {_definition(axis)}"
    lines = [
        f"% written by dsfunet refine from {correlations.source}; needs \\usepackage{{booktabs}}",
        *(f"% WARNING: {warning}" for warning in correlations.warnings),
        r"\begin{table}",
        rf"\caption{{{caption}}}",
        r"\begin{tabular}{cccl}",
        r"\toprule",
        rf"vector & multiplicity & length (\AA) & ${symbol}$ \\",
        r"\midrule",
    ]
    for orbit, value, sigma, bound in list_rows(correlations.fit):
        note = f" ({AT_BOUND[bound]})" if bound else ""
        lines.append(
            f"${_vector(orbit)}$ & {len(orbit.vectors)} & {orbit.length_angstrom:.3f} &"
            f" ${with_uncertainty(value, sigma)}${note} \\\\"
        )
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _vector(orbit: Orbit) -> str:
    components = [
        _component(each) for axis, each in enumerate(orbit.representative) if axis != orbit.summed_axis
    ]
    return r"\;".join(components) + (r"\ \mathrm{(sine)}" if orbit.is_sine else "")


def _component(value: Component) -> str:
    if value == int(value):
        return rf"\bar{{{-int(value)}}}" if value < 0 else str(int(value))
    size = abs(Fraction(value))
    fraction = rf"\tfrac{{{size.numerator}}}{{{size.denominator}}}"
    return f"-{fraction}" if value < 0 else fraction


def _definition(axis: int) -> str:
    letters = list(_INDICES)
    letters[axis] = "n"
    origin = "".join("n" if number == axis else "0" for number in range(3))
    pair, phase = _INDICES.replace(_INDICES[axis], ""), rf"\mathrm{{e}}^{{2\pi\mathrm{{i}}{'hkl'[axis]}n}}"
    return (
        rf"$\alpha^{{\mathrm{{layer}}}}_{{{pair}}} = \sum_n \alpha_{{{''.join(letters)}}}\,{phase} /"
        rf" \sum_n \alpha_{{{origin}}}\,{phase}$."
    )


def _laue(name: str) -> str:
    return name.replace("-3", r"\bar{3}").replace("-1", r"\bar{1}")


def _escape(text: str) -> str:
    return text.replace("_", r"\_").replace("%", r"\%").replace("&", r"\&").replace("#", r"\#")
