"""Clean-up of measured planes before they are factorised: every step is optional and recorded. Torch-free."""

from dsfunet.cleanup.bragg import look_for_bragg
from dsfunet.cleanup.bragg_evidence import BraggEvidence
from dsfunet.cleanup.options import CleanUpOptions
from dsfunet.cleanup.record import CleanUpRecord, StepRecord
from dsfunet.cleanup.settings import CleanUp
from dsfunet.cleanup.steps import clean

__all__ = [
    "BraggEvidence",
    "CleanUp",
    "CleanUpOptions",
    "CleanUpRecord",
    "StepRecord",
    "clean",
    "look_for_bragg",
]
