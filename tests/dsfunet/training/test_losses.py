"""The losses, compared with numbers worked out by hand."""

import math

import numpy as np
import pytest
import torch

from dsfunet.planes.preprocessing import spread, unspread
from dsfunet.training.losses import (
    AdversarialObjective,
    adversarial_loss_discriminator,
    adversarial_loss_generator,
    explanation_loss,
    joint_product_loss,
    reconstruction_loss,
    shifted_product,
)

LOG_2 = 0.69314718  # -log of sigmoid(0)
LOG_3 = 1.09861229  # sigmoid(log 3) = 3/4, sigmoid(-log 3) = 1/4
LOG_4_THIRDS = 0.28768207  # -log(3/4)
LOG_4 = 1.38629436  # -log(1/4)


def test_vanilla_generator_loss() -> None:
    # D gives 3/4 and 1/4: the mean of -log(3/4) and -log(1/4).
    loss = adversarial_loss_generator(torch.tensor([LOG_3, -LOG_3]), "vanilla")
    assert loss.item() == pytest.approx((LOG_4_THIRDS + LOG_4) / 2)


def test_vanilla_discriminator_loss() -> None:
    # True ones: D gives 3/4 and 1/2, mean (0.28768 + 0.69315) / 2 = 0.490415. Generated: D gives 1/4, so
    # -log(1 - 1/4) = 0.287682. Half the sum: 0.389048.
    loss = adversarial_loss_discriminator(torch.tensor([LOG_3, 0.0]), torch.tensor([-LOG_3]), "vanilla")
    assert loss.item() == pytest.approx(0.389048, abs=1e-6)


def test_least_squares_generator_loss() -> None:
    # (0.5 - 1)^2 = 0.25 and (-1 - 1)^2 = 4: mean 2.125.
    assert adversarial_loss_generator(torch.tensor([0.5, -1.0]), "least_squares").item() == 2.125


def test_least_squares_discriminator_loss() -> None:
    # True ones: (2 - 1)^2 and (1 - 1)^2, mean 0.5. Generated: 0.5^2 and (-1)^2, mean 0.625. Half the sum.
    real_logits, fake_logits = torch.tensor([[2.0, 1.0], [0.5, -1.0]])
    loss = adversarial_loss_discriminator(real_logits, fake_logits, "least_squares")
    assert loss.item() == 0.5625


def test_undecided_discriminator_at_equilibrium() -> None:
    # Equation 8 with D = 1/2 everywhere is -2 log 2; its negative, halved, is log 2.
    zeros = torch.zeros(2, 1, 16, 16)
    assert adversarial_loss_discriminator(zeros, zeros, "vanilla").item() == pytest.approx(LOG_2)


def test_vanilla_stays_finite_for_a_discriminator_that_is_sure() -> None:
    loss = adversarial_loss_generator(torch.tensor([-1000.0]), "vanilla")
    assert loss.item() == pytest.approx(1000.0)


def test_vanilla_generator_gradient_does_not_vanish_when_the_discriminator_is_sure() -> None:
    # d(-log sigmoid(z))/dz = sigmoid(z) - 1: -0.99995 at z = -10, where that of log(1 - sigmoid) is -0.00005.
    logits = torch.tensor([-10.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(adversarial_loss_generator(logits, "vanilla"), logits)
    assert gradient.item() == pytest.approx(-0.9999546, abs=1e-6)


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        # Generator: sigmoid - 1. Discriminator, halved: the same for true ones, sigmoid for generated ones.
        ("vanilla", (-0.25, -0.125, 0.375)),
        # Generator: 2 (log 3 - 1). Discriminator, halved: log 3 - 1 and log 3.
        ("least_squares", (2 * LOG_3 - 2, LOG_3 - 1, LOG_3)),
    ],
)
def test_gradients(objective: AdversarialObjective, expected: tuple[float, float, float]) -> None:
    generator_logit, real_logit, fake_logit = (torch.tensor([LOG_3], requires_grad=True) for _ in range(3))
    generator_loss = adversarial_loss_generator(generator_logit, objective)
    discriminator_loss = adversarial_loss_discriminator(real_logit, fake_logit, objective)
    gradients = (
        *torch.autograd.grad(generator_loss, generator_logit),
        *torch.autograd.grad(discriminator_loss, (real_logit, fake_logit)),
    )
    assert [gradient.item() for gradient in gradients] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("objective", ["vanilla", "least_squares"])
