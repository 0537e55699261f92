"""Names of results: one for each plane of each file, never two of one name, never that of a measurement."""

import os
from pathlib import Path

import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.factorize.jobs import plan_jobs
from dsfunet.factorize.settings import NOT_OF_THE_ANSWER, FactorizeSettings

OUT = Path("out")


def names(files: list[str], **settings: str | bool) -> list[str]:
    jobs = plan_jobs([Path(file) for file in files], OUT, FactorizeSettings(**settings))  # type: ignore[arg-type]
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
        (["x.h5", "X.h5"], {}, "would hold the results of both"),  # the same name on some file systems
        (["out/x.nxs"], {}, "is the measurement itself"),
        (["out/x.png", "y.h5"], {"png": True}, "is the measurement itself"),
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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"plane": "hk1", "planes": "hk0"}, "expected one of the two"),
        ({"planes": "hk1, hh1"}, "hh1"),
        ({"planes": " , "}, "expected"),
        ({"workers": 0}, "workers is 0"),
        ({"orientation": "picture"}, "of a picture whose axes are given"),
    ],
)
def test_settings_that_mean_nothing(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        FactorizeSettings(**settings)  # type: ignore[arg-type]


def test_only_settings_of_the_answer_make_a_result_stale() -> None:
    plain = FactorizeSettings()
    others: dict[str, object] = {"png": True, "device": "cpu", "batch_size": 3, "workers": 4, "planes": "hk1"}
    assert others.keys() <= NOT_OF_THE_ANSWER
    assert FactorizeSettings(**others).digest() == plain.digest()  # type: ignore[arg-type]
    assert FactorizeSettings(lattice=False).digest() != plain.digest()


def test_a_mask_or_background_that_has_changed_makes_a_result_stale(tmp_path: Path) -> None:
    file = tmp_path / "other.npy"
    for option in ("mask_file", "background"):
        digests = set()
        for value in (1.0, 2.0, 2.0):
            np.save(file, np.full((2, 2), value))
            os.utime(file, ns=(int(value), int(value)))  # times of writing may be coarser than this test
            digests.add(FactorizeSettings.of_options({option: str(file)}).digest())
        assert len(digests) == 2
    assert FactorizeSettings.of_options({"background": "radial"}).clean_up.files == ()
