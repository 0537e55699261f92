"""The losses of the two GANs and of the joint step (paper, equations 8 to 10), and one more, as pure functions.

Each loss is a scalar: the mean over all samples, pixels or patches. All work in float32, whatever comes in,
because the networks answer in bfloat16 under mixed precision.
"""

from typing import Literal

import torch
from torch.nn import functional

from dsfunet.planes.preprocessing import spread, unspread

AdversarialObjective = Literal["vanilla", "least_squares"]


def adversarial_loss_generator(fake_logits: torch.Tensor, objective: AdversarialObjective) -> torch.Tensor:
    """How badly the generator fools the discriminator: its part of L_cGAN (equation 8).

    vanilla: mean of -log D(G(x, z), x), with D the sigmoid of the logit.
    least_squares: mean of (logit - 1)^2 (Mao et al., 2017), as in the authors' code.

    Args:
        fake_logits: What the discriminator says of generated components, any shape.
        objective: Which of the two forms.

    Raises:
        ValueError: If the objective is neither.
    """
    # Deviation: equation 8 has the generator minimise log(1 - D(G)), whose gradient vanishes just when D is
    # sure; maximising log D(G) has the same optimum and is what Pix2Pix does.
    return _distance_to_label(fake_logits, 1.0, objective)


def adversarial_loss_discriminator(
    real_logits: torch.Tensor, fake_logits: torch.Tensor, objective: AdversarialObjective
) -> torch.Tensor:
    """How badly the discriminator tells true from generated: minus L_cGAN (equation 8), halved.

    vanilla: half the sum of the means of -log D(y, x) and -log(1 - D(G(x, z), x)).
    least_squares: half the sum of the means of (real - 1)^2 and fake^2 (Mao et al., 2017).

    The half slows the discriminator down beside the generator (Isola et al., 2018, section 3.3).

    Args:
        real_logits: What the discriminator says of true components, any shape.
        fake_logits: What it says of generated ones, which must be detached from the generator by the caller.
        objective: Which of the two forms.

    Raises:
        ValueError: If the objective is neither.
    """
    loss_real = _distance_to_label(real_logits, 1.0, objective)
    loss_fake = _distance_to_label(fake_logits, 0.0, objective)
    return 0.5 * (loss_real + loss_fake)


def reconstruction_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean absolute error between a generated component and the true one: L_L1 (equation 9).

    It enters the loss of a component with a weight of 100 (equation 10), which the caller applies.

    Args:
        output: Generated component, spread, in [-1, 1].
        target: True component, spread, in [-1, 1], of the same shape.

    Raises:
        ValueError: If the shapes differ.
    """
    _require_same_shape(output, target)
    return functional.l1_loss(output.float(), target.float())


def squared_error_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean squared error between a generated component and the true one, which is what planes are scored by.

    Where pixels are missing and several answers are possible it asks for their mean, equation 9 for their median.

    Args:
        output: Generated component, spread, in [-1, 1].
        target: True component, spread, in [-1, 1], of the same shape.

    Raises:
        ValueError: If the shapes differ.
    """
    _require_same_shape(output, target)
    return functional.mse_loss(output.float(), target.float())


def shown_order(short_range_order: torch.Tensor, floor: torch.Tensor) -> torch.Tensor:
    """I_SRO as lattice mode finds it, spread: its maximum 1 and its minimum not taken away.

    Args:
        short_range_order: Normalised to its own minimum and maximum, spread, in [-1, 1], (n, 1, h, w).
        floor: What that took away, minimum over range, 0 or more, (n, 1, 1, 1).
    """
    return spread((unspread(short_range_order) + floor) / (1 + floor))


def shifted_product(form_factor: torch.Tensor, short_range_order: torch.Tensor) -> torch.Tensor:
    """Product of two spread components that keeps its order: (a + 2)(b + 2) - 2.

    In [-1, 1] the bare product would give two dark pixels the value of two bright ones. Shifted, both factors
    are positive and the product grows with each of them, from -1 to 7.

    Args:
        form_factor: Spread form factor, in [-1, 1].
        short_range_order: Spread short-range order, in [-1, 1], of the same shape.

    Raises:
        ValueError: If the shapes differ.
    """
    _require_same_shape(form_factor, short_range_order)
    return (form_factor.float() + 2.0) * (short_range_order.float() + 2.0) - 2.0


