"""Refined correlations in the layouts of Yell, DISCUS and LaTeX, as their manuals describe them."""

import re
from fractions import Fraction

import numpy as np
import pytest

from dsfunet.analysis.exports import (
    ExportedCorrelations,
    Site,
    check_exports,
    make_exports,
    parse_exports,
)
from dsfunet.analysis.models.model_names import ModelPair
from dsfunet.analysis.models.molecules import VACANCY, LabelledMolecule
from dsfunet.analysis.refinement.fit import Refinement
from dsfunet.errors import InputError
from dsfunet.physics import Cell
from dsfunet.physics.centring import centring_translations
from dsfunet.physics.layer_orbits import LayerHarmonics
from dsfunet.physics.symmetry import Orbit, laue_rotations, nearest_shells, symmetric_metric
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.names import parse_plane_name

CELL = Cell(3.75, 3.75, 3.75)
VALUES = np.array([-0.11, 0.13, 0.002])
SHARE = 0.25


def atom(element: str) -> LabelledMolecule:
    return LabelledMolecule((element,), np.zeros((1, 3)), (f"{element}1",))


def correlations_of(orbits: list[Orbit], layer: str | None = None, **changes: object) -> ExportedCorrelations:
    covariance = np.diag([0.0, *[4e-6] * len(orbits)])[1:, 1:]
    fit = Refinement(tuple(orbits), VALUES[: len(orbits)], covariance, np.zeros(len(orbits), int), ())
    axis = np.linspace(-4, 4, 81)
    grid = None if layer is None else PlaneGrid(CELL, parse_plane_name(layer), axis, axis)
    site = Site(ModelPair("Au+Cu", atom("Au"), atom("Cu")), SHARE, 0.6)
    about = {
        "source": "a_b.nxs", "stem": "a_b.refine", "fit": fit, "cell": CELL, "centring": "F", "laue": "m-3m",
        "unique_axis": None, "grid": grid, "site": site,
    }  # fmt: skip
    return ExportedCorrelations(**(about | changes))  # type: ignore[arg-type]


def of_crystal(**changes: object) -> ExportedCorrelations:
    orbits = nearest_shells(3, laue_rotations("m-3m"), symmetric_metric(CELL, "m-3m"), None, "F")
    return correlations_of(orbits, **changes)


def of_layer(layer: str = "hk0") -> ExportedCorrelations:
    name = parse_plane_name(layer)
    metric = symmetric_metric(CELL, "m-3m")
    harmonics = LayerHarmonics(laue_rotations("m-3m"), metric, 2, name.layer.offset, "F")
    return correlations_of(harmonics.nearest_shells(3)[:3], layer)


def read_yell(text: str) -> tuple[dict[str, str], list[tuple[tuple[float, ...], float, float]]]:
    """Parse a model file: keywords of the preamble, and vector, multiplicity and joint probability of each group."""
    text = re.sub(r"#.*", "", text)
    keywords = dict(re.findall(r"^(Cell|DiffuseScatteringGrid|LaueSymmetry|Refine) (.*)$", text, re.M))
    variables = {name: float(value) for name, value in re.findall(r"^(\w+)=([-\d.e]+);$", text, re.M)}
    groups = re.findall(
        r"\[\(([^)]*)\)\s+Multiplicity (\d+)\s+SubstitutionalCorrelation\(V,V,([^\s]*)\)\]", text
    )
    found = [
        (tuple(map(float, vector.split(","))), float(count), float(eval(formula, {}, variables)))
        for vector, count, formula in groups
    ]
    return keywords, found


def test_a_model_of_yell_for_a_crystal() -> None:
    text = make_exports(of_crystal(), ["yell"])["yell.txt"]
    keywords, groups = read_yell(text)
    assert keywords["LaueSymmetry"].strip() == "m-3m" and keywords["Cell"] == "3.75 3.75 3.75 90 90 90"
    assert groups[0] == ((0, 0, 0), 1, SHARE)
    assert [(vector, count) for vector, count, _ in groups[1:]] == [
        ((0.5, 0.5, 0), 12),
        ((1, 0, 0), 6),
        ((1, 0.5, 0.5), 24),
    ]
    expected = SHARE**2 + SHARE * (1 - SHARE) * VALUES
    np.testing.assert_allclose([probability for *_, probability in groups[1:]], expected)
    # A share and the atoms of each species, with U = B / 8 pi^2, in one Variant.
    assert re.search(
        r"V=Variant\s+\[\s+\(p=c\)\s+\[\s+Au 1 0\.0+ 0\.0+ 0\.0+ 0\.007599\s+\]\s+\(p=1-c\)", text
    )
    assert text.count("[") == text.count("]")


