"""What `dsfunet inspect` and `convert` can be told about a file, as options of the command line."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dsfunet.planes.scale_names import Scale

if TYPE_CHECKING:
    from dsfunet.io import ReadOptions
    from dsfunet.physics import Cell


@dataclass(frozen=True)
class ReadingOptions:
    """What a file does not say, and which part of a result is meant.

    Attributes:
        plane: plane of a volume, such as hk1 or hhl; inspect shows one near the centre by default, or one of the planes
            of a result, such as form_factor; convert writes the whole volume by default
        cell: "a b c alpha beta gamma" [Angstrom, degrees], used when the file has no valid unit cell
        scale: scale of the numbers in the file, in terms of the intensity x: linear, spread (2 sqrt(x) - 1, as DSFU-Net
            writes them), centred (2 x - 1), sqrt, log, log10 or log1p; auto recognises the files of DSFU-Net
        cell_unit: unit of the file's unit cell: angstrom, nm or pm, and degrees or radians, one or two words
        array_axes: for an array without axes, the index along each dimension with its first and last value, "h -6 6, k
            -6 6, l 0 2"; for a plane also the fixed index [r.l.u.]; a fourth axis with its name, "temperature 100 300"
        at: for data with a fourth axis, the value along it, temperature=150
        ub: for axes Qx, Qy, Qz, the UB matrix without 2 pi, nine numbers row by row [1/Angstrom]
        of: of a result, the part that is meant: input, form_factor, short_range_order, product, residual or
            sigma_form_factor; the input by default
        allow_external: folder outside that of the file into which external links in it may lead; several are separated
            by a colon (on Windows a semicolon)
    """

    plane: str | None = None
    cell: str | None = None
    scale: Scale = "auto"
    cell_unit: str | None = None
    array_axes: str | None = None
    at: str | None = None
    ub: str | None = None
    of: str | None = None
    allow_external: str | None = None

    def parse(self) -> "tuple[ReadOptions, Cell | None]":
        """Parse what is said about the file, and its unit cell.

        Raises:
            InputError: an option cannot be understood.
        """
        from dsfunet.io.cell_parameters import cell_from_text
        from dsfunet.io.read_options import parse_read_options

        options = parse_read_options(
            self.scale, self.cell_unit, self.array_axes, self.at, self.ub, self.allow_external
        )
        return options, None if self.cell is None else cell_from_text(self.cell)


@dataclass(frozen=True)
class PictureOptions:
    """Where the pixels of a picture lie.

    Attributes:
        q_max_inv_angstrom: for a square picture with Cartesian pixels, half its side [1/Angstrom]
        first_range: for a picture, its first and last pixel centre along the plane's first axis, "-5 5" [r.l.u.]
        second_range: likewise along the second axis; give both or neither
        orientation: of a picture: array if its rows run along the first axis, picture if the first axis points right
            and the second up
    """

    q_max_inv_angstrom: float | None = None
    first_range: str | None = None
    second_range: str | None = None
    orientation: Literal["array", "picture"] = "array"
