"""Draw docs/screen.png: the output of two commands on the example volume, as on a terminal.

The commands run in a temporary folder, and their output is drawn unchanged, wrapped at the width of the window. Run
`python -m examples.draw_screen` on an otherwise idle machine, because the output includes times.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from dsfunet.files import replacing
from examples.make_example import NEXUS

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "docs" / "screen.png"
COMMANDS = (
    "dsfunet inspect examples/cresol_benzene.nxs --plane hk1 --png look.png",
    "dsfunet factorize examples/cresol_benzene.nxs --plane hk1 -o hk1.nxs --png --passes 4",
)
COLUMNS = 118
LABEL_COLUMNS = 11
"""Number of columns for the label at the start of a line, such as `lattice`."""

BACKGROUND, TEXT, LABEL, PROMPT = "#16181d", "#d8dbe2", "#7fb4e6", "#8fcf8a"
FONT_PIXELS, MARGIN, LINE_PIXELS = 15, 18, 21
"""Font size, margin and line spacing [pixels]."""


def run_command(command: str, folder: Path) -> list[str]:
    """Run a command in a folder and return the lines it prints.

    Raises:
        SystemExit: the command failed.
    """
    program, *words = command.split()
    assert program == "dsfunet"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", "import dsfunet.cli.main; dsfunet.cli.main.run()", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{command}: failed ({done.stderr.strip()})")
    return done.stdout.splitlines()


def wrap_line(line: str) -> list[str]:
    """Wrap a line of output at the width of the window, with the continuation aligned to the text."""
    return textwrap.wrap(line, COLUMNS, subsequent_indent=" " * LABEL_COLUMNS) or [""]


def draw(screen: Sequence[str]) -> Image.Image:
    """Draw lines of text on a dark window; lines that begin with $ are commands, and labels have their own colour."""
    # Use the font that comes with matplotlib, so that the picture is the same on every machine.
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    font = ImageFont.truetype(str(folder / "DejaVuSansMono.ttf"), FONT_PIXELS)
    column = font.getlength("m")
    size = round(2 * MARGIN + COLUMNS * column), 2 * MARGIN + LINE_PIXELS * len(screen)
    image = Image.new("RGB", size, BACKGROUND)
    canvas = ImageDraw.Draw(image)
    for number, line in enumerate(screen):
        is_command = line.startswith("$ ")
        cut = 2 if is_command else LABEL_COLUMNS
        height = MARGIN + number * LINE_PIXELS
        canvas.text((MARGIN, height), line[:cut], PROMPT if is_command else LABEL, font)
        canvas.text((MARGIN + cut * column, height), line[cut:], "white" if is_command else TEXT, font)
    return image


def main() -> None:
    """Run the commands and write the picture, completely or not at all."""
    screen: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "examples").mkdir()
        shutil.copy(NEXUS, folder / "examples")
        for command in COMMANDS:
            screen += [*([""] if screen else []), f"$ {command}"]
            screen += [piece for line in run_command(command, folder) for piece in wrap_line(line)]
    with replacing(OUTPUT) as temporary:
        draw(screen).save(temporary, format="PNG", optimize=True)
    print(f"wrote {OUTPUT.relative_to(ROOT)}: {OUTPUT.stat().st_size / 1e3:.0f} kB, {len(screen)} lines")


if __name__ == "__main__":
    main()
