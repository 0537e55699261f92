"""Orbits of a volume's correlations: right values, honest errors, disagreement and what the fit does not hold."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from dsfunet.analysis.volume_refinement import VolumeCorrelations, VolumeRefinementSettings, refine_volume
from dsfunet.errors import InputError
from dsfunet.physics import Cell
from tests.dsfunet.analysis.volume_refinement.noisy import Truth, cubic_operations, symmetric_truth
from tests.virtual_crystals import correlate, cubic_orbit

HALF = Fraction(1, 2)


@pytest.fixture(scope="module")
def alloy() -> Truth:
    return symmetric_truth("F alloy", 10.0, cubic_operations())


def test_the_truth_is_that_of_counted_pairs(alloy: Truth) -> None:
    counted = correlate("F alloy")
    for vector in ((1, 1, 0), (2, 0, 0), (2, 1, 1)):
        pairs = [counted.count_pairs(each) for each in cubic_orbit(vector)]
        assert alloy.alpha(vector) == pytest.approx(
            np.mean(pairs), abs=2e-4
        )  # its own mean of the occupation


def test_alphas_and_error_bars_of_eight_shells_are_right(alloy: Truth) -> None:
    pulls = []
    for seed in range(20):
        settings = VolumeRefinementSettings(laue="m-3m", shells=8)
        refinement = refine_volume(alloy.measured(seed), settings)
        for alpha in refinement.alphas:
            i, j, k = (int(2 * each) for each in alpha.vector)
            pulls.append((alpha.value - alloy.alpha((i, j, k))) / alpha.standard_uncertainty)
            assert alpha.standard_uncertainty < 0.002
            assert len(alpha.equivalents) == 2 * len(cubic_orbit((i, j, k)))
    assert 0.8 < np.sqrt(np.mean(np.square(pulls))) < 1.2
    assert abs(np.mean(pulls)) < 0.25
    by_orbit = np.sqrt(np.mean(np.square(np.reshape(pulls, (20, 8))), axis=0))
    assert by_orbit.min() > 0.5 and by_orbit.max() < 1.6


def test_equivalents_are_combined_with_their_covariance() -> None:
    # Errors of 1 0 0 and 0 1 0 move together: they count little more than one of them beside 0 0 1.
    covariance = np.array([[4.0, 3.6, 0.0], [3.6, 4.0, 0.0], [0.0, 0.0, 4.0]]) * 1e-6
    alphas = np.array([0.100, 0.102, 0.104])
    found = VolumeCorrelations(Cell(4, 4, 4), "P", np.eye(3), alphas, covariance, np.zeros(3), {})
    (alpha,) = refine_volume(found, VolumeRefinementSettings(laue="m-3m", shells=1)).alphas
    weights = np.linalg.inv(covariance)
    assert alpha.value == pytest.approx((weights @ alphas).sum() / weights.sum())
    chi_squared = (alphas - alpha.value) @ weights @ (alphas - alpha.value)
    assert alpha.standard_uncertainty == pytest.approx(np.sqrt(max(1, chi_squared / 2) / weights.sum()))


def test_the_prior_is_a_systematic_error_of_the_whole_orbit() -> None:
    bias = np.array([0.003, -0.003, 0.006])
    found = VolumeCorrelations(Cell(4, 4, 4), "P", np.eye(3), np.full(3, 0.1), 3e-6 * np.eye(3), bias, {})
    refinement = refine_volume(found, VolumeRefinementSettings(laue="4/mmm", vectors=((1, 0, 0), (0, 0, 1))))
    assert refinement.alphas[0].standard_uncertainty == pytest.approx(np.sqrt(1.5e-6 + 0.003**2))
    assert refinement.alphas[1].standard_uncertainty == pytest.approx(np.sqrt(3e-6 + 0.006**2))
    assert refinement.fit.covariance[0, 1] == 0  # the signs are not known


def test_disagreeing_equivalents_are_noted_and_enlarge_the_errors() -> None:
    alphas = np.array([0.10, 0.10, 0.13])
    found = VolumeCorrelations(Cell(4, 4, 4), "P", np.eye(3), alphas, 1e-6 * np.eye(3), np.zeros(3), {})
    cubic = refine_volume(found, VolumeRefinementSettings(laue="m-3m", shells=1))
    assert cubic.reduced_chi_squared == pytest.approx(300)
    assert cubic.alphas[0].standard_uncertainty == pytest.approx(np.sqrt(300 * 1e-6 / 3))
    (note,) = [each for each in cubic.notes if "the symmetry may be lower" in each]
    assert "300.0 per degree of freedom" in note
    lower = refine_volume(found, VolumeRefinementSettings(laue="4/mmm", shells=1))
    assert not any("the symmetry may be lower" in each for each in lower.notes)


def test_an_average_before_the_fit_decides_the_class_and_is_noted(alloy: Truth) -> None:
    found = alloy.measured(1)
    averaged = replace(found, record={**found.record, "laue": "m-3m"})
    refinement = refine_volume(averaged, VolumeRefinementSettings())
    assert refinement.settings.laue == "m-3m" and refinement.laue_from == "result"
    assert any("averaged over Laue class m-3m before the fit" in each for each in refinement.notes)
    plain = refine_volume(found, VolumeRefinementSettings(laue="m-3m"))
    assert refinement.fit.uncertainties == pytest.approx(plain.fit.uncertainties, rel=0.3)


def test_without_shells_or_vectors_as_many_are_reported_as_there_are() -> None:
    truth = symmetric_truth("F alloy", 5.0, cubic_operations())
    refinement = refine_volume(truth.measured(0), VolumeRefinementSettings(laue="m-3m"))
    assert [alpha.name for alpha in refinement.alphas] == ["1/2 1/2 0", "1 0 0", "1 1/2 1/2"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"vectors": ((HALF, 0, 0),)},
            "vector 1/2 0 0: it does not connect two points of a lattice with centring F",
        ),
        ({"vectors": ((0, 0, 0),)}, "vector 0 0 0: its alpha is 1 by definition"),
        ({"vectors": ((9, 0, 0),)}, "vector 9 0 0: the fit of the volume has vectors up to 9.6 Angstrom"),
        ({"shells": 60}, "--shells 60: the fit of the volume has 13 complete shells; ask for at most 13"),
        ({"centring": "I"}, "--centring I: the volume was fitted with centring F; omit it"),
        ({"laue": "6/mmm"}, "Laue class 6/mmm: its operations do not keep lattice vector 0 1/2 1/2"),
        ({"cell": Cell(5, 5, 5)}, "--cell 5 5 5 90 90 90: volume has the cell 3.75"),
    ],
)
def test_what_the_fit_does_not_hold_is_refused(
    alloy: Truth, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message.replace(".", r"\.")) as caught:
        refine_volume(alloy.measured(0), VolumeRefinementSettings(**{"laue": "m-3m", **settings}))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vectors": np.full((3, 3), 0.25)}, "vector 0.25 0.25 0.25 of the correlations"),
        ({"alphas": np.array([0.1, np.nan, 0.1])}, "alphas of the correlations"),
        ({"covariance": np.eye(2)}, r"covariance of the correlations: found shape \(2, 2\)"),
    ],
)
def test_damaged_correlations_are_refused(change: dict[str, object], message: str) -> None:
    found = VolumeCorrelations(
        Cell(4, 4, 4), "P", np.eye(3), np.full(3, 0.1), 1e-6 * np.eye(3), np.zeros(3), {}
    )
    with pytest.raises(InputError, match=message):
        refine_volume(replace(found, **change), VolumeRefinementSettings(laue="m-3m"))  # type: ignore[arg-type]
