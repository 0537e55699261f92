"""Simulate the volume that `make demo` factorises, and write it in two file formats.

The crystal has equal amounts of p-cresol and benzene on a hexagonal lattice with c unique. Neither species is in the
training data of the shipped weights. In the ab plane unlike neighbours are preferred, and there is no correlation
along c, so diffuse honeycombs surround the Bragg positions. The volume has the layers l = 0, 1/2 and 1 on a grid along
the crystal's axes, which is oblique, with counting noise. Pixels that a Pilatus 2M does not measure are NaN.

cresol_benzene.h5 is in the format Yell 1.0, stored as [h, k, l]. cresol_benzene.nxs is NeXus, as NXRefine writes a
transform, stored as [Ql, Qk, Qh] with an array of coordinates along each axis. Both have the same numbers and give the
same planes. p_cresol.xyz and benzene.xyz are the two species in their orientation in the crystal.

Run `python -m examples.make_example`; the same seed gives the same files.
"""

from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from dsfunet.files import replacing
from dsfunet.physics import (
    ALPHA_SHAPE,
    MAX_INDEX,
    Cell,
    Molecule,
    Plane,
    form_factor_intensity,
    short_range_order_intensity,
)
from simulate.artefacts.masks import MaskRecipe, draw_mask
from simulate.species import load_catalogue

FOLDER = Path(__file__).parent
YELL, NEXUS = FOLDER / "cresol_benzene.h5", FOLDER / "cresol_benzene.nxs"
CELL = Cell(8.4, 8.4, 3.6, 90.0, 90.0, 120.0)
LAYERS = (0.0, 0.5, 1.0)
LARGEST_INDEX, PIXELS_ALONG_AXIS = 8.0, 257
BRIGHTEST_COUNTS = 2000
DEBYE_WALLER_B_ANGSTROM2 = 1.5
LARGEST_Q_INV_ANGSTROM = 6.9
SEED = 7

ALPHA_OF_SHELL = {1: -0.2, 3: 0.1, 4: -0.03}
"""Warren-Cowley parameters by squared length of the in-plane vector [a^2], for neighbours at a, sqrt(3) a and 2 a."""


def example_alphas() -> npt.NDArray[np.float64]:
    """Return the alphas of the example (11, 11, 11), six-fold about c and zero outside the ab plane."""
    alphas = np.zeros(ALPHA_SHAPE)
    i, j = np.indices(ALPHA_SHAPE[:2]) - MAX_INDEX
    squared_length = i**2 + j**2 - i * j  # gamma = 120 degrees
    for shell, alpha in {0: 1.0, **ALPHA_OF_SHELL}.items():
        alphas[:, :, MAX_INDEX][squared_length == shell] = alpha
    return alphas


def example_molecules() -> tuple[Molecule, Molecule]:
    """Return p-cresol and benzene lying flat in the ab plane; in the catalogue their normal is b."""
    # A quarter turn about x takes y to z and z to -y.
    turn = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    catalogue = {species.name: species for species in load_catalogue()}
    first, second = catalogue["p_cresol"], catalogue["benzene"]
    return (
        Molecule(first.elements, first.positions_angstrom).rotated(turn),
        Molecule(second.elements, second.positions_angstrom).rotated(turn),
    )


def layer_plane(offset: float) -> Plane:
    """Return the pixel positions of the layer h k `offset` on the oblique grid of the file."""
    step = 2 * LARGEST_INDEX / (PIXELS_ALONG_AXIS - 1)
    reciprocal = CELL.reciprocal
    shape = (PIXELS_ALONG_AXIS, PIXELS_ALONG_AXIS)
    return Plane(offset * reciprocal[2], step * reciprocal[0], step * reciprocal[1], shape)


