"""The losses of the two GANs and of the joint step (paper, equations 8 to 10), and two more, as pure functions.

Each loss is a scalar: the mean over all samples, pixels or patches. All losses are computed in float32, because
networks give bfloat16 under mixed precision.
"""

from typing import Literal

import torch
from torch.nn import functional

from dsfunet.planes.preprocessing import unspread

AdversarialObjective = Literal["vanilla", "least_squares"]


def adversarial_loss_generator(fake_logits: torch.Tensor, objective: AdversarialObjective) -> torch.Tensor:
    """Return the generator's part of L_cGAN (equation 8): how badly it fools the discriminator.

    vanilla: mean of -log D(G(x, z), x), with D the sigmoid of the logit.
    least_squares: mean of (logit - 1)^2 (Mao et al., 2017), as in the authors' code.

    Args:
        fake_logits: logits of the discriminator for generated components, any shape.
        objective: one of the two forms above.

    Raises:
        ValueError: the objective is neither.
    """
    # Deviation: in equation 8 the generator minimises log(1 - D(G)), whose gradient vanishes when D is certain.
    # Maximising log D(G) has the same optimum, and Pix2Pix does so.
    return _distance_to_label(fake_logits, 1.0, objective)


def adversarial_loss_discriminator(
    real_logits: torch.Tensor, fake_logits: torch.Tensor, objective: AdversarialObjective
) -> torch.Tensor:
    """Return the discriminator's loss, half of minus L_cGAN (equation 8): how badly it tells true from generated.

    vanilla: half the sum of the means of -log D(y, x) and -log(1 - D(G(x, z), x)).
    least_squares: half the sum of the means of (real - 1)^2 and fake^2 (Mao et al., 2017).

    The factor of one half slows the discriminator relative to the generator (Isola et al., 2018, section 3.3).

    Args:
        real_logits: logits of the discriminator for true components, any shape.
        fake_logits: logits for generated components, which the caller must detach from the generator.
        objective: one of the two forms above.

    Raises:
        ValueError: the objective is neither.
    """
    loss_real = _distance_to_label(real_logits, 1.0, objective)
    loss_fake = _distance_to_label(fake_logits, 0.0, objective)
    return 0.5 * (loss_real + loss_fake)


def reconstruction_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return L_L1 (equation 9): the mean absolute error of a generated component.

    Equation 10 multiplies it by 100; the caller applies that weight.

    Args:
        output: generated component, spread, in [-1, 1].
        target: true component, spread, in [-1, 1], of the same shape.

    Raises:
        ValueError: the shapes differ.
    """
    _require_same_shape(output, target)
    return functional.l1_loss(output.float(), target.float())


def squared_error_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the mean squared error of a generated component, the measure by which planes are scored.

    Where pixels are missing and several answers are possible, its optimum is their mean; that of equation 9 is their
    median.

    Args:
        output: generated component, spread, in [-1, 1].
        target: true component, spread, in [-1, 1], of the same shape.

    Raises:
        ValueError: the shapes differ.
    """
    _require_same_shape(output, target)
    return functional.mse_loss(output.float(), target.float())


