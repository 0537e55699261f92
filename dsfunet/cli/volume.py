"""`dsfunet factorize --volume`: its progress and report."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dsfunet.environment import describe_processor
from dsfunet.errors import InputError
from dsfunet.factorize.checkpoint import checkpoint_path
from dsfunet.factorize.options import FactorizeOptions
from dsfunet.factorize.signals import exit_on_termination
from dsfunet.factorize.volume import VolumeFactorization, VolumeSettings, factorize_volume
from dsfunet.io.cell_parameters import cell_from_text
from dsfunet.physics.centring import format_vector, vector_of

_TAKEN = ("centring", "cell", "seed")
_OF_CLEAN_UP = "laue"
_SHOWN = 8


def factorize_volume_and_report(source: Path, output: Path, options: Mapping[str, Any]) -> None:
    """Factorise a volume with the options of the command line, with a progress bar, and print a report.

    Args:
        source: the volume.
        output: NeXus file to write.
        options: fields of `FactorizeOptions` and of the clean-up; only centring, laue, cell and seed apply to volumes.

    Raises:
        InputError: an option does not apply to volumes, or as `factorize_volume`.
    """
    given = FactorizeOptions(**{name: options[name] for name in _TAKEN if name in options})
    _refuse_others(options)
    laue = options.get(_OF_CLEAN_UP)
    settings = VolumeSettings(
        given.centring, laue, None if given.cell is None else cell_from_text(given.cell), given.seed
    )
    checkpoint = checkpoint_path(output)
    if checkpoint.is_file():
        print(
            f"found      {checkpoint} of an interrupted run; delete it to start from the beginning",
            flush=True,
        )
    try:
        with exit_on_termination(), _Bar() as bar:
            found = factorize_volume(source, output, settings, bar.show)
    except (KeyboardInterrupt, SystemExit):
        if checkpoint.is_file():
            print(f"dsfunet: the same command goes on from {checkpoint}", file=sys.stderr)
        raise
    _print_report(source, output, found)


def _refuse_others(options: Mapping[str, Any]) -> None:
    from dsfunet.cleanup.options import CleanUpOptions

    defaults = vars(FactorizeOptions()) | vars(CleanUpOptions())
    for name, value in options.items():
        if name not in (*_TAKEN, _OF_CLEAN_UP) and name in defaults and value != defaults[name]:
            option = "--" + name.replace("_", "-")
            raise InputError(f"{option} {value}: it does not apply to --volume; leave it out")


class _Bar:
    """A progress bar on standard error that says what is being done."""

    def __enter__(self) -> "_Bar":
        from tqdm import tqdm

        self._bar = tqdm(
            total=100, disable=not sys.stderr.isatty(), leave=False, bar_format="{desc:14s} {bar} {elapsed}"
        )
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    @property
    def show(self) -> Callable[[str, float], None]:
        """Shows a stage and the share of it that is done."""

        def show(stage: str, share: float) -> None:
            self._bar.set_description_str(stage, refresh=False)
            self._bar.n = round(100 * min(share, 1.0))
            self._bar.refresh()

        return show


def _print_report(source: Path, output: Path, found: VolumeFactorization) -> None:
    fit = found.fit
    size = " x ".join(map(str, found.shape))
    print(f"read       {source}: {size} voxels along h, k, l; Q = 2 pi (h a* + k b* + l c*)")
    for note in found.notes:
        print(f"           note: {note}")
    print(f"missing    {100 * (1 - found.measured_share):.1f} % of the volume, Friedel mates averaged")
    print(
        f"lattice    centring {fit.centring} ({_origin(found.centring_from)}), {fit.vectors.count} pairs of lattice"
        f" vectors, chi-squared {fit.chi_squared:.3g}"
    )
    print(f"factorised in {found.seconds:.0f} s on cpu ({describe_processor()})")
    share = f"{100 * found.r_factor:.1f} %"
    print(f"R          the product of the components leaves {share} of the volume (sum |I - P| / sum I)")
    print("alpha      " + "; ".join(_first_alphas(found)))
    print(f"wrote      {output}")


def _origin(source: str) -> str:
    return {"option": "as asked", "file": "as the file says", "data": "found in the volume"}[source]


def _first_alphas(found: VolumeFactorization) -> list[str]:
    """Return the shortest vectors with their correlations, as text."""
    fit, texts = found.fit, []
    for place in range(min(_SHOWN, fit.vectors.count)):
        vector = vector_of([int(each) for each in fit.vectors.numerators[place]], fit.vectors.denominator)
        texts.append(f"{format_vector(vector)} {fit.alphas[place]:.4f}")
    return texts
