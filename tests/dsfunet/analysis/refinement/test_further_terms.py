"""Size effect, background and thermal scattering beside form factor and order, on virtual crystals of another model."""

from pathlib import Path

import numpy as np
import pytest

from dsfunet.analysis.models.model_names import ModelPair
from dsfunet.analysis.models.molecules import LabelledMolecule
from dsfunet.analysis.refinement import RefinementSettings, refine_alphas
from dsfunet.analysis.refinement.further_terms import NO_TERMS, FurtherTerms, displacement_series
from dsfunet.analysis.refinement.outcome import AlphaRefinement
from dsfunet.cli.main import main
from dsfunet.errors import InputError
from dsfunet.io import PlaneGrid, parse_plane_name, write_result
from dsfunet.physics import Cell
from dsfunet.physics.symmetry import laue_rotations, orbits_of, symmetric_metric
from tests.dsfunet.analysis.refinement.measured_faults import faulty_result, true_correlation
from tests.virtual_crystals import CRYSTALS
from tests.virtual_faults import Fault

VECTORS = ((1, 0), (0, 1), (1, 1))


def refined(
    name: str, fault: Fault | None, amount: float, terms: FurtherTerms, reach: float = 4.2
) -> AlphaRefinement:
    """Correlations of a plane with a fault, from the joint fit with further terms."""
    settings = RefinementSettings(laue="-1", vectors=VECTORS, form_factor="data", centring="P", further=terms)
    return refine_alphas(faulty_result(name, fault, amount, 0, reach), settings)


def pulls_of(found: AlphaRefinement, name: str) -> np.ndarray:
    """(found - true) / s.u. of all correlations."""
    pairs = [
        (alpha, true_correlation(name, (float(alpha.vector[0]), float(alpha.vector[1]))))
        for alpha in found.alphas
    ]
    return np.array([(alpha.value - true) / alpha.standard_uncertainty for alpha, true in pairs])


@pytest.mark.parametrize("per_cent", [1.0, 2.0])
def test_displacements_of_a_size_effect_are_recovered(per_cent: float) -> None:
    # Within this reach the intensity stays positive to first order, as it does in a crystal.
    found = refined("P alloy", "size effect", per_cent, FurtherTerms(size_effect=True), 3.0)
    gammas = {each.name: each for each in found.fit.further}
    a = CRYSTALS["P alloy"].cell[0]
    for name, true in (("1 0", -0.005 * per_cent * a), ("0 1", -0.005 * per_cent * a), ("1 1", 0.0)):
        each = gammas[f"size effect {name} (all l)"]
        assert each.standard_uncertainty < 0.001 and each.unit == "Å"
        assert abs(each.value - true) < 4 * each.standard_uncertainty
    assert found.fit.evidence_gain is not None and found.fit.evidence_gain > 1000
    assert np.abs(pulls_of(found, "P alloy")).max() < 3.5
    assert "the data ask for these terms" in found.report()


def test_a_plane_without_a_size_effect_does_not_ask_for_one() -> None:
    found = refined("P alloy", None, 0.0, FurtherTerms(size_effect=True))
    assert found.fit.evidence_gain is not None and found.fit.evidence_gain < 0
    assert all(abs(each.value) < 4 * each.standard_uncertainty for each in found.fit.further)
    assert "the data do not ask for these terms" in found.report()


def test_series_follow_the_symmetry_of_the_crystal() -> None:
    cell = Cell(5.0, 5.0, 5.0)
    rotations = laue_rotations("m-3m")
    orbits = orbits_of([(1, 0, 0), (1, 1, 0), (2, 1, 0)], rotations, symmetric_metric(cell, "m-3m"))
    grid = PlaneGrid(cell, parse_plane_name("hk0"), np.linspace(-2, 2, 21), np.linspace(-2, 2, 23))
    found = displacement_series(orbits, grid, rotations)
    assert [name for name, _ in found] == [
        "size effect 1 0 0",
        "size effect 1 1 0",
        "size effect 2 1 0",
        "size effect 2 1 0, component 2",
    ]
    h, k = np.meshgrid(grid.rows, grid.columns, indexing="ij")
    by_hand = -2 * 2 * np.pi / 5 * (h * np.sin(2 * np.pi * h) + k * np.sin(2 * np.pi * k))
    np.testing.assert_allclose(found[0][1], by_hand, atol=1e-12)
    for _, series in found:  # as symmetric as the plane
        np.testing.assert_allclose(series, series[::-1], atol=1e-12)
        np.testing.assert_allclose(series, series[:, ::-1], atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--background", "q"], "--background q: the form factor of this plane is itself a function of |Q|"),
        (["--background", "linear"], "--background"),
        (
            ["--thermal", "true", "--fit-to", "short-range-order", "--form-factor", "result"],
            "--thermal true: found with --fit-to short-range-order; these terms are parts of the measured intensity",
        ),
        (
            ["--radiation", "neutron"],
            "--radiation neutron: found no --model; give the two species with --model",
        ),
        (["--b-factors", "Au 1"], "--b-factors: found no --model; give the two species with --model"),
    ],
)
def test_bad_requests(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    write_result(tmp_path / "OUT.nxs", faulty_result("P alloy", None))
    command = ["refine", str(tmp_path / "OUT.nxs"), "--laue", "-1", "--form-factor", "data", *options]
    try:
        assert main(command) == 2
    except SystemExit as stop:
        assert stop.code == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["OUT.nxs"]


def test_a_background_has_one_of_two_names() -> None:
    with pytest.raises(InputError, match=r"^--background is 'linear'; expected flat or q$"):
        FurtherTerms(background="linear")  # type: ignore[arg-type]


def test_terms_beside_a_known_form_factor() -> None:
    atoms = [LabelledMolecule((name,), np.zeros((1, 3)), (name,)) for name in ("Au", "Cu")]
    settings = RefinementSettings(
        laue="mmm",
        model=ModelPair("Au+Cu", atoms[0], atoms[1]),
        layer=True,
        centring="P",
        shells=8,
        further=FurtherTerms(size_effect=True, background="flat"),
    )
    found = refine_alphas(faulty_result("P alloy", "flat", 0.2, reach=3.0), settings)
    further = {each.name: each for each in found.fit.further}
    background, b = further["flat background"], further["B"]
    assert abs(background.value - 0.2 / 1.2) < 4 * background.standard_uncertainty
    assert (
        background.standard_uncertainty < 0.2
    )  # from the scatter between zones, on atoms as dark as these far out
    assert abs(b.value - CRYSTALS["P alloy"].b_iso) < 4 * b.standard_uncertainty
    gamma = further["size effect 1 0 (all l)"]
    assert abs(gamma.value) < 4 * gamma.standard_uncertainty and gamma.standard_uncertainty < 0.002


@pytest.mark.parametrize(
    ("name", "fault", "amount", "terms"),
    [
        ("P alloy", "flat", 0.2, FurtherTerms(background="flat")),
        ("molecule", "background", 0.05, FurtherTerms(background="q")),
        ("P alloy", "thermal", 0.2, FurtherTerms(thermal=True)),
    ],
)
def test_correlations_survive_a_background(
    name: str, fault: Fault, amount: float, terms: FurtherTerms
) -> None:
    assert np.abs(pulls_of(refined(name, fault, amount, NO_TERMS), name)).max() > 5
    assert np.abs(pulls_of(refined(name, fault, amount, terms), name)).max() < 3
