"""How much of an HDF5 dataset is read at once."""

from typing import Any

import h5py
import numpy as np
import pytest


def note_largest_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list whose only number is that of the values in the largest block read from then on."""
    largest, plain = [0], h5py.Dataset.__getitem__

    def counted(self: h5py.Dataset, key: Any, **options: Any) -> Any:
        values = plain(self, key, **options)
        largest[0] = max(largest[0], int(np.size(values)))
        return values

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    return largest
