"""The choice of formats, and what they need."""

from collections.abc import Callable, Sequence
from typing import Literal

from dsfunet.analysis.exports.content import ExportedCorrelations
from dsfunet.analysis.exports.discus import write_discus_cell, write_discus_macro
from dsfunet.analysis.exports.latex import write_latex
from dsfunet.analysis.exports.yell import write_yell
from dsfunet.errors import InputError

Export = Literal["yell", "discus", "latex"]
"""A format of another program."""

EXPORTS: dict[Export, tuple[str, ...]] = {
    "yell": ("yell.txt",),
    "discus": ("mac", "cell"),
    "latex": ("tex",),
}
"""The endings of the files of each format."""

_WRITERS: dict[str, Callable[[ExportedCorrelations], str]] = {
    "yell.txt": write_yell,
    "mac": write_discus_macro,
    "cell": write_discus_cell,
    "tex": write_latex,
}


def parse_exports(names: Sequence[str]) -> list[Export]:
    """Return the formats with these names, each once.

    Raises:
        InputError: there is no format of this name.
    """
    found: list[Export] = []
    for name in names:
        export = next((each for each in EXPORTS if each == name), None)
        if export is None:
            raise InputError(f"--export is {name!r}; expected one or more of {', '.join(EXPORTS)}")
        found += [] if export in found else [export]
    return found


def check_exports(exports: Sequence[Export], with_species: bool, concentration: float | None) -> None:
    """Check that what the formats need is known, before minutes are spent on a refinement.

    Args:
        exports: the formats.
        with_species: whether the two species are known.
        concentration: share of A; None if it is not known.

    Raises:
        InputError: something is missing, or the share is not between 0 and 1.
    """
    for export in exports:
        if export == "latex":
            continue
        if not with_species:
            raise InputError(
                f"--export {export}: found no species; give them with --species, such as A.xyz+B.xyz or A.xyz+vacancy"
            )
        if concentration is None:
            raise InputError(f"--export {export}: found no share of species A; give it with --concentration")
        if not 0 < concentration < 1:
            raise InputError(
                f"--concentration is {concentration:g}; expected a number strictly between 0 and 1"
            )


def make_exports(correlations: ExportedCorrelations, exports: Sequence[Export]) -> dict[str, str]:
    """Return the contents of the files of some formats, by ending.

    Raises:
        InputError: the correlations are not of the kind that a format can hold.
    """
    endings = [ending for export in exports for ending in EXPORTS[export]]
    return {ending: _WRITERS[ending](correlations) for ending in endings}
