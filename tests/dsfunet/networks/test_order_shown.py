"""A form-factor generator with I_SRO as an input where it is known: input, growth, training and use."""

from functools import partial
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from dsfunet.errors import InputError
from dsfunet.factorize.factorizer import Factorizer
from dsfunet.lattice.mode import fit_order, smooth_over_cells
from dsfunet.networks import Pix2PixGenerator, SpectralUNet
from dsfunet.networks.inputs import restore_floor, select_inputs
from dsfunet.networks.spectral_unet import quotient_channel
from dsfunet.networks.weights import Generators, save_folder
from dsfunet.physics import Cell, plane_through
from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.planes.preprocessing import network_input, spread, unspread
from dsfunet.training.callbacks import StartFrom
from dsfunet.training.losses import squared_error_loss
from dsfunet.training.module import ORDER_SHOWN, DSFUNet

pytestmark = pytest.mark.filterwarnings("ignore:The .*_dataloader. does not have many workers")

SETTINGS: dict[str, Any] = {"channels": (8, 16), "blocks": (1, 1), "fourier_channels": (4, 8)}


def network(in_channels: int = 3, seed: int = 0, **changes: Any) -> SpectralUNet:
    """A network none of whose weights is 0."""
    torch.manual_seed(seed)
    made = SpectralUNet(**{**SETTINGS, "in_channels": in_channels, **changes})
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return made.eval().requires_grad_(False)


def planes(samples: int = 2, channels: int = 2, side: int = 32) -> Tensor:
    drawn = 2 * torch.rand(samples, channels, side, side, generator=torch.Generator().manual_seed(5)) - 1
    drawn[:, 1:2] = (drawn[:, 1:2] > -0.5).float()
    return drawn


def test_each_network_gets_its_channels() -> None:
    shown, order = planes(), planes(channels=1)
    assert torch.equal(select_inputs(Pix2PixGenerator(1, (4, 8, 8)), shown, order), shown[:, :1])
    assert torch.equal(select_inputs(network(2), shown, order), shown)
    assert torch.equal(select_inputs(network(3), shown, order), torch.cat([shown, order], dim=1))
    unknown = select_inputs(network(3), shown)
    assert torch.equal(unknown[:, :2], shown) and not unknown[:, 2].any()
    with pytest.raises(InputError, match="the network has 4 input channels; expected 1 to 3"):
        select_inputs(Pix2PixGenerator(4, (4, 8, 8)), shown, order)


def test_quotient_is_the_root_of_the_form_factor_where_order_is_bright() -> None:
    generator = torch.Generator().manual_seed(2)
    form_factor, order = (torch.rand(2, 8, 8, generator=generator, dtype=torch.float64) for _ in range(2))
    order[0, 0] = 0.0
    measured = torch.ones(2, 8, 8, dtype=torch.float64)
    measured[:, 3] = 0
    shown = torch.stack([spread(form_factor * order), measured, spread(order)], dim=1)
    expected = form_factor.sqrt() * order / (order + 0.05) * measured
    torch.testing.assert_close(quotient_channel(shown)[:, 0], expected, rtol=1e-5, atol=1e-6)
    shown[1, 2] = 0  # not known
    assert quotient_channel(shown)[0].any() and not quotient_channel(shown)[1].any()


@pytest.mark.parametrize("given", [2, 3])
def test_a_grown_network_answers_as_the_small_one_did(given: int) -> None:
    small, large = network(given), network(3, seed=1, blocks=(2, 3))
    large.grow_from(small)
    shown = planes(channels=3)
    expected = small(select_inputs(small, shown[:, :2], shown[:, 2:]))
    if given == 3:
        torch.testing.assert_close(large(shown), expected, rtol=0, atol=1e-6)
    unknown = select_inputs(large, shown[:, :2])
    torch.testing.assert_close(large(unknown), small(select_inputs(small, shown[:, :2])), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "changes", [{"channels": (16, 16)}, {"blocks": (1, 2)}, {"in_channels": 3}, {"fold": 2}], ids=str
)
def test_a_network_does_not_grow_from_what_is_not_smaller(changes: dict[str, Any]) -> None:
    own = network(2)
    before = [each.clone() for each in own.parameters()]
    with pytest.raises(InputError, match="at most the blocks and input channels"):
        own.grow_from(network(**{"in_channels": 2, **changes}))
    assert all(map(torch.equal, own.parameters(), before))


