"""Make all geometries and the catalogue of the species library.

Maintainers run `python -m simulate.species.build_geometries` after changing ingredients.py. It needs RDKit, gemmi,
numpy and PyYAML in a separate environment. RDKit is not a dependency of the project, because its output is checked in.
The same version of RDKit gives the same files.
"""

import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml  # type: ignore[import-untyped, unused-ignore]

from dsfunet._typing import Array
from dsfunet.files import replacing
from simulate.rotations import random_rotation
from simulate.species.catalogue import FOLDER, LATTICES, cell_from_size
from simulate.species.geometry import SHAPES, standard_frame
from simulate.species.ingredients import (
    ATOMS,
    IONS,
    MOLECULES,
    PEROVSKITES,
    ROTATED,
    Molecule,
    PerovskiteUnit,
)

SEED = 20260607
CONFORMERS = 10
VAN_DER_WAALS = "van der Waals box"


@dataclass(frozen=True)
class NewSpecies:
    """A species to be written: atoms and cell edges [Angstrom], and how they were obtained."""

    name: str
    group: str
    split: str
    elements: tuple[str, ...]
    positions: Array
    edges: tuple[float, float, float]
    edges_from: str
    how: str
    smiles: str | None = None
    rotated_copy_of: str | None = None


def build_ideal_species() -> Iterator[NewSpecies]:
    """Build the ions, atoms and perovskite units from bond lengths and lattice parameters."""
    for ion in IONS:
        corners = SHAPES[ion.shape]
        elements = (ion.centre, *[ion.ligand] * len(corners))
        positions = np.vstack([np.zeros(3), ion.bond_angstrom * corners])
        how = f"ideal {ion.shape}, {ion.centre}-{ion.ligand} {ion.bond_angstrom:.2f} Angstrom"
        edges = cell_from_size(elements, positions, LATTICES[ion.group])
        yield NewSpecies(ion.name, ion.group, ion.split, elements, positions, edges, VAN_DER_WAALS, how)
    for atom in ATOMS:
        edges = (atom.edge_angstrom,) * 3
        edges_from = f"lattice parameter of fcc {atom.element}"
        yield NewSpecies(
            atom.name, "spherical", atom.split, (atom.element,), np.zeros((1, 3)), edges, edges_from, "atom"
        )
    for unit in PEROVSKITES:
        yield _build_perovskite(unit)


def build_molecule_species(molecule: Molecule) -> NewSpecies:
    """Build a molecule: of ten conformers the one with the lowest MMFF94 energy, in its standard frame.

    Raises:
        RuntimeError: RDKit finds no conformer, has no MMFF94 parameters, or no minimisation converges.
    """
    # Imported here because the rest of this module and its tests work without RDKit.
    from rdkit import Chem, rdBase  # type: ignore[import-not-found, unused-ignore]
    from rdkit.Chem import AllChem  # type: ignore[import-not-found, unused-ignore]

    skeleton = Chem.AddHs(Chem.MolFromSmiles(molecule.smiles))
    parameters = AllChem.ETKDGv3()
    parameters.randomSeed = SEED
    conformers = list(AllChem.EmbedMultipleConfs(skeleton, CONFORMERS, parameters))
    if not conformers or not AllChem.MMFFHasAllMoleculeParams(skeleton):
        raise RuntimeError(
            f"{molecule.name}: RDKit has no conformer or no MMFF94 parameters for {molecule.smiles}"
        )
    results = AllChem.MMFFOptimizeMoleculeConfs(skeleton, maxIters=10000, mmffVariant="MMFF94")
    energies = [
        (round(energy, 4), index)
        for index, (unfinished, energy) in zip(conformers, results, strict=True)
        if not unfinished
    ]
    if not energies:
        raise RuntimeError(f"{molecule.name}: no MMFF94 minimisation converged")
    positions = standard_frame(np.array(skeleton.GetConformer(min(energies)[1]).GetPositions()))
    elements = tuple(atom.GetSymbol() for atom in skeleton.GetAtoms())
    recipe = f"RDKit {rdBase.rdkitVersion}, ETKDGv3, seed {SEED}, best MMFF94 energy of {CONFORMERS}"
    how = f"{molecule.smiles}; {recipe}"
    edges = cell_from_size(elements, positions, LATTICES[molecule.group])
    return NewSpecies(
        molecule.name, molecule.group, molecule.split, elements, positions, edges,
        VAN_DER_WAALS, how, molecule.smiles,
    )  # fmt: skip


