"""DSFU-Net: split single-crystal diffuse scattering into form factor and short-range order.

    from dsfunet import RefinementSettings, factorize_plane, read_plane, refine_alphas, write_result

    plane = read_plane("volume.h5", "hk1")
    factorization = factorize_plane(plane)
    write_result("hk1.nxs", factorization.result)
    refinement = refine_alphas(factorization.result, RefinementSettings(laue="6/m", shells=5))

Importing this package is cheap: each name is imported from its module when it is first used, and torch only with the
names that need it.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from dsfunet._version import __version__

if TYPE_CHECKING:
    from dsfunet.analysis.refinement import AlphaRefinement, RefinementSettings, refine_alphas
    from dsfunet.cleanup import CleanUp
    from dsfunet.errors import InputError
    from dsfunet.factorize.components import Components
    from dsfunet.factorize.factorizer import Factorizer
    from dsfunet.factorize.pipeline import Factorization, factorize_plane
    from dsfunet.factorize.settings import FactorizeSettings
    from dsfunet.io import read_plane, read_result, write_result
    from dsfunet.physics import Cell
    from dsfunet.planes.geometry import Geometry
    from dsfunet.planes.measured import MeasuredPlane
    from dsfunet.planes.result import Result
    from dsfunet.verdict.judge import Verdict

_MODULES = {
    "Cell": "dsfunet.physics",
    "CleanUp": "dsfunet.cleanup",
    "Components": "dsfunet.factorize.components",
    "Factorization": "dsfunet.factorize.pipeline",
    "FactorizeSettings": "dsfunet.factorize.settings",
    "Factorizer": "dsfunet.factorize.factorizer",
    "Geometry": "dsfunet.planes.geometry",
    "InputError": "dsfunet.errors",
    "MeasuredPlane": "dsfunet.planes.measured",
    "AlphaRefinement": "dsfunet.analysis.refinement",
    "RefinementSettings": "dsfunet.analysis.refinement",
    "Result": "dsfunet.planes.result",
    "Verdict": "dsfunet.verdict.judge",
    "factorize_plane": "dsfunet.factorize.pipeline",
    "read_plane": "dsfunet.io",
    "read_result": "dsfunet.io",
    "refine_alphas": "dsfunet.analysis.refinement",
    "write_result": "dsfunet.io",
}
"""The module of each public name."""

__all__ = [
    "AlphaRefinement",
    "Cell",
    "CleanUp",
    "Components",
    "Factorization",
    "FactorizeSettings",
    "Factorizer",
    "Geometry",
    "InputError",
    "MeasuredPlane",
    "RefinementSettings",
    "Result",
    "Verdict",
    "__version__",
    "factorize_plane",
    "read_plane",
    "read_result",
    "refine_alphas",
    "write_result",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'dsfunet' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})


if "IPython" in sys.modules and (shell := sys.modules["IPython"].get_ipython()) is not None:
    from dsfunet.plotting.notebook import register_html

    register_html(shell)