def test_opponents_pull_generated_logits_in_opposite_directions(objective: AdversarialObjective) -> None:
    logits = torch.tensor([0.1, 0.5, 0.9], requires_grad=True)
    (upwards,) = torch.autograd.grad(adversarial_loss_generator(logits, objective), logits)
    real_logits = torch.zeros(3)
    (downwards,) = torch.autograd.grad(adversarial_loss_discriminator(real_logits, logits, objective), logits)
    assert (upwards < 0).all()
    assert (downwards > 0).all()


def test_reconstruction_loss() -> None:
    # |1 - 0.5| + |-1 - -1| + |0.5 - -0.5| + |0 - 0.25| = 1.75, over four pixels.
    output = torch.tensor([[1.0, -1.0], [0.5, 0.0]])
    target = torch.tensor([[0.5, -1.0], [-0.5, 0.25]])
    assert reconstruction_loss(output, target).item() == 0.4375


def test_shifted_product_keeps_the_order_that_the_bare_product_loses() -> None:
    # (1)(1) - 2, (1)(3) - 2, (2)(2) - 2 and (3)(3) - 2; the bare products would be 1, -1, 0, 1.
    form_factor = torch.tensor([-1.0, -1.0, 0.0, 1.0])
    short_range_order = torch.tensor([-1.0, 1.0, 0.0, 1.0])
    assert shifted_product(form_factor, short_range_order).tolist() == [-1.0, 1.0, 2.0, 7.0]


@pytest.mark.parametrize(
    ("beta", "expected"),
    [
        # Products of the outputs: 2 * 2 - 2 = 2 and 3 * 1.5 - 2 = 2.5; of the truths: 2.5 * 1.5 - 2 = 1.75
        # and 1 * 3 - 2 = 1. Differences 0.25 (quadratic) and 1.5 (linear).
        (1.0, (0.25**2 / 2 + 1.5 - 0.5) / 2),  # (0.03125 + 1) / 2 = 0.515625
        (0.5, (0.25**2 / 1 + 1.5 - 0.25) / 2),  # (0.0625 + 1.25) / 2 = 0.65625
    ],
)
def test_joint_product_loss(beta: float, expected: float) -> None:
    outputs = torch.tensor([0.0, 1.0]), torch.tensor([0.0, -0.5])
    targets = torch.tensor([0.5, -1.0]), torch.tensor([-0.5, 1.0])
    assert joint_product_loss(*outputs, *targets, beta=beta).item() == expected


def test_joint_product_loss_moves_both_outputs() -> None:
    # Product 2, target 2.5 * 1.7 - 2 = 2.25, difference -0.25; the other factor is 2: -0.25 * 2 each.
    outputs = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    loss = joint_product_loss(*outputs, torch.tensor([0.5]), torch.tensor([-0.3]))
    gradients = torch.autograd.grad(loss, outputs)
    assert [gradient.item() for gradient in gradients] == pytest.approx([-0.5, -0.5])


def test_joint_product_loss_of_bfloat16_is_worked_out_in_float32() -> None:
    # 2 + 1/128 is no bfloat16 number: it would round to 2, and the loss to 0. In float32 the products
    # differ by (2 + 1/128)^2 - 4 = 1/32 + 1/16384.
    small, zero = torch.tensor([[1.0 / 128.0], [0.0]], dtype=torch.bfloat16)
    loss = joint_product_loss(small, small, zero, zero)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx((1.0 / 32.0 + 1.0 / 16384.0) ** 2 / 2, rel=1e-4)


def test_other_losses_of_bfloat16_are_worked_out_in_float32() -> None:
    # 1 + 1/512 needs ten bits, (255/128)^2 sixteen; bfloat16 has eight.
    output, target = torch.tensor([[1.0], [-1.0 / 512.0]], dtype=torch.bfloat16)
    reconstruction = reconstruction_loss(output, target)
    assert reconstruction.dtype == torch.float32
    assert reconstruction.item() == 1.0 + 1.0 / 512.0

    logits = torch.tensor([-127.0 / 128.0], dtype=torch.bfloat16)
    least_squares = adversarial_loss_generator(logits, "least_squares")
    assert least_squares.dtype == torch.float32
    assert least_squares.item() == (255.0 / 128.0) ** 2

    vanilla = adversarial_loss_discriminator(0 * logits, 0 * logits, "vanilla")
    assert vanilla.dtype == torch.float32
    assert vanilla.item() == pytest.approx(LOG_2, rel=1e-6)