def rotate_species(original: NewSpecies) -> NewSpecies:
    """Return a copy in a random orientation, which depends only on seed and name, with a cell of its own size."""
    rng = np.random.default_rng([SEED, zlib.crc32(original.name.encode())])
    positions = np.asarray(original.positions @ random_rotation(rng).T)
    edges = cell_from_size(original.elements, positions, LATTICES[original.group])
    return NewSpecies(
        f"{original.name}_rotated", original.group, original.split, original.elements, positions, edges,
        VAN_DER_WAALS, f"{original.name} in a random orientation, seed {SEED}",
        original.smiles, original.name,
    )  # fmt: skip


def hill_formula(elements: tuple[str, ...]) -> str:
    """Return the Hill formula: C, H, then the rest in alphabetical order; all alphabetical without C.

    The formula of a vacancy is empty.
    """
    counts = Counter(elements)
    first = ["C", "H"] if "C" in counts else []
    order = [symbol for symbol in first if symbol in counts] + sorted(set(counts) - set(first))
    return "".join(f"{symbol}{counts[symbol] if counts[symbol] > 1 else ''}" for symbol in order)


def format_xyz(species: NewSpecies) -> str:
    """Return the text of a plain XYZ file of the species."""
    # Adding zero turns -0.0, which only some eigenvector routines give, into 0.0.
    rows = np.round(species.positions, 6) + 0.0
    lines = [
        f"{symbol:<2} {x:12.6f} {y:12.6f} {z:12.6f}"
        for symbol, (x, y, z) in zip(species.elements, rows, strict=True)
    ]
    return "\n".join([str(len(lines)), f"{species.name}: {species.how}", *lines]) + "\n"


def catalogue_entry(species: NewSpecies) -> dict[str, object]:
    """Return the entry of the species in catalogue.yaml."""
    entry: dict[str, object] = {
        "name": species.name,
        "group": species.group,
        "split": species.split,
        "formula": hill_formula(species.elements),
        "cell_edges_angstrom": list(species.edges),
        "cell_edges_from": species.edges_from,
    }
    if species.smiles is not None:
        entry["smiles"] = species.smiles
    if species.rotated_copy_of is not None:
        entry["rotated_copy_of"] = species.rotated_copy_of
    return entry


def _build_perovskite(unit: PerovskiteUnit) -> NewSpecies:
    """Build a B site with oxygens at both ends of each bonded axis, or an empty site."""
    bonds = [(axis, bond) for axis, bond in enumerate(unit.bonds_angstrom) if bond is not None]
    oxygens = [sign * bond * np.eye(3)[axis] for axis, bond in bonds for sign in (1, -1)]
    elements = () if unit.element is None else (unit.element, *["O"] * len(oxygens))
    positions = np.array([np.zeros(3), *oxygens])[: len(elements)].reshape(-1, 3)
    edges = unit.edges_angstrom
    if edges is None:
        a, b, c = (round(2 * bond, 3) for _, bond in bonds)
        edges = (a, b, c)
    lengths = sorted({f"{bond:.3f}" for _, bond in bonds})
    how = f"ideal B-O unit, {unit.element}-O {', '.join(lengths)} Angstrom" if lengths else "empty B site"
    return NewSpecies(unit.name, "perovskite", unit.split, elements, positions, edges, unit.source, how)


def _replace(path: Path, text: str) -> None:
    """Write a file completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def main(folder: Path = FOLDER) -> None:
    """Write geometries/<group>/<name>.xyz for every species, and catalogue.yaml."""
    originals = [*build_ideal_species(), *map(build_molecule_species, MOLECULES)]
    by_name = {species.name: species for species in originals}
    all_species = sorted(
        [*originals, *(rotate_species(by_name[name]) for name in ROTATED)], key=lambda species: species.name
    )
    for species in all_species:
        _replace(folder / "geometries" / species.group / f"{species.name}.xyz", format_xyz(species))
    entries = yaml.safe_dump(
        [catalogue_entry(species) for species in all_species], sort_keys=False, default_flow_style=None
    )
    _replace(
        folder / "catalogue.yaml",
        "# Written by build_geometries.py: edit ingredients.py instead.\n" + entries,
    )


if __name__ == "__main__":
    main()
