"""Resolution and thickness in the joint fit, on crystals whose exact intensities were blurred before counting."""

import dataclasses

import numpy as np
import pytest

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.lattice.joint_fit import (
    JointFit,
    Prior,
    Resolution,
    estimate_resolution,
    fit_plane,
    list_harmonics,
    narrowest_visible,
    note_unknown_resolution,
    parse_resolution,
    parse_thickness,
    with_thickness,
)
from dsfunet.lattice.joint_fit.blur import add_blur, remove_blur
from dsfunet.lattice.joint_fit.series import Blur, HarmonicSeries
from dsfunet.lattice.joint_fit.thickness import expect_changes
from dsfunet.physics import Cell
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.names import PlaneName, parse_plane
from tests.virtual_crystals import CRYSTALS, Plane, correlate, measure

AXES = {"P alloy": (0, 1), "I alloy": (0, 1), "F alloy": (0, 1), "molecule": (0, 2)}
AXIS = np.linspace(-3, 3, 61)


def grid_of(name: str, plane: Plane) -> PlaneGrid:
    a, b, c, beta = CRYSTALS[name].cell
    return PlaneGrid(
        Cell(a, b, c, 90, beta, 90), PlaneName(plane.axes, plane.offset), plane.rows, plane.columns
    )


def errors_of(name: str, fit: JointFit, seed: int, count: int, offset: float = 0.0) -> Array:
    """Return fitted minus counted correlations of the sharp layer for the shortest harmonics."""
    vectors = np.round(2 * fit.harmonics.indices[:count]).astype(int).tolist()
    found = correlate(name, seed)
    truth = [found.layer_value((v[0], v[1]), AXES[name], offset) for v in vectors]
    return np.asarray(fit.alphas[:count] - truth)


@pytest.mark.slow
@pytest.mark.parametrize("width", [1 / 24, 1 / 16])
def test_correlations_are_those_of_the_crystal_whatever_the_resolution(width: float) -> None:
    for name, reach in (("P alloy", 4.2), ("molecule", 6.0)):
        pulls = []
        for seed in range(2):
            plane = measure(
                name,
                seed,
                AXES[name],
                reach=reach,
                resolution=(width, width),
                missing=seed == 1,
                crystal_seed=seed,
            )
            grid = grid_of(name, plane)
            resolution = Resolution((width, width))
            fit = fit_plane(plane.counts, plane.mask, grid, resolution=resolution, most_harmonics=200)
            errors, sigmas = errors_of(name, fit, seed, 12), fit.alpha_sigmas[:12]
            pulls.append(errors / sigmas)
            assert (np.abs(errors) <= np.maximum(3 * sigmas, 0.004)).all() and sigmas.max() < 0.005
            # The product as the detector sees it is right, and it is not the product of the two factors.
            noise = np.sqrt(np.maximum(plane.expected, 1))[plane.mask]
            assert np.std((fit.intensity - plane.expected)[plane.mask] / noise) < 0.25
            sharp = fit.form_factor * fit.short_range_order
            assert np.std((sharp - plane.expected)[plane.mask] / noise) > 0.25
        assert 0.6 <= np.sqrt(np.mean(np.square(pulls))) <= 1.5, name
    sharp_fit = fit_plane(plane.counts, plane.mask, grid, most_harmonics=200)
    assert (np.abs(errors_of("molecule", sharp_fit, 1, 3)) > 10 * sharp_fit.alpha_sigmas[:3]).any()


@pytest.mark.slow
def test_both_factors_of_a_blurred_plane_lie_within_their_errors() -> None:
    plane = measure("F alloy", resolution=(1 / 24, 1 / 20))
    grid = grid_of("F alloy", plane)
    fit = fit_plane(plane.counts, plane.mask, grid, "F", resolution=Resolution((1 / 24, 1 / 20)))
    for found, truth, sigma in (
        (fit.form_factor, plane.form_factor, fit.form_factor_sigma),
        (fit.short_range_order, plane.order, fit.short_range_order_sigma),
    ):
        away = np.abs(found - truth) / sigma
        assert np.mean(away < 1) >= 0.6 and np.mean(away < 2) >= 0.9