def simulate_layers() -> npt.NDArray[np.float32]:
    """Simulate the counts of all layers, (h, k, l), with NaN where nothing is measured."""
    rng = np.random.default_rng(SEED)
    layers = []
    for offset in LAYERS:
        plane = layer_plane(offset)
        form_factor = form_factor_intensity(*example_molecules(), plane, 0.5, DEBYE_WALLER_B_ANGSTROM2)
        intensity = form_factor * short_range_order_intensity(example_alphas(), CELL, plane)
        counts = rng.poisson(intensity * (BRIGHTEST_COUNTS / intensity.max())).astype(np.float32)
        recipe = MaskRecipe(
            detectors=("pilatus_2m",), share_unmasked=0.0, missing_fraction=(0.1, 0.45), share_swung=0.0
        )
        measured = draw_mask(rng, plane.origin, plane.step_u, plane.step_v, plane.shape, recipe)
        measured &= plane.q_squared() <= LARGEST_Q_INV_ANGSTROM**2  # the experiment's resolution
        layers.append(np.where(measured, counts, np.nan).astype(np.float32))
    return np.stack(layers, axis=-1)


def write_yell(path: Path, layers: npt.NDArray[np.float32]) -> None:
    """Write the volume in the format of Yell 1.0 and Meerkat: limits, steps and data [h, k, l]."""
    step = 2 * LARGEST_INDEX / (PIXELS_ALONG_AXIS - 1)
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file["format"] = "Yell 1.0"
        file["is_direct"] = 0
        file["lower_limits"] = [-LARGEST_INDEX, -LARGEST_INDEX, LAYERS[0]]
        file["step_sizes"] = [step, step, LAYERS[1] - LAYERS[0]]
        file["unit_cell"] = CELL.parameters
        file.create_dataset("data", data=layers, compression="gzip", shuffle=True)


def write_nexus(path: Path, layers: npt.NDArray[np.float32]) -> None:
    """Write the volume as an NXRefine transform: NXdata over [Ql, Qk, Qh] in one file, with the cell in the sample."""
    in_plane = np.linspace(-LARGEST_INDEX, LARGEST_INDEX, PIXELS_ALONG_AXIS)
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update({"NX_class": "NXroot", "default": "entry"})
        entry = file.create_group("entry")
        entry.attrs.update({"NX_class": "NXentry", "default": "transform"})
        entry["title"] = "p-cresol and benzene, simulated"
        sample = entry.create_group("sample")
        sample.attrs["NX_class"] = "NXsample"
        sample["name"] = "cresol_benzene"
        for name, value in zip(("a", "b", "c", "alpha", "beta", "gamma"), CELL.parameters, strict=True):
            sample[f"unitcell_{name}"] = value
            sample[f"unitcell_{name}"].attrs["units"] = "angstrom" if len(name) == 1 else "degree"
        transform = entry.create_group("transform")
        transform.attrs.update({"NX_class": "NXdata", "signal": "data", "axes": ["Ql", "Qk", "Qh"]})
        for name, values in (("Qh", in_plane), ("Qk", in_plane), ("Ql", np.array(LAYERS))):
            transform[name] = values
            transform[name].attrs["units"] = "r.l.u."
        transform.create_dataset(
            "data", data=layers.T, chunks=(1, *layers.shape[1::-1]), compression="gzip", shuffle=True
        )


def write_molecules(folder: Path) -> list[Path]:
    """Write both molecules as XYZ files for compare, scan and refine, with a along x and b in the xy plane."""
    paths = []
    for name, molecule in zip(("p_cresol", "benzene"), example_molecules(), strict=True):
        atoms = [
            f"{element:2} {x:10.5f} {y:10.5f} {z:10.5f}"
            for element, (x, y, z) in zip(molecule.elements, molecule.positions_angstrom + 0.0, strict=True)
        ]
        paths.append(folder / f"{name}.xyz")
        with replacing(paths[-1]) as temporary:
            text = "\n".join([str(len(atoms)), f"{name}, flat in the ab plane", *atoms, ""])
            temporary.write_text(text, encoding="utf-8")
    return paths


def main() -> None:
    """Simulate the volume, and write it in both formats together with both molecules."""
    layers = simulate_layers()
    for path, write in ((YELL, write_yell), (NEXUS, write_nexus)):
        write(path, layers)
        print(f"wrote {path.name}: {path.stat().st_size / 1e3:.0f} kB")
    for path in write_molecules(FOLDER):
        print(f"wrote {path.name}")


if __name__ == "__main__":
    main()
