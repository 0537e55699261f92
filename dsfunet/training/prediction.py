"""Answers of the networks to many planes, through Lightning's Trainer: on a CPU, a GPU, or several."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import numpy.typing as npt
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor, nn
from torch.utils.data import Dataset

from dsfunet.data.dataset import start_worker
from dsfunet.data.loaders import PlaneLoader
from dsfunet.data.store import Store, open_store
from dsfunet.errors import InputError
from dsfunet.files import write_json
from dsfunet.networks.inputs import select_inputs
from dsfunet.networks.weights import Generators
from dsfunet.planes.preprocessing import COMPONENTS, PIXELS, measured_pixels, network_input, unspread


class PlanesToSplit(Dataset[Tensor]):
    """Network inputs (2, 256, 256) of the planes in a store (.zarr), or in .npy files one after the other.

    Args:
        paths: one store, or files of planes (256, 256) or (n, 256, 256), in which NaN and negative pixels are missing.

    Raises:
        InputError: a path is neither, or both kinds are given.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        self.store: Store | None = None
        self.files: list[npt.NDArray[Any]] = []
        if any((path / "zarr.json").exists() or path.suffix == ".zarr" for path in self.paths):
            if len(self.paths) > 1:
                raise InputError(
                    f"{len(self.paths)} paths with a store among them; expected one store, or .npy files"
                )
            self.store = open_store(self.paths[0])
            self.counts = [len(self.store)]
        else:
            self.files = [_open_planes(path) for path in self.paths]
            self.counts = [len(planes) for planes in self.files]
        self._starts = np.cumsum([0, *self.counts])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, number: int) -> Tensor:
        if self.store is not None:
            sample = self.store.sample(number)
            return torch.from_numpy(network_input(sample.scattering, sample.mask))
        file = int(np.searchsorted(self._starts, number, side="right")) - 1
        place = number - int(self._starts[file])
        plane = np.asarray(self.files[file][place], np.float64)
        try:
            mask = measured_pixels(plane)
            return torch.from_numpy(network_input(np.where(mask, plane, 0.0), mask))
        except InputError as error:
            raise InputError(f"{self.paths[file]}: plane number {place}: {error}") from error


def _open_planes(path: Path) -> npt.NDArray[Any]:
    """Map a file of planes into memory, (n, 256, 256)."""
    try:
        planes = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"{path}: not a .npy file that can be read; expected planes, or a store of them"
        ) from error
    if planes.ndim not in (2, 3) or planes.shape[-2:] != (PIXELS, PIXELS) or planes.dtype.kind not in "fiu":
        raise InputError(
            f"{path}: an array of {planes.shape} and type {planes.dtype}; expected planes of 256 x 256 pixels, such as"
            " `dsfunet factorize` takes of any size"
        )
    return planes.reshape(-1, PIXELS, PIXELS)  # type: ignore[no-any-return]


class _Split(lightning.LightningModule):
    """Both generators; a prediction is (n, 2, 256, 256), form factor and short-range order, linear, in [0, 1]."""

    def __init__(self, generators: Generators) -> None:
        super().__init__()
        self.networks = nn.ModuleList([getattr(generators, name) for name in COMPONENTS])

    def predict_step(self, planes: Tensor, batch_index: int) -> Tensor:
        outputs = [network(select_inputs(network, planes)).float() for network in self.networks]
        return unspread(torch.cat(outputs, dim=1)).clamp(0.0, 1.0)


class _WriteRows(BasePredictionWriter):
    """Writes predictions into two arrays on disk; each rank writes the rows of its planes."""

    def __init__(self, folder: Path, planes: int) -> None:
        super().__init__("batch")
        self.folder, self.planes = folder, planes
        self._arrays: list[npt.NDArray[np.float16]] = []

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npy"

    def on_predict_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Create the arrays on the first rank, and open them on all."""
        shape = (self.planes, PIXELS, PIXELS)
        if trainer.is_global_zero:
            self.folder.mkdir(parents=True)
            for name in COMPONENTS:
                np.lib.format.open_memmap(self._path(name), "w+", np.float16, shape).flush()
        trainer.strategy.barrier()
        self._arrays = [np.lib.format.open_memmap(self._path(name), "r+") for name in COMPONENTS]

    def write_on_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write the rows of one batch."""
        assert batch_indices is not None
        rows = np.asarray(batch_indices)
        for array, planes in zip(self._arrays, prediction.cpu().numpy().swapaxes(0, 1), strict=True):
            array[rows] = planes

    def on_predict_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Wait until all ranks have written all of their rows."""
        for array in self._arrays:
            array.flush()  # type: ignore[attr-defined]
        self._arrays = []
        trainer.strategy.barrier()


def predict_planes(
    planes: PlanesToSplit,
    generators: Generators,
    out: Path,
    accelerator: str = "auto",
    devices: int | str = "auto",
    batch_size: int = 64,
    workers: int = 2,
    precision: str = "32-true",
    progress: bool = True,
) -> None:
    """Split planes by the networks alone, and write form_factor.npy, short_range_order.npy and planes.json.

    The arrays are float16 (n, 256, 256), linear in [0, 1], in the order of the planes. The folder appears when it is
    complete.

    Args:
        planes: planes to split.
        generators: both networks.
        out: folder to write; it must not exist.
        accelerator: `cpu`, `gpu` or `auto`, as Lightning's Trainer takes it.
        devices: number of devices of this machine, or `auto` for all; planes are divided between them.
        batch_size: planes per batch, on each device.
        workers: loader processes of each device.
        precision: `32-true` or `bf16-mixed`.
        progress: show a progress bar.

    Raises:
        InputError: the folder exists, there are not so many devices, a plane has no contrast, or a plane of a store is
            damaged.
    """
    if out.exists():
        raise InputError(f"{out}: exists already; give the name of a new folder")
    if accelerator == "gpu" and not torch.accelerator.is_available():
        raise InputError("--accelerator gpu: torch finds no GPU on this machine; use --accelerator cpu")
    partial = out.with_name(f".{out.name}.part")
    loader = PlaneLoader(
        planes,
        batch_size=batch_size,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
        worker_init_fn=start_worker,
    )
    try:
        trainer = lightning.Trainer(
            accelerator=accelerator,
            devices=devices,
            precision=precision,  # type: ignore[arg-type]
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=progress,
            callbacks=[_WriteRows(partial, len(planes))],
        )
    except MisconfigurationException as error:
        raise InputError(f"--devices {devices}: {' '.join(str(error).split()).rstrip('.')}") from error
    if trainer.is_global_zero and partial.exists():
        shutil.rmtree(partial)  # of a run that was killed
    trainer.predict(_Split(generators), loader, return_predictions=False)
    if trainer.is_global_zero:
        counts = [
            {"path": str(path), "planes": n} for path, n in zip(planes.paths, planes.counts, strict=True)
        ]
        write_json(
            partial / "planes.json",
            {"files": counts, "weights": generators.source, "weights_sha256": generators.digest},
        )
        partial.rename(out)
    trainer.strategy.barrier()
