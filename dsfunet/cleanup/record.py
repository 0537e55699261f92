"""What a clean-up did to a plane: one record a step, for the file and for the screen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Number = int | float | str | None


@dataclass(frozen=True)
class StepRecord:
    """One step as it was taken.

    Attributes:
        step: its name.
        sentence: what it did, with its main numbers, for the screen.
        numbers: the same and more, in plain values.
        notes: what the user should look at, one sentence each.
    """

    step: str
    sentence: str
    numbers: Mapping[str, Number] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CleanUpRecord:
    """All steps that were taken, in their order, and the settings that asked for them."""

    settings: Mapping[str, Number]
    steps: tuple[StepRecord, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes of all steps."""
        return tuple(note for step in self.steps for note in step.notes)

    def sentences(self) -> tuple[str, ...]:
        """What was done, a sentence a step; none where nothing was asked for."""
        return tuple(step.sentence for step in self.steps)

    def as_plain(self) -> dict[str, Any]:
        """The record in values that JSON knows; steps in the order in which they were taken."""
        steps = [
            {"step": each.step, "sentence": each.sentence, **each.numbers, "notes": list(each.notes)}
            for each in self.steps
        ]
        return {"settings": dict(self.settings), "steps": steps}


def counted(pixels: int, total: int) -> str:
    """A number of pixels in words, "1,234 pixels (1.9 %)"."""
    return f"{pixels:,} pixel{'' if pixels == 1 else 's'} ({100 * pixels / max(total, 1):.2g} %)"
