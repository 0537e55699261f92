"""Damaged files: every error of a library becomes one sentence, and sizes that cannot be true are not believed."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from dsfunet.errors import InputError
from dsfunet.files import name_file_in_errors

MOST_COMPRESSED = 2000
"""Largest compression ratio that is believed: deflate reaches 1032, LZW about 1400."""

MOST_VALUES = 200_000_000
"""Largest number of values of a file that is read as a whole, 1.6 GB as float64."""


@contextmanager
def convert_errors(path: Path | None, trouble: str) -> Iterator[None]:
    """Convert every error in the block to an InputError; warnings are suppressed.

    Args:
        path: the file to name in front of every message; None to leave it out.
        trouble: what is said of errors that are not InputErrors.
    """
    with nullcontext() if path is None else name_file_in_errors(path):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about headers from Python 2 and unknown tags
                yield
        except InputError:
            raise
        except Exception as error:  # a damaged header fails in a dozen ways
            raise InputError(f"{trouble} ({error})") from error
