"""The answer of the data on their lattice: a joint fit of both factors, with the networks where data are missing."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch

from dsfunet._typing import Array, Float32
from dsfunet.factorize.answers import Answer, CleanPlane, name_sigmas
from dsfunet.factorize.components import Components
from dsfunet.factorize.factorizer import Factorizer
from dsfunet.factorize.lattice_fit import LatticeFit, combine_with_networks
from dsfunet.factorize.lattice_model import LatticeModel, fit_lattice
from dsfunet.factorize.network_answer import answer_by_networks
from dsfunet.factorize.notes import describe_joint_fit, noise_notes
from dsfunet.factorize.settings import FactorizeSettings
from dsfunet.factorize.uncertainty import describe_joint_uncertainty
from dsfunet.lattice.joint_fit.evaluation import evaluate_order
from dsfunet.lattice.mode import LatticeAnswer, average_friedel_mates, measure_residuals
from dsfunet.lattice.other_sites import OtherSites, find_other_sites
from dsfunet.physics import Plane
from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.turns import choose_turns
from dsfunet.verdict.data_fit import DataFit, measure_data_fit
from dsfunet.verdict.judge import Verdict, judge

_COMPONENTS = ("form_factor", "short_range_order")


def answer_on_lattice(
    plane: CleanPlane,
    square: Plane,
    grid: PlaneGrid,
    lattice: LatticePlane,
    settings: FactorizeSettings,
    factorizer: Factorizer,
) -> Answer:
    """Split a plane by a joint fit to its data where that explains the plane, and by the networks elsewhere.

    Args:
        plane: What to split.
        square: Where the networks' grid lies.
        grid: Where the plane's pixels lie.
        lattice: That of the plane on the networks' grid.
        settings: How to split it; with the lattice "insist", the joint fit is used in any case.
        factorizer: The networks.

    Raises:
        InputError: As `fit_lattice`.
    """
    intensity = np.where(plane.mask, plane.measured.intensity, 0.0)
    model, alone = _fit_while_networks_run(intensity, plane, grid, settings, factorizer)
    fit = model.fit
    seen = evaluate_order(fit, grid, square)
    order = (seen / max(float(seen.max()), 1e-30)).astype(np.float32)
    predicted = _predict_form_factor(plane, order, lattice, settings, factorizer)
    networks = plane.all_to_own_grid(
        {
            "form_factor": alone.form_factor,
            "short_range_order": alone.short_range_order,
            "predicted": alone.form_factor if predicted is None else predicted,
            **name_sigmas(alone),
        }
    )
    prediction = networks.pop("predicted"), networks.get("sigma_form_factor")
    product = plane.fit_product(networks["form_factor"], networks["short_range_order"])
    found = combine_with_networks(
        fit, intensity, plane.mask, grid, prediction, product.intensity, plane.repeats
    )
    accepted = found.explains or settings.lattice == "insist"
    if not accepted and model.centring == "P":
        # A short series, steered by the networks, may do better on data that are not what they seem.
        answer = answer_by_networks(plane, lattice, settings, factorizer, alone)
        if answer.lattice["answer"] == "cosine series":
            left = f"the joint fit of both factors leaves more of the plane (chi-squared {found.chi_squared:.2f})"
            return replace(answer, notes=(*model.notes, left))
    sites = find_other_sites(fit, intensity, plane.mask, grid, model.centring)
    data_fit = measure_data_fit(fit, intensity, plane.mask, grid) if accepted else None
    fitted = {
        "form_factor": found.form_factor,
        "short_range_order": found.short_range_order,
        "sigma_form_factor": found.sigma_form_factor,
        "sigma_short_range_order": found.sigma_short_range_order,
    }
    on_lattice = {name: each.astype(np.float32) for name, each in fitted.items()}
    chosen, other, suffix = (
        (on_lattice, networks, "of_networks") if accepted else (networks, on_lattice, "on_lattice")
    )
    planes = {name: each for name, each in chosen.items() if settings.passes or not name.startswith("sigma")}
    planes |= {f"{name}_{suffix}": other[name] for name in _COMPONENTS}
    return Answer(
        planes=planes,
        product=found.product if accepted else product,
        verdict=_judge(plane, lattice, found, order, alone, accepted, data_fit, sites),
        lattice_use=describe_joint_fit(found, planes, accepted, model.describe()),
        lattice={
            "answer": "joint fit" if accepted else "networks",
            "centring": model.centring,
            "centring_from": model.centring_from,
            "resolution_rlu": model.widths(grid),
            "thickness_rlu": settings.thickness or None,
            "chi_squared": found.chi_squared,
            "chi_squared_of_networks": found.chi_squared_of_networks,
            "harmonics": fit.harmonics.count,
            "noise_from": "file" if fit.noise.given is not None else "plane",
        },
        uncertainty=describe_joint_uncertainty(settings.passes) if accepted else alone.uncertainty,
        notes=(
            *model.notes,
            *([sites.note] if sites.note else []),
            *(noise_notes(fit, intensity, plane.mask) if accepted else []),
        ),
    )


def _fit_while_networks_run(
    intensity: Array, plane: CleanPlane, grid: PlaneGrid, settings: FactorizeSettings, factorizer: Factorizer
) -> tuple[LatticeModel, Components]:
    """Return the joint fit and the answer of the networks alone; both at the same time if there are threads for it.

    The fit computes on one thread, and neither needs the other.

    Raises:
        InputError: As `fit_lattice`.
    """
    threads = torch.get_num_threads()

    def run_networks() -> Components:
        torch.set_num_threads(max(threads - 1, 1))
        try:
            return factorizer(plane.shown, passes=max(settings.passes, 1), seed=settings.seed)
        finally:
            torch.set_num_threads(threads)

    def fit() -> LatticeModel:
        return fit_lattice(intensity, plane.mask, grid, plane.measured, settings)

    if threads == 1:
        return fit(), run_networks()
    with ThreadPoolExecutor(1) as beside:
        running = beside.submit(run_networks)
        return fit(), running.result()


def _predict_form_factor(
    plane: CleanPlane,
    order: Float32,
    lattice: LatticePlane,
    settings: FactorizeSettings,
    factorizer: Factorizer,
) -> Float32 | None:
    """Return I_FF that the network predicts for an I_SRO with maximum 1; None if the network does not take I_SRO."""
    if not factorizer.takes_order:
        return None
    known = np.isfinite(plane.shown)
    scattering, mask = average_friedel_mates(np.where(known, plane.shown, 0), known, lattice)
    turns = choose_turns(max(settings.passes, 1), settings.seed)
    answers = [factorizer.predict_form_factor(scattering, mask, order, turn) for turn in turns]
    mean: Float32 = np.mean(answers, axis=0)
    return mean


def _judge(
    plane: CleanPlane,
    lattice: LatticePlane,
    found: LatticeFit,
    order: Float32,
    alone: Components,
    accepted: bool,
    data_fit: DataFit | None,
    other_sites: OtherSites,
) -> Verdict:
    """Judge the chosen components on the networks' grid; `data_fit` is that of an accepted joint fit."""
    known = np.isfinite(plane.shown)
    form_factor = plane.to_networks(found.form_factor)
    form_factor = np.where(np.isfinite(form_factor), form_factor, alone.form_factor)
    on_lattice = form_factor, order
    of_networks = alone.form_factor, alone.short_range_order
    residuals = measure_residuals(np.where(known, plane.shown, 0), known, lattice, on_lattice, of_networks)
    answer = LatticeAnswer(*on_lattice, *residuals, accepted)
    chosen = on_lattice if accepted else of_networks
    return judge(plane.shown, known, *chosen, answer, lattice, data_fit=data_fit, other_sites=other_sites)
