"""A command line that is wrong: one sentence, exit code 2, nothing made."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dsfunet.cli import main as dsfunet_main
from evaluate.__main__ import main as evaluate_main
from simulate.__main__ import main as simulate_main

Main = Callable[[list[str]], int]


@pytest.mark.parametrize(
    ("main", "words", "said"),
    [
        (
            dsfunet_main,
            ["factorize", "x.h5", "--out", "made", "--negative", "blue"],
            "dsfunet factorize: --negative: found blue, expected missing or zero",
        ),
        (
            dsfunet_main,
            ["factorize", "x.h5", "--out", "made", "--workers", "many"],
            "dsfunet factorize: --workers: found many, expected a whole number",
        ),
        (dsfunet_main, ["factorize", "x.h5", "--out", "made", "--glue"], "unrecognized arguments: --glue"),
        (dsfunet_main, ["refine"], "the following arguments are required: files, laue"),
        (
            dsfunet_main,
            ["fit", "--model.squared_weight", "red"],
            "--model.squared_weight: found red, expected a number",
        ),
        (
            simulate_main,
            ["--out", "made", "--seed", "red"],
            "python -m simulate: --seed: found red, expected",
        ),
        (simulate_main, ["--config", "none.yaml", "--out", "made"], "--config: File does not exist"),
        (
            evaluate_main,
            ["--shards", "x", "--out", "made", "--samples", "few"],
            "--samples: found few, expected",
        ),
    ],
)
def test_one_sentence(
    main: Main,
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.count("\n") == 1 and printed.out == ""
    assert printed.err.endswith("--help` says more)\n")
    assert not list(tmp_path.iterdir())
