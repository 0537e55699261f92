"""Input data of the species library: names, groups, splits, SMILES, bond lengths and lattice parameters.

Only the development script `build_geometries` imports this module. Lengths are in Angstrom. Species that closely
resemble a validation species (quinuclidine for DABCO, indole for methylindole) are left out of training on purpose, so
that validation measures generalisation.
"""

from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "validation"]
Shape = Literal["tetrahedron", "octahedron", "triangle"]


@dataclass(frozen=True)
class Molecule:
    """An organic molecule or ion, given by its SMILES string."""

    name: str
    group: str
    split: Split
    smiles: str


@dataclass(frozen=True)
class IdealIon:
    """A central atom with equal bonds [Angstrom] to the corners of a regular shape."""

    name: str
    group: str
    split: Split
    centre: str
    ligand: str
    shape: Shape
    bond_angstrom: float


@dataclass(frozen=True)
class Atom:
    """A single atom in the cell of its face-centred cubic metal, edge a [Angstrom] at room temperature."""

    name: str
    split: Split
    element: str
    edge_angstrom: float


@dataclass(frozen=True)
class PerovskiteUnit:
    """A B-site atom and its oxygens.

    `bonds_angstrom` are the B-O bonds along a, b and c [Angstrom]; None means no oxygens on that axis. A cell edge is
    twice the bond along it, since neighbouring units share an oxygen, unless `edges_angstrom` is given. An `element` of
    None is the empty site.
    """

    name: str
    split: Split
    element: str | None
    bonds_angstrom: tuple[float | None, float | None, float | None]
    source: str
    edges_angstrom: tuple[float, float, float] | None = None


def _molecules(group: str, split: Split, table: dict[str, str]) -> tuple[Molecule, ...]:
    return tuple(Molecule(name, group, split, smiles) for name, smiles in table.items())


