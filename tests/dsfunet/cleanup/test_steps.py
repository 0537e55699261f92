"""The clean-up as a whole: nothing by default, steps in their order, a record, and settings that go together."""

import doctest
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dsfunet.cleanup.settings
from dsfunet.cleanup import CleanUp, clean
from dsfunet.errors import InputError
from dsfunet.io import MeasuredPlane
from dsfunet.planes.preprocessing import measured_pixels
from simulate.artefacts.degradation import smooth_background
from tests.dsfunet.cleanup.test_bragg import add_peaks
from tests.dsfunet.cleanup_planes import TETRAGONAL, grid, scattering

GRID = grid(TETRAGONAL, n=241, m=241)
BACKGROUND = smooth_background(GRID.plane, 100.0, 200.0, 1.5, 1.2)
# Order that is zero in places: what scatters everywhere cannot be told from background.
DIFFUSE = 300 * (scattering(GRID) - np.exp(-GRID.plane.q_squared() / 18))


def spoilt(seed: int = 0) -> MeasuredPlane:
    """Counts of diffuse scattering, Bragg peaks and background, with dead pixels of -1 and a bar of NaN."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(add_peaks(GRID, DIFFUSE + BACKGROUND, 0.06, 5, 20000)).astype(float)
    counts[rng.random(counts.shape) < 0.01] = -1
    counts[:, 60:66] = np.nan
    return MeasuredPlane(counts, GRID, ("as read",), np.sqrt(np.maximum(counts, 1)))


def test_by_default_nothing_is_done() -> None:
    measured = spoilt()
    same, record = clean(measured, CleanUp())
    assert same is measured and record.sentences() == () and not CleanUp().is_on
    assert not CleanUp(seed=3).is_on


def test_all_steps_together_bring_the_scattering_back() -> None:
    measured = spoilt()
    settings = CleanUp(mask_value=-1, bragg_radius="auto", background="radial", laue="4/mmm")
    result, record = clean(measured, settings)
    assert [step.step for step in record.steps] == [
        "mask values",
        "bragg",
        "background",
        "symmetry",
        "below the background",
    ]
    known = np.isfinite(result.intensity)
    assert (result.intensity[known] >= 0).all() and np.array_equal(known, measured_pixels(result.intensity))
    # Before, the sum of absolute differences was twice the scattering and more.
    before = np.isfinite(measured.intensity)
    assert np.abs(measured.intensity - DIFFUSE)[before].sum() > 0.8 * DIFFUSE[before].sum()
    # Order is zero in points only, so that the floor of a shell lies some 6 % of the mean too high; noise is 2 %.
    assert np.abs(result.intensity - DIFFUSE)[known].sum() < 0.12 * DIFFUSE[known].sum()
    # The bar and the dead pixels are filled by their equivalents; Bragg positions are equivalent to each other.
    assert known[:, 60:66].mean() > 0.95 and 0.78 < known.mean() < 0.82
    assert result.sigma is not None and np.array_equal(np.isfinite(result.sigma), known)
    general = (slice(10, 50), slice(70, 110))
    ratio = result.sigma[general] / np.sqrt((DIFFUSE + BACKGROUND)[general])
    assert np.nanmedian(ratio) == pytest.approx(1 / np.sqrt(8), rel=0.05)
    assert result.grid is GRID and result.notes[0] == "as read"


def test_the_record_is_plain_and_complete() -> None:
    settings = CleanUp(mask_value=-1, bragg_radius=0.2, bragg_fill="surroundings", background=50.0, seed=7)
    first, record = clean(spoilt(), settings)
    plain = json.loads(json.dumps(record.as_plain()))
    assert plain["settings"]["seed"] == 7 and plain["settings"]["bragg_radius"] == "0.2"
    steps = {step["step"]: step for step in plain["steps"]}
    assert plain["settings"]["mask_value"] == "-1" and plain["settings"]["background"] == "50"
    assert steps["bragg"]["seed"] == 7 and steps["bragg"]["pixels_punched"] > 0
    assert steps["background"]["highest"] == 50
    assert len(record.sentences()) == len(plain["steps"])
    again, _ = clean(spoilt(), settings)
    assert np.array_equal(first.intensity, again.intensity, equal_nan=True)


def test_no_folder_of_the_users_goes_on_record(tmp_path: Path) -> None:
    np.save(tmp_path / "mask.npy", np.ones(GRID.shape))
    _, record = clean(spoilt(), CleanUp(mask_file=tmp_path / "mask.npy", negative="zero"))
    assert str(tmp_path) not in json.dumps(record.as_plain())
    assert record.as_plain()["settings"]["mask_file"] == "mask.npy"


def test_a_plane_without_axes_can_be_masked_and_no_more() -> None:
    bare = MeasuredPlane(spoilt().intensity)
    result, _ = clean(bare, CleanUp(mask_below=0.0, background=10.0))
    assert np.isnan(result.intensity).sum() > np.isnan(bare.intensity).sum()
    for settings, step in (
        (CleanUp(bragg_radius="auto"), "Bragg peaks"),
        (CleanUp(background="radial"), "radial background"),
        (CleanUp(laue="-1"), "symmetry averaging"),
    ):
        with pytest.raises(InputError, match=f"{step}: the plane has no axes and no cell; give them"):
            clean(bare, settings)


def test_nothing_left_is_an_error() -> None:
    with pytest.raises(InputError, match="masks and negative values leave no measured pixel"):
        clean(spoilt(), CleanUp(mask_below=1e9))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"negative": "keep"}, "negative is 'keep'; expected missing or zero"),
        ({"mask_file_marks": "good"}, "mask_file_marks is 'good'; expected measured or missing"),
        ({"mask_value": "dead"}, "mask_value is 'dead'; expected a number or a tuple of numbers"),
        ({"mask_value": ()}, r"mask_value is \(\); expected a number or a tuple of numbers"),
        ({"mask_above": float("nan")}, "mask_above is nan; expected a finite number"),
        ({"mask_file": "mask.npy"}, "mask_file is 'mask.npy'; expected a pathlib.Path"),
        ({"bragg_radius": "wide"}, "bragg_radius is 'wide'; expected auto, a positive number"),
        ({"bragg_radius": (0.1, 0.1)}, "expected auto, a positive number, or three of them"),
        ({"bragg_radius": -0.1}, "bragg_radius is -0.1; expected auto, a positive number"),
        (
            {"bragg_radius": (0.1, 0.1, 0.2)},
            "three numbers are in r.l.u., so set bragg_radius_unit to rlu",
        ),
        ({"bragg_fill": "surroundings"}, "without a radius; give bragg_radius"),
        ({"bragg_radius": 0.1, "bragg_centring": "X"}, "bragg_centring is 'X'; expected P or A"),
        ({"background": -3.0}, "background is -3.0; expected a constant of 0 or more"),
        (
            {"background": "file.npy"},
            "background is 'file.npy'; expected a number, 'radial' or a pathlib.Path",
        ),
        (
            {"background": "radial", "background_scale": 2.0},
            "without a background file; give the file to scale",
        ),
        ({"background": Path("file.npy"), "background_scale": 0.0}, "expected a positive number"),
        ({"background": "radial", "background_quantile": 0.9}, "expected above 0 and at most 0.5"),
        ({"laue": "5/m"}, "Laue class"),
        ({"unique_axis": "b"}, "unique_axis is 'b' without a Laue class; give laue as well"),
        ({"seed": -1}, "seed is -1; expected 0 or more"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        CleanUp(**settings)


def test_the_example_of_the_docstring() -> None:
    found = doctest.testmod(dsfunet.cleanup.settings)
    assert found.attempted > 0 and found.failed == 0
