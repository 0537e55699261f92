"""The networks, one file each: generators map a plane to one component, discriminators judge components."""

from dsfunet.networks.initialisation import initialise_weights
from dsfunet.networks.patch_discriminator import PatchDiscriminator
from dsfunet.networks.pix2pix_generator import Pix2PixGenerator
from dsfunet.networks.spectral_unet import SpectralUNet

__all__ = ["PatchDiscriminator", "Pix2PixGenerator", "SpectralUNet", "initialise_weights"]
