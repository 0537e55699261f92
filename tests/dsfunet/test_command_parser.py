"""A wrong command line is reported in one sentence, with exit code 2, and nothing is written."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dsfunet.cli.main import main as dsfunet_main
from dsfunet.command_parser import Parser
from evaluate.__main__ import main as evaluate_main
from simulate.__main__ import main as simulate_main

Main = Callable[[list[str]], int]


@pytest.mark.parametrize(
    ("main", "words", "said"),
    [
        (
            dsfunet_main,
            ["factorize", "x.h5", "--out", "made", "--negative", "blue"],
            "dsfunet factorize: --negative is 'blue'; expected missing or zero",
        ),
        (
            dsfunet_main,
            ["factorize", "x.h5", "--out", "made", "--workers", "many"],
            "dsfunet factorize: --workers is 'many'; expected a whole number",
        ),
        (
            dsfunet_main,
            ["factorize", "x.h5", "--out", "made", "--glue"],
            "dsfunet factorize: unexpected argument --glue; remove it",
        ),
        (
            dsfunet_main,
            ["factorize", "x.h5", "--out", "made", "--pases=3"],
            "dsfunet factorize: there is no option --pases; did you mean --passes?",
        ),
        (
            dsfunet_main,
            ["convert"],
            "dsfunet convert: the arguments file and output are missing; add them to the command",
        ),
        (
            dsfunet_main,
            ["factorize"],
            "dsfunet factorize: the argument files is missing; add it to the command",
        ),
        (
            dsfunet_main,
            ["fit"],
            " fit: the arguments --model.form_factor_generator, --model.short_range_order_generator and"
            " --model.generator_optimizer are missing; add them to the command, or give a file with --config (run `",
        ),
        (
            simulate_main,
            ["--out", "made"],
            "python -m simulate: the arguments --samples.train and --samples.validation are missing; add them to the"
            " command, or give a file with --config (run `python -m simulate --help` for all options)",
        ),
        (dsfunet_main, [], "dsfunet: no command is given; expected one of factorize, watch, inspect"),
        (
            dsfunet_main,
            ["improve"],
            "dsfunet: there is no command 'improve'; expected one of factorize, watch, inspect",
        ),
        (dsfunet_main, ["factorise"], "dsfunet: there is no command 'factorise'; did you mean factorize?"),
        (
            dsfunet_main,
            ["inspect", "a.h5", "b.v2.h5"],
            "dsfunet inspect: unexpected argument b.v2.h5; remove it",
        ),
        (dsfunet_main, ["watch", "x", "--interval=-3"], "--interval is -3; expected a number above 0"),
        (
            dsfunet_main,
            ["factorize", "x", "--negative="],
            "--negative is empty; expected missing or zero",
        ),
        (
            dsfunet_main,
            ["scan", "r", "m", "-o", "x", "--range", "a", "1", "2"],
            "--range is 'a'; expected a number",
        ),
        (
            dsfunet_main,
            ["fit", "--model.squared_weight", "red"],
            "--model.squared_weight is 'red'; expected a number",
        ),
        (
            simulate_main,
            ["--out", "made", "--seed", "red"],
            "python -m simulate: --seed is 'red'; expected",
        ),
        (simulate_main, ["--config", "none.yaml", "--out", "made"], "--config: File does not exist"),
        (
            evaluate_main,
            ["--shards", "x", "--out", "made", "--samples", "few"],
            "--samples is 'few'; expected",
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
    assert printed.err.endswith("--help` for all options)\n")
    assert not list(tmp_path.iterdir())


def test_a_setting_of_a_class_that_is_wrong_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """jsonargparse uses copies of the parser to try whether a value has some type; these must not exit."""
    smoke = Path(__file__).parents[2] / "configs" / "smoke.yaml"
    with pytest.raises(SystemExit):
        dsfunet_main(
            ["fit", "--config", str(smoke), "--model.form_factor_generator.init_args.chanels", "[8, 8]"]
        )
    said = capsys.readouterr().err
    assert "form_factor_generator" in said and "chanels" in said and " fit: --model." in said


def test_nested_parsers_may_refuse_a_value() -> None:
    parser = Parser(prog="p")
    parser.add_argument("--held", type=Settings | dict)
    found = parser.parse_args(["--held", '{"number": "red"}'])
    assert found.held == {"number": "red"}


class Settings:
    """Something with a setting."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
