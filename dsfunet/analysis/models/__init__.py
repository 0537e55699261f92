"""Structural models tested against the form factor: molecules, structure files, fits, torsion scans and reports."""

from dsfunet.analysis.models.fit import Comparison, Fit, compare_models, fit_model
from dsfunet.analysis.models.model_names import ModelPair, parse_axis, read_model
from dsfunet.analysis.models.molecules import VACANCY, LabelledMolecule, Torsion
from dsfunet.analysis.models.observation import Observation
from dsfunet.analysis.models.scan import (
    Minimum,
    Scan,
    angles_of_range,
    rotation_turn,
    scan_model,
    torsion_turn,
)
from dsfunet.analysis.models.structure_files import read_structure

__all__ = [
    "VACANCY",
    "Comparison",
    "Fit",
    "LabelledMolecule",
    "Minimum",
    "ModelPair",
    "Observation",
    "Scan",
    "Torsion",
    "angles_of_range",
    "compare_models",
    "fit_model",
    "parse_axis",
    "read_model",
    "read_structure",
    "rotation_turn",
    "scan_model",
    "torsion_turn",
]
