"""What stands on a site: an atom, a molecule from a file, or nothing."""

from pathlib import Path

import gemmi
import numpy as np

from dsfunet.analysis.models.molecules import LabelledMolecule
from dsfunet.analysis.models.structure_files import read_structure
from dsfunet.errors import InputError
from dsfunet.files import name_file_in_errors

VACANCY = "vacancy"
DEFAULT_SPECIES = ("Au", "Cu")
"""Elements that stand for species A and B where none are named."""


def read_pair(first: str, second: str) -> tuple[LabelledMolecule, LabelledMolecule]:
    """Return species A and B, each as `read_species` takes it.

    Raises:
        InputError: a text cannot be used, or neither species has an atom.
    """
    pair = read_species(first), read_species(second)
    if not any(each.elements for each in pair):
        raise InputError("--species: A and B are both vacancies; expected atoms on at least one of them")
    return pair


def read_species(text: str) -> LabelledMolecule:
    """Return the atoms of a species around its site, in the Cartesian axes of the crystal.

    Args:
        text: an element such as Cu, "vacancy" for none, or the name of an XYZ or CIF file, whose origin is the site.

    Raises:
        InputError: the text is none of these, or the file cannot be used.

    Examples:
        >>> from dsfunet.analysis.configuration.species import read_species
        >>> read_species("Cu").elements, read_species("vacancy").elements
        (('Cu',), ())
    """
    if text == VACANCY:
        return LabelledMolecule((), np.zeros((0, 3)))
    if Path(text).suffix.lower() in (".xyz", ".cif"):
        structure = read_structure(text)
        with name_file_in_errors(text):
            return structure.molecule()
    element = gemmi.Element(text)
    if element.name != text or element.atomic_number < 1:
        raise InputError(
            f"--species {text}: this is no element; expected a symbol such as Cu, an .xyz or .cif file, or {VACANCY}"
        )
    return LabelledMolecule((text,), np.zeros((1, 3)), (text,))