MOLECULES: tuple[Molecule, ...] = (
    *_molecules("spherical", "train", {
        "norbornene": "C1=CC2CCC1C2",
        "adamantane": "C1C2CC3CC1CC(C2)C3",
        "norbornane": "C1CC2CCC1C2",
        "cubane": "C12C3C4C1C5C2C3C45",
        "neopentane": "CC(C)(C)C",
        "tetramethylammonium": "C[N+](C)(C)C",
        "hexamethylenetetramine": "C1N2CN3CN1CN(C2)C3",
        "carbon_tetrachloride": "ClC(Cl)(Cl)Cl",
        "camphor": "CC1(C)C2CCC1(C)C(=O)C2",
    }),
    *_molecules("spherical", "validation", {"dabco": "C1CN2CCN1CC2"}),
    *_molecules("chains", "train", {
        "diethyl_ether": "CCOCC",
        "dimethylammonium": "C[NH2+]C",
        "ethanol": "CCO",
        "dichloroethane": "ClCCCl",
        "dimethyl_sulfoxide": "CS(=O)C",
        "triflate": "[O-]S(=O)(=O)C(F)(F)F",
        "trifluoroacetate": "[O-]C(=O)C(F)(F)F",
        "methanol": "CO",
        "propane": "CCC",
        "butane": "CCCC",
        "propanol": "CCCO",
        "isopropanol": "CC(C)O",
        "methylammonium": "C[NH3+]",
        "ethylammonium": "CC[NH3+]",
        "acetate": "CC(=O)[O-]",
        "dimethoxyethane": "COCCOC",
        "mesylate": "CS(=O)(=O)[O-]",
        "ethylene_glycol": "OCCO",
        "bromoethane": "CCBr",
        "ethylenediamine": "NCCN",
        "glycine": "NCC(=O)O",
    }),
    *_molecules("chains", "validation", {
        "isobutanol": "CC(C)CO",
        "dichloromethane": "ClCCl",
        "acetonitrile": "CC#N",
        "guanylthiourea": "NC(=S)N=C(N)N",
    }),
    *_molecules("rings", "train", {
        "dimethylpyrazolate": "Cc1cc(C)[n-]n1",
        "water": "O",
        "dimethylformamide": "CN(C)C=O",
        "nitromethane": "C[N+](=O)[O-]",
        "tert_butanol": "CC(C)(C)O",
        "tetrahydrofuran": "C1CCOC1",
        "dithiolane": "C1CSCS1",
        "chloroform": "ClC(Cl)Cl",
        "cyclohexane": "C1CCCCC1",
        "dioxane": "C1COCCO1",
        "acetone": "CC(=O)C",
        "imidazole": "c1cnc[nH]1",
        "thiophene": "c1ccsc1",
        "dimethylacetamide": "CN(C)C(C)=O",
        "pyrrole": "c1cc[nH]c1",
        "furan": "c1ccoc1",
        "cyclopentane": "C1CCCC1",
        "urea": "NC(=O)N",
        "thiourea": "NC(=S)N",
        "morpholine": "C1COCCN1",
        "pyrazole": "c1cn[nH]c1",
        "oxazole": "c1cocn1",
        "ethylene_carbonate": "O=C1OCCO1",
    }),
    *_molecules("rings", "validation", {
        "guanidinium": "NC(N)=[NH2+]",
        "methylimidazole": "Cn1ccnc1",
        "piperazine": "C1CNCCN1",
        "butyrolactone": "O=C1CCCO1",
    }),
    *_molecules("aromatic", "train", {
        "aniline": "Nc1ccccc1",
        "chlorobenzene": "Clc1ccccc1",
        "pyridine": "c1ccncc1",
        "hexachlorobenzene": "Clc1c(Cl)c(Cl)c(Cl)c(Cl)c1Cl",
        "benzoate": "[O-]C(=O)c1ccccc1",
        "benzoquinone": "O=C1C=CC(=O)C=C1",
        "cymene": "Cc1ccc(cc1)C(C)C",
        "dichlorobenzene": "Clc1ccc(Cl)cc1",
        "fluorobenzene": "Fc1ccccc1",
        "hydroxyquinoline": "Oc1cccc2cccnc12",
        "naphthalene": "c1ccc2ccccc2c1",
        "toluene": "Cc1ccccc1",
        "phenol": "Oc1ccccc1",
        "nitrobenzene": "[O-][N+](=O)c1ccccc1",
        "xylene": "Cc1ccc(C)cc1",
        "mesitylene": "Cc1cc(C)cc(C)c1",
        "benzonitrile": "N#Cc1ccccc1",
        "pyrazine": "c1cnccn1",
        "triazine": "c1ncncn1",
        "anisole": "COc1ccccc1",
        "hexafluorobenzene": "Fc1c(F)c(F)c(F)c(F)c1F",
        "bromobenzene": "Brc1ccccc1",
        "resorcinol": "Oc1cccc(O)c1",
    }),
    *_molecules("aromatic", "validation", {
        "methylindole": "Cc1c[nH]c2ccccc12",
        "methylbenzoxazine": "CC1=Nc2ccccc2OC1",
        "methylquinolinol": "Cc1ccc2cccc(O)c2n1",
        "p_cresol": "Cc1ccc(O)cc1",
        "benzene": "c1ccccc1",
    }),
)  # fmt: skip

# Typical bond lengths of the ions in crystals, rounded to 0.01.
IONS: tuple[IdealIon, ...] = (
    IdealIon("perchlorate", "spherical", "train", "Cl", "O", "tetrahedron", 1.44),
    IdealIon("sulfate", "spherical", "train", "S", "O", "tetrahedron", 1.48),
    IdealIon("ammonium", "spherical", "train", "N", "H", "tetrahedron", 1.03),
    IdealIon("phosphate", "spherical", "train", "P", "O", "tetrahedron", 1.54),
    IdealIon("selenate", "spherical", "train", "Se", "O", "tetrahedron", 1.64),
    IdealIon("permanganate", "spherical", "train", "Mn", "O", "tetrahedron", 1.61),
    IdealIon("tetrachloroaluminate", "spherical", "train", "Al", "Cl", "tetrahedron", 2.13),
    IdealIon("hexafluorophosphate", "spherical", "train", "P", "F", "octahedron", 1.60),
    IdealIon("hexafluorosilicate", "spherical", "train", "Si", "F", "octahedron", 1.69),
    IdealIon("tetrafluoroborate", "spherical", "validation", "B", "F", "tetrahedron", 1.39),
    IdealIon("hexafluoroantimonate", "spherical", "validation", "Sb", "F", "octahedron", 1.87),
    IdealIon("nitrate", "rings", "train", "N", "O", "triangle", 1.25),
    IdealIon("carbonate", "rings", "train", "C", "O", "triangle", 1.28),
)

