"""DSFU-Net: split single-crystal diffuse scattering into form factor and short-range order.

Importing this package costs next to nothing: what it offers is imported when it is first used.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from dsfunet._version import __version__

if TYPE_CHECKING:
    from dsfunet.factorize.components import Components
    from dsfunet.factorize.factorizer import Factorizer

_HOMES = {
    "Components": "dsfunet.factorize.components",
    "Factorizer": "dsfunet.factorize.factorizer",
}

__all__ = ["Components", "Factorizer", "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dsfunet' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


if "IPython" in sys.modules and (shell := sys.modules["IPython"].get_ipython()) is not None:
    from dsfunet.plotting.notebook import register_html

    register_html(shell)
