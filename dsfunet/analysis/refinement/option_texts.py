"""Texts of the options of `dsfunet refine` that become radiations and resolutions."""

from dsfunet.errors import InputError
from dsfunet.lattice.joint_fit.resolution import Resolution, parse_resolution
from dsfunet.physics.scattering import Radiation, Scattering


def scattering_of_model(
    model: str | None, radiation: Radiation, wavelength: float | None, b_factors: str | None
) -> Scattering:
    """Return the radiation of `--radiation` and `--wavelength`.

    Raises:
        InputError: they or `--b-factors` are given without a model.
    """
    given = {
        f"--radiation {radiation}": radiation != "xray",
        "--wavelength": wavelength is not None,
        "--b-factors": b_factors is not None,
    }
    if model is None and any(given.values()):
        name = next(name for name, is_given in given.items() if is_given)
        raise InputError(f"{name}: found no --model; give the two species with --model, or omit it")
    return Scattering(radiation, wavelength)


def known_resolution(text: str) -> Resolution:
    """Parse the widths of `--resolution`.

    Raises:
        InputError: the text is auto, or cannot be parsed.
    """
    resolution = parse_resolution(text)
    if resolution == "auto":
        raise InputError(
            "--resolution auto: `dsfunet factorize` estimates it from the plane; give its widths here, or omit it to"
            " take those that the result records"
        )
    return resolution
