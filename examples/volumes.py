"""`python -m examples.volumes --out FOLDER`: whole volumes from file to table and picture, beside the truth.

Each volume is split as `dsfunet factorize VOLUME --volume` does without any other option, and refined as `dsfunet
refine` does with its Laue class. Without --volumes they are three virtual crystals of `tests.virtual_crystals`, a
forward model that shares no code with the fit. With it, they are NAME.h5 in a folder, and NAME.json holds "alphas" or
"alphas in half edges" by vector.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dsfunet.analysis.formatting import with_uncertainty
from dsfunet.analysis.volume_refinement import VolumeRefinementSettings, refine_volume_file
from dsfunet.command_parser import Parser, run_script
from dsfunet.errors import InputError
from dsfunet.factorize.volume import factorize_volume
from dsfunet.io.volume_results import open_volume_result
from examples.worked.page import fill_tables

_OWN = {"F alloy": "m-3m", "ring": "mmm", "cluster": "m-3m"}
_KNOWN = {"cu3au_vol_0": "m-3m", "guest_vol_0": "2/m", "pba_vol_0": "m-3m"}
_SHOWN = 6


@dataclass(frozen=True)
class Example:
    """A volume and what is true of it.

    Attributes:
        name: of the volume, and of the files that are written.
        file: to read.
        laue: Laue class.
        truth: alphas by vector in the conventional cell.
    """

    name: str
    file: Path
    laue: str
    truth: Mapping[tuple[Fraction, ...], float]


def read_examples(folder: Path) -> Iterator[Example]:
    """Yield the known volumes of a folder.

    Raises:
        InputError: there is none.
    """
    files = [folder / f"{name}.h5" for name in _KNOWN]
    found = [file for file in files if file.is_file() and file.with_suffix(".json").is_file()]
    if not found:
        raise InputError(f"--volumes {folder}: found none of {', '.join(_KNOWN)}; expected .h5 and .json")
    for file in found:
        record = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        parts = 1 if "alphas" in record else 2
        values = record["alphas"] if parts == 1 else record["alphas in half edges"]
        truth = {
            tuple(Fraction(int(each), parts) for each in name.split()): float(alpha)
            for name, alpha in values.items()
        }
        yield Example(file.stem, file, _KNOWN[file.stem], truth)


def make_examples(folder: Path) -> Iterator[Example]:
    """Write virtual volumes as Yell files, and yield them one after the other."""
    from tests.virtual_volumes import measure_volume

    for name, laue in _OWN.items():
        volume = measure_volume(name, 0, (3.0, 3.0, 3.0), (1 / 10, 1 / 10, 1 / 10), missing=True)
        a, b, c, beta = volume.correlations.crystal.cell
        file = folder / f"{name.replace(' ', '_')}.h5"
        with h5py.File(file, "w") as written:
            written["format"], written["is_direct"] = "Yell 1.0", 0
            written["data"] = np.where(volume.mask, volume.counts, np.nan)
            written["lower_limits"] = [axis[0] for axis in volume.axes]
            written["step_sizes"] = np.full(3, 1 / 10)
            written["unit_cell"] = [a, b, c, 90.0, beta, 90.0]
        sites = volume.correlations.occupations[0] >= 0
        truth = {}
        for place in np.ndindex(5, 5, 5):
            halves = (place[0] - 2, place[1] - 2, place[2] - 2)
            joined = sites & np.roll(sites, [-each for each in halves], (0, 1, 2))
            if any(halves) and joined.any():
                vector = tuple(Fraction(each, 2) for each in halves)
                truth[vector] = volume.correlations.count_pairs(halves)
        yield Example(file.stem, file, laue, truth)


def run_example(example: Example, folder: Path) -> str:
    """Split and refine a volume, write its result and pictures, and return a table of truth and what was found."""
    result = folder / f"{example.name}.nxs"
    found = factorize_volume(example.file, result)
    length = found.fit.cell.direct
    vectors = sorted(
        example.truth, key=lambda each: float(np.linalg.norm(np.array(each, dtype=float) @ length))
    )
    refinement = refine_volume_file(result, VolumeRefinementSettings(example.laue, shells=5))
    by_vector = {
        tuple(Fraction(str(part)) for part in each): alpha
        for alpha in refinement.alphas
        for each in alpha.equivalents
    }
    refinement.write({"png": folder / f"example_{example.name}_alphas.png"})
    draw_sections(result, folder / f"example_{example.name}.png")
    lines = [
        f"Centring {found.fit.centring} ({found.centring_from}), chi-squared {found.fit.chi_squared:.2f},"
        f" {100 * (1 - found.measured_share):.0f} % missing, Laue class {example.laue}.",
        "",
        "| vector | truth | found |",
        "|---|---|---|",
    ]
    reported: set[str] = set()
    for vector in vectors:
        alpha = by_vector.get(vector)
        if alpha is None or alpha.name in reported or len(reported) == _SHOWN:
            continue
        reported.add(alpha.name)
        same = {tuple(Fraction(str(part)) for part in each) for each in alpha.equivalents}
        truth = float(np.mean([value for each, value in example.truth.items() if each in same]))
        value = with_uncertainty(alpha.value, alpha.standard_uncertainty)
        lines.append(f"| {alpha.name} | {truth:.4f} | {value} |")
    return "\n".join(lines)


def draw_sections(result: Path, picture: Path) -> None:
    """Draw the layer hk0 of the measured volume and of both factors."""
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    with open_volume_result(result) as volume:
        middle = int(np.argmin(np.abs(volume.axes[2])))
        names = {"input": "measured", "form_factor": "form factor", "short_range_order": "short-range order"}
        for panel, (name, title) in zip(figure.subplots(1, 3), names.items(), strict=True):
            values = np.asarray(volume.datasets[name][:, :, middle], dtype=np.float64)
            panel.imshow(
                values.T,
                origin="lower",
                extent=(*volume.axes[0][[0, -1]].tolist(), *volume.axes[1][[0, -1]].tolist()),
                vmin=0,
                vmax=float(np.nanquantile(values, 0.995)),
                cmap="inferno",
                aspect="auto",
            )
            panel.set(title=f"{title}, hk0", xlabel="h", ylabel="k")
    figure.savefig(picture, dpi=60)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = Parser(prog="python -m examples.volumes", description=__doc__)
    parser.add_argument("--out", type=str, required=True, help="folder for results, pictures and tables.json")
    parser.add_argument("--volumes", type=str | None, help="folder of volumes with their truth")
    parser.add_argument("--page", type=str | None, help="page to update; its pictures go next to it")
    options = parser.parse_args(arguments)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    examples = make_examples(folder) if options.volumes is None else read_examples(Path(options.volumes))
    tables = json.loads((folder / "tables.json").read_text()) if (folder / "tables.json").is_file() else {}
    for example in examples:
        if example.name not in tables:  # a run that was stopped goes on
            tables[example.name] = run_example(example, folder)
            (folder / "tables.json").write_text(json.dumps(tables, indent=1), encoding="utf-8")
        print(f"## {example.name}\n\n{tables[example.name]}\n", flush=True)
    if options.page is not None:
        page = Path(options.page)
        page.write_text(fill_tables(page.read_text(encoding="utf-8"), tables), encoding="utf-8")
        for picture in sorted(folder.glob("example_*.png")):
            page.with_name(picture.name).write_bytes(picture.read_bytes())
    return 0


if __name__ == "__main__":
    run_script(main, "examples.volumes")
