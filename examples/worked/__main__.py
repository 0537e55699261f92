"""`python -m examples.worked --out FOLDER`: measures three crystals and finds their parameters again."""

import sys
from pathlib import Path
from typing import Any

from jsonargparse import CLI
from tqdm import tqdm

from dsfunet.errors import InputError
from dsfunet.factorize import Factorizer
from dsfunet.io import write_result
from dsfunet.io.files import replacing
from dsfunet.plots import save_png
from dsfunet.separation import separate
from dsfunet.shards import write_json
from examples.worked.crystals import CRYSTALS
from examples.worked.figures import draw_planes, draw_pulls, draw_torsion
from examples.worked.recovery import recover
from examples.worked.report import Recoveries, as_markdown, as_plain
from examples.worked.torsion import TorsionFound, find_torsion


def run(out: str = "example", seeds: int = 100) -> None:
    """Simulate three crystals, factorise them in lattice mode, refine their correlations and find a torsion.

    Args:
        out: folder for report.md, report.json, a NeXus file a crystal, and pictures.
        seeds: noise seeds a crystal, two or more.
    """
    if seeds < 2:
        raise InputError(f"seeds is {seeds}: expected 2 or more, a distribution")
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be made a folder ({error.strerror})") from error
    factorizer = Factorizer.from_pretrained()
    recoveries: list[Recoveries] = []
    torsion: TorsionFound | None = None
    for make in CRYSTALS:
        crystal = make()
        layer = crystal.layers[0]
        result = separate(layer.measured(0), factorizer, source=crystal.name).result
        write_result(folder / f"{crystal.name}.nxs", result)
        save_png(draw_planes(layer, result), folder / f"{crystal.name}.png", dots_per_inch=90)
        found = recover(crystal, factorizer, tqdm(range(seeds), crystal.name, unit="plane"))
        save_png(draw_pulls(found), folder / f"{crystal.name}_pulls.png", dots_per_inch=90)
        recoveries.append(found)
        if torsion is None:
            torsion = find_torsion(result)
            save_png(draw_torsion(torsion), folder / "torsion.png", dots_per_inch=90)
    assert torsion is not None
    digest = factorizer.generators.digest
    write_json(folder / "report.json", as_plain(recoveries, torsion, digest))
    with replacing(folder / "report.md") as temporary:
        temporary.write_text(as_markdown(recoveries, torsion, digest), encoding="utf-8")
    print((folder / "report.md").read_text(encoding="utf-8"))


def main(args: Any = None) -> int:
    """Run; returns 0, or 2 with one sentence on standard error when the request is at fault."""
    try:
        CLI(run, args=args, as_positional=False)
    except InputError as error:
        print(f"examples.worked: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
