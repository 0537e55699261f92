"""The two answers of a result, by the data on their lattice and by the networks alone, and what it records of them."""

import json
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from dsfunet.errors import InputError
from dsfunet.physics.centring import CENTRINGS, Centring
from dsfunet.physics.product import fit_product
from dsfunet.planes.result import Result, Scalar

Answer = Literal["lattice", "networks"]
"""An answer of a result: by the data on their lattice, or by the networks alone."""

_COMPONENTS = ("form_factor", "short_range_order")
_OTHER_NAMES: dict[Answer, str] = {"networks": "of_networks", "lattice": "on_lattice"}
_WORDS: dict[Answer, str] = {"networks": "of the networks", "lattice": "on the lattice"}


@dataclass(frozen=True)
class LatticeRecord:
    """What `dsfunet factorize` recorded of the lattice that it used.

    Attributes:
        by_networks: whether the chosen answer is that of the networks.
        centring: lattice type of the sites; None if none was used.
        centring_from: "option", "file", "data" or "assumed".
        resolution_rlu: standard deviations of the resolution along both axes of the plane [r.l.u.]; None for sharp
            pixels.
        thickness_rlu: full width of the third index over which the layer was averaged [r.l.u.]; 0 for a sharp layer.
    """

    by_networks: bool
    centring: Centring | None = None
    centring_from: str = "assumed"
    resolution_rlu: tuple[float, float] | None = None
    thickness_rlu: float = 0.0


def read_lattice_record(result: Result) -> LatticeRecord | None:
    """Return what a result records of its lattice; None for results of older versions, which record nothing.

    Raises:
        InputError: the record is damaged.
    """
    content = _record_of(result)
    if content is None:
        return None
    centring, widths = content.get("centring"), content.get("resolution_rlu")
    try:
        if centring not in (None, *CENTRINGS):
            raise ValueError(f"centring {centring!r}")
        return LatticeRecord(
            content["answer"] == "networks",
            centring,
            str(content.get("centring_from", "assumed")),
            None if widths is None else (float(widths[0]), float(widths[1])),
            float(content.get("thickness_rlu") or 0.0),
        )
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"the record of the lattice is damaged ({error!r}); make the result again"
        ) from error


def list_answers(result: Result) -> tuple[Answer, ...]:
    """Return the answers that a result holds, the chosen one first."""
    if result.form_factor_of_networks is not None:
        return "lattice", "networks"
    if result.form_factor_on_lattice is not None:
        return "networks", "lattice"
    return ("lattice",) if _is_on_lattice(result) else ("networks",)


def select_answer(result: Result, answer: Answer | None, name: str = "the result") -> Result:
    """Return a result that holds one of its answers alone.

    Only the chosen answer has standard uncertainties, so the other one comes without. Its product, scale and floors are
    fitted to the measured plane.

    Args:
        result: of a factorisation.
        answer: which answer; None returns the result as it is.
        name: of the result, for the error message.

    Raises:
        InputError: the result does not hold this answer.
    """
    if answer is None:
        return result
    held = list_answers(result)
    if answer not in held:
        advice = (
            "add --lattice true to `dsfunet factorize`"
            if answer == "lattice"
            else "add --lattice false to `dsfunet factorize`"
        )
        raise InputError(
            f"--answer {answer}: {name} holds only the answer {_WORDS[held[0]]}; use --answer {held[0]}, or {advice}"
        )
    alone: dict[str, Any] = {
        f"{component}_{suffix}": None for component in _COMPONENTS for suffix in _OTHER_NAMES.values()
    }
    if answer == held[0]:
        return replace(result, **alone)
    suffix = _OTHER_NAMES[answer]
    form_factor, order = (
        getattr(result, f"{component}_{suffix}").astype(np.float64) for component in _COMPONENTS
    )
    intensity = result.input.astype(np.float64)
    product = fit_product(intensity, form_factor, order, result.mask)
    alone |= {
        "form_factor": form_factor,
        "short_range_order": order,
        "product": product.intensity,
        "residual": intensity - product.intensity,
        "sigma_form_factor": None,
        "sigma_short_range_order": None,
    }
    process: dict[str, Scalar] = {
        **result.process,
        "scale": product.scale,
        "form_factor_floor": product.form_factor_floor,
        "short_range_order_floor": product.short_range_order_floor,
        "lattice_mode": "used" if answer == "lattice" else "not used",
    }
    content = _record_of(result)
    if content is not None:
        chosen = "networks" if answer == "networks" else "joint fit"
        process["lattice"] = json.dumps({**content, "answer": chosen})
    return replace(result, process=process, **alone)


def _is_on_lattice(result: Result) -> bool:
    """Return whether the chosen answer is that of the data on their lattice."""
    content = _record_of(result)
    if content is not None:
        return content.get("answer") != "networks"
    mode = str(result.process.get("lattice_mode", ""))
    return mode.startswith("used") or ", used (" in mode  # a found lattice is described first


def _record_of(result: Result) -> dict[str, Any] | None:
    text = result.process.get("lattice")
    if text is None:
        return None
    try:
        content = json.loads(str(text))
        return {**content}
    except (ValueError, TypeError) as error:
        raise InputError(f"the record of the lattice is damaged ({error}); make the result again") from error
