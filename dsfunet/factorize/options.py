"""Options of `dsfunet factorize` and `watch`, as text, and their one parser."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from dsfunet.cleanup.options import CleanUpOptions
from dsfunet.errors import InputError
from dsfunet.factorize.settings import FactorizeRequest, FactorizeSettings
from dsfunet.io import UserAxes, parse_plane, parse_plane_name
from dsfunet.io.cell_parameters import cell_from_text
from dsfunet.io.plane_lists import PlaneSelection, parse_plane_selection
from dsfunet.io.read_options import parse_read_options
from dsfunet.lattice.joint_fit.resolution import parse_resolution, parse_thickness
from dsfunet.physics import Cell
from dsfunet.physics.centring import Centring
from dsfunet.planes.scale_names import Scale


@dataclass(frozen=True)
class FactorizeOptions:
    """Which planes to factorise, and how.

    This docstring is the help text of the command line, and the fields are its options, as text. `parse_options`
    makes a `FactorizeRequest` of them.

    Attributes:
        plane: plane of a volume, such as hk1, h0l, "h k 1.5", hhl or "[1 1 0] [0 0 1] + [0.5 0 0]".
        planes: several planes, "hk0, hk1, h k 1.5", or layers, hk:all, hk:half, hk:0..3/0.5; one result for each.
        weights: `release` for the weights in the package, or a checkpoint or folder of safetensors.
        png: also draw each result, as .png beside it.
        device: cpu or cuda, or several devices (cuda:0,cuda:1); a GPU is used by default if there is one.
        lattice: true uses the lattice of the file where it explains the plane; false, or --no-lattice, uses the
            networks alone; insist uses the lattice in any case.
        centring: lattice type of the sites in the conventional cell: P, A, B, C, I, F, R or H; by default that of the
            file, or else the one that the plane shows.
        resolution: standard deviation of the instrument's Gaussian resolution: 0.04 or "0.04 0.06" [r.l.u.] along both
            axes of the plane, "0.03 1/A", or auto to estimate it from the plane; by default pixels are taken as sharp.
        thickness: full width of the third index over which a layer was averaged, 0.25 or "+-0.125" [r.l.u.].
        passes: number of passes over rotated and flipped copies of the plane (0-8); more passes take longer and sharpen
            the uncertainties, 0 gives none.
        whole: shrink all of a plane wider than 17.6 1/Angstrom into the networks' square, instead of using its centre.
        cell: "a b c alpha beta gamma" [Angstrom, degrees], used when the file has no valid unit cell.
        q_max_inv_angstrom: for a square picture with Cartesian pixels, half its side [1/Angstrom].
        first_range: for a picture, its first and last pixel centre along the plane's first axis, "-5 5" [r.l.u.].
        second_range: likewise along the second axis; give both or neither.
        orientation: of a picture: array if its rows run along the first axis, picture if the first axis points right
            and the second up.
        scale: scale of the numbers in the file, in terms of the intensity x: linear, spread (2 sqrt(x) - 1, as DSFU-Net
            writes them), centred (2 x - 1), sqrt, log, log10 or log1p; auto recognises the files of DSFU-Net.
        cell_unit: unit of the file's unit cell: angstrom, nm or pm, and degrees or radians, one or two words.
        array_axes: for an array without axes, the index along each dimension with its first and last value, "h -6 6, k
            -6 6, l 0 2"; for a plane also the fixed index, "h -6 6, k -6 6, l 1" [r.l.u.].
        at: for data with a fourth axis, the value along it, temperature=150, or with --out several, temperature=all or
            "temperature=100, 150".
        ub: for axes Qx, Qy, Qz, the UB matrix without 2 pi, nine numbers row by row [1/Angstrom].
        allow_external: folder outside that of the file into which external links in it may lead; several are separated
            by a colon (on Windows a semicolon).
        seed: seed of the rotations and flips, and of the noise that fills holes.
        batch_size: number of planes that go through the networks at once on a GPU.
        workers: number of planes worked on at once; by default one per core, or one per plane of a batch on a GPU.
    """

    plane: str | None = None
    planes: str | None = None
    weights: str = "release"
    png: bool = False
    device: str | None = None
    lattice: bool | Literal["insist"] = True
    centring: Centring | None = None
    resolution: str | None = None
    thickness: str | None = None
    batch_size: int = 16
    workers: int | None = None
    passes: int = 1
    whole: bool = False
    cell: str | None = None
    q_max_inv_angstrom: float | None = None
    first_range: str | None = None
    second_range: str | None = None
    orientation: Literal["array", "picture"] = "array"
    scale: Scale = "auto"
    cell_unit: str | None = None
    array_axes: str | None = None
    at: str | None = None
    ub: str | None = None
    allow_external: str | None = None
    seed: int = 0


def parse_options(options: Mapping[str, Any]) -> FactorizeRequest:
    """Parse the options of the command line, those of `FactorizeOptions` and of `CleanUpOptions`, by name.

    Raises:
        InputError: An option cannot be understood, is out of range, or does not go with another.
    """
    own = {each.name for each in fields(FactorizeOptions)}
    given = FactorizeOptions(**{name: value for name, value in options.items() if name in own})
    steps = {name: value for name, value in options.items() if name not in own}
    clean_up = CleanUpOptions(**steps, seed=given.seed).parse()
    return FactorizeRequest(
        planes=_parse_planes(given),
        axes=_parse_axes(given),
        cell=None if given.cell is None else cell_from_text(given.cell),
        reading=parse_read_options(
            given.scale, given.cell_unit, given.array_axes, given.at, given.ub, given.allow_external
        ),
        weights=given.weights,
        device=given.device,
        png=given.png,
        batch_size=given.batch_size,
        workers=given.workers,
        settings=FactorizeSettings(
            lattice=given.lattice,
            passes=given.passes,
            whole=given.whole,
            seed=given.seed,
            clean_up=clean_up,
            centring=given.centring,
            resolution=None if given.resolution is None else parse_resolution(given.resolution),
            thickness=0.0 if given.thickness is None else parse_thickness(given.thickness),
        ),
    )


def _parse_planes(given: FactorizeOptions) -> PlaneSelection | None:
    if given.plane is not None and given.planes is not None:
        raise InputError(
            f"--plane {given.plane!r} and --planes {given.planes!r} are both given; use one of the two"
        )
    if given.plane is not None:
        return PlaneSelection(given.plane, (parse_plane(given.plane),))
    return None if given.planes is None else parse_plane_selection(given.planes)


def _parse_axes(given: FactorizeOptions) -> UserAxes | None:
    """The axes of a picture; None if no option gives any."""
    places = (given.q_max_inv_angstrom, given.first_range, given.second_range)
    if all(each is None for each in places):
        if given.orientation != "array":
            raise InputError(
                f"--orientation {given.orientation} is only for a picture whose axes are given; add --cell, --plane and"
                " either --q-max-inv-angstrom or both ranges"
            )
        return None
    if given.cell is None or given.plane is None:
        raise InputError(
            "the axes of a picture also need --cell and --plane; give both, with --q-max-inv-angstrom or both ranges"
        )
    cell: Cell = cell_from_text(given.cell)
    return UserAxes(
        cell,
        parse_plane_name(given.plane),
        _parse_range("--first-range", given.first_range),
        _parse_range("--second-range", given.second_range),
        given.q_max_inv_angstrom,
        given.orientation,
    )


def _parse_range(option: str, text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        first, last = map(float, text.replace(",", " ").strip("[]() ").split())
    except ValueError:
        raise InputError(
            f"{option} {text!r}; expected two numbers, the centres of the first and last pixel [r.l.u.]"
        ) from None
    return first, last
