"""Description of the result of a whole volume: what it holds, how it was made, and how many correlations it has."""

from pathlib import Path

import numpy as np

from dsfunet.inspection.describe_volume import Lines
from dsfunet.io.volume_results import VOLUMES, open_volume_result, read_correlations

_LONGEST_RECORD = 100


def describe_volume_record(path: Path) -> Lines:
    """Describe the record and the correlations of a result of a volume, a line each.

    Raises:
        InputError: the file is damaged.
    """
    correlations = read_correlations(path)
    with open_volume_result(path) as result:
        process = {name: str(value) for name, value in result.process.items() if name != "volume"}
    alphas = correlations.alphas
    lines: Lines = [
        ("holds", f"{', '.join(VOLUMES)}; show another with --of"),
        (
            "alphas",
            f"{len(alphas)} Warren-Cowley parameters of the crystal, up to {np.abs(alphas).max(initial=0.0):.3g}, for"
            f" {correlations.centring}; `dsfunet refine` lists them",
        ),
    ]
    made = f"{process.pop('source', '')} {process.pop('date', '')}".strip()
    if made:
        lines.insert(0, ("made from", made))
    return lines + [
        ("record", f"{name} = {text[:_LONGEST_RECORD]}{'...' if len(text) > _LONGEST_RECORD else ''}")
        for name, text in process.items()
    ]
