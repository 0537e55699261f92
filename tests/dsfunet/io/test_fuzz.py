"""Thousands of mangled files, texts and planes: each is read, or refused in one sentence, and no file is left behind.

Everything is seeded, so failures can be repeated: (layout, number) is in the message of the assertion.
"""

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from dsfunet.cleanup import CleanUp, CleanUpOptions
from dsfunet.cli.main import main
from dsfunet.errors import InputError
from dsfunet.factorize.factorizer import Factorizer
from dsfunet.factorize.options import parse_options
from dsfunet.factorize.pipeline import factorize_plane
from dsfunet.factorize.settings import FactorizeRequest, FactorizeSettings
from dsfunet.inspection.describe import inspect
from dsfunet.io import MeasuredPlane, PlaneGrid, read_plane, read_result
from dsfunet.io import hdf5_heaps as heaps
from dsfunet.io.cell_parameters import cell_from_text
from dsfunet.io.plane_lists import parse_plane_selection
from dsfunet.io.volume import VolumeAxes
from dsfunet.physics import Cell
from dsfunet.planes.names import parse_plane, parse_plane_name
from tests.dsfunet.batches import save_tiny_weights, write_volume
from tests.dsfunet.mangled_files import EVERY, HDF5, cell_for, in_memory, mangled

_CASES = 60
"""Files for each of 20 layouts, with four calls each: 4,800 reads; five times as many were tried by hand."""
_MOST_SECONDS = 60.0
"""Time limit for one call on a busy machine; almost all calls take milliseconds."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_weights(tmp_path_factory.mktemp("fuzz") / "weights")


@pytest.fixture(scope="module")
def factorizer(weights: Path) -> Factorizer:
    return Factorizer.from_checkpoint(weights, "cpu")


def refusal(call: Callable[[], object]) -> str | None:
    """The sentence with which a call refuses, None if it succeeds; any other error or a timeout fails the test."""
    start = time.process_time()
    try:
        call()
        sentence = None
    except InputError as error:
        sentence = str(error)
        assert sentence and "\n" not in sentence
    assert time.process_time() - start < _MOST_SECONDS
    return sentence


@pytest.mark.slow
@pytest.mark.parametrize("layout", EVERY)
def test_mangled_files_are_read_or_refused(tmp_path: Path, layout: str) -> None:
    content, path = in_memory(EVERY[layout], tmp_path), tmp_path / "mangled"
    refused, seed = 0, list(EVERY).index(layout)
    for number in range(_CASES):
        mangled(content, layout in HDF5, path, np.random.default_rng((1, seed, number)))
        calls: list[Callable[[], object]] = [
            lambda plane=plane: read_plane(path, plane, cell=cell_for(layout))  # type: ignore[misc]
            for plane in ("hk0", "hhl", None)
        ]
        calls.append(lambda: inspect(path, ("hk0", "hhl", None)[number % 3], cell=cell_for(layout)))  # noqa: B023
        for call in calls:
            try:
                sentence = refusal(call)
            except Exception as error:
                raise AssertionError(f"{layout} {number}: {error!r}") from error
            assert sentence is None or sentence.startswith(f"{path}: "), (layout, number, sentence)
            refused += sentence is not None
    assert refused > _CASES / 3
    assert [each.name for each in tmp_path.iterdir()] == ["mangled"]


@pytest.mark.slow
def test_mangled_files_on_the_command_line(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bad files give exit code 2, one line and no output; files that are still readable give a complete result."""
    loaded = Factorizer.from_checkpoint(weights, "cpu")
    monkeypatch.setattr("dsfunet.factorize.loading.load_factorizer", lambda *_: loaded)
    path, output = tmp_path / "mangled", tmp_path / "out.nxs"
    codes = {0: 0, 2: 0}
    for seed, (layout, write) in enumerate(EVERY.items()):
        content = in_memory(write, tmp_path)
        for number in range(4):
            mangled(content, layout in HDF5, path, np.random.default_rng((2, seed, number)))
            options = ["--lattice", "false", "--passes", "0", *(["--plane", "hk0"] if number % 2 else [])]
            cell = cell_for(layout)
            given = [] if cell is None else ["--cell", " ".join(map(str, cell.parameters))]
            factorize = ["factorize", str(path), "-o", str(output), *options, *given]
            for words in (factorize, ["inspect", str(path), *given]):
                code = main(words)
                said = capsys.readouterr()
                codes[code] += 1
                if code == 2:
                    assert said.err.startswith(f"dsfunet: {path}: ") and said.err.count("\n") == 1, said.err
                    assert said.out == "" and not output.exists()
                else:
                    assert said.err == ""
            if output.exists():
                read_result(output)
                output.unlink()
            assert [each.name for each in tmp_path.iterdir()] == ["mangled"]
    assert min(codes.values()) > 20


