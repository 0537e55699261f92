"""Warren-Cowley parameters of a crystal from the result of a whole volume."""

from dsfunet.analysis.volume_refinement.laue import LaueTest, find_laue_class
from dsfunet.analysis.volume_refinement.outcome import VolumeRefinement
from dsfunet.analysis.volume_refinement.run import refine_volume, refine_volume_file
from dsfunet.analysis.volume_refinement.settings import VolumeRefinementSettings
from dsfunet.io.volume_results import VolumeCorrelations

__all__ = [
    "LaueTest",
    "VolumeCorrelations",
    "VolumeRefinement",
    "VolumeRefinementSettings",
    "find_laue_class",
    "refine_volume",
    "refine_volume_file",
]