def test_the_blur_of_a_product_is_that_of_its_convolution() -> None:
    """On Gaussians times waves, whose convolution is known in closed form."""
    axis = np.linspace(-3, 3, 121)
    h, k = np.meshgrid(axis, axis, indexing="ij")
    covariance = np.array([[0.05**2, 0.0004], [0.0004, 0.04**2]])
    harmonics = list_harmonics(Cell(4, 4, 4), parse_plane("hk0"), "P", radius=9)
    series = HarmonicSeries(harmonics, axis, axis, Blur(covariance))
    parameters = 0.1 * np.cos(np.arange(series.count))
    spread = np.eye(2) * 1.1**2
    blurred = np.linalg.inv(spread + covariance)
    height = np.sqrt(np.linalg.det(spread) / np.linalg.det(spread + covariance))
    points = np.stack([h, k], axis=-1)

    def convolve(p: Array) -> Array:
        # G * (F exp(2 pi i p q)) = damping exp(2 pi i p q) (G * F)(q + 2 pi i C p)
        shifted = points + 2j * np.pi * (covariance @ p)
        smooth = height * np.exp(-0.5 * np.einsum("...i,ij,...j", shifted, blurred, shifted))
        damping = np.exp(-2 * np.pi**2 * p @ covariance @ p)
        return np.asarray((smooth * np.exp(2j * np.pi * points @ p)).real * damping)

    smooth = convolve(np.zeros(2))
    expected = smooth + sum(2 * c * convolve(p) for c, p in zip(parameters, harmonics.indices, strict=True))
    product = smooth * series.evaluate(parameters)
    added = add_blur(smooth, series, parameters)
    assert np.abs(product - expected).max() > 0.005
    np.testing.assert_allclose(product + added, expected, atol=2e-4)
    truth = np.exp(-0.5 * np.einsum("...i,ij,...j", points, np.linalg.inv(spread), points))
    np.testing.assert_allclose(remove_blur(smooth, series), truth, atol=1e-4)


@pytest.mark.slow
def test_a_thick_layer_has_wider_errors_that_hold() -> None:
    pulls = []
    for name, offset in (
        ("P alloy", 0.0), ("P alloy", 0.5), ("F alloy", 0.0), ("F alloy", 0.25), ("I alloy", 0.0), ("molecule", 0.5),
    ):  # fmt: skip
        for seed in range(2):
            plane = measure(
                name, seed, AXES[name], offset, resolution=(1 / 16,) * 2, thickness=0.25, crystal_seed=seed
            )
            fit = fit_plane(
                plane.counts,
                plane.mask,
                grid_of(name, plane),
                CRYSTALS[name].centring,
                resolution=Resolution((1 / 16, 1 / 16), thickness=0.25),
                most_harmonics=200,
            )
            sigmas = fit.alpha_sigmas[:8]
            pulls.append(errors_of(name, fit, seed, 8, offset) / sigmas)
            assert sigmas.max() < 0.04
    assert 0.7 <= np.sqrt(np.mean(np.square(pulls))) <= 1.4
    assert np.mean(np.abs(pulls) < 2) >= 0.9