def test_a_section_for_yell_gives_the_intensity_of_the_layer() -> None:
    correlations = of_layer()
    keywords, groups = read_yell(make_exports(correlations, ["yell"])["yell.txt"])
    assert keywords["DiffuseScatteringGrid"].split() == ["-4", "-4", "0", "0.1", "0.1", "1", "80", "80", "1"]
    assert keywords["LaueSymmetry"].strip() == "-1"
    h, k = np.array([0.3, 1.1]), np.array([-0.2, 0.7])
    # Yell's sum of (p - c^2) over pairs is c (1 - c) I_SRO for unit scattering of A.
    total = sum(count * (p - SHARE**2) * np.cos(2 * np.pi * (h * v[0] + k * v[1])) for v, count, p in groups)
    order = 1 + sum(
        alpha
        * np.cos(2 * np.pi * (np.outer(h, orbit.components[:, 0]) + np.outer(k, orbit.components[:, 1]))).sum(
            1
        )
        for alpha, orbit in zip(VALUES, correlations.fit.orbits, strict=True)
    )
    np.testing.assert_allclose(total, SHARE * (1 - SHARE) * order)
    with pytest.raises(
        InputError, match="--export yell: the correlations are of layer hk1, and Yell has sections"
    ):
        make_exports(of_layer("hk1"), ["yell"])


def test_a_macro_of_discus_has_every_pair_of_every_orbit_once() -> None:
    correlations = of_crystal(warnings=("Doubtful: something.",))
    texts = make_exports(correlations, ["discus"])
    macro, cell = texts["mac"].splitlines(), texts["cell"].splitlines()
    assert macro[1] == "# WARNING: Doubtful: something." and "lcell a_b.refine.cell, 16, 16, 16" in macro
    assert cell[:4] == [
        "title a_b.nxs",
        "spcgr P1",
        f"cell {', '.join(['3.750000'] * 3 + ['90.000000'] * 3)}",
        "atoms",
    ]
    rows = [[float(x) for x in line.split(",")[1:4]] for line in cell[4:]]
    sites = [[float(x) for x in each] for each in centring_translations("F")]
    assert rows == sites and all(line.startswith("AU") for line in cell[4:])
    vectors = [line.removeprefix("set vec, ").split(", ") for line in macro if line.startswith("set vec")]
    assert [int(each[0]) for each in vectors] == [*range(1, 4 * (12 + 6 + 24) + 1)]
    ends = [
        tuple(np.array(sites[int(b) - 1]) + [int(x) for x in cells] - np.array(sites[int(a) - 1]))
        for _, a, b, *cells in vectors
    ]
    first = {tuple(map(float, each)) for each in correlations.fit.orbits[0].equivalents}
    assert set(ends[:48]) == first and all(ends[:48].count(each) == 4 for each in first)
    assert "set neig, number:1, vec, 1, 48, range" in macro and "replace AU, CU, all, 0.75" in macro
    targets = [line for line in macro if line.startswith("set target")]
    assert targets[0] == "set target, 1, corr, AU, CU, -0.110000, 0.0, CORR" and len(targets) == 3
    assert macro.index("mmc") < macro.index("run") < macro.index("save")


def test_stand_ins_for_what_discus_has_no_single_atoms_for() -> None:
    octahedron = LabelledMolecule(("O",) * 2, np.array([[0.0, 0, 2], [0, 0, -2]]), ("O1", "O2"))
    site = Site(ModelPair("O+vacancy", octahedron, VACANCY), 0.4)
    macro = make_exports(of_crystal(site=site), ["discus"])["mac"]
    assert (
        "# O stands for O2 and VOID for vacancy" in macro and "set target, 1, corr, O, VOID, -0.11" in macro
    )
    yell = make_exports(of_crystal(site=site), ["yell"])["yell.txt"]
    assert "    Void" in yell and "O 1 0.000000 0.000000 0.533333" in yell


def test_tables_for_latex() -> None:
    table = make_exports(of_crystal(), ["latex"])["tex"]
    assert r"$\tfrac{1}{2}\;\tfrac{1}{2}\;0$ & 12 & 2.652 & $-0.110(2)$ \\" in table
    assert r"$\alpha_{uvw}$ \\" in table and r"a\_b.nxs" in table and r"$m\bar{3}m$" in table
    layer = make_exports(of_layer(), ["latex"])["tex"]
    assert r"$\tfrac{1}{2}\;0$ & 4 & 1.875" in layer
    assert r"\alpha^{\mathrm{layer}}_{uv} = \sum_n \alpha_{uvn}" in layer and r"\alpha_{uvw}$ \\" not in layer
    assert Fraction(1, 2) == of_layer().fit.orbits[0].representative[0]


@pytest.mark.parametrize(
    ("with_species", "share", "message"),
    [
        (False, 0.5, "--export yell: found no species; give them with --species"),
        (True, None, "--export yell: found no share of species A; give it with --concentration"),
        (True, 1.5, "--concentration is 1.5; expected a number strictly between 0 and 1"),
    ],
)
def test_what_is_missing_is_said(with_species: bool, share: float | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_exports(["latex", "yell"], with_species, share)
    check_exports(["latex"], with_species, share)


def test_formats_by_name() -> None:
    assert parse_exports(["latex", "yell", "latex"]) == ["latex", "yell"]
    with pytest.raises(InputError, match="--export is 'word'; expected one or more of yell, discus, latex"):
        parse_exports(["yell", "word"])


def test_correlations_of_a_layer_are_no_pairs() -> None:
    with pytest.raises(InputError, match="--export discus: the values are correlations of a layer"):
        make_exports(of_layer(), ["discus"])