def shifted_product(form_factor: torch.Tensor, short_range_order: torch.Tensor) -> torch.Tensor:
    """Return the product of two shifted spread components: (a + 2)(b + 2) - 2.

    Without the shift, two dark pixels (-1) would have the same product as two bright ones (1). Shifted, both factors
    are positive and the product grows with each of them, from -1 to 7.

    Args:
        form_factor: spread form factor, in [-1, 1].
        short_range_order: spread short-range order, in [-1, 1], of the same shape.

    Raises:
        ValueError: the shapes differ.
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
    """Return the smooth L1 distance between the shifted products of outputs and truths (paper, after equation 10).

    With d the difference of the products, it is the mean of d^2 / (2 beta) where |d| < beta and of |d| - beta / 2
    elsewhere. The target is the product of the normalised true components. The normalised input is not the same plane:
    its maximum need not lie where both components have theirs.

    Args:
        form_factor_output: generated form factor, spread, in [-1, 1].
        short_range_order_output: generated short-range order, spread, in [-1, 1].
        form_factor_target: true form factor, spread, in [-1, 1].
        short_range_order_target: true short-range order, spread, in [-1, 1]; all four have the same shape.
        beta: difference at which the loss changes from quadratic to linear, above 0.

    Raises:
        ValueError: the shapes differ, or beta is not positive.
    """
    if not beta > 0.0:
        raise ValueError(f"beta is {beta}; expected a number above 0")
    product_output = shifted_product(form_factor_output, short_range_order_output)
    product_target = shifted_product(form_factor_target, short_range_order_target)
    _require_same_shape(product_output, product_target)
    return functional.smooth_l1_loss(product_output, product_target, beta=beta)


def explanation_loss(
    form_factor: torch.Tensor, short_range_order: torch.Tensor, shown: torch.Tensor
) -> torch.Tensor:
    """Return the share of the measured scattering's variance that no product of the components explains, in [0, 1].

    Each component is normalised by its own minimum and maximum, so the scattering is s (F + f)(S + g) + c with four
    unknown numbers per plane (equation 5). This is a linear least-squares fit of F S, F, S and 1 to the measured
    pixels, solved here plane by plane, with gradients. Not in the paper.

    Args:
        form_factor: generated form factor, spread, in [-1, 1], shape (n, 1, h, w).
        short_range_order: generated short-range order, spread, in [-1, 1], of the same shape.
        shown: input of the networks, shape (n, 1 or 2, h, w): the spread scattering and, if there is a second channel,
            the mask (1 = measured); pixels outside the mask do not count.

    Raises:
        ValueError: the shapes differ.
    """
    _require_same_shape(form_factor, short_range_order)
    _require_same_shape(form_factor, shown[:, :1])
    # Normal equations lose half of the digits, so they are not computed under autocast.
    with torch.autocast(form_factor.device.type, enabled=False):
        first, second, target = (
            unspread(each.float()).flatten(1) for each in (form_factor, short_range_order, shown[:, 0])
        )
        weight = shown[:, 1].float().flatten(1) if shown.shape[1] > 1 else torch.ones_like(target)
        weight = weight / weight.sum(dim=1, keepdim=True).clamp_min(1.0)
        # With the means subtracted, the constant drops out and the matrix is that of the covariances.
        columns = torch.stack([first * second, first, second, target], dim=1)
        columns = columns - (columns * weight[:, None]).sum(dim=2, keepdim=True)
        covariances = (columns * weight[:, None]) @ columns.transpose(1, 2)
        matrix, right, variance = covariances[:, :3, :3], covariances[:, :3, 3], covariances[:, 3, 3]
        # The three columns may be almost parallel, for example when an output is flat.
        ridge = 1e-4 * matrix.diagonal(dim1=1, dim2=2).mean(dim=1)[:, None, None] + 1e-7
        coefficients = torch.linalg.solve(matrix + ridge * torch.eye(3, device=matrix.device), right)
        explained = 2 * (coefficients * right).sum(1)
        explained = explained - (coefficients[:, None] @ matrix @ coefficients[:, :, None])[:, 0, 0]
        unexplained: torch.Tensor = 1 - explained / variance.clamp_min(1e-7)
        return unexplained.mean()


def _distance_to_label(logits: torch.Tensor, label: float, objective: AdversarialObjective) -> torch.Tensor:
    """Return the mean distance of logits from the label 1 (true) or 0 (generated)."""
    logits = logits.float()
    labels = torch.full_like(logits, label)
    if objective == "vanilla":
        return functional.binary_cross_entropy_with_logits(logits, labels)
    if objective == "least_squares":
        return functional.mse_loss(logits, labels)
    raise ValueError(f"objective is {objective!r}; expected 'vanilla' or 'least_squares'")


def _require_same_shape(first: torch.Tensor, second: torch.Tensor) -> None:
    # Torch would broadcast (n, 1, h, w) against (n, h, w) and average over wrong pairs, with at most a warning.
    if first.shape != second.shape:
        raise ValueError(
            f"the shapes are {tuple(first.shape)} and {tuple(second.shape)}; expected equal shapes"
        )
