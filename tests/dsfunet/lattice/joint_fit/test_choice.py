"""Repeated steps end at the largest evidence, as evaluations around it show."""

from dataclasses import replace

import numpy as np
import pytest

from dsfunet._typing import Array
from dsfunet.lattice.joint_fit import Prior, list_harmonics
from dsfunet.lattice.joint_fit.choice import choose_order_prior, propose_roughness
from dsfunet.lattice.joint_fit.evidence import FieldPrior, Reduced, integrate_field, solve_coefficients
from dsfunet.lattice.joint_fit.model import FitData, FitState, linearise
from dsfunet.lattice.joint_fit.noise import Variance
from dsfunet.lattice.joint_fit.series import HarmonicSeries
from dsfunet.lattice.joint_fit.spline import SplineAxis, SplineSurface
from dsfunet.physics import Cell
from dsfunet.planes.names import parse_plane


def make_fit(offset: float, with_field: bool) -> tuple[FitData, FitState]:
    """Return data and a state near the truth: counts of a modulated field on a small plane."""
    rows, columns = np.linspace(-2, 2, 45), np.linspace(-1.5, 2, 40)
    h, k = np.meshgrid(rows, columns, indexing="ij")
    harmonics = list_harmonics(Cell(4, 4, 4), parse_plane(f"hk{offset:g}"), "P", 13.0)
    series = HarmonicSeries(harmonics, rows, columns)
    random = np.random.default_rng(0)
    parameters = 0.05 * random.normal(size=series.count) * np.exp(-series.lengths / 8)
    field = 1 + 0.3 * np.sin(1.3 * h) + 0.2 * np.cos(2.1 * k + h)
    envelope = 400 * np.exp(-(h**2 + k**2) / 6)
    counts = random.poisson(np.maximum(envelope * field * series.evaluate(parameters), 0)).astype(np.float64)
    surface = SplineSurface(SplineAxis.cover(rows, 0.5), SplineAxis.cover(columns, 0.45))
    prior = FieldPrior(1.0)
    if with_field:
        weight = np.where(h > 1, 30.0, 0.0)
        prior = FieldPrior.of(surface, 1.0, weight, field + 0.05 * np.cos(3 * k))
    mask = h < 1.2
    data = FitData(np.where(mask, counts, 0), mask, surface, series, prior)
    return data, FitState(np.ones(surface.shape), parameters, Variance(ratio=1.0), envelope)


def evidence_of(reduced: Reduced, variances: Array) -> float:
    """Return the log evidence by dense algebra."""
    precision = reduced.order + np.diag(1 / variances)
    value = reduced.log_evidence + 0.5 * reduced.order_pull @ np.linalg.solve(precision, reduced.order_pull)
    return float(value - 0.5 * (np.linalg.slogdet(precision)[1] + np.log(variances).sum()))


@pytest.mark.parametrize(("offset", "with_field"), [(0.0, False), (0.3, False), (0.0, True)])
def test_steps_end_at_the_largest_evidence(offset: float, with_field: bool) -> None:
    data, state = make_fit(offset, with_field)
    quadratic, harmonics = linearise(data, state), data.series.harmonics
    lengths, cosines, spacing = data.series.lengths, harmonics.count, harmonics.spacing
    prior, step = Prior((30.0, 2.0), 0.3, 0.3, 3.0), None
    for _ in range(60):
        reduced = integrate_field(data.surface, quadratic, data.field_prior, prior.roughness)
        prior, posterior = choose_order_prior(reduced, prior, lengths, cosines, spacing)
        coefficients, covariance = solve_coefficients(reduced, posterior.parameters), posterior.covariance
        evidence = posterior.log_evidence
        step = propose_roughness(data.surface, reduced, prior, coefficients, covariance, True, step)
        if step.gain < 1e-5:
            break
        prior = replace(prior, roughness=step.roughness)
    assert step is not None and step.gain < 1e-5
    assert evidence == pytest.approx(evidence_of(reduced, prior.variances(lengths, cosines)), abs=1e-4)
    first, second = prior.roughness
    for ratios in ((1.3, 1.0), (1.0, 1.3)):
        for power in (1, -1):
            values = first * ratios[0] ** power, second * ratios[1] ** power
            there = integrate_field(data.surface, quadratic, data.field_prior, values)
            assert evidence_of(there, prior.variances(lengths, cosines)) < evidence + 2e-3
    for name in ("amplitude", "decay", *(["sine_amplitude"] if cosines < len(lengths) else [])):
        for power in (1, -1):
            trial = replace(prior, **{name: getattr(prior, name) * 1.3**power})
            assert evidence_of(reduced, trial.variances(lengths, cosines)) < evidence + 0.05