def test_a_batch_of_mangled_and_good_files(tmp_path: Path, weights: Path) -> None:
    files, out = [], tmp_path / "out"
    for seed, layout in enumerate(("yell", "mantid", "npy", "tiff", "crysalis", "result")):
        content, path = in_memory(EVERY[layout], tmp_path), tmp_path / f"{layout}.bad"
        for number in range(1000):  # the first that is refused
            mangled(content, layout in HDF5, path, np.random.default_rng((3, seed, number)))
            if refusal(lambda: read_plane(path, "hk0")) is not None:  # noqa: B023
                break
        files.append(path)
    for place in (0, 3, 8):
        files.insert(place, tmp_path / f"good{place}.h5")
        write_volume(files[place], place + 1.0)
    words = ["factorize", *map(str, files), "--out", str(out), "--plane", "hk0", "--lattice", "false"]
    assert main([*words, "--weights", str(weights), "--device", "cpu", "--passes", "0"]) == 1
    good = {f"good{place}_hk0.nxs" for place in (0, 3, 8)}
    assert {path.name for path in out.iterdir()} == good | {"summary.json"}
    planes = json.loads((out / "summary.json").read_text(encoding="utf-8"))["planes"]
    statuses = {Path(each["file"]).name: each["status"] for each in planes}
    assert statuses == {path.name: "done" if path.suffix == ".h5" else "failed" for path in files}
    for name in good:
        assert np.isfinite(read_result(out / name).form_factor).any()


# Parts of the random texts: parts of the grammars, digits of other scripts, huge numbers, and rubbish.
_PARTS = (
    "h", "k", "l", "hk", "hk1", "hhl", "-", "+", "1", "0", "2", "1/2", "1/0", "1e400", "9" * 400, ".", "..", ":",
    "all", "half", ";", ",", "[", "]", "(", ")", " ", "nan", "inf", "\u2212", "\u00b2", "\u0661", "\0", "\n", "*", "/",
    "[1 1 0]", "[0 0 1]", "hk:", "0..3", "0..3/0.5", "/0", "1e308", "-1e-320", "\u00e9", "auto", "5 6 7 90 90 90",
    "radial", "-3", "m-3m", "P",
)  # fmt: skip
_NUMBERS = (0, -1, 1, 1e308, -1e308, 1e-320, np.nan, np.inf, -np.inf, 0.5, 2**70, 0.02)
_AXES = VolumeAxes((-4.0, -4.0, -4.0), (0.1, 0.1, 0.5), (81, 81, 17))


def test_settings_of_random_texts_and_numbers() -> None:
    chance = random.Random(5)
    pick = chance.choice

    def text() -> str:
        return "".join(pick(_PARTS) for _ in range(chance.randint(0, 6)))

    def value() -> Any:
        return pick([text(), pick(_NUMBERS), None])

    def settings() -> None:
        names = chance.sample(["plane", "planes", "cell", "first_range", "second_range"], 3)
        chosen: dict[str, Any] = {name: text() for name in names}
        request = parse_options({**chosen, "q_max_inv_angstrom": pick([None, *_NUMBERS])})
        assert request.planes is None or request.planes.list_planes(_AXES)
        request.digest(), request.as_plain()

    calls: list[Callable[[], object]] = [
        lambda: parse_plane_name(text()),
        lambda: parse_plane_selection(text()).list_planes(_AXES),
        lambda: cell_from_text(text()).reciprocal,
        lambda: CleanUpOptions(
            **{n: value() for n in chance.sample(["mask_value", "bragg_radius", "background", "laue"], 2)}
        ).parse(),
        lambda: CleanUp(
            **{n: value() for n in chance.sample(["mask_value", "bragg_radius", "background", "laue"], 2)}
        ),
        lambda: CleanUp(**{pick(["mask_below", "background_quantile", "background_scale"]): pick(_NUMBERS)}),
        lambda: CleanUp(bragg_radius="auto", **{pick(["negative", "bragg_centring", "bragg_fill"]): text()}),
        lambda: FactorizeSettings(passes=pick([0, 1, 9, -1]), seed=pick([0, -1, 2**70])),
        lambda: FactorizeRequest(workers=pick([None, 0])),
        settings,
    ]
    for _ in range(500):
        for call in calls:
            refusal(call)
        written = text()
        name = None
        try:
            name = parse_plane(written)
        except InputError:
            continue
        assert parse_plane(str(name)) == name, written


