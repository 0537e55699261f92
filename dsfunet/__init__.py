"""DSFU-Net: split a plane of single-crystal diffuse scattering into form factor and short-range order.

Importing this package costs next to nothing: torch is imported when `Factorizer` is first asked for.
"""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dsfunet.factorize.components import Components
    from dsfunet.factorize.factorizer import Factorizer

try:
    __version__ = version("dsfunet")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["Components", "Factorizer", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Factorizer":
        from dsfunet.factorize.factorizer import Factorizer

        return Factorizer
    if name == "Components":
        from dsfunet.factorize.components import Components

        return Components
    raise AttributeError(f"module 'dsfunet' has no attribute {name!r}")
