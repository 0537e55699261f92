"""Settings of a refinement that the user left open, decided by what the results record."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dsfunet.analysis.answers import LatticeRecord, list_answers, read_lattice_record
from dsfunet.analysis.refinement.determined import check_determined
from dsfunet.analysis.refinement.settings import FormFactorFrom, RefinementSettings
from dsfunet.errors import InputError
from dsfunet.lattice.joint_fit.resolution import Resolution, with_thickness
from dsfunet.physics.centring import Centring
from dsfunet.planes.result import Result

_SOURCES = {
    "option": "as it was given to `dsfunet factorize`",
    "file": "as the measured file states it",
    "data": "as `dsfunet factorize` found it from the plane",
}
_ASSUMED = "centring P is assumed; give the lattice type of the sites with --centring if it is another"


@dataclass(frozen=True)
class SettledSettings:
    """Settings of a refinement with nothing left open.

    Attributes:
        settings: with a centring, `layer` and `form_factor`; for the form factor "data" also with the resolution, whose
            thickness is that of the layer.
        centring_from: "option", "result" or "assumed".
        notes: sentences for the user about what was decided.
    """

    settings: RefinementSettings
    centring_from: str
    notes: tuple[str, ...] = ()


def settle_settings(
    settings: RefinementSettings, results: Sequence[Result], names: Sequence[str]
) -> SettledSettings:
    """Decide what a user left open: the centring, whether the values are those of a layer, and the form factor.

    Args:
        settings: as the user gave them.
        results: to refine, one or more.
        names: of the results, for messages.

    Raises:
        InputError: the results record different centrings, the recorded one does not obey the Laue class, the vectors
            do not fit what was decided, the planes do not determine what was asked for, or `form_factor` "data" was
            given for several results.
    """
    if settings.form_factor == "data" and len(results) > 1:
        raise InputError(f"--form-factor data: found {len(results)} results; refine each layer by itself")
    check_determined(settings, results)
    records = [_read_record(result, name) for result, name in zip(results, names, strict=True)]
    uses_data = settings.form_factor == "data" or (
        settings.form_factor is None and _can_use_data(settings, results[0], records)
    )
    layer = settings.layer
    if layer is None:
        layer = len(results) == 1 and not (settings.out_of_plane or settings.no_order_along_axis)
    centring, source, note = _choose_centring(settings, records, names)
    form_factor: FormFactorFrom = "data" if uses_data else "result"
    chosen = replace(settings, resolution=_choose_resolution(settings, records[0])) if uses_data else settings
    try:
        settled = replace(
            chosen,
            centring=centring,
            layer=layer,
            out_of_plane=not (layer or settings.no_order_along_axis),
            form_factor=form_factor,
        )
    except InputError as error:
        if source != "result":
            raise
        raise InputError(f"centring {centring} of the result: {error}") from error
    return SettledSettings(settled, source, (note,) if note else ())


def _read_record(result: Result, name: str) -> LatticeRecord | None:
    try:
        return read_lattice_record(result)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def _can_use_data(
    settings: RefinementSettings, first: Result, records: Sequence[LatticeRecord | None]
) -> bool:
    """Return whether form factor and correlations are to be fitted to the measured plane without being asked for."""
    excluded = (
        len(records) > 1
        or settings.out_of_plane
        or settings.bounds
        or settings.model is not None
        or settings.fit_to != "measured"
        or settings.errors_from != "zones"
        or settings.answer == "networks"
    )
    if excluded or records[0] is None:
        return False
    return (settings.answer or list_answers(first)[0]) == "lattice"


def _choose_resolution(settings: RefinementSettings, record: LatticeRecord | None) -> Resolution | None:
    """Return the resolution of a plane with the thickness of its layer; None for a sharp one."""
    resolution, thickness = settings.resolution, settings.thickness_rlu
    if record is not None:
        if resolution is None and record.resolution_rlu is not None:
            resolution = Resolution(record.resolution_rlu)
        thickness = record.thickness_rlu if thickness is None else thickness
    return with_thickness(resolution, thickness or 0.0)


def _choose_centring(
    settings: RefinementSettings, records: Sequence[LatticeRecord | None], names: Sequence[str]
) -> tuple[Centring, str, str]:
    """Return the centring, where it is from, and a note."""
    stated = {
        name: record
        for record, name in zip(records, names, strict=True)
        if record is not None and record.centring is not None and record.centring_from != "assumed"
    }
    known = {record.centring: name for name, record in stated.items()}
    if settings.centring is not None:
        others = [centring for centring in known if centring != settings.centring]
        note = f"centring {settings.centring} replaces {others[0]} of the result" if others else ""
        return settings.centring, "option", note
    if len(known) > 1:
        (one, first), (other, second) = list(known.items())[:2]
        raise InputError(
            f"{first} and {second}: found centrings {one} and {other}; expected the same, or give --centring"
        )
    for record in stated.values():
        assert record.centring is not None
        how = _SOURCES.get(record.centring_from, "as the result records it")
        return record.centring, "result", f"centring {record.centring}, {how}; --centring chooses another"
    return "P", "assumed", _ASSUMED
