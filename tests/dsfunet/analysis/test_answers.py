"""The two answers of a result: which it holds, how one is chosen, and what is recorded of them."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dsfunet.analysis.answers import LatticeRecord, list_answers, read_lattice_record, select_answer
from dsfunet.errors import InputError
from dsfunet.planes.result import Result
from tests.dsfunet.cli.test_refine import make_result


def with_both(chosen: str = "lattice", **process: Any) -> Result:
    """A result of which one answer is the truth and the other has a form factor that falls off too slowly."""
    result = make_result(noise=0.01)
    other = {"form_factor": np.sqrt(result.form_factor), "short_range_order": result.short_range_order**2}
    suffix = "of_networks" if chosen == "lattice" else "on_lattice"
    sigma = np.full(result.form_factor.shape, 0.01)
    return replace(
        result,
        sigma_form_factor=sigma,
        process={**result.process, **process},
        **{f"{name}_{suffix}": values for name, values in other.items()},
    )


@pytest.mark.parametrize(
    ("process", "answer"),
    [
        ({}, "networks"),
        ({"lattice_mode": "not used: the networks alone"}, "networks"),
        ({"lattice_mode": "used (wR2 0.1 on the lattice, 0.2 with the networks alone)"}, "lattice"),
        ({"lattice_mode": "found in the plane itself, periods of 8 and 8 pixels, used (wR2 0.1)"}, "lattice"),
        (
            {"lattice_mode": "rejected because it does not explain the plane: the networks alone"},
            "networks",
        ),
        ({"lattice": '{"answer": "networks", "centring": "P"}', "lattice_mode": "used"}, "networks"),
        ({"lattice": '{"answer": "joint fit"}'}, "lattice"),
        ({"lattice": '{"answer": "cosine series", "centring": null}'}, "lattice"),
    ],
)
def test_results_with_one_answer(process: dict[str, str], answer: Any) -> None:
    result = make_result(process=process)
    assert list_answers(result) == (answer,)
    assert select_answer(result, None) is result
    assert list_answers(select_answer(result, answer)) == (answer,)
    other: Any = "lattice" if answer == "networks" else "networks"
    where = "of the networks" if answer == "networks" else "on the lattice"
    with pytest.raises(
        InputError,
        match=rf"^--answer {other}: a\.nxs holds only the answer {where}; use --answer {answer}, or",
    ):
        select_answer(result, other, "a.nxs")


@pytest.mark.parametrize("chosen", ["lattice", "networks"])
def test_the_answer_that_was_not_chosen(chosen: Any) -> None:
    record = {"answer": "joint fit" if chosen == "lattice" else "networks", "centring": "P"}
    result = with_both(chosen, lattice=json.dumps(record))
    other: Any = "networks" if chosen == "lattice" else "lattice"
    assert list_answers(result) == (chosen, other)
    same, changed = select_answer(result, chosen), select_answer(result, other)
    assert list_answers(same) == (chosen,) and list_answers(changed) == (other,)
    assert same.sigma_form_factor is not None and changed.sigma_form_factor is None
    np.testing.assert_array_equal(same.form_factor, result.form_factor)
    np.testing.assert_allclose(changed.form_factor, np.sqrt(result.form_factor))
    # Product and floors belong to the components, and fit worse than those of the truth.
    scale, first, second = (
        float(changed.process[name]) for name in ("scale", "form_factor_floor", "short_range_order_floor")
    )
    product = scale * (changed.form_factor + first) * (changed.short_range_order + second)
    np.testing.assert_allclose(changed.product, product, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(changed.residual, result.input - changed.product, atol=1e-3)
    assert np.nanstd(changed.residual) > 2 * np.nanstd(result.residual)
    found = read_lattice_record(changed)
    assert found is not None and found.by_networks == (other == "networks") and found.centring == "P"


def test_what_is_recorded_of_a_lattice() -> None:
    assert read_lattice_record(make_result()) is None
    content = {"answer": "joint fit", "centring": "F", "centring_from": "data", "chi_squared": 1.0}
    widths = {"resolution_rlu": [0.04, 0.05], "thickness_rlu": None}
    found = read_lattice_record(make_result(process={"lattice": json.dumps(content | widths)}))
    assert found == LatticeRecord(False, "F", "data", (0.04, 0.05), 0.0)
    for wrong in ("[", "3", "{}", '{"answer": "networks", "centring": "X"}'):
        with pytest.raises(InputError, match="the record of the lattice is damaged"):
            read_lattice_record(make_result(process={"lattice": wrong}))
