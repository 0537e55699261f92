"""What the files for other programs are made of."""

from dataclasses import dataclass

from dsfunet.analysis.models.model_names import ModelPair
from dsfunet.analysis.refinement.fit import Refinement
from dsfunet.physics import Cell
from dsfunet.physics.centring import Centring
from dsfunet.physics.symmetry import UniqueAxis
from dsfunet.planes.measured import PlaneGrid


@dataclass(frozen=True, eq=False)
class Site:
    """What may stand on a site.

    Attributes:
        pair: species A and B.
        concentration: share of A, strictly between 0 and 1.
        b_iso_angstrom2: isotropic B of all atoms [Angstrom^2].
    """

    pair: ModelPair
    concentration: float
    b_iso_angstrom2: float = 0.0


@dataclass(frozen=True, eq=False)
class ExportedCorrelations:
    """Refined correlations with what other programs need to know about them.

    Attributes:
        source: name of the result, for comments.
        stem: name of the files that are written, without their endings.
        fit: orbits, values and uncertainties.
        cell: conventional unit cell.
        centring: lattice type of the sites.
        laue: Laue class.
        unique_axis: unusual axis of the class, or None.
        grid: of the plane; None for a volume or several planes.
        site: the species; None if they are not known, which is enough for LaTeX.
        warnings: sentences that must travel with the numbers.
    """

    source: str
    stem: str
    fit: Refinement
    cell: Cell
    centring: Centring
    laue: str
    unique_axis: UniqueAxis | None
    grid: PlaneGrid | None
    site: Site | None
    warnings: tuple[str, ...] = ()

    @property
    def summed_axis(self) -> int | None:
        """Axis along which the values of a layer are sums; None for alphas."""
        return self.fit.orbits[0].summed_axis

    def required_site(self) -> Site:
        """Return the species, which `check_exports` made sure of."""
        assert self.site is not None
        return self.site