ATOMS: tuple[Atom, ...] = (
    Atom("aluminium", "train", "Al", 4.050),
    Atom("copper", "train", "Cu", 3.615),
    Atom("silver", "train", "Ag", 4.086),
    Atom("gold", "validation", "Au", 4.078),
)


def _cubic(name: str, split: Split, element: str, edge: float, source: str) -> PerovskiteUnit:
    return PerovskiteUnit(name, split, element, (edge / 2, edge / 2, edge / 2), source)


# The octahedra of the real structures (Pbnm, four formula units in the volume V) are tilted. The ideal unit has the
# pseudo-cubic edge (V / 4)^(1/3), rounded to 0.01, and straight B-O-B bonds. Only the values of CaTiO3 and CaMnO3 were
# compared with their sources; the others have not been checked (README, "Sources").
PEROVSKITES: tuple[PerovskiteUnit, ...] = (
    _cubic("CaTiO3", "train", "Ti", 3.83, "Yamanaka et al. (2002), Am. Mineral. 87, 1183"),
    _cubic("CaMnO3", "train", "Mn", 3.73, "Paszkowicz et al., Powder Diffr., lattice parameters of CaMnO3"),
    _cubic("CaMoO3", "train", "Mo", 3.90, "Kamata et al. (1978), Mater. Res. Bull. 13, 49"),
    _cubic("CaZrO3", "train", "Zr", 4.01, "Koopmans et al. (1983), Acta Cryst. C39, 1323"),
    _cubic("CaFeO3", "train", "Fe", 3.77, "Woodward et al. (2000), Phys. Rev. B 62, 844"),
    PerovskiteUnit(
        "CaCuO_square", "train", "Cu", (1.93, 1.93, None),
        "infinite layer: Siegrist et al. (1988), Nature 334, 231", (3.86, 3.86, 3.20),
    ),
    PerovskiteUnit(
        "CaCuO_jahn_teller", "train", "Cu", (1.90, 1.90, 2.41),
        "Cu-O as in La2CuO4: Jorgensen et al. (1987), Phys. Rev. Lett. 58, 1024",
    ),
    PerovskiteUnit(
        "B_site_vacancy", "train", None, (None, None, None), "the cell of CaTiO3", (3.83, 3.83, 3.83)
    ),
    _cubic("CaSnO3", "validation", "Sn", 3.95, "Zhao et al. (2004), Phys. Chem. Miner. 31, 299"),
    _cubic("CaVO3", "validation", "V", 3.77, "Chamberland & Danielson (1971), J. Solid State Chem. 3, 243"),
    _cubic("CaRuO3", "validation", "Ru", 3.84, "Bensch et al. (1990), Solid State Ionics 43, 171"),
)  # fmt: skip

# These 43 species also exist as randomly rotated copies, in the split of their original.
ROTATED: tuple[str, ...] = (
    "perchlorate", "sulfate", "hexafluorophosphate", "norbornene", "ammonium", "adamantane",
    "tetramethylammonium",
    "diethyl_ether", "dimethylammonium", "ethanol", "dichloroethane", "dimethyl_sulfoxide", "triflate",
    "trifluoroacetate", "dimethylpyrazolate", "dimethylformamide", "nitromethane", "tetrahydrofuran",
    "nitrate",
    "cyclohexane", "imidazole", "thiophene", "acetone", "aniline", "pyridine", "chlorobenzene",
    "hexachlorobenzene", "benzoquinone", "naphthalene", "toluene", "fluorobenzene",
    "dabco", "tetrafluoroborate", "hexafluoroantimonate", "isobutanol", "dichloromethane", "acetonitrile",
    "guanidinium", "methylimidazole", "piperazine", "methylindole", "p_cresol", "benzene",
)  # fmt: skip
