"""Small oblique volumes and very small networks, for tests of batches and of watching."""

from pathlib import Path

import h5py
import numpy as np
import torch

from dsfunet.networks import SpectralUNet
from dsfunet.networks.weights import Generators, save_folder


def save_tiny_weights(folder: Path) -> Path:
    """Write a weights folder with two small untrained networks."""
    networks = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        networks.append(SpectralUNet(channels=(8, 16), blocks=(1, 1), fourier_channels=(4, 8)).eval())
    save_folder(Generators(*networks, "tiny", "", {}), folder, {})
    return folder


def write_volume(path: Path, scale: float = 1.0) -> None:
    """Write a hexagonal volume of 33 x 33 pixels in two layers, l = 0 and 1, as Meerkat does."""
    h, k = np.meshgrid(np.linspace(-4, 4, 33), np.linspace(-4, 4, 33), indexing="ij")
    layer = 100 * scale * np.exp(-(h**2 + k**2) / 9) * (1.5 + np.cos(2 * np.pi * h))
    with h5py.File(path, "w") as file:
        file["format"] = "Yell 1.0"
        file["data"] = np.stack([layer, layer + 1], axis=-1)
        file["lower_limits"] = np.array([-4.0, -4.0, 0.0])
        file["step_sizes"] = np.array([0.25, 0.25, 1.0])
        file["unit_cell"] = np.array([7.0, 7.0, 5.0, 90.0, 90.0, 120.0])
        file["is_direct"] = False
