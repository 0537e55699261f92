"""The Laue class from the correlations of a volume: cubic crystals and all kinds below them."""

from dataclasses import replace

import numpy as np
import pytest

from dsfunet.analysis.volume_refinement import (
    VolumeCorrelations,
    VolumeRefinementSettings,
    find_laue_class,
    refine_volume,
)
from dsfunet.physics import Cell
from tests.dsfunet.analysis.volume_refinement.noisy import (
    Truth,
    cubic_operations,
    monoclinic_operations,
    symmetric_truth,
)

SEEDS = range(8)


@pytest.fixture(scope="module")
def alloy() -> Truth:
    return symmetric_truth("F alloy", 7.6, cubic_operations())


def _keep(name: str) -> list[np.ndarray]:
    """Return operations of a subgroup of m-3m by hand."""
    every = cubic_operations()
    if name == "4/mmm":
        return [each for each in every if each[2, 2] != 0]
    if name == "4/mmm, axis a":
        return [each for each in every if each[0, 0] != 0]
    if name == "mmm":
        return [each for each in every if np.count_nonzero(np.diag(each)) == 3]
    if name == "m-3":
        cyclic = [np.eye(3), np.roll(np.eye(3), 1, axis=0), np.roll(np.eye(3), 2, axis=0)]
        return [each for each in every if any((np.abs(each) == one).all() for one in cyclic)]
    return [np.eye(3, dtype=np.int64)]


def _lower(truth: Truth, operations: list[np.ndarray], size: float, seed: int = 3) -> Truth:
    """Return correlations that obey some operations only: each orbit of theirs gets a value of its own beside."""
    random = np.random.default_rng(seed)
    change = np.zeros(len(truth.alphas))
    left = set(range(len(change)))
    while left:
        first = truth.vectors[min(left)]
        images = np.array([sign * operation @ first for operation in operations for sign in (1, -1)])
        same = {place for place in left if (truth.vectors[place] == images).all(axis=1).any()}
        change[list(same)] = random.normal() * size * abs(truth.alphas[min(left)])
        left -= same
    return replace(truth, alphas=truth.alphas + change)


def _found(correlations: VolumeCorrelations) -> tuple[str, str | None]:
    best = find_laue_class(correlations)[0]
    return best.laue, best.unique_axis


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cubic_crystal_is_cubic(alloy: Truth, seed: int) -> None:
    tests = find_laue_class(alloy.measured(seed))
    assert (tests[0].laue, tests[0].contradicted, tests[0].order) == ("m-3m", False, 48)
    assert 0.3 < tests[0].reduced < 1.9 and tests[0].degrees_of_freedom > 20


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("4/mmm", ("4/mmm", None)),
        ("4/mmm, axis a", ("4/mmm", "a")),
        ("mmm", ("mmm", None)),
        ("m-3", ("m-3", None)),
        ("-1", ("-1", None)),
    ],
)
def test_correlations_of_lower_symmetry_on_a_cubic_cell_are_found(
    alloy: Truth, name: str, expected: tuple[str, str | None]
) -> None:
    # m-3 and m-3m differ in 3/2 1/2 0 and its like, which are weak here.
    lower = _lower(alloy, _keep(name), size=3.0 if name == "m-3" else 0.3)
    for seed in SEEDS:
        assert _found(lower.measured(seed)) == expected


def test_a_tetragonal_cell_allows_no_cubic_class(alloy: Truth) -> None:
    stretched = replace(alloy, cell=Cell(3.75, 3.75, 4.1, centring="F"))
    tests = find_laue_class(stretched.measured(0))
    assert tests[0].laue == "4/mmm" and {each.laue for each in tests}.isdisjoint({"m-3m", "m-3"})


def test_a_monoclinic_molecule_is_2_m() -> None:
    truth = symmetric_truth("molecule", 16.0, monoclinic_operations())
    for seed in SEEDS:
        assert _found(truth.measured(seed)) == ("2/m", None)
    lower = _lower(truth, [np.eye(3, dtype=np.int64)], size=0.5)
    assert _found(lower.measured(0)) == ("-1", None)


def test_errors_that_are_half_too_small_do_not_lower_the_class(alloy: Truth) -> None:
    for seed in SEEDS:
        assert _found(alloy.measured(seed, factor=1.3)) == ("m-3m", None)


def test_without_order_the_highest_class_is_taken_and_called_untested(alloy: Truth) -> None:
    disordered = replace(alloy, alphas=0 * alloy.alphas)
    refinement = refine_volume(disordered.measured(5), VolumeRefinementSettings())
    assert refinement.settings.laue == "m-3m" and refinement.laue_from == "data"
    assert any("it was not tested" in each for each in refinement.notes)
    assert "correlations exceeds 4 s.u." in refinement.report()


def test_the_report_gives_the_evidence(alloy: Truth) -> None:
    refinement = refine_volume(_lower(alloy, _keep("mmm"), size=0.3).measured(1), VolumeRefinementSettings())
    (note,) = [each for each in refinement.notes if each.startswith("Laue class mmm is the highest")]
    assert "contradicted: m-3m (" in note and "4/mmm" in note and note.endswith("--laue chooses another")
