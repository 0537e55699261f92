"""Names of results: one for each plane of each file, never two of one name, never that of a measurement."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from dsfunet.cleanup import CleanUp
from dsfunet.errors import InputError
from dsfunet.factorize.jobs import Job, check_targets, plan_jobs
from dsfunet.factorize.options import parse_options
from dsfunet.factorize.settings import FactorizeRequest, FactorizeSettings
from dsfunet.io.plane_lists import parse_plane_selection
from dsfunet.physics import Cell

OUT = Path("out")


def names(files: list[str], **options: str | bool) -> list[str]:
    jobs = plan_jobs([Path(file) for file in files], OUT, parse_options(options))
    return [job.output.relative_to(OUT).as_posix() for job in jobs]


def test_a_result_for_each_plane_of_each_file() -> None:
    assert names(["a/x.h5", "a/y.h5"], planes="hk0, h k 1.5") == [
        "x_hk0.nxs",
        "x_hk1.5.nxs",
        "y_hk0.nxs",
        "y_hk1.5.nxs",
    ]
    assert names(["plane.npy"]) == ["plane.nxs"]
    # One plane under two names, one file twice.
    assert names(["x.h5", "./x.h5"], planes="hk1, h k 1.0") == ["x_hk1.nxs"]


def test_files_of_one_stem_keep_what_tells_them_apart() -> None:
    assert names(["a/x.h5", "b/x.h5", "z.h5"], plane="hk0") == ["a/x_hk0.nxs", "b/x_hk0.nxs", "z_hk0.nxs"]
    assert names(["a/x.h5", "a/x.hdf", "b/x.h5"]) == ["a/x.h5.nxs", "a/x.hdf.nxs", "b/x.nxs"]


@pytest.mark.parametrize(
    ("files", "settings", "message"),
    [
        (["x.h5", "x_hk1.npy"], {"plane": "hk1"}, None),
        (["x.h5", "X.h5"], {}, "would both be written here"),  # the same name on some file systems
        (["out/x.nxs"], {}, "would overwrite the measurement"),
        (["out/x.png", "y.h5"], {"png": True}, "would overwrite the measurement"),
    ],
)
def test_what_would_collide_is_refused(
    files: list[str], settings: dict[str, str | bool], message: str | None
) -> None:
    if message is None:
        assert len(set(names(files, **settings))) == len(files)
        return
    with pytest.raises(InputError, match=message):
        names(files, **settings)


def test_a_picture_never_takes_the_place_of_its_result() -> None:
    job = Job(Path("x.npy"), None, Path("x.png"), Path("x.png"))
    with pytest.raises(
        InputError, match=r"x\.png: the picture would overwrite the result; name the result x\.nxs"
    ):
        check_targets([job], [Path("x.npy")])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"plane": "hk1", "planes": "hk0"}, "are both given; use one of the two"),
        ({"planes": "hk1, hh1"}, "hh1"),
        ({"planes": " , "}, "expected"),
        ({"workers": 0}, "workers is 0; expected 1 or more"),
        ({"orientation": "picture"}, "is only for a picture whose axes are given"),
        ({"q_max_inv_angstrom": 7.0}, "also need --cell and --plane"),
        (
            {"cell": "4 4 4 90 90 90", "plane": "hk0", "first_range": "1"},
            "--first-range '1'; expected two numbers",
        ),
        ({"passes": 9}, "9"),
        ({"seed": -1}, "-1"),
    ],
)
def test_options_that_mean_nothing(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_options(options)


def test_options_become_typed_values() -> None:
    request = parse_options(
        {
            "plane": "h k 1.0",
            "cell": "4 5 6 90 90 90",
            "first_range": "-5 5",
            "second_range": "[-4, 4]",
            "passes": 4,
        }
    )
    assert request.cell == Cell(4, 5, 6, 90, 90, 90) and request.settings.passes == 4
    assert request.axes is not None and (request.axes.first_range, request.axes.second_range) == (
        (-5, 5),
        (-4, 4),
    )
    assert request.planes is not None and [str(plane) for plane in request.planes.list_planes()] == ["hk1"]
    assert json.loads(json.dumps(request.as_plain()))["settings"]["passes"] == 4


def test_only_what_changes_the_answer_makes_a_result_stale() -> None:
    plain = FactorizeRequest()
    others = FactorizeRequest(
        png=True,
        device="cpu",
        batch_size=3,
        workers=4,
        planes=parse_plane_selection("hk1"),
        weights="elsewhere",
    )
    assert others.digest() == plain.digest()
    digests = {plain.digest()}
    for changed in (
        FactorizeRequest(cell=Cell(4, 5, 6, 90, 90, 90)),
        *(
            FactorizeRequest(settings=settings)
            for settings in (
                FactorizeSettings(lattice=False),
                FactorizeSettings(passes=0),
                FactorizeSettings(whole=True),
                FactorizeSettings(seed=1),
                FactorizeSettings(clean_up=CleanUp(laue="mmm")),
            )
        ),
    ):
        digests.add(changed.digest())
    assert len(digests) == 7


def test_a_mask_or_background_that_has_changed_makes_a_result_stale(tmp_path: Path) -> None:
    file = tmp_path / "other.npy"
    for option in ("mask_file", "background"):
        digests = set()
        for value in (1.0, 2.0, 2.0):
            np.save(file, np.full((2, 2), value))
            os.utime(file, ns=(int(value), int(value)))  # times of writing may be coarser than this test
            digests.add(parse_options({option: str(file)}).digest())
        assert len(digests) == 2
    assert parse_options({"background": "radial"}).settings.clean_up.files == ()