def test_thickness_errors_grow_with_the_thickness_and_vanish_with_it() -> None:
    grid = PlaneGrid(Cell(4, 4, 4), PlaneName((0, 1), 0.0), AXIS, AXIS)
    harmonics = list_harmonics(grid.cell, grid.name, "F", 12)
    parameters = np.full(harmonics.count, 0.1)
    prior = Prior((1.0, 1.0), 0.02, 0.02, 3.0)
    sizes = []
    for thickness in (0.0, 0.05, 0.25, 0.5):
        changes = expect_changes(
            harmonics, parameters, prior, grid, "F", Resolution((0.0, 0.0), thickness=thickness)
        )
        assert np.linalg.eigvalsh(changes).min() >= -1e-12
        sizes.append(float(np.sqrt(changes[0, 0])))
    assert sizes[0] == pytest.approx(0, abs=1e-9)
    assert 0 < sizes[1] < 0.1 * sizes[2] < 0.1 * sizes[3]
    # A resolution in all directions of Q has a width across the layer too.
    across = expect_changes(harmonics, parameters, prior, grid, "F", Resolution(inv_angstrom=0.05))
    assert across[0, 0] > 0


@pytest.mark.slow
def test_the_resolution_is_found_where_the_form_factor_shows_it() -> None:
    pulls = []
    for name, width in (("molecule", 1 / 24), ("I alloy", 1 / 16), ("F alloy", 1 / 16)):
        plane = measure(name, 0, AXES[name], reach=4.2, resolution=(width, width))
        found = estimate_resolution(plane.counts, plane.mask, grid_of(name, plane), CRYSTALS[name].centring)
        assert found.resolution is not None and found.log_evidence_gain > 6
        assert found.limits[0] > width and "estimated from the plane" in found.describe()
        pulls.append((found.widths[0] - width) / (found.resolution.uncertainty * found.widths[0]))
        assert found.resolution.uncertainty < 0.2
    assert np.sqrt(np.mean(np.square(pulls))) < 1.8


@pytest.mark.slow
@pytest.mark.parametrize(("name", "width", "counts"), [("P alloy", 0.0, 2000), ("F alloy", 1 / 24, 100)])
def test_a_resolution_that_the_plane_does_not_show_is_not_determined(
    name: str, width: float, counts: float
) -> None:
    plane = measure(name, 0, AXES[name], resolution=(width, width), brightest=counts)
    found = estimate_resolution(plane.counts, plane.mask, grid_of(name, plane), CRYSTALS[name].centring)
    assert found.resolution is None and width < found.limits[0] < 0.12
    assert "not determined by the plane (standard deviations above 0." in found.describe()


def test_an_uncertain_width_makes_uncertain_correlations() -> None:
    plane = measure("P alloy", reach=2.2, resolution=(0.05, 0.05))
    grid = grid_of("P alloy", plane)
    known, guessed = (
        fit_plane(
            plane.counts,
            plane.mask,
            grid,
            resolution=Resolution((0.05, 0.05), uncertainty=share),
            most_harmonics=30,
        )
        for share in (0.0, 0.1)
    )
    # d ln c / d ln sigma = 4 pi^2 sigma^2 |p|^2
    change = 4 * np.pi**2 * 0.05**2 * np.sum(known.harmonics.indices**2, axis=1) * known.alphas * 0.1
    np.testing.assert_allclose(guessed.alpha_sigmas, np.hypot(known.alpha_sigmas, change), rtol=1e-6)