def test_order_is_shown_as_lattice_mode_finds_it() -> None:
    order = torch.tensor([0.5, 2.0, 4.0], dtype=torch.float64)
    low, high = 0.5, 4.0
    normalised = spread((order - low) / (high - low))
    found = restore_floor(normalised, torch.tensor(low / (high - low), dtype=torch.float64))
    torch.testing.assert_close(unspread(found), order / high)


def test_squared_error_is_the_mean_of_squares() -> None:
    assert squared_error_loss(torch.tensor([0.0, 1.0]), torch.tensor([0.5, -1.0])).item() == pytest.approx(
        2.125
    )
    with pytest.raises(ValueError, match="shape"):
        squared_error_loss(torch.zeros(2), torch.zeros(3))


def batch_planes(samples: int = 4) -> list[dict[str, Tensor]]:
    drawn = torch.Generator().manual_seed(1)
    names = {"input": 2, "clean": 1, "form_factor": 1, "short_range_order": 1}
    made = [
        {name: 2 * torch.rand(channels, 32, 32, generator=drawn) - 1 for name, channels in names.items()}
        for _ in range(samples)
    ]
    return [{**each, "short_range_order_floor": torch.full((1, 1, 1), 0.25)} for each in made]


class Spy(SpectralUNet):
    """A network that records its inputs."""

    def __init__(self) -> None:
        super().__init__(**{**SETTINGS, "in_channels": 3})
        self.seen: list[Tensor] = []

    def forward(self, plane: Tensor) -> Tensor:
        self.seen.append(plane.detach().clone())
        return super().forward(plane)


def fit(module: DSFUNet, batches: int = 8) -> lightning.Trainer:
    trainer = lightning.Trainer(
        max_steps=-1, max_epochs=1, limit_train_batches=batches, accelerator="cpu", devices=1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=1,
    )  # fmt: skip
    repeated = [each for _ in range(batches) for each in batch_planes()]
    trainer.fit(module, DataLoader(repeated, batch_size=4), DataLoader(batch_planes(), batch_size=4))
    return trainer


def system(first: SpectralUNet, **settings: Any) -> DSFUNet:
    optimizer = partial(torch.optim.SGD, lr=0.01)
    torch.manual_seed(4)
    second = SpectralUNet(**SETTINGS)
    return DSFUNet(
        first, second, optimizer, **{"reconstruction_weight": 1.0, "joint_step": "off", **settings}
    )


@pytest.mark.slow
def test_the_order_is_shown_of_a_share_of_the_planes() -> None:
    spy = Spy()
    fit(system(spy, order_shown=0.5))
    training = [each for each in spy.seen if each.shape[0] == 4]
    truth = restore_floor(
        torch.stack([each["short_range_order"] for each in batch_planes()]), torch.tensor(0.25)
    )
    known = []
    for seen in training:
        for plane, order in zip(seen[:, 2:], truth, strict=True):
            known.append(bool(plane.any()))
            assert torch.equal(plane, order) or not plane.any()
    assert 0.25 < np.mean(known) < 0.75
    never = Spy()
    fit(system(never))
    assert [bool(each[:, 2].any()) for each in never.seen].count(
        True
    ) == 2  # validated so: the sanity check, and then


def test_validation_scores_both_ways_of_the_form_factor() -> None:
    module = system(network().requires_grad_(True).train())
    run = fit(module, batches=1)
    batch = {name: torch.stack([each[name] for each in batch_planes()]) for name in batch_planes()[0]}
    order = restore_floor(batch["short_range_order"], batch["short_range_order_floor"])
    with torch.no_grad():
        for known, name in ((None, "form_factor"), (order, ORDER_SHOWN)):
            answer = module(batch["input"], known)[0]
            expected = (answer - batch["form_factor"]).square().mean()
            assert run.logged_metrics[f"validation/{name}_mse"].item() == pytest.approx(
                expected.item(), rel=1e-5
            )


