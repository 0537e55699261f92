"""`dsfunet compare` and `dsfunet scan`: structural models in, a ranking or a misfit curve out."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dsfunet._version import __version__
from dsfunet.analysis.formatting import with_uncertainty
from dsfunet.analysis.models.fit import Comparison, Fit, compare_models
from dsfunet.analysis.models.model_names import ModelPair, parse_axis, read_model
from dsfunet.analysis.models.molecules import Torsion, parse_torsions
from dsfunet.analysis.models.observation import Observation
from dsfunet.analysis.models.reports import (
    comparison_records,
    draw_fit,
    draw_scan,
    minimum_records,
    scan_records,
    write_csv,
    write_json,
)
from dsfunet.analysis.models.scan import Scan, Turn, angles_of_range, rotation_turn, scan_model, torsion_turn
from dsfunet.errors import InputError
from dsfunet.io import Result, check_writable, read_result
from dsfunet.physics import Cell
from dsfunet.plotting.result import save_png

_CERTAIN = 0.95


def compare_files(file: Path, models: Sequence[str], prefix: Path, resamples: int, seed: int) -> None:
    """Rank models against the form factor of a result; writes PREFIX.json, .csv and .png and prints the table.

    Raises:
        InputError: anything about the result, a model or the output that cannot be used.
    """
    targets = _targets(prefix, (".json", ".csv", ".png"))
    result, cell, observation = _read(file)
    pairs = [read_model(model, cell) for model in models]
    comparison = compare_models(pairs, observation, resamples, seed)
    best = comparison.fits[0]
    records = comparison_records(comparison)
    write_json(targets[0], {**_record(file, observation, resamples, seed), "models": records})
    write_csv(targets[1], records)
    save_png(draw_fit(result, best, observation, best.name), targets[2])

    _print_read(file, observation, pairs)
    print("rank  misfit  95 % interval    wR2     B (Å²)     beats next  model")
    for number, fit in enumerate(comparison.fits):
        low, high = comparison.intervals[number]
        share = _percent(comparison.better_than_next[number]) if number < len(comparison.fits) - 1 else "-"
        print(
            f"{number + 1:4d}  {fit.misfit:.4f}  {low:.4f}-{high:.4f}  {100 * fit.wr2:5.1f} %  {_shown_b(fit):>9}"
            f"  {share:>10}  {fit.name}"
        )
    for line in _verdict(comparison):
        print(f"           {line}")
    for target in targets:
        print(f"wrote      {target}")


def scan_file(
    file: Path,
    model: str,
    prefix: Path,
    angles: tuple[float, float, float],
    torsions: Sequence[str],
    rotate: str | None,
    species: str,
    resamples: int,
    seed: int,
) -> None:
    """Turn a torsion or a molecule through a range; writes PREFIX.json, .csv, .png and PREFIX_planes.png.

    Raises:
        InputError: anything about the result, the model, the motion or the output that cannot be used.
    """
    if bool(torsions) == (rotate is not None):
        found = "both" if torsions else "neither"
        raise InputError(f"found {found} of --torsion and --rotate, expected one of them")
    angles_deg = angles_of_range(*angles)
    targets = _targets(prefix, (".json", ".csv", ".png", "_planes.png"))
    result, cell, observation = _read(file)
    pair = read_model(model, cell)
    named = parse_torsions(list(torsions)) if torsions else ()
    turn: Turn
    if rotate is None:
        turn, label = (
            torsion_turn(named, pair, species),
            f"turn about {', '.join(_bond(each) for each in named)} (°)",
        )
    else:
        axis = parse_axis(rotate, cell)
        turn, label = rotation_turn(axis, species), f"rotation about {rotate.strip()} (°)"
    scan = scan_model(pair, turn, angles_deg, observation, resamples, seed)
    in_file = {
        name: angle for torsion in named for name, angle in _angles_in_file(torsion, pair, species).items()
    }
    write_json(
        targets[0],
        {
            **_record(file, observation, resamples, seed),
            "model": pair.name,
            "formulas": [pair.first.formula, pair.second.formula],
            "turned": label,
            "torsions_at_angle_0_deg": in_file,
            "species": species,
            "minima": minimum_records(scan),
            "curve": scan_records(scan),
        },
    )
    write_csv(targets[1], scan_records(scan))
    save_png(draw_scan(scan, label, pair.name), targets[2])
    best = float(scan.angles_deg[scan.fits.index(scan.best)])
    title = f"{pair.name} at {best:g}°".replace(" -", " \N{MINUS SIGN}")
    save_png(draw_fit(result, scan.best, observation, title), targets[3])

    _print_read(file, observation, [pair])
    print(f"scanned    {label}, {angles_deg[0]:g} to {angles_deg[-1]:g}: 0 is the structure as in its file")
    for name, value in in_file.items():
        print(f"           torsion {name} is {value:.1f}° in the file: add it for absolute angles")
    for line in _minima_lines(scan):
        print(line)
    for target in targets:
        print(f"wrote      {target}")


def _targets(prefix: Path, endings: Sequence[str]) -> list[Path]:
    """The files to write, each checked before any work."""
    targets = [prefix.with_name(prefix.name + ending) for ending in endings]
    for target in targets:
        check_writable(target)
    return targets


def _read(file: Path) -> tuple[Result, Cell, Observation]:
    result = read_result(file)
    try:
        observation = Observation.of(result)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    assert result.grid is not None  # Observation.of made sure
    return result, result.grid.cell, observation


def _record(file: Path, observation: Observation, resamples: int, seed: int) -> dict[str, Any]:
    return {
        "program": "dsfunet",
        "version": __version__,
        "source": file.name,
        "source_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "pixels": int(observation.used.sum()),
        "blocks": observation.block_count,
        "weights": "1 / sigma^2"
        if observation.sigma is not None
        else "1 / (P + 0.01), P = (y_o + 2 y_c) / 3",
        "misfit": "mean of (s_o - s_c)^2, s = 2 sqrt(y) - 1, y = scale I_FF exp(-B |Q|^2 / 8 pi^2) + floor",
        "resamples": resamples,
        "seed": seed,
    }


def _print_read(file: Path, observation: Observation, pairs: Sequence[ModelPair]) -> None:
    sigma = (
        "with its sigma" if observation.sigma is not None else "without sigma: errors even in 2 sqrt(y) - 1"
    )
    print(f"read       {file}: {observation.used.sum()} pixels in {observation.block_count} blocks, {sigma}")
    for pair in pairs:
        print(f"model      {pair.name}: A = {pair.first.formula}, B = {pair.second.formula}")
    for note in dict.fromkeys(note for pair in pairs for note in pair.notes):
        print(f"           note: {note}")


def _verdict(comparison: Comparison) -> list[str]:
    if len(comparison.fits) == 1:
        return ["one model alone says nothing about others: compare it with those that you doubt"]
    best, following = comparison.fits[:2]
    share = float(comparison.better_than_next[0])
    lines = [
        f"{best.name} fits better than {following.name} in {_percent(share)} of {comparison.resamples} resamples"
    ]
    if share < _CERTAIN:
        lines.append("that is less than 95 %: this plane does not tell the two apart")
    return lines


def _minima_lines(scan: Scan) -> list[str]:
    lines = [
        f"minimum    {with_uncertainty(minimum.angle_deg, minimum.su_deg)}°: misfit {minimum.misfit:.4f},"
        f" the lowest of the curve in {_percent(minimum.lowest)} of {scan.resamples} resamples"
        for minimum in scan.minima
    ]
    misfits = scan.misfits
    if misfits.argmin() in (0, len(misfits) - 1) and not scan.is_full_circle:
        end = scan.angles_deg[misfits.argmin()]
        lines.append(
            f"           note: the misfit is smallest at {end:g}°, an end of the range: scan beyond it"
        )
    return lines


def _angles_in_file(torsion: Torsion, pair: ModelPair, species: str) -> dict[str, float]:
    """The torsion angle [degrees] in each turned species that has it, under what to call it."""
    found = {
        name: torsion.angle_deg(molecule)
        for name, molecule in (("A", pair.first), ("B", pair.second))
        if species in (name, "both") and torsion.is_in(molecule)
    }
    return {f"{torsion} of {name}": angle for name, angle in found.items()}


def _bond(torsion: Torsion) -> str:
    return f"{torsion.labels[1]}-{torsion.labels[2]}"


def _shown_b(fit: Fit) -> str:
    return with_uncertainty(fit.debye_waller_b_angstrom2, fit.debye_waller_b_su)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
