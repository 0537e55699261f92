"""The order of planes: it follows from the seed, is divided between ranks, and is resumed after a stop."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from dsfunet.data.sampling import EachOnceSampler, EpochSampler, ResumableLoader
from dsfunet.errors import InputError


def epoch_of(sampler: EpochSampler, epoch: int) -> list[int]:
    sampler.set_epoch(epoch)
    return list(sampler)


@pytest.mark.parametrize("blocks_together", [None, 2])
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_ranks_share_an_epoch_and_have_equally_many(ranks: int, blocks_together: int | None) -> None:
    # Five shards of 4 and a last one of 2.
    parts = [EpochSampler(22, ranks, rank, 3, 4, blocks_together) for rank in range(ranks)]
    visits = [epoch_of(part, 2) for part in parts]
    assert {len(each) for each in visits} == {-(-22 // ranks)} == {len(part) for part in parts}
    together = [visit for each in visits for visit in each]
    assert set(together) == set(range(44, 66))
    assert len(together) - 22 == -22 % ranks  # no more repeats than ranks lack
    assert together != [visit - 22 for visit in together]
    assert [epoch_of(part, 2) for part in parts] == visits
    assert [[visit - 22 for visit in epoch_of(part, 3)] for part in parts] != visits


@pytest.mark.parametrize(("blocks", "last"), [(3, 1), (3, 4), (1, 4), (7, 2)])
def test_a_short_shard_leaves_no_rank_waiting(blocks: int, last: int) -> None:
    planes = 4 * (blocks - 1) + last
    for epoch in range(8):
        parts = [EpochSampler(planes, 4, rank, 0, 4, 1) for rank in range(4)]
        visits = [epoch_of(part, epoch) for part in parts]
        assert {len(each) for each in visits} == {-(-planes // 4)}
        assert {visit % planes for each in visits for visit in each} == set(range(planes))


def test_blocks_stay_together_and_few_are_open_at_a_time() -> None:
    sampler = EpochSampler(1000, 2, 1, seed=5, block=50, blocks_together=2)
    order = [visit % 1000 for visit in epoch_of(sampler, 4)]
    blocks = [index // 50 for index in order]
    # Half of twenty blocks, not all of them, in five windows of two whole blocks.
    assert len(set(blocks)) == 10
    windows = [set(blocks[first : first + 100]) for first in range(0, 500, 100)]
    assert [len(each) for each in windows] == [2] * 5
    assert all(first.isdisjoint(second) for first, second in pairwise(windows))
    # Shuffled within a window: neighbours in a store do not follow each other.
    assert sum(second == first + 1 for first, second in pairwise(order)) < 20
    assert sorted(set(blocks)) != sorted({visit % 1000 // 50 for visit in epoch_of(sampler, 5)})


def test_all_planes_are_shuffled_by_default() -> None:
    order = epoch_of(EpochSampler(1000, seed=5, block=50), 0)
    assert sorted(order) == list(range(1000))
    assert len({index // 50 for index in order[:100]}) > 15


@pytest.mark.parametrize(("planes", "ranks"), [(7, 1), (7, 2), (8, 3), (3, 3)])
def test_validation_shows_every_plane_once(planes: int, ranks: int) -> None:
    parts = [EachOnceSampler(planes, ranks, rank) for rank in range(ranks)]
    assert sorted(index for part in parts for index in part) == list(range(planes))
    assert [len(part) for part in parts] == [len(list(part)) for part in parts]


def test_fewer_planes_than_ranks_are_refused() -> None:
    with pytest.raises(
        InputError, match="2 validation planes for 3 processes; expected at least one plane per process"
    ):
        EachOnceSampler(2, 3, 0)


class Indices(Dataset[dict[str, torch.Tensor]]):
    """Samples that are their own index."""

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"index": torch.tensor(index)}


def loader(batch_size: int = 4, workers: int = 0, **settings: int) -> ResumableLoader:
    return ResumableLoader(
        Indices(),
        sampler=EpochSampler(20, seed=1, **settings),
        batch_size=batch_size,
        num_workers=workers,
        drop_last=True,
        multiprocessing_context="spawn" if workers else None,
        persistent_workers=workers > 0,
    )


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_loader_begins_with_the_first_batch_not_yet_trained_on(workers: int) -> None:
    batches = loader(workers=workers)

    def epoch(number: int, done: int) -> list[list[int]]:
        batches.batches_done = lambda: done
        made = iter(batches)  # before the epoch is known, as Lightning does
        batches.sampler.set_epoch(number)  # type: ignore[attr-defined]
        return [batch["index"].tolist() for batch in made]

    whole = [epoch(number, 0) for number in range(3)]
    assert [len(each) for each in whole] == [5, 5, 5]
    assert sorted(index for batch in whole[2] for index in batch) == list(range(40, 60))
    assert epoch(1, 2) == whole[1][2:]
    assert epoch(2, 0) == whole[2]
    assert epoch(0, 5) == []
    assert len(batches) == 5


def test_a_run_that_resumes_with_other_settings_is_warned() -> None:
    state = loader().state_dict()
    assert all(type(value) in (int, bool, type(None)) for value in state.values())  # loads weights-only
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loader().load_state_dict(state)
    with pytest.warns(UserWarning, match="with batch_size 5 instead of 4; in the rest of this epoch"):
        loader(5).load_state_dict(state)
    with pytest.warns(UserWarning, match="with num_replicas 2 instead of 1"):
        loader(num_replicas=2).load_state_dict(state)


def shares(seed: int, epoch: int, ranks: int = 3, planes: int = 12) -> np.ndarray:
    """Planes by rank and place in the epoch, with fixed shares."""
    found = []
    for rank in range(ranks):
        sampler = EpochSampler(planes, ranks, rank, seed, fixed_shares=True)
        sampler.set_epoch(epoch)
        found.append([index - epoch * planes for index in sampler])
    return np.array(found)


def test_fixed_shares_are_kept_over_epochs_and_shuffled_in_each() -> None:
    first, second = shares(5, 0), shares(5, 1)
    assert sorted(first.reshape(-1)) == list(range(12))
    assert (np.sort(first, axis=1) == np.sort(second, axis=1)).all()
    assert (first != second).any()
    assert (np.sort(shares(6, 0), axis=1) != np.sort(first, axis=1)).any()
    assert [len(each) for each in shares(5, 0, ranks=5)] == [
        3
    ] * 5  # 12 planes for 5 ranks: three are repeated


def test_batches_of_fixed_shares_are_simple_random_samples() -> None:
    """Over seeds, every plane and every pair of planes is equally often in the first batch of all ranks together."""
    trials, planes = 3000, 12
    once, together = np.zeros(planes), np.zeros((planes, planes))
    for seed in range(trials):
        batch = shares(seed, epoch=2)[:, :2].reshape(-1)  # two planes of each of three ranks
        once[batch] += 1
        together[np.ix_(batch, batch)] += 1
    pairs = together[np.triu_indices(planes, 1)]
    for counts, chance in ((once, 6 / 12), (pairs, 6 * 5 / (12 * 11))):
        deviations = (counts - trials * chance) / np.sqrt(trials * chance * (1 - chance))
        assert np.abs(deviations).max() < 4.5
        assert 0.6 < deviations.std() < 1.4  # counts of one batch exclude each other a little
