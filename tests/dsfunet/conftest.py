"""What several tests of the package share: the shipped networks, read once."""

import pytest

from dsfunet.factorize.factorizer import Factorizer
from dsfunet.networks.weights import Generators, load_release


@pytest.fixture(scope="session")
def release_generators() -> Generators:
    return load_release()


@pytest.fixture(scope="session")
def release(release_generators: Generators) -> Factorizer:
    """The shipped networks on the processor."""
    return Factorizer(release_generators, "cpu")


@pytest.fixture
def release_at_hand(release_generators: Generators, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line takes the shipped networks that are read already."""
    monkeypatch.setattr("dsfunet.networks.weights.load_release", lambda: release_generators)
