"""Compiled networks give the same outputs and gradients as uncompiled ones, and keep their parameters' names."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dsfunet.errors import InputError
from dsfunet.networks import PatchDiscriminator, Pix2PixGenerator
from dsfunet.planes.preprocessing import COMPONENTS
from dsfunet.training.compiling import CompileNetworks
from tests.dsfunet.training.test_module import fit, generator, loader, system, trainer

pytestmark = [
    pytest.mark.slow,
    # A tiny fit has no worker processes.
    pytest.mark.filterwarnings("ignore:The .*_dataloader. does not have many workers"),
    # Tracing reads the gradient of the discriminators' input, which is a generator's output.
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),
]

# Traces the same forward and backward graphs as inductor, but runs torch's own kernels, without minutes of compiling.
BACKEND = "aot_eager"


@pytest.fixture(autouse=True)
def fresh_compiler() -> None:
    """Reset the compiler's counts and code before each test."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()


def graphs() -> int:
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def gradients(network: nn.Module, *inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Output, and gradients of a loss that no symmetry makes zero."""
    network.zero_grad()
    torch.manual_seed(5)
    output = network(*inputs)
    (output * torch.linspace(-1, 1, output.shape[-1])).square().sum().backward()
    return output.detach(), {
        name: value.grad.clone() for name, value in network.named_parameters() if value.grad is not None
    }


def plane(channels: int, side: int) -> Tensor:
    return 2 * torch.rand(2, channels, side, side, generator=torch.Generator().manual_seed(channels)) - 1


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[Tensor, ...]]] = {
    "SpectralUNet": (lambda: generator(1), (plane(2, 32),)),
    # Without dropout: compiled code may draw other random numbers.
    "Pix2PixGenerator": (lambda: Pix2PixGenerator(1, (8, 16, 16, 16), dropout=0.0), (plane(1, 64),)),
    "PatchDiscriminator": (lambda: PatchDiscriminator((4, 8, 8, 8)), (plane(1, 64), plane(1, 64))),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_compiled_network_is_the_network(name: str) -> None:
    make, inputs = NETWORKS[name]
    torch.manual_seed(1)
    eager = make()
    compiled = copy.deepcopy(eager)
    compiled.compile(backend=BACKEND)
    expected, expected_gradients = gradients(eager, *inputs)
    found, found_gradients = gradients(compiled, *inputs)
    assert graphs() == 1  # not silently eager, and nothing in the network breaks the graph
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert found_gradients.keys() == expected_gradients.keys()
    for key, value in found_gradients.items():
        scale = float(expected_gradients[key].abs().max())
        torch.testing.assert_close(value, expected_gradients[key], rtol=1e-3, atol=1e-4 * max(scale, 1e-3))


def run(compile_networks: bool, **settings: Any) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Weights and validation after two batches of all steps, with averaged copies."""
    module = system(average_decay=0.5, channels_last=True)
    extra = [CompileNetworks(BACKEND)] if compile_networks else []
    session = trainer(callbacks=extra, num_sanity_val_steps=0, **settings)
    session.fit(module, loader(4), loader(3, seed=1))
    metrics = {name: float(value) for name, value in session.logged_metrics.items() if "validation" in name}
    return {name: value.clone() for name, value in module.state_dict().items()}, metrics


def test_training_compiled_is_training() -> None:
    expected, expected_metrics = run(compile_networks=False)
    assert graphs() == 0
    found, metrics = run(compile_networks=True)
    # Generators trained; discriminators trained and frozen; averages validated; and the last, smaller batch.
    assert graphs() >= 5
    assert not torch._dynamo.utils.counters["unimplemented"]
    assert list(found) == list(expected)
    for name, value in found.items():
        torch.testing.assert_close(
            value, expected[name], rtol=1e-3, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
        )
    assert metrics == pytest.approx(expected_metrics, rel=1e-4)


def test_compiled_training_in_bfloat16_lowers_the_same_loss() -> None:
    expected, expected_metrics = run(compile_networks=False)
    found, metrics = run(compile_networks=True, precision="bf16-mixed")
    assert list(found) == list(expected)
    assert all(
        value.dtype == expected[name].dtype and value.isfinite().all() for name, value in found.items()
    )
    # bfloat16 has eight bits: two per cent is rounding, but float32 it is not.
    assert metrics == pytest.approx(expected_metrics, rel=0.02)
    assert metrics["validation/mse"] != expected_metrics["validation/mse"]


def test_every_network_is_compiled_and_copies_as_before() -> None:
    module = system(average_decay=0.5)
    assert module.averages is not None
    fit(module, callbacks=[CompileNetworks("eager")])
    for networks in (module.generators, module.discriminators, module.averages):
        assert all(networks[name]._compiled_call_impl is not None for name in COMPONENTS)
    assert copy.deepcopy(module).generators["form_factor"]._compiled_call_impl is None


def test_an_unknown_backend_is_one_sentence() -> None:
    with pytest.raises(InputError, match=r"backend is 'inducktor'; expected one of .*inductor"):
        CompileNetworks("inducktor")
