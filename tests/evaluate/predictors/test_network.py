"""The networks as a predictor: modes, seeds, and answers that do not depend on the other planes of a call."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dsfunet.data.store import Store
from dsfunet.errors import InputError
from dsfunet.factorize.factorizer import Factorizer
from dsfunet.networks import Pix2PixGenerator
from dsfunet.networks.weights import Generators
from dsfunet.planes.preprocessing import spread
from dsfunet.planes.turns import rotate_and_flip, undo_rotation_and_flip
from evaluate.predictors.cases import CaseReader, Prediction
from evaluate.predictors.network import SYMMETRIES, Mode, NetworkPredictor


@pytest.fixture(scope="module")
def factorizer(small_weights: Path) -> Factorizer:
    return Factorizer.from_checkpoint(small_weights, device="cpu", batch_size=4)


@pytest.fixture(scope="module")
def noisy() -> Factorizer:
    """Generators with the paper's dropout and few channels."""
    torch.manual_seed(5)
    networks = [Pix2PixGenerator(channels=(4, 4, 8, 8, 8, 8)).eval() for _ in range(2)]
    return Factorizer(Generators(networks[0], networks[1], "noisy", "d" * 64, {}), device="cpu")


@pytest.mark.parametrize(
    "text", ["dropout", "dropout:1", "dropout:x", "turns:9", "deterministic:2", "", "best"]
)
def test_a_mode_that_is_none(text: str) -> None:
    with pytest.raises(InputError, match="expected deterministic, dropout:N"):
        Mode.parse(text)


def test_a_mode_is_its_name() -> None:
    for text in ("deterministic", "dropout:16", "turns:8"):
        assert str(Mode.parse(text)) == text


@pytest.mark.parametrize("which", range(SYMMETRIES))
def test_turning_back_undoes_turning(which: int) -> None:
    planes = np.random.default_rng(which).random((2, 5, 5)).astype(np.float32)
    np.testing.assert_array_equal(
        undo_rotation_and_flip(np.asarray(rotate_and_flip(planes, which)), which), planes
    )


def test_one_pass_is_what_users_get(factorizer: Factorizer, store: Store) -> None:
    case, _ = CaseReader(store)(4)
    answer = NetworkPredictor(factorizer)([case])
    expected = factorizer(case.scattering, mask=case.mask)
    np.testing.assert_array_equal(answer.form_factor[0], expected.form_factor)
    assert answer.form_factor_deviation is None


def test_turns_are_the_mean_over_the_symmetries(factorizer: Factorizer, store: Store) -> None:
    case, _ = CaseReader(store)(1)
    answer = NetworkPredictor(factorizer, Mode.parse("turns:8"))([case])
    passes = []
    for which in range(SYMMETRIES):
        once = factorizer(rotate_and_flip(case.scattering, which), mask=rotate_and_flip(case.mask, which))
        passes.append(undo_rotation_and_flip(spread(once.short_range_order), which))
    np.testing.assert_allclose(spread(answer.short_range_order[0]), np.mean(passes, axis=0), atol=1e-5)
    assert answer.short_range_order_deviation is not None
    np.testing.assert_allclose(
        answer.short_range_order_deviation[0], np.std(passes, axis=0, ddof=1), atol=1e-5
    )


def test_dropout_is_seeded_by_plane_and_not_by_company(noisy: Factorizer, store: Store) -> None:
    reader = CaseReader(store)
    cases = [reader(number)[0] for number in (0, 3)]
    predictor = NetworkPredictor(noisy, Mode.parse("dropout:3"), seed=7)
    state = torch.get_rng_state()
    together, alone = predictor(cases), predictor(cases[1:])
    assert torch.equal(torch.get_rng_state(), state)
    _assert_equal(together, alone, place=1)
    assert together.form_factor_deviation is not None and together.form_factor_deviation.max() > 0
    other = NetworkPredictor(noisy, Mode.parse("dropout:3"), seed=8)(cases[1:])
    assert not np.array_equal(other.form_factor, alone.form_factor)
    # The networks are unchanged afterwards.
    once = [NetworkPredictor(noisy)(cases[:1]).form_factor for _ in range(2)]
    np.testing.assert_array_equal(*once)


def _assert_equal(together: Prediction, alone: Prediction, place: int) -> None:
    np.testing.assert_array_equal(together.form_factor[place], alone.form_factor[0])
    np.testing.assert_array_equal(together.short_range_order[place], alone.short_range_order[0])


def test_dropout_asked_of_networks_that_have_none(factorizer: Factorizer) -> None:
    with pytest.raises(InputError, match="have no dropout; expected deterministic or turns:8"):
        NetworkPredictor(factorizer, Mode.parse("dropout:4"))


def test_what_lies_under_the_mask_never_reaches_a_case(store: Store) -> None:
    reader = CaseReader(store)
    for number in range(3):
        case, truth = reader(number)
        assert (case.scattering[~case.mask] == 0).all()
        assert truth.form_factor.max() == 1


def test_a_plane_measured_anew_is_seeded_by_its_number(store: Store) -> None:
    reader = CaseReader(store)
    once, again, other = reader(1, 100.0, seed=2)[0], reader(1, 100.0, seed=2)[0], reader(1, 100.0, seed=3)[0]
    np.testing.assert_array_equal(once.scattering, again.scattering)
    assert not np.array_equal(once.scattering, other.scattering)
    exact = store.sample(1).clean[once.mask]
    # Integer counts divided by the brightest, which is near 100.
    assert len(np.unique(once.scattering)) < 150
    assert np.corrcoef(once.scattering[once.mask], exact)[0, 1] > 0.9