def test_unknown_objective() -> None:
    with pytest.raises(ValueError, match=r"'hinge'.*'vanilla' or 'least_squares'"):
        adversarial_loss_generator(torch.zeros(1), "hinge")  # type: ignore[arg-type]


def test_shapes_that_would_broadcast_are_refused() -> None:
    with_channel, without_channel = torch.zeros(2, 1, 4, 4), torch.zeros(2, 4, 4)
    with pytest.raises(ValueError, match=r"\(2, 1, 4, 4\) and \(2, 4, 4\)"):
        reconstruction_loss(with_channel, without_channel)
    with pytest.raises(ValueError, match="expected equal shapes"):
        joint_product_loss(with_channel, with_channel, without_channel, without_channel)
    with pytest.raises(ValueError, match="expected equal shapes"):
        shifted_product(with_channel, without_channel)


@pytest.mark.parametrize("beta", [0.0, -1.0, math.nan])
def test_beta_must_be_positive(beta: float) -> None:
    plane = torch.zeros(1, 1, 2, 2)
    with pytest.raises(ValueError, match="above 0"):
        joint_product_loss(plane, plane, plane, plane, beta=beta)


def product_plane(generator: torch.Generator, scale: float = 1.0) -> tuple[torch.Tensor, ...]:
    """Spread components with minimum 0 and maximum 1, their floors' product and its normalised, spread plane."""
    first, second = (torch.rand(1, 1, 16, 16, generator=generator) for _ in range(2))
    first, second = ((each - each.min()) / (each.max() - each.min()) for each in (first, second))
    plane = scale * (first + 0.3) * (second + 0.1)
    plane = (plane - plane.min()) / (plane.max() - plane.min())
    return spread(first), spread(second), spread(plane)


def test_the_true_components_explain_their_plane_whatever_the_floors() -> None:
    first, second, plane = product_plane(torch.Generator().manual_seed(1), scale=7.0)
    assert explanation_loss(first, second, plane).item() == pytest.approx(0.0, abs=2e-3)  # the ridge's share
    # Flat components explain nothing of it: all of its variance is left.
    flat = torch.zeros_like(first)
    assert explanation_loss(flat, flat, plane).item() == pytest.approx(1.0, abs=1e-3)


def test_the_unexplained_share_is_that_of_a_least_squares_fit_to_the_measured_pixels() -> None:
    drawn = torch.Generator().manual_seed(2)
    first, second, _ = product_plane(drawn)
    target = torch.rand(1, 1, 16, 16, generator=drawn)
    mask = (torch.rand(1, 1, 16, 16, generator=drawn) < 0.6).float()
    shown = torch.cat([spread(target) * mask - (1 - mask), mask], dim=1)
    inside = mask.bool().flatten().numpy()
    f, s, t = (
        each.flatten().double().numpy()[inside] for each in (unspread(first), unspread(second), target)
    )
    columns = np.stack([f * s, f, s, np.ones_like(f)], axis=1)
    residual = t - columns @ np.linalg.lstsq(columns, t, rcond=None)[0]
    expected = (residual**2).sum() / ((t - t.mean()) ** 2).sum()
    assert explanation_loss(first, second, shown).item() == pytest.approx(expected, abs=1e-3)
    # Pixels that were not measured do not count: other outputs there make no difference.
    other = torch.where(mask.bool(), first, -first)
    assert explanation_loss(other, second, shown).item() == pytest.approx(expected, abs=1e-3)


def test_the_unexplained_share_is_worked_out_plane_by_plane_and_has_gradients() -> None:
    drawn = torch.Generator().manual_seed(3)
    true, wrong = product_plane(drawn), product_plane(drawn)
    first = torch.cat([true[0], true[1]]).requires_grad_()
    second = torch.cat([true[1], wrong[1]])
    planes = torch.cat([true[2], wrong[2]])
    alone = explanation_loss(first[1:], second[1:], planes[1:])
    both = explanation_loss(first, second, planes)
    assert both.item() == pytest.approx(alone.item() / 2, abs=2e-3)
    [gradient] = torch.autograd.grad(both, first)
    assert torch.isfinite(gradient).all()
    better = (first - 0.1 * gradient / gradient.abs().max()).clamp(-1, 1).detach()
    assert explanation_loss(better, second, planes) < both
    with pytest.raises(ValueError, match="expected equal shapes"):
        explanation_loss(first[:1], second, planes)
