"""Tests of what is refused after the fit of a volume."""

from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.lattice.volume_fit.checks import check_solution
from dsfunet.lattice.volume_fit.iteration import Solution
from dsfunet.lattice.volume_fit.model import Noise, State
from dsfunet.lattice.volume_fit.solver import Prior


def test_a_fit_that_ends_far_from_a_solution_is_refused() -> None:
    state = State(np.ones((1, 1, 1)), np.array([1.2, 0.1]), Noise(1.0))
    solution = Solution(state, cast(Prior, None), 1.0, 1, 1.0, 12)
    with pytest.raises(InputError, match=r"did not settle \(chi-squared 1, correlations up to 1.2\)"):
        check_solution(solution, fixed_noise=True)
    settled = replace(solution, state=replace(state, alphas=np.array([0.2, 0.1])))
    check_solution(replace(settled, chi_squared=9.0), fixed_noise=True)
    with pytest.raises(InputError, match="chi-squared 9"):
        check_solution(replace(settled, chi_squared=9.0), fixed_noise=False)
