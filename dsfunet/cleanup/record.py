"""Record of a clean-up: one entry for each step, for the result file and the screen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Number = int | float | str | None


@dataclass(frozen=True)
class StepRecord:
    """One step of a clean-up and what it did.

    Attributes:
        step: name of the step.
        sentence: what the step did, with its main numbers, for the screen.
        numbers: all numbers of the step, as plain values.
        notes: what the user should check, one sentence each.
    """

    step: str
    sentence: str
    numbers: Mapping[str, Number] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CleanUpRecord:
    """All steps of a clean-up in their order, and the settings behind them."""

    settings: Mapping[str, Number]
    steps: tuple[StepRecord, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes of all steps."""
        return tuple(note for step in self.steps for note in step.notes)

    def sentences(self) -> tuple[str, ...]:
        """Return one sentence for each step; none where every step is off."""
        return tuple(step.sentence for step in self.steps)

    def as_plain(self) -> dict[str, Any]:
        """Return the record in JSON types, steps in their order."""
        steps = [
            {"step": each.step, "sentence": each.sentence, **each.numbers, "notes": list(each.notes)}
            for each in self.steps
        ]
        return {"settings": dict(self.settings), "steps": steps}


def format_pixels(pixels: int, total: int) -> str:
    """Return a number of pixels in words: "1,234 pixels (1.9 %)"."""
    return f"{pixels:,} pixel{'' if pixels == 1 else 's'} ({100 * pixels / max(total, 1):.2g} %)"
