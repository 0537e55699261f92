"""Clean-up of measured planes before they are factorised, every step optional and on record. No torch in here."""

from dsfunet.cleanup.bragg import look_for_bragg
from dsfunet.cleanup.bragg_evidence import BraggEvidence
from dsfunet.cleanup.record import CleanUpRecord, StepRecord
from dsfunet.cleanup.steps import CleanUp, clean

__all__ = ["BraggEvidence", "CleanUp", "CleanUpRecord", "StepRecord", "clean", "look_for_bragg"]
