"""Names of axes as programs write them: h, k, l, directions, and components of Q."""

import numpy as np
import pytest

from dsfunet.io.axis_names import find_cartesian_axis, find_index_axis, parse_direction


@pytest.mark.parametrize(
    ("name", "number"),
    [
        *(("h", 0), ("K", 1), ("Ql", 2), ("Q_h", 0), ("qk", 1), ("L (r.l.u.)", 2), ("H [rlu]", 0)),
        *(("[H,0,0]", 0), ("[0,K,0]", 1), ("[ 0, 0, L ]", 2), ("[0,1K,0]", 1)),
        *(
            ("[H,0,0] (r.l.u.)", 0),
            ("[H 0 0]", 0),
            ("h_rlu", 0),
            ("a*", 0),
            ("b* (r.l.u.)", 1),
            ("Q_[0,0,L]", 2),
            ("hkl_k", 1),
            ("ax_l", 2),
            ("H (rlu)", 0),
            ("[H00]", 0),
            ("(0k0)", 1),
            ("00L", 2),
        ),
        *(
            ("$K$ (r.l.u.)", 1),
            ("l, r.l.u.", 2),
            ("Q_l in r.l.u.", 2),
            ("h_axis", 0),
            ("k centers", 1),
            ("Q3", 2),
        ),
        *(
            ("[0, k, 0] / rlu", 1),
            ("h [2pi/a]", 0),
            ("(0 0 l) (reciprocal lattice units)", 2),
            ("[0;K;0]", 1),
        ),
        *(
            ("hk0", None),
            ("[H,K,0]", None),
            ("height", None),
            ("hkl", None),
            ("x", None),
            ("temperature", None),
        ),
        *(("Qx", None), ("hkl", None), ("", None), ("[H,H,0]", None), ("[0,-K,0]", None), ("phi", None)),
    ],
)
def test_names_of_axes(name: str, number: int | None) -> None:
    assert find_index_axis(name) == number


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("[H,-H,0]", (1, -1, 0)),
        ("[0,-2K,0]", (0, -2, 0)),
        ("[-0.5L,L,0]", (-0.5, 1, 0)),
        ("[H,H,0] (r.l.u.)", (1, 1, 0)),
        ("[0.5H,0.5H,0]", (0.5, 0.5, 0)),
        ("[hh0]", (1, 1, 0)),
        ("(k -k 0)", (1, -1, 0)),
        ("[h-h0]", (1, -1, 0)),
        ("[2h00]", (2, 0, 0)),
        ("[HHL]", None),
        ("[0,0,0]", None),
        ("[H,0]", None),
        ("DeltaE", None),
        ("[1,0,0]", None),
    ],
)
def test_projections(name: str, direction: tuple[float, ...] | None) -> None:
    found = parse_direction(name)
    assert (found is None) == (direction is None)
    if found is not None:
        np.testing.assert_array_equal(found, direction)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        *(
            ("Qx", 0),
            ("q_y", 1),
            ("Q_sample_z", 2),
            ("qx (1/A)", 0),
            ("Qy (\N{LATIN CAPITAL LETTER A WITH RING ABOVE}^-1)", 1),
        ),
        *(("Q_z [1/angstrom]", 2), ("$Q_x$", 0), ("Qx_bins", 0), ("Qh", None), ("x", None), ("Q", None)),
    ],
)
def test_names_of_components_of_q(name: str, number: int | None) -> None:
    assert find_cartesian_axis(name) == number
