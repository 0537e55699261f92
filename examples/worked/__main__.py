"""`python -m examples.worked --out example`: simulate, factorise and refine three crystals, and compare with the truth.

It writes tables.md, numbers.json and the figures. For use with `dsfunet refine`, `compare` and `scan` it also writes
the three results of seed 0 and the two columns of the tricarboxamide. The folder is written completely or not at all.
"""

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from jsonargparse.typing import PositiveInt

from dsfunet import Factorizer
from dsfunet.analysis.models.molecules import LabelledMolecule
from dsfunet.command_parser import Parser
from dsfunet.errors import InputError
from dsfunet.factorize.pipeline import factorize_plane
from dsfunet.io import check_writable, write_result
from dsfunet.plotting.result import save_png
from examples.worked import tables
from examples.worked.crystals import all_crystals
from examples.worked.figures import draw_alphas, draw_planes, draw_pulls, draw_torsion
from examples.worked.page import update_page
from examples.worked.recovery import METHODS, run_trials, select_components, summarise_pulls
from examples.worked.torsion import scan_torsion

NUMBERS = "numbers.json"
_SHOWN_SEED = 0


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; invalid input ends it with one error line and exit status 1."""
    parser = Parser(
        prog="python -m examples.worked", description="Compute the worked examples of docs/examples.md."
    )
    parser.add_argument(
        "--out", type=str, required=True, help="output folder: new, empty, or from an earlier run"
    )
    parser.add_argument(
        "--seeds", type=PositiveInt, default=100, help="number of seeds of the counting noise, 2 or more"
    )
    parser.add_argument(
        "--torsion-seeds",
        type=PositiveInt,
        default=20,
        help="number of these seeds for the torsion scan, 2 or more",
    )
    parser.add_argument(
        "--processes",
        type=PositiveInt,
        default=os.cpu_count() or 1,
        help="number of worker processes; it does not change the numbers",
    )
    parser.add_argument(
        "--page", type=str | None, help="page to update with the tables; the pictures go next to it"
    )
    settings = parser.parse_args(arguments)
    try:
        page = Path(settings.page) if settings.page else None
        if page:
            check_writable(page)
        out = Path(settings.out).resolve()
        write_examples(out, settings.seeds, settings.torsion_seeds, settings.processes)
        if page:
            update_page(page, out, json.loads((out / NUMBERS).read_text(encoding="utf-8"))["tables"])
            print(f"updated {page}")
    except InputError as error:
        sys.exit(f"error: {error}")


def write_examples(out: Path, seeds: int, torsion_seeds: int, processes: int) -> None:
    """Compute everything and write it to the folder `out`.

    Raises:
        InputError: a number of seeds is below 2, `torsion_seeds` exceeds `seeds`, or `out` has other contents.
    """
    if not 2 <= torsion_seeds <= seeds:
        raise InputError(
            f"--seeds is {seeds} and --torsion-seeds is {torsion_seeds}; expected 2 or more of each, and no more"
            " torsion seeds than seeds"
        )
    if out.exists() and not (out.is_dir() and (not any(out.iterdir()) or (out / NUMBERS).is_file())):
        raise InputError(f"{out}: this is not a folder of worked examples; choose a new or an empty folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
        folder = Path(temporary) / "done"
        folder.mkdir()
        _write_results(folder, seeds, torsion_seeds, processes)
        if out.exists():
            shutil.rmtree(out)
        folder.rename(out)
    print((out / "tables.md").read_text(encoding="utf-8"))
    print(f"wrote {out.name}/")


def _write_results(folder: Path, seeds: int, torsion_seeds: int, processes: int) -> None:
    crystals = all_crystals()
    organic = crystals[0]
    trials = run_trials(crystals, seeds, torsion_seeds, processes)
    pulls = {
        crystal.name: {
            method: summarise_pulls(trials[crystal.name], method, crystal.refined_truth) for method in METHODS
        }
        for crystal in crystals
    }
    factorizer = Factorizer.from_pretrained("cpu")
    results = {
        crystal.name: factorize_plane(crystal.measured(_SHOWN_SEED), factorizer=factorizer).result
        for crystal in crystals
    }
    curves = {
        "lattice mode": scan_torsion(organic, select_components(results[organic.name], organic, "lattice")),
        "networks alone": scan_torsion(
            organic, select_components(results[organic.name], organic, "networks")
        ),
        "put in": scan_torsion(organic, select_components(results[organic.name], organic, "truth")),
        "lattice mode, both columns turned alike": scan_torsion(
            organic, select_components(results[organic.name], organic, "lattice"), same_sense=True
        ),
    }
    errors = {crystal.name: tables.component_errors(crystal, results[crystal.name]) for crystal in crystals}
    single_planes = {
        crystal.name: tables.single_plane_record(crystal, results[crystal.name], factorizer)
        for crystal in crystals[1:]
    }
    pairs = {crystal.name: tables.debye_waller_record(crystal, results[crystal.name]) for crystal in crystals}
    torsion = tables.torsion_record(curves, trials[organic.name][:torsion_seeds])
    numbers = {
        "seeds": seeds,
        "torsion_seeds": torsion_seeds,
        "weights": {name: factorizer.description[name] for name in ("name", "digest")},
        "lattice_mode": {name: result.process["lattice_mode"] for name, result in results.items()},
        "components": errors,
        "pulls": tables.pulls_record(pulls, crystals),
        "torsion": torsion,
        "unseen": single_planes,
        "debye_waller": pairs,
    }
    parts = {
        "Components": tables.components_table(crystals, errors, trials),
        **{
            f"Correlations: {crystal.name}": tables.alphas_table(crystal, pulls[crystal.name])
            for crystal in crystals
        },
        "Pulls": tables.pulls_table(crystals, pulls),
        "Torsion": tables.torsion_table(curves, torsion),
        "What one plane gives": tables.single_plane_table(crystals[1:], single_planes),
        "Two planes together": tables.joint_table(crystals[1:], single_planes),
        "Debye-Waller": tables.debye_waller_table(crystals, pairs),
    }
    title = f"# Worked examples: {seeds} seeds, weights {factorizer.description['digest'][:12]}"
    sections = [title, *(f"## {name}\n\n{table}" for name, table in parts.items())]
    (folder / "tables.md").write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    numbers["tables"] = parts
    text = json.dumps(numbers, indent=1, allow_nan=False, ensure_ascii=False)
    (folder / NUMBERS).write_text(text + "\n", encoding="utf-8")
    for crystal in crystals:
        result = results[crystal.name]
        write_result(folder / f"{crystal.name}.nxs", result)
        save_png(draw_planes(crystal, result), folder / f"example_{crystal.name}.png", 70)
    save_png(draw_alphas(crystals, pulls), folder / "example_alphas.png", 90)
    save_png(draw_pulls(crystals, trials), folder / "example_pulls.png", 90)
    save_png(draw_torsion(curves, trials[organic.name]), folder / "example_torsion.png", 90)
    for name, species in (("up", organic.pair.first), ("down", organic.pair.second)):
        _write_xyz(folder / f"column_{name}.xyz", species)


def _write_xyz(path: Path, molecule: LabelledMolecule) -> None:
    atoms = zip(molecule.elements, molecule.positions_angstrom, strict=True)
    rows = [f"{element} {x:.4f} {y:.4f} {z:.4f}" for element, (x, y, z) in atoms]
    path.write_text("\n".join([str(len(rows)), molecule.formula, *rows]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