@pytest.mark.slow
def test_one_generator_may_train_alone() -> None:
    first = network().requires_grad_(True).train()
    module = system(first, trained="form_factor", squared_weight=2.0, average_decay=0.5)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    run = fit(module, batches=1)
    moved = {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}
    assert any(name.startswith("generators.form_factor") for name in moved)
    assert not any("short_range_order" in name for name in moved)
    losses = {name for name in run.logged_metrics if name.startswith("train/")}
    assert losses == {"train/form_factor_l1", "train/form_factor_squared"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"trained": "form_factor", "joint_step": "fused"},
            "trained is form_factor: discriminators, a joint step and explanation_weight need both",
        ),
        (
            {"trained": "form_factor", "explanation_weight": 0.1},
            "trained is form_factor: discriminators, a joint step and explanation_weight need both",
        ),
        ({"order_shown": 1.5}, "order_shown is 1.5; expected a share"),
    ],
)
def test_settings_that_contradict_each_other(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        system(network(), **settings)


def test_training_starts_from_smaller_weights(tmp_path: Any) -> None:
    given = Generators(network(2, seed=8), network(2, seed=9), "given", "", {})
    save_folder(given, tmp_path / "given", dtype=torch.float32)
    module = system(SpectralUNet(**{**SETTINGS, "in_channels": 3, "blocks": (1, 3)}), average_decay=0.9)
    trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    StartFrom(str(tmp_path / "given")).on_fit_start(trainer, module)
    shown = planes()
    with torch.no_grad():
        found = module(shown)
    torch.testing.assert_close(found[0], given.form_factor(shown), rtol=0, atol=1e-6)
    torch.testing.assert_close(found[1], given.short_range_order(shown), rtol=0, atol=1e-6)
    with pytest.raises(InputError, match="the form_factor network does not fit the configuration"):
        StartFrom(str(tmp_path / "given")).on_fit_start(trainer, system(network(1)))


def test_lattice_mode_runs_the_network_again() -> None:
    class Copier(torch.nn.Module):
        """Returns its I_SRO input, and -1 where there is none."""

        in_channels = 3

        def forward(self, shown: Tensor) -> Tensor:
            return torch.where(shown[:, 2:].any(), shown[:, 2:], -1.0)

    cell = Cell(6.0, 7.5, 5.2)
    lattice = LatticePlane(cell, plane_through(cell, (0, 1), 0.0, 7.0), (0, 1))
    h, k = lattice.fractional_indices()
    order = 1.5 + np.cos(2 * np.pi * h) + 0.4 * np.cos(2 * np.pi * (h + k))
    scattering = (order * np.exp(-(h**2 + k**2) / 60)).astype(np.float32)
    mask = np.ones((256, 256), bool)
    factorizer = Factorizer(Generators(Copier(), network(2), "test", "", {}), device="cpu")
    alone = factorizer(scattering)
    assert not alone.form_factor.any()
    components = factorizer(scattering, lattice=lattice)
    assert components.of_networks is not None and not components.of_networks[0].any()
    # The network answers with I_SRO, which the series then does not have to explain, so what is left is smooth.
    first = fit_order(
        scattering / scattering.max(),
        mask,
        smooth_over_cells(scattering / scattering.max(), mask, lattice),
        lattice,
    )
    seen = factorizer._infer(
        torch.from_numpy(network_input(scattering, mask)[None]), [factorizer.generators.form_factor],
        torch.from_numpy(spread(first)[None, None]),
    )  # fmt: skip
    np.testing.assert_allclose(unspread(seen[0, 0]), first, atol=1e-6)
    assert components.lattice_answers[0].form_factor.any()
