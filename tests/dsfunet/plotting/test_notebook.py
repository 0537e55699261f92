"""HTML for Jupyter: registered by class name, and drawn only when a result or components are shown."""

import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dsfunet.factorize.components import Components
from dsfunet.plotting.notebook import register_html
from tests.dsfunet.plotting.test_result import make_result

PNG = "data:image/png;base64,iVBORw0KGgo"


class NamedTypes:
    """What `register_html` needs of IPython's HTMLFormatter, for machines without IPython."""

    def __init__(self) -> None:
        self.functions: dict[tuple[str, str], Callable[[Any], str]] = {}

    def for_type_by_name(self, module: str, name: str, function: Callable[[Any], str]) -> None:
        self.functions[module, name] = function

    def __call__(self, shown: object) -> str | None:
        function = self.functions.get((type(shown).__module__, type(shown).__name__))
        return None if function is None else function(shown)


@pytest.fixture(params=["IPython", "a stand-in"])
def show(request: pytest.FixtureRequest) -> Callable[[object], str | None]:
    """The HTML formatter of a shell in which `register_html` was called."""
    if request.param == "IPython":
        formatter = pytest.importorskip("IPython.core.formatters").HTMLFormatter()
    else:
        formatter = NamedTypes()
    register_html(SimpleNamespace(display_formatter=SimpleNamespace(formatters={"text/html": formatter})))
    return formatter  # type: ignore[no-any-return]


def test_a_shell_shows_a_result(show: Callable[[object], str | None]) -> None:
    page = show(make_result())
    assert page is not None and page.count(PNG) == 1
    assert "plane hk1" in page and "19.5 % of the pixels" in page  # 8 rows of 41
    assert "verdict" not in page and "lattice" not in page  # nothing is known of these


def test_a_shell_shows_components(show: Callable[[object], str | None]) -> None:
    planes = np.random.default_rng(0).random((2, 3, 16, 16)).astype(np.float32)
    mask = np.ones((3, 16, 16), bool)
    mask[:, :4] = False
    page = show(Components(*planes, mask))
    assert page is not None and page.count(PNG) == 1
    assert "3; the first is drawn" in page and "25.0 % of the pixels" in page
    page = show(Components(*planes[:, 0], mask[0], (None,)))
    assert page is not None and "no reliable lattice found" in page and "planes</th>" not in page


def test_a_shell_shows_other_objects_as_before(show: Callable[[object], str | None]) -> None:
    assert show(object()) is None


@pytest.mark.parametrize("module", ["dsfunet", "dsfunet.plotting.notebook"])
def test_importing_imports_neither_matplotlib_nor_torch(module: str) -> None:
    program = (
        f"import sys, {module}; print([name for name in ('matplotlib', 'torch') if name in sys.modules])"
    )
    assert run(program) == "[]"


def test_dsfunet_registers_with_a_running_shell_and_draws_nothing_yet() -> None:
    program = """
import sys
from types import SimpleNamespace

names = []
formatter = SimpleNamespace(for_type_by_name=lambda module, name, function: names.append(f"{module}.{name}"))
shell = SimpleNamespace(display_formatter=SimpleNamespace(formatters={"text/html": formatter}))
sys.modules["IPython"] = SimpleNamespace(get_ipython=lambda: shell)
import dsfunet

print(*names, "matplotlib" in sys.modules)
"""
    assert run(program) == "dsfunet.planes.result.Result dsfunet.factorize.components.Components False"


def test_dsfunet_registers_nothing_without_a_running_shell() -> None:
    program = """
import sys
from types import SimpleNamespace

sys.modules["IPython"] = SimpleNamespace(get_ipython=lambda: None)
import dsfunet

print("dsfunet.plotting.notebook" in sys.modules)
"""
    assert run(program) == "False"


def run(program: str) -> str:
    """What a program prints in an interpreter of its own."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
