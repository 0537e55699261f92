"""Components: what `Factorizer` returns, and the stack of answers that it works on."""

from dataclasses import dataclass

import numpy as np

from dsfunet._typing import Mask, Planes
from dsfunet.lattice.mode import LatticeAnswer
from dsfunet.lattice.search import FoundLattice


@dataclass(frozen=True)
class Components:
    """Both components of one plane (256, 256) or of a stack of planes (n, 256, 256): linear intensity, float32.

    Each component is normalised by itself to [0, 1]. The plane is therefore s (F + f) (S + g) with a scale s and two
    floors f and g, which `dsfunet.physics.product.fit_product` fits.

    Attributes:
        form_factor: I_FF in [0, 1], given on every pixel.
        short_range_order: I_SRO in [0, 1], given on every pixel.
        mask: True where the plane was measured.
        lattice_answers: With a lattice, the answer of lattice mode for each plane, None where no lattice was found.
            Where it is accepted, its components are the ones above.
        of_networks: With a lattice, form factor and short-range order from the networks alone.
        found_lattices: With lattice="find", the lattice found for each plane; None where the plane shows no convincing
            lattice.
        sigma_form_factor: Standard uncertainty of `form_factor`, linear intensity, same shape; None if not available.
        sigma_short_range_order: Standard uncertainty of `short_range_order`, likewise.
        sigma_of_networks: Standard uncertainties of `of_networks`, likewise.
        uncertainty: A sentence that says what the uncertainties are (`dsfunet.factorize.uncertainty`).

    Examples:
        >>> import numpy as np
        >>> from dsfunet import Factorizer
        >>> rows, columns = np.indices((256, 256)) - 128
        >>> plane = np.exp(-(rows**2 + columns**2) / 8000) * (1 + 0.5 * np.cos(rows / 5) * np.cos(columns / 5))
        >>> plane[:40] = np.nan
        >>> components = Factorizer.from_pretrained(device="cpu")(plane, passes=0)
        >>> float(components.mask.mean()), components.sigmas
        (0.84375, None)
    """

    form_factor: Planes
    short_range_order: Planes
    mask: Mask
    lattice_answers: tuple[LatticeAnswer | None, ...] = ()
    of_networks: tuple[Planes, Planes] | None = None
    found_lattices: tuple[FoundLattice | None, ...] = ()
    sigma_form_factor: Planes | None = None
    sigma_short_range_order: Planes | None = None
    sigma_of_networks: tuple[Planes, Planes] | None = None
    uncertainty: str = ""

    @property
    def sigmas(self) -> tuple[Planes, Planes] | None:
        """Standard uncertainties of form factor and short-range order; None if not available."""
        if self.sigma_form_factor is None or self.sigma_short_range_order is None:
            return None
        return self.sigma_form_factor, self.sigma_short_range_order


@dataclass
class StackAnswers:
    """Both components of a stack of planes, linear, (2, n, 256, 256), and their standard uncertainties."""

    planes: Planes
    sigmas: Planes | None

    @classmethod
    def of_one(cls, components: Components) -> "StackAnswers":
        """A stack of the components of one plane, (256, 256)."""
        both = np.stack([components.form_factor, components.short_range_order])[:, None]
        return cls(both, None if components.sigmas is None else np.stack(components.sigmas)[:, None])

    def copy(self) -> "StackAnswers":
        """A copy whose planes can be replaced."""
        return StackAnswers(self.planes.copy(), None if self.sigmas is None else self.sigmas.copy())

    def replace_plane(self, place: int, answer: LatticeAnswer, sigmas: Planes | None) -> None:
        """Put the answer of lattice mode, and its uncertainties (2, 1, 256, 256), in the place of one plane."""
        self.planes[:, place] = answer.form_factor, answer.short_range_order
        if self.sigmas is not None and sigmas is not None:
            self.sigmas[:, place] = sigmas[:, 0]

    def to_components(self, measured: Mask, single: bool, uncertainty: str) -> Components:
        """Make the components that users get: of one plane (256, 256) if `single`, else of the stack.

        Args:
            measured: True where a pixel was measured, (n, 256, 256).
            single: Whether the user gave one plane, not a stack.
            uncertainty: A sentence that says what the uncertainties are.
        """
        which: int | slice = 0 if single else slice(None)
        sigmas = self.sigmas
        return Components(
            self.planes[0][which],
            self.planes[1][which],
            measured[which],
            sigma_form_factor=None if sigmas is None else sigmas[0][which],
            sigma_short_range_order=None if sigmas is None else sigmas[1][which],
            uncertainty=uncertainty,
        )