def joint_product_loss(
    form_factor_output: torch.Tensor,
    short_range_order_output: torch.Tensor,
    form_factor_target: torch.Tensor,
    short_range_order_target: torch.Tensor,
    beta: float = 1.0,
) -> torch.Tensor:
    """Smooth L1 between the shifted products of the outputs and of the truths (paper, after equation 10).

    With d the difference of the products: the mean of d^2 / (2 beta) where |d| < beta, of |d| - beta / 2
    elsewhere. The target is the product of the normalised truths: the normalised input is another plane,
    since no pixel of a product need be as bright as the product of the brightest.

    Args:
        form_factor_output: Generated form factor, spread, in [-1, 1].
        short_range_order_output: Generated short-range order, spread, in [-1, 1].
        form_factor_target: True form factor, spread, in [-1, 1].
        short_range_order_target: True short-range order, spread, in [-1, 1]; all four of one shape.
        beta: Difference at which the loss turns from quadratic to linear, above 0.

    Raises:
        ValueError: If the shapes differ or beta is not positive.
    """
    if not beta > 0.0:
        raise ValueError(f"Found beta = {beta}, expected a number above 0.")
    product_output = shifted_product(form_factor_output, short_range_order_output)
    product_target = shifted_product(form_factor_target, short_range_order_target)
    _require_same_shape(product_output, product_target)
    return functional.smooth_l1_loss(product_output, product_target, beta=beta)


def explanation_loss(
    form_factor: torch.Tensor, short_range_order: torch.Tensor, shown: torch.Tensor
) -> torch.Tensor:
    """Share of the measured scattering's variance that no product of the two components explains, in [0, 1].

    Each component is normalised by its own minimum and maximum, so the scattering is s (F + f)(S + g) + c with
    four numbers of the plane that the networks do not give (equation 5): the linear least-squares fit of F S, F, S
    and 1 to the measured pixels, which is solved here plane by plane, gradients included. Not in the paper.

    Args:
        form_factor: Generated form factor, spread, in [-1, 1], shape (n, 1, h, w).
        short_range_order: Generated short-range order, spread, in [-1, 1], of the same shape.
        shown: What the networks were shown, shape (n, 1 or 2, h, w): the spread scattering and, where there is
            one, the mask (1 = measured), outside which nothing is asked.

    Raises:
        ValueError: If the shapes differ.
    """
    _require_same_shape(form_factor, short_range_order)
    _require_same_shape(form_factor, shown[:, :1])
    # Matrices of squares lose half the digits: not under autocast.
    with torch.autocast(form_factor.device.type, enabled=False):
        first, second, target = (
            unspread(each.float()).flatten(1) for each in (form_factor, short_range_order, shown[:, 0])
        )
        weight = shown[:, 1].float().flatten(1) if shown.shape[1] > 1 else torch.ones_like(target)
        weight = weight / weight.sum(dim=1, keepdim=True).clamp_min(1.0)
        # Without their means the constant drops out, and the matrix is that of covariances.
        columns = torch.stack([first * second, first, second, target], dim=1)
        columns = columns - (columns * weight[:, None]).sum(dim=2, keepdim=True)
        covariances = (columns * weight[:, None]) @ columns.transpose(1, 2)
        matrix, right, variance = covariances[:, :3, :3], covariances[:, :3, 3], covariances[:, 3, 3]
        # The three columns may be almost parallel, as when a network's answer is flat.
        ridge = 1e-4 * matrix.diagonal(dim1=1, dim2=2).mean(dim=1)[:, None, None] + 1e-7
        coefficients = torch.linalg.solve(matrix + ridge * torch.eye(3, device=matrix.device), right)
        explained = 2 * (coefficients * right).sum(1)
        explained = explained - (coefficients[:, None] @ matrix @ coefficients[:, :, None])[:, 0, 0]
        unexplained: torch.Tensor = 1 - explained / variance.clamp_min(1e-7)
        return unexplained.mean()


def _distance_to_label(logits: torch.Tensor, label: float, objective: AdversarialObjective) -> torch.Tensor:
    """Mean distance of logits from the label 1 (true) or 0 (generated)."""
    logits = logits.float()
    labels = torch.full_like(logits, label)
    if objective == "vanilla":
        return functional.binary_cross_entropy_with_logits(logits, labels)
    if objective == "least_squares":
        return functional.mse_loss(logits, labels)
    raise ValueError(f"Found objective {objective!r}, expected 'vanilla' or 'least_squares'.")


def _require_same_shape(first: torch.Tensor, second: torch.Tensor) -> None:
    # Torch would broadcast (n, 1, h, w) against (n, h, w) to a mean over wrong pairs, with at most a warning.
    if first.shape != second.shape:
        raise ValueError(f"Found shapes {tuple(first.shape)} and {tuple(second.shape)}, expected one shape.")
