"""Options of `dsfunet factorize` with the shipped networks: axes, cells, planes, passes, wide planes, in process."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from dsfunet.cli.main import main
from dsfunet.io import Result, read_result
from dsfunet.planes.names import SpannedPlaneName
from dsfunet.plotting.notebook import result_html
from tests.dsfunet.simulated_crystals import (
    ALPHAS,
    HEXAGONAL_TEXT,
    cartesian_hk1,
    counted,
    cubic_parts,
    hexagonal_parts,
    molecules,
    spread_error,
    write_cubic_volume,
    write_xyz,
)

EXAMPLE = Path(__file__).parents[3] / "examples" / "cresol_benzene.h5"

pytestmark = pytest.mark.usefixtures("release_at_hand")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def factorize(*words: object) -> int:
    return main(["factorize", *map(str, words)])


def made(*words: object, output: str = "r.nxs") -> Result:
    """The result of one plane."""
    assert factorize(*words, "-o", output) == 0
    return read_result(output)


def refined(file: str, *options: str) -> tuple[np.ndarray, np.ndarray]:
    """Alphas and their standard uncertainties."""
    assert main(["refine", file, "--laue", "6/m", *options]) == 0
    found = json.loads(Path(file).with_suffix(".refine.json").read_text(encoding="utf-8"))[
        "layer_correlations"
    ]
    return np.array([each["value"] for each in found]), np.array(
        [each["standard_uncertainty"] for each in found]
    )


def save_picture(path: str, q_max: float = 7.0, pixels: int = 256) -> np.ndarray:
    """hk1 of the hexagonal crystal as people draw it, a* to the right: a float TIFF; returns rows along a*."""
    counts = counted(np.prod(hexagonal_parts(cartesian_hk1(q_max, pixels)), axis=0))
    # Up is the second axis, and row 0 of a picture is its top.
    Image.fromarray(np.nan_to_num(counts, nan=-1.0).T[::-1].astype(np.float32)).save(path, format="TIFF")
    return counts


OF_PICTURE = ("--cell", HEXAGONAL_TEXT, "--plane", "hk1", "--orientation", "picture")


@pytest.mark.slow
def test_a_picture_of_an_oblique_plane_goes_all_the_way(capsys: pytest.CaptureFixture[str]) -> None:
    counts = save_picture("hk1.tif")
    result = made("hk1.tif", *OF_PICTURE, "--q-max-inv-angstrom", "7")
    said = capsys.readouterr().out
    assert "lattice    used (chi-squared " in said and "verdict    Explained: " in said
    grid = result.grid
    assert grid is not None and isinstance(grid.name, SpannedPlaneName) and str(grid.name.layer) == "hk1"
    # On its own pixels, which are Cartesian, with a* along the rows.
    plane = cartesian_hk1()
    np.testing.assert_allclose(grid.plane.q_points(), plane.q_points(), atol=1e-9)
    np.testing.assert_allclose(result.input, counts, rtol=1e-6)
    form_factor, order = hexagonal_parts(plane)
    # The paper's marks are 0.014 and 0.032; in lattice mode half of all planes are under 0.0023 and 0.00005.
    assert spread_error(result.form_factor, form_factor) < 0.01
    assert spread_error(result.short_range_order, order) < 0.001
    page = result_html(result)
    assert (
        page.count("data:image/png;base64,iVBORw0KGgo") == 1 and str(result.process["verdict"])[:60] in page
    )
    alphas, errors = refined("r.nxs", "--shells", "4")
    expected = np.array([*ALPHAS.values(), 0.0, 0.0])  # the fourth shell has two orbits
    assert np.abs(alphas - expected).max() < 0.004 and errors.max() < 0.004


@pytest.mark.slow
def test_a_picture_with_ranges() -> None:
    """Ranges make the axes those of the cell: the same pixels are then an oblique plane, on which all is elsewhere."""
    with h5py.File(EXAMPLE) as file:
        layer = file["data"][40:-40, 20:-60, 2]
    limits = {"first": (-5.5, 5.5), "second": (-6.75, 4.25)}
    np.save("a.npy", layer)
    words = [f"--{name}-range={low},{high}" for name, (low, high) in limits.items()]
    given = made("a.npy", "--cell", HEXAGONAL_TEXT, "--plane", "hk1", *words)
    assert given.grid is not None and str(given.grid.name) == "hk1"
    np.testing.assert_allclose(given.grid.rows, np.linspace(*limits["first"], 177))
    np.testing.assert_allclose(given.grid.columns, np.linspace(*limits["second"], 177))
    np.testing.assert_allclose(given.input, layer)
    alphas, _ = refined("r.nxs", "--shells", "3")
    assert np.abs(alphas - [-0.2, 0.1, -0.03]).max() < 0.01
    # Drawn upside down, the second axis from 4.25 at the bottom: the same plane.
    np.save("b.npy", layer.T)
    words = ["--first-range", "-5.5 5.5", "--second-range", "4.25 -6.75", "--orientation", "picture"]
    other = made("b.npy", "--cell", HEXAGONAL_TEXT, "--plane", "hk1", *words)
    assert other.grid is not None and other.grid.columns[0] == 4.25
    np.testing.assert_array_equal(other.input, layer[:, ::-1])
    np.testing.assert_allclose(other.short_range_order, given.short_range_order[:, ::-1], atol=0.02)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--q-max-inv-angstrom", "7"], "also need --cell and --plane"),
        (["--q-max-inv-angstrom", "7", "--cell", HEXAGONAL_TEXT], "also need --cell and --plane"),
        (
            ["--cell", HEXAGONAL_TEXT, "--planes", "hk1", "--q-max-inv-angstrom", "7"],
            "also need --cell and --plane",
        ),
        (["--cell", HEXAGONAL_TEXT, "--plane", "hk1"], "a.npy: the .npy file has no axes"),
        (
            ["--cell", HEXAGONAL_TEXT, "--plane", "hk1", "--first-range", "-5 5"],
            "expected either both ranges",
        ),
        (
            ["--cell", HEXAGONAL_TEXT, "--plane", "hk1", "--first-range", "-5 5", "--second-range", "-5"],
            "--second-range '-5'; expected two numbers",
        ),
        (
            ["--cell", "8.4 8.4", "--plane", "hk1", "--q-max-inv-angstrom", "7"],
            "cell '8.4 8.4': this is not six numbers; expected",
        ),
        (["--cell", HEXAGONAL_TEXT, "--plane", "hhl", "--q-max-inv-angstrom", "7"], "hhl"),
        (["--cell", HEXAGONAL_TEXT, "--plane", "hk1", "--q-max-inv-angstrom", "-7"], "q_max is -7"),
        (["--plane", "hk1", "--planes", "hk0"], "use one of the two"),
        (["--passes", "9"], "passes"),
    ],
)
def test_options_that_do_not_go_are_one_sentence(
    folder: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("a.npy", np.ones((256, 256)))
    assert factorize("a.npy", "-o", "r.nxs", *words) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1 and printed.err.startswith("dsfunet: ")
    assert message in printed.err and [each.name for each in folder.iterdir()] == ["a.npy"]


@pytest.mark.slow
def test_a_plane_that_vectors_span_in_a_cubic_volume(capsys: pytest.CaptureFixture[str]) -> None:
    write_cubic_volume(Path("cubic.h5"))
    result = made("cubic.h5", "--plane", "hhl")
    assert "lattice    used (chi-squared " in capsys.readouterr().out
    grid = result.grid
    assert grid is not None and isinstance(grid.name, SpannedPlaneName) and str(grid.name) == "hhl"
    assert result.input.shape == (81, 113)
    form_factor, order = cubic_parts(grid.plane)
    # Every pixel is a voxel: nothing was interpolated on the way in.
    product = form_factor * order
    np.testing.assert_allclose(result.input / result.input.max(), product / product.max(), atol=1e-6)
    assert spread_error(result.short_range_order, order) < 0.005
    assert spread_error(result.form_factor, form_factor) < 0.014


@pytest.mark.slow
def test_all_layers_of_a_volume(capsys: pytest.CaptureFixture[str]) -> None:
    assert factorize(EXAMPLE.with_suffix(".nxs"), "--planes", "hk:all", "--out", "out", "--passes", "2") == 0
    files = {"cresol_benzene_hk0.nxs", "cresol_benzene_hk1.nxs"}
    assert {each.name for each in Path("out").iterdir()} == files | {"summary.json"}
    content = json.loads(Path("out/summary.json").read_text(encoding="utf-8"))
    for each in content["planes"]:
        result = read_result(each["output"])
        assert result.grid is not None and str(result.grid.name) == each["plane"]
        assert each["verdict"] == result.process["verdict"] and each["verdict"].startswith("Explained: ")
        assert each["verdict_level"] == result.process["verdict_level"] == "explained"
        assert each["verdict_numbers"] == json.loads(str(result.process["verdict_numbers"]))
        assert 0 <= each["verdict_numbers"]["score"] < 1
    assert "verdict    2 explained\n" in capsys.readouterr().out
    # A second time all is there, and the summary says the same of it.
    assert factorize(EXAMPLE.with_suffix(".nxs"), "--planes", "hk:all", "--out", "out", "--passes", "2") == 0
    again = json.loads(Path("out/summary.json").read_text(encoding="utf-8"))
    assert [each["status"] for each in again["planes"]] == ["skipped", "skipped"]
    for name in ("verdict", "verdict_level", "verdict_numbers", "lattice", "r_factor"):
        assert [each[name] for each in again["planes"]] == [each[name] for each in content["planes"]]


@pytest.mark.slow
def test_a_volume_without_a_sensible_cell(capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(EXAMPLE, "bare.h5")
    with h5py.File("bare.h5", "a") as file:
        file["unit_cell"][...] = [1, 1, 1, 90, 90, 90]
    assert factorize("bare.h5", "--plane", "hk1", "-o", "r.nxs") == 2
    assert "unit_cell is 1 1 1 90 90 90, which is a placeholder and not a cell" in capsys.readouterr().err
    given = made("bare.h5", "--plane", "hk1", "--cell", HEXAGONAL_TEXT)
    whole = made(EXAMPLE, "--plane", "hk1", "--cell", HEXAGONAL_TEXT)  # the file's own, said again
    assert given.grid is not None and given.grid.cell.parameters == (8.4, 8.4, 3.6, 90, 90, 120)
    np.testing.assert_array_equal(given.short_range_order, whole.short_range_order)
    assert given.process["lattice_mode"] == whole.process["lattice_mode"]
    capsys.readouterr()
    assert factorize(EXAMPLE, "--plane", "hk1", "-o", "other.nxs", "--cell", "9 9 4 90 90 120") == 2
    assert "the file has the unit cell 8.4 8.4 3.6 90 90 120; remove --cell" in capsys.readouterr().err


def test_the_networks_alone() -> None:
    for number, words in enumerate((["--no-lattice"], ["--lattice", "false"])):
        result = made(EXAMPLE, "--plane", "hk1", *words, output=f"{number}.nxs")
        assert result.process["lattice_mode"] == "not used: the networks alone"
        assert result.form_factor_of_networks is None


@pytest.mark.slow
def test_passes_seeds_and_uncertainties(capsys: pytest.CaptureFixture[str]) -> None:
    words = [EXAMPLE, "--plane", "hk1", "--passes", "4", "--seed"]
    first, again, other = (made(*words, seed, output=f"{place}.nxs") for place, seed in enumerate((3, 3, 4)))
    for name, plane in first.planes().items():
        assert plane.tobytes() == again.planes()[name].tobytes(), name
    # Short-range order comes from the data; the form factor under the mask from the networks.
    for name in ("form_factor", "sigma_form_factor"):
        assert getattr(other, name).tobytes() != getattr(first, name).tobytes(), name
    assert (first.process["passes"], first.process["seed"], other.process["seed"]) == (4, 3, 4)
    said = str(first.process["uncertainty"])
    assert "from the joint fit" in said and f"sigma      {said}" in capsys.readouterr().out
    # Where a viewer looks for the errors of a signal.
    with h5py.File("0.nxs") as file:
        for name in ("form_factor", "short_range_order"):
            np.testing.assert_array_equal(
                file[f"entry/{name}/data_errors"][()], file[f"entry/sigma_{name}/data"][()]
            )
    seen = np.isfinite(first.form_factor)
    for sigma in (first.sigma_form_factor, first.sigma_short_range_order):
        own = seen if sigma is first.sigma_form_factor else np.isfinite(first.short_range_order)
        assert sigma is not None and np.array_equal(np.isfinite(sigma), own)
        assert (sigma[seen] >= 0).all() and 1e-4 < np.median(sigma[seen]) < 0.2


@pytest.mark.slow
def test_no_passes_no_uncertainties(capsys: pytest.CaptureFixture[str]) -> None:
    none, one = (
        made(EXAMPLE, "--plane", "hk1", "--passes", count, output=f"{count}.nxs") for count in (0, 1)
    )
    assert capsys.readouterr().out.count("\nsigma ") == 1
    assert none.sigma_form_factor is None and one.sigma_form_factor is not None
    np.testing.assert_array_equal(none.form_factor, one.form_factor)
    with h5py.File("0.nxs") as file:
        assert "data_errors" not in file["entry/form_factor"] and "sigma_form_factor" not in file["entry"]
    assert "0 passes were requested" in str(none.process["uncertainty"])
    assert none.process["seed"] == "none: one pass is deterministic"


@pytest.mark.slow
def test_a_plane_wider_than_the_networks_were_trained_on(capsys: pytest.CaptureFixture[str]) -> None:
    counts = save_picture("wide.tif", q_max=10.0, pixels=330)
    words = ["wide.tif", *OF_PICTURE, "--q-max-inv-angstrom", "10"]
    part, whole = made(*words), made(*words, "--whole", output="whole.nxs")
    said = capsys.readouterr().out
    assert "they process the central 17.6 1/Angstrom; beyond it components come from the data alone" in said
    assert "the networks process all 20.2 1/Angstrom of the plane" in said
    plane = cartesian_hk1(10.0, 330)
    away = np.maximum(np.abs(plane.index_u)[:, None], np.abs(plane.index_v)) * np.linalg.norm(plane.step_u)
    for values in (part.form_factor, part.short_range_order, part.product, part.sigma_form_factor):
        assert values is not None
        assert np.isfinite(values).all()
    assert np.isfinite(whole.form_factor).all()
    np.testing.assert_allclose(part.input, counts)  # what was measured stays, out to the corners
    known = np.isfinite(part.residual)
    share = np.abs(part.residual[known]).sum() / counts[known].sum()
    assert part.process["r_factor"] == pytest.approx(share, rel=1e-4) and share < 0.1
    form_factor, order = hexagonal_parts(plane)
    inside = away < 8.7
    assert spread_error(np.where(inside, part.short_range_order, np.nan), order) < 0.002
    assert spread_error(np.where(inside, part.form_factor, np.nan), form_factor) < 0.014

    alphas, _ = refined("r.nxs", "--shells", "3")
    assert np.abs(alphas - [*ALPHAS.values()]).max() < 0.01
    for name, molecule in zip(("benzene", "difluorobenzene"), molecules(), strict=True):
        write_xyz(Path(f"{name}.xyz"), molecule)
    models = ["benzene.xyz+difluorobenzene.xyz", "difluorobenzene.xyz+vacancy"]
    assert main(["compare", "r.nxs", *models, "-o", "ranking", "--resamples", "100"]) == 0
    ranked = json.loads(Path("ranking.json").read_text(encoding="utf-8"))["models"]
    assert ranked[0]["model"] == models[0] and ranked[0]["better_than_next"] > 0.95
