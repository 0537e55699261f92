"""The correlations that a configuration should have, as `dsfunet refine` wrote them."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dsfunet._typing import Array, Integers
from dsfunet.errors import InputError
from dsfunet.files import leading_bytes, name_file_in_errors
from dsfunet.physics import Cell
from dsfunet.physics.centring import (
    CENTRINGS,
    Centring,
    Vector,
    denominator_of,
    format_vector,
    numerators_of,
    parse_vector,
)
from dsfunet.physics.symmetry import laue_rotations

_EXPECTED = "the JSON file of `dsfunet refine`"
_CELL_NAMES = ("a", "b", "c", "alpha", "beta", "gamma")


@dataclass(frozen=True, eq=False)
class WantedAlpha:
    """The Warren-Cowley parameter that all vectors of an orbit should have.

    Attributes:
        vector: one of them, by which the orbit is called.
        numerators: all of them, each with its opposite, in units of 1 / `denominator_of(centring)`, shape (n, 3).
        value: alpha, dimensionless.
        standard_uncertainty: of the value; NaN if it is not known.
    """

    vector: Vector
    numerators: Integers
    value: float
    standard_uncertainty: float

    @property
    def name(self) -> str:
        """The vector as text, such as "1/2 1/2 0"."""
        return format_vector(self.vector)


@dataclass(frozen=True, eq=False)
class WantedCorrelations:
    """Refined correlations of a crystal, to be realised by a configuration.

    Attributes:
        cell: the conventional cell, with the centring of the sites.
        laue: Laue class of the refinement; empty if the file does not say.
        alphas: one for each orbit.
        concentration: share of A, between 0 and 1; None if the file does not say.
        notes: sentences for the user.
    """

    cell: Cell
    laue: str
    alphas: tuple[WantedAlpha, ...]
    concentration: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def values(self) -> Array:
        """The wanted alphas, shape (orbits,)."""
        return np.array([alpha.value for alpha in self.alphas])

    @property
    def uncertainties(self) -> Array:
        """Their standard uncertainties, NaN where not known, shape (orbits,)."""
        return np.array([alpha.standard_uncertainty for alpha in self.alphas])


def read_wanted(path: Path | str, assume_two_dimensional: bool = False) -> WantedCorrelations:
    """Read the alphas of a refinement from its JSON file.

    Args:
        path: the file PREFIX.refine.json.
        assume_two_dimensional: take the correlations of a single layer for alphas of vectors in that layer, which they
            are if sites of different layers are not correlated.

    Raises:
        InputError: the file is missing or is no such file, it holds correlations of a layer without
            `assume_two_dimensional`, or an entry cannot be used.

    Examples:
        >>> import json, tempfile
        >>> from pathlib import Path
        >>> from dsfunet.analysis.configuration import read_wanted
        >>> alpha = {"vector": ["1/2", "1/2", 0], "value": -0.11, "standard_uncertainty": 0.002}
        >>> content = {"cell": [3.75, 3.75, 3.75, 90, 90, 90], "laue": "m-3m", "centring": "F", "alphas": [alpha]}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "cu3au.refine.json"
        ...     _ = path.write_text(json.dumps(content))
        ...     wanted = read_wanted(path)
        >>> wanted.alphas[0].name, len(wanted.alphas[0].numerators)
        ('1/2 1/2 0', 12)
    """
    path = Path(path)
    leading_bytes(path)
    with name_file_in_errors(path):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"the file is not JSON; expected {_EXPECTED}") from error
        if isinstance(content, dict) and "layer_correlations" in content:
            content["alphas"] = content["layer_correlations"]
        if not isinstance(content, dict) or not isinstance(content.get("alphas"), list):
            raise InputError(f"the file has no list of alphas; expected {_EXPECTED}")
        return _make_wanted(content, assume_two_dimensional)


def _make_wanted(content: Mapping[str, Any], assume_two_dimensional: bool) -> WantedCorrelations:
    settings = content.get("settings")
    settings = settings if isinstance(settings, dict) else {}
    stated = content.get("centring") or settings.get("centring") or "P"
    centring = next((each for each in CENTRINGS if each == stated), None)
    if centring is None:
        raise InputError(f"centring is {stated!r}; expected one of {', '.join(CENTRINGS)}")
    cell = _read_cell(content.get("cell"), centring)
    laue = str(content.get("laue") or content.get("laue_class") or settings.get("laue_class") or "")
    rotations = laue_rotations(laue, settings.get("unique_axis")) if laue else np.eye(3, dtype=np.int64)[None]
    notes = []
    entries = content["alphas"]
    if not entries:
        raise InputError("the list of alphas is empty; refine one or more vectors")
    if _is_of_layer(content, settings):
        entries = _vectors_in_layer(entries, assume_two_dimensional)
        notes.append(
            "the correlations of a layer are taken for alphas of vectors in it, as if different layers were not"
            " correlated"
        )
    elif assume_two_dimensional:
        raise InputError(
            "the alphas are those of lattice vectors; omit --assume-two-dimensional, which is for the correlations of a"
            " layer"
        )
    alphas = tuple(_read_alpha(entry, rotations, centring) for entry in entries)
    owner: dict[tuple[int, ...], str] = {}
    for alpha in alphas:
        for each in map(tuple, alpha.numerators.tolist()):
            if owner.setdefault(each, alpha.name) != alpha.name:
                raise InputError(
                    f"vectors {owner[each]} and {alpha.name} share equivalents; expected each orbit once"
                )
    if any(len(alpha.numerators) < _size_of_orbit(alpha, rotations) for alpha in alphas):
        notes.append(
            "the refinement has only some of the vectors that the Laue class makes equivalent, those in a plane; the"
            " others are free here"
        )
    if any(math.isnan(alpha.standard_uncertainty) for alpha in alphas):
        notes.append("an alpha without standard uncertainty counts like the least certain one of the others")
    return WantedCorrelations(cell, laue, alphas, _find_concentration(content, settings), tuple(notes))


def _size_of_orbit(alpha: WantedAlpha, rotations: Integers) -> int:
    return len(np.unique(rotations @ alpha.numerators[0], axis=0))


def _is_of_layer(content: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    quantity = content.get("quantity")
    if quantity is None:
        return bool(settings.get("layer"))
    if quantity not in ("alpha", "layer correlation"):
        raise InputError(f"quantity is {quantity!r}; expected 'alpha' or 'layer correlation'")
    return bool(quantity == "layer correlation")


def _vectors_in_layer(entries: Sequence[Any], assume_two_dimensional: bool) -> list[dict[str, Any]]:
    """Return entries of a layer as entries of vectors in it."""
    if not assume_two_dimensional:
        raise InputError(
            "the file holds correlations of a single layer, sums of the alphas of many vectors, which do not determine"
            " a crystal; refine a volume, or add --assume-two-dimensional if layers are not correlated with each other"
        )
    chosen = []
    for entry in entries:
        projection = entry.get("projection", []) if isinstance(entry, dict) else []
        if entry.get("part") == "sine" or "all" not in projection:
            raise InputError(
                f"layer correlation {projection} is not the sum over vectors that differ along one axis alone, or is"
                " its antisymmetric part; expected cosine parts, of which a two-dimensional crystal consists"
            )
        axis = projection.index("all")
        if any(str(vector[axis]) != "0" for vector in (entry["vector"], *entry.get("equivalents", []))):
            raise InputError(
                f"layer correlation {' '.join(map(str, projection))} belongs to vectors out of the layer, because the"
                " lattice is centred; expected vectors in the layer, so refine a volume"
            )
        chosen.append(entry)
    return chosen


def _read_alpha(entry: Any, rotations: Integers, centring: Centring) -> WantedAlpha:
    if not isinstance(entry, dict):
        raise InputError(f"an entry of alphas is {str(entry)[:60]}; expected vector, value and so on")
    vector = _read_vector(entry.get("vector"))
    given = entry.get("equivalents") or []
    if not isinstance(given, list):
        raise InputError(f"equivalents of vector {format_vector(vector)} are no list; expected vectors")
    members = [_numerators(_read_vector(each), centring) for each in given]
    named = _numerators(vector, centring)
    members = members or list(rotations @ named)
    both = np.unique(np.concatenate([[*members, named], [-each for each in [*members, named]]]), axis=0)
    value, sigma = (_read_number(entry.get(name)) for name in ("value", "standard_uncertainty"))
    if not math.isfinite(value) or abs(value) > 2:
        raise InputError(
            f"the alpha of vector {format_vector(vector)} is {entry.get('value')}; expected a number up to 1"
        )
    return WantedAlpha(vector, both, value, sigma if sigma > 0 else math.nan)


def _read_vector(content: Any) -> Vector:
    if not isinstance(content, list) or len(content) != 3:
        raise InputError(f"a vector is {content}; expected three whole numbers or fractions")
    return parse_vector(" ".join(map(str, content)))


def _numerators(vector: Vector, centring: Centring) -> Integers:
    found = numerators_of(vector, centring)
    if found is None or not found.any():
        raise InputError(
            f"vector {format_vector(vector)} joins no two sites of centring {centring}; expected lattice vectors in"
            f" units of 1/{denominator_of(centring)} other than 0 0 0"
        )
    return found


def _read_number(content: Any) -> float:
    return float(content) if isinstance(content, (int, float)) else math.nan


def _read_cell(content: Any, centring: Centring) -> Cell:
    values = [content.get(name) for name in _CELL_NAMES] if isinstance(content, dict) else content
    if (
        not isinstance(values, list)
        or len(values) != 6
        or any(math.isnan(_read_number(each)) for each in values)
    ):
        raise InputError(f"cell is {content}; expected a, b, c, alpha, beta and gamma")
    return Cell(*map(float, values), centring=centring)


def _find_concentration(content: Mapping[str, Any], settings: Mapping[str, Any]) -> float | None:
    for place in (content, settings):
        for name in ("concentration", "composition"):
            found = place.get(name)
            found = found.get("value") if isinstance(found, dict) else found
            number = _read_number(found)
            if not math.isnan(number):
                return number
    return None
