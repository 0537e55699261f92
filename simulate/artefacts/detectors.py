"""Layouts of modular area detectors: their sensitive modules and the gaps between them."""

from dataclasses import dataclass, fields

from dsfunet.errors import InputError


@dataclass(frozen=True)
class Detector:
    """A flat detector of equal modules in rows (vertical) and columns (horizontal).

    Attributes:
        module_columns: Number of modules side by side.
        module_rows: Number of modules on top of each other.
        module_width: Active pixels of one module across a row.
        module_height: Active pixels of one module down a column.
        gap_width: Insensitive pixels between neighbouring columns of modules.
        gap_height: Insensitive pixels between neighbouring rows of modules.
        pixel_mm: Edge of a (square) pixel [mm].

    Raises:
        InputError: a count is not a positive integer, a gap is negative, or the pixel size is not positive.
    """

    module_columns: int
    module_rows: int
    module_width: int
    module_height: int
    gap_width: int
    gap_height: int
    pixel_mm: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "pixel_mm":
                valid, expected = 0 < value < float("inf"), "a positive length"
            else:
                lowest = 0 if field.name.startswith("gap") else 1
                valid, expected = value == int(value) >= lowest, f"an integer of at least {lowest}"
            if not valid:
                raise InputError(f"detector {field.name} is {value}; expected {expected}")

    @property
    def pixels(self) -> tuple[int, int]:
        """Number of columns and rows of the whole image, gaps included."""
        columns = self.module_columns * (self.module_width + self.gap_width) - self.gap_width
        rows = self.module_rows * (self.module_height + self.gap_height) - self.gap_height
        return columns, rows

    @property
    def size_mm(self) -> tuple[float, float]:
        """Width and height of the whole image [mm]."""
        columns, rows = self.pixels
        return columns * self.pixel_mm, rows * self.pixel_mm


# Module and gap sizes are the manufacturer's. They add up to the image sizes on the data sheets: 1475 x 1679,
# 2463 x 2527 and 2068 x 2162.
DETECTORS: dict[str, Detector] = {
    "pilatus_2m": Detector(3, 8, 487, 195, 7, 17, 0.172),
    "pilatus_6m": Detector(5, 12, 487, 195, 7, 17, 0.172),
    "eiger2_4m": Detector(2, 4, 1028, 512, 12, 38, 0.075),
    "square_panel": Detector(1, 1, 2048, 2048, 0, 0, 0.1),
}
"""Detectors that a recipe can name; `square_panel` stands for CCD and CMOS cameras without gaps."""