def odd_planes() -> dict[str, Any]:
    """Planes that no measurement gives, but that occur in files and programs."""
    x = np.linspace(-4, 4, 256)
    plane = np.exp(-np.add.outer(x**2, x**2) / 9) * (1.5 + np.cos(2 * np.pi * x))
    single = np.zeros((256, 256))
    single[100, 90] = 1.0
    few = np.full((256, 256), np.nan)
    few[100, 100:102] = 1.0, 2.0
    return {
        "zeros": np.zeros((256, 256)), "one value": np.full((256, 256), 7.0), "nothing": np.full((256, 256), np.nan),
        "infinite": np.full((256, 256), np.inf), "negative": -plane, "all hidden": np.ma.masked_all((256, 256)),
        "complex": plane.astype(complex), "texts": np.full((256, 256), "a"),
        "denormal": plane * 1e-310, "1e30": plane * 1e30, "1e300": plane * 1e300, "largest": plane * 6e307,
        "single": single, "single denormal": 5e-324 * single, "two pixels": few, "1e29": plane * 1e29,
        "tiny negative": np.where(single > 0, -1e-300, plane), "bool": plane > 1, "uint8": (90 * plane).astype("u1"),
        "float16": plane.astype("f2"), "big-endian": plane.astype(">f8"), "integers": (1e4 * plane).astype(">i4"),
        "hidden": np.ma.masked_less(plane, 0.5), "spike": plane + 1e9 * single,
    }  # fmt: skip


REFUSED = ("zeros", "one value", "nothing", "infinite", "negative", "all hidden", "complex", "texts")


@pytest.mark.slow
@pytest.mark.parametrize("name", odd_planes())
def test_odd_planes(factorizer: Factorizer, name: str) -> None:
    """Through the networks, on the lattice that is found, and as a plane of a hexagonal crystal, cleaned up or not."""
    plane = odd_planes()[name]
    grid = PlaneGrid(Cell(6, 6, 7, 90, 90, 120), parse_plane("hk1"), *[np.linspace(-4, 4, 256)] * 2)

    def components() -> None:
        found = factorizer(plane, lattice="find")
        for part in (found.form_factor, found.short_range_order):
            assert part.min() >= 0 and part.max() <= 1

    def separation(settings: FactorizeSettings) -> None:
        found = factorize_plane(MeasuredPlane(plane, grid), settings, factorizer)
        assert np.isfinite(found.r_factor)
        for part in (found.result.form_factor, found.result.short_range_order):
            assert np.nanmin(part) >= 0 and np.nanmax(part) <= 1

    assert (refusal(components) is not None) == (name in REFUSED)
    sentence = refusal(lambda: separation(FactorizeSettings(passes=0)))
    assert (sentence is not None) or name not in REFUSED
    punched = CleanUp(bragg_radius=0.1, bragg_fill="surroundings")
    for steps in (punched, CleanUp(background="radial", laue="-3"), CleanUp(background=0.5)):
        refusal(lambda: separation(FactorizeSettings(passes=0, lattice=False, clean_up=steps)))  # noqa: B023


@pytest.mark.parametrize("factor", [2.0**-1000, 2.0**-60, 2.0**60, 2.0**900])
def test_the_unit_of_a_plane_does_not_matter(factorizer: Factorizer, factor: float) -> None:
    plane = odd_planes()["hidden"].filled(np.nan)
    one, other = (factorizer(values, lattice="find") for values in (plane, plane * factor))
    np.testing.assert_array_equal(one.form_factor, other.form_factor)
    np.testing.assert_array_equal(one.short_range_order, other.short_range_order)


def test_hidden_values_are_missing() -> None:
    values = np.ma.masked_equal(np.arange(6).reshape(2, 3), 4)
    np.testing.assert_array_equal(MeasuredPlane(values).intensity, [[0, 1, 2], [3, np.nan, 5]])


def test_a_heap_that_never_ends_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HDF5 would step over free space of size 0 for ever, in C, where it ignores signals."""
    path = tmp_path / "v.h5"
    write_volume(path)
    with h5py.File(path, "a") as file:
        file.attrs["default"] = "text of any length"
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL\x01\0\0\0")
    here = heap + 16
    while content[here : here + 2] != b"\0\0":
        here += 16 + (int.from_bytes(content[here + 8 : here + 16], "little") + 7) // 8 * 8
    assert int.from_bytes(content[here + 8 : here + 16], "little") == heap + 4096 - here
    read_plane(path, "hk0")
    # The file counts as settled, so it is checked once until it is written again.
    monkeypatch.setattr("dsfunet.io.hdf5_heaps._SETTLED_SECONDS", -1.0)
    looks = []
    is_endless = heaps._is_endless
    monkeypatch.setattr("dsfunet.io.hdf5_heaps._is_endless", lambda part: looks.append(1) or is_endless(part))
    for _ in range(3):
        read_plane(path, "hk0")
    assert len(looks) == 1
    content[here + 8 : here + 16] = bytes(8)
    path.write_bytes(content)
    for call in (lambda: read_plane(path, "hk0"), lambda: inspect(path), lambda: read_result(path)):
        assert "the free space in a text heap has size 0" in str(refusal(call))


def test_long_names_do_not_take_for_ever() -> None:
    for text in (
        "9" * 400,
        "h" * 5000,
        "hk" + "1" * 300,
        "9" * 190 + "kl" + "9" * 5,
        "." * 200,
        "[1 1 0] " * 50,
    ):
        start = time.process_time()
        refusal(lambda: parse_plane(text))  # noqa: B023
        assert time.process_time() - start < 1
