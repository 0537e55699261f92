"""The verdict that a result carries, as refinements and comparisons repeat it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from dsfunet.analysis.answers import Answer, list_answers
from dsfunet.errors import InputError
from dsfunet.planes.result import Result

Level = Literal["explained", "doubtful", "not explained"]
"""Whether the components of a result explain its plane."""

_WARNINGS = {
    "doubtful": "these numbers may be wrong by more than their standard uncertainties",
    "not explained": "do not trust these numbers",
}


@dataclass(frozen=True)
class RecordedVerdict:
    """The verdict of `dsfunet factorize` on the answer that is used.

    Attributes:
        name: of the result.
        level: "explained", "doubtful" or "not explained"; None where nothing judged this answer.
        sentence: what is wrong and what to try, as `dsfunet factorize` says it; or why there is no verdict.
    """

    name: str
    level: Level | None
    sentence: str

    @property
    def warning(self) -> str | None:
        """What follows for numbers made from the result; None where nothing speaks against them."""
        return None if self.level is None else _WARNINGS.get(self.level)

    def as_record(self) -> dict[str, str | None]:
        """Return the verdict for a JSON file."""
        return {"source": self.name, "level": self.level, "sentence": self.sentence, "warning": self.warning}


def read_verdict(result: Result, name: str, answer: Answer | None = None) -> RecordedVerdict:
    """Return the verdict that a result records.

    Args:
        result: of a factorisation, with all its answers.
        name: of the result.
        answer: that is used; None for the chosen one. Only the chosen one was judged.

    Raises:
        InputError: the record is damaged.
    """
    if answer is not None and answer != list_answers(result)[0]:
        return RecordedVerdict(
            name, None, f"The answer of --answer {answer} was not judged, only the other one."
        )
    level, sentence = result.process.get("verdict_level"), result.process.get("verdict")
    if level is None:
        return RecordedVerdict(
            name, None, "The result records no verdict; factorise the plane again to get one."
        )
    known = next((each for each in get_args(Level) if each == level), None)
    if known is None:
        raise InputError(
            f"{name}: the verdict of the result is {level!r}; expected one of {', '.join(get_args(Level))}; make the"
            " result again"
        )
    return RecordedVerdict(name, known, str(sentence or known))


def describe_verdicts(verdicts: Sequence[RecordedVerdict]) -> list[str]:
    """Return the lines about verdicts for the screen, with a warning where one is needed."""
    several = len(verdicts) > 1
    lines = []
    for verdict in verdicts:
        lines.append(f"verdict    {f'{verdict.name}: ' if several else ''}{verdict.sentence}")
        if verdict.warning is not None:
            lines.append(f"WARNING    {verdict.warning}")
    return lines


def check_explained(verdicts: Sequence[RecordedVerdict]) -> None:
    """Check that no plane is unexplained.

    Raises:
        InputError: a plane is not explained.
    """
    for verdict in verdicts:
        if verdict.level == "not explained":
            sentence = verdict.sentence.removesuffix(".")
            raise InputError(
                f"{verdict.name}: the verdict of the result is: {sentence}; mend that, or add --despite-verdict true to"
                " get numbers that carry a warning"
            )
