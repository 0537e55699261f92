"""Runs the tutorials of docs/ in a kernel of the interpreter that runs the tests.

`python -m tests.docs.notebooks NAME FOLDER` is one such run, in a process of its own: the client of the kernel leaves
sockets open, which the tests would take for an error.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NEEDED = ("pyproject.toml", "configs", "examples", "dsfunet", "simulate", "evaluate")


def link_repository(folder: Path) -> Path:
    """Return a stand-in for the repository in which a notebook may write, its folders linked to the real ones."""
    folder.mkdir(parents=True)
    for name in NEEDED:
        (folder / name).symlink_to(ROOT / name)
    return folder


def run_notebook(name: str, folder: Path) -> nbformat.NotebookNode:
    """Run a tutorial in a stand-in for the repository made at `folder`, and return it with its outputs.

    Raises:
        AssertionError: a cell raised, or a command in it failed.
    """
    command = [sys.executable, "-m", "tests.docs.notebooks", name, str(folder)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-5000:]
    return nbformat.read(folder / f"{name}.ipynb", as_version=4)


def main(name: str, folder: Path, timeout_s: int = 600) -> None:
    """Run a tutorial and write it with its outputs into the folder."""
    repository = link_repository(folder / "repository")
    kernels = folder / "kernels"
    (kernels / "python3").mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    environment = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "IPYTHONDIR": str(folder / "ipython"),
    }
    specification = {"argv": command, "display_name": "Python 3", "language": "python", "env": environment}
    (kernels / "python3" / "kernel.json").write_text(json.dumps(specification), encoding="utf-8")
    notebook = nbformat.read(ROOT / "docs" / "tutorials" / f"{name}.ipynb", as_version=4)
    manager = AsyncKernelManager(
        kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(kernels)])
    )
    client = NotebookClient(
        notebook,
        km=manager,
        timeout=timeout_s,
        coalesce_streams=True,
        resources={"metadata": {"path": str(repository)}},
    )
    nbformat.write(client.execute(), folder / f"{name}.ipynb")


def printed(notebook: nbformat.NotebookNode) -> str:
    """Return everything that a notebook printed, without its pictures."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "\n".join(output.get("text", "") for output in outputs)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