def test_widths_convert_through_the_cell() -> None:
    grid = PlaneGrid(Cell(4, 5, 8, 90, 105, 90), PlaneName((0, 2), 0.0), AXIS, AXIS)
    covariance = Resolution(inv_angstrom=0.05).covariance(grid)
    assert covariance is not None
    in_q = grid.vectors.T @ covariance @ grid.vectors
    np.testing.assert_allclose(sorted(np.linalg.eigvalsh(in_q)), [0, 0.05**2, 0.05**2], atol=1e-12)
    np.testing.assert_allclose(Resolution((0.03, 0.0)).covariance(grid), [[0.0009, 0], [0, 0]])
    assert Resolution((0.0, 0.0)).covariance(grid) is None and Resolution().widths(grid) == (0, 0)
    assert narrowest_visible(grid) == pytest.approx((0.05, 0.05))
    assert "a resolution up to 0.05 by 0.05 r.l.u. cannot be told from them" in note_unknown_resolution(grid)
    described = Resolution((0.04, 0.05), thickness=0.25).describe(grid)
    assert described == "resolution 0.04 by 0.05 r.l.u. (standard deviations), thickness 0.25 r.l.u."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.04", Resolution((0.04, 0.04))),
        (" 0.04 0.06 ", Resolution((0.04, 0.06))),
        ("0.04, 6e-2 rlu", Resolution((0.04, 0.06))),
        ("0.04 r.l.u.", Resolution((0.04, 0.04))),
        ("0.03 1/A", Resolution(inv_angstrom=0.03)),
        ("0.031/A", Resolution(inv_angstrom=0.031)),
        ("0.03/Å", Resolution(inv_angstrom=0.03)),
        ("0.03 A^-1", Resolution(inv_angstrom=0.03)),
        ("0.03 1/Angstrom", Resolution(inv_angstrom=0.03)),
        ("AUTO", "auto"),
        ("0", Resolution((0.0, 0.0))),
    ],
)
def test_a_resolution_is_read_from_what_users_type(text: str, expected: object) -> None:
    assert parse_resolution(text) == expected


@pytest.mark.parametrize(
    "text", ["", "wide", "0.04 A", "0.04 0.05 0.06", "0.03 0.04 1/A", "-0.1", "nan", "1e999", "0.1 2 cm"]
)
def test_a_bad_resolution_is_one_sentence(text: str) -> None:
    with pytest.raises(InputError, match=r"^--resolution: found .*; expected [^\n]*$"):
        parse_resolution(text)


def test_thickness_is_read_and_joined() -> None:
    assert [parse_thickness(text) for text in ("0.25", "0.25 r.l.u.", "+-0.125", "± 0.125")] == [0.25] * 4
    for text in ("", "thick", "-0.2", "inf", "0.2 mm"):
        with pytest.raises(InputError, match=r"^--thickness: found '.*'; expected the full width"):
            parse_thickness(text)
    assert with_thickness(None, 0.0) is None
    assert with_thickness(None, 0.25) == Resolution(thickness=0.25)
    assert with_thickness(Resolution((0.04, 0.04)), 0.25) == Resolution((0.04, 0.04), thickness=0.25)


def test_bad_widths_are_one_sentence() -> None:
    with pytest.raises(InputError, match=r"resolution: found -0\.1; expected a finite number, 0 or more"):
        Resolution((0.1, -0.1))
    with pytest.raises(InputError, match="thickness: found nan; expected a finite number"):
        Resolution(thickness=float("nan"))
    with pytest.raises(InputError, match=r"found widths in r\.l\.u\. and in 1/Angstrom; expected one"):
        Resolution((0.1, 0.1), inv_angstrom=0.1)
    h, k = np.meshgrid(AXIS, AXIS, indexing="ij")
    plane = 100 * (1 - 0.2 * np.cos(2 * np.pi * h) * np.cos(2 * np.pi * k))
    grid = PlaneGrid(Cell(4, 4, 4), PlaneName((0, 1), 0.0), AXIS, AXIS)
    mask = np.full(plane.shape, True)
    with pytest.raises(InputError, match=r"found .* 0\.1 by 0\.6 r\.l\.u\. on plane hk0; expected less than"):
        fit_plane(plane, mask, grid, resolution=Resolution((0.1, 0.6)))
    with pytest.raises(InputError, match=r"thickness: found 1 r\.l\.u\. on plane hk0; expected less than 1,"):
        fit_plane(plane, mask, grid, resolution=Resolution(thickness=1.0), most_harmonics=20)
    diagonal = dataclasses.replace(grid, name=parse_plane("hhl"))
    with pytest.raises(InputError, match="expected a plane along two axes of the cell"):
        fit_plane(plane, mask, diagonal, resolution=Resolution(thickness=0.2), most_harmonics=20)
