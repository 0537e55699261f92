"""A factorizer on several devices gives the answers of one."""

import numpy as np
import pytest

from dsfunet import Factorizer
from dsfunet.errors import InputError
from dsfunet.factorize.loading import load_factorizer
from dsfunet.factorize.several_devices import SeveralDevicesFactorizer
from dsfunet.factorize.shared_factorizer import SharedFactorizer
from dsfunet.networks.weights import load_release


def stack(planes: int) -> np.ndarray:
    rows, columns = np.indices((256, 256)) - 128
    smooth = np.exp(-(rows**2 + columns**2) / 8000)
    return np.stack(
        [smooth * (1 + 0.5 * np.cos(rows / (4 + n)) + 0.4 * np.cos(columns / 5)) for n in range(planes)]
    )


@pytest.mark.parametrize("planes", [1, 5])
def test_answers_are_those_of_one_device(planes: int) -> None:
    one = Factorizer.from_pretrained(device="cpu")(stack(planes), passes=2)
    several = load_factorizer("release", "cpu,cpu,cpu", batch_size=2)
    assert isinstance(several, SeveralDevicesFactorizer) and several.batch_size == 6
    found = several(stack(planes), passes=2)
    np.testing.assert_allclose(found.form_factor, one.form_factor, atol=1e-5)
    np.testing.assert_allclose(found.short_range_order, one.short_range_order, atol=1e-5)


def test_threads_share_several_devices() -> None:
    one = Factorizer.from_pretrained(device="cpu")(stack(3))
    shared = SharedFactorizer(load_factorizer("release", "cpu,cpu"), batch_size=4)
    found = shared(stack(3))
    assert shared.batches == [3]
    np.testing.assert_allclose(found.short_range_order, one.short_range_order, atol=1e-5)


def test_wrong_devices_are_one_sentence() -> None:
    with pytest.raises(InputError, match="device 'cpu,nonsense' cannot be used"):
        load_factorizer("release", "cpu,nonsense")
    with pytest.raises(InputError, match="no device is named"):
        SeveralDevicesFactorizer(load_release(), [])
