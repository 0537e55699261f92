"""The settings of a refinement, and the bounds of alphas that follow from them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from dsfunet.analysis.answers import Answer
from dsfunet.analysis.models.model_names import ModelPair, read_models
from dsfunet.analysis.refinement.data import ErrorsFrom, FitTo
from dsfunet.analysis.refinement.further_terms import NO_TERMS, Background, FurtherTerms
from dsfunet.analysis.refinement.option_texts import known_resolution, scattering_of_model
from dsfunet.analysis.refinement.vectors import check_vector, parse_vectors
from dsfunet.errors import InputError
from dsfunet.io.cell_parameters import cell_from_text
from dsfunet.lattice.joint_fit.resolution import Resolution, parse_thickness
from dsfunet.physics import Cell
from dsfunet.physics.centring import Centring, Component, check_closure
from dsfunet.physics.scattering import XRAYS, Radiation, Scattering
from dsfunet.physics.symmetry import LAUE_CLASSES, UniqueAxis, laue_rotations

FormFactorFrom = Literal["result", "data"]
"""Where the form factor of a refinement comes from."""


@dataclass(frozen=True)
class RefinementSettings:
    """The settings of a refinement of Warren-Cowley parameters; only the Laue class is required.

    Attributes:
        laue: Laue class, one of `dsfunet.physics.symmetry.LAUE_CLASSES`, such as "6/m".
        cell: unit cell to refine on; None takes the cell of the first result.
        shells: number of nearest shells to refine, 1 to 100; None for 5, unless vectors are given.
        vectors: lattice vectors (i, j, k) to refine instead, one of each orbit, indices from -50 to 50; integers or, in
            a centred lattice, `fractions.Fraction`. With `layer` also their two components in the layer.
        unique_axis: "a", "b" or "c"; None for b in 2/m and c in tetragonal, trigonal and hexagonal classes.
        out_of_plane: whether to refine vectors with a component along the third axis of planes of one orientation as
            well. Planes of different orientations always include them.
        no_order_along_axis: whether correlations of sites of different layers are known to vanish. Values from layers
            of one orientation are then alphas of vectors in the layer; without this they are correlations of a layer.
        exclude_below: fraction in [0, 1). Pixels whose form factor is below this fraction of the largest are
            excluded (with `fit_to` "short-range-order": pixels whose intensity is).
        fit_to: "measured" fits the measured intensity with the form factor of the result; "short-range-order" fits
            the I_SRO of the result.
        floor: amount that normalisation subtracted from I_SRO, 0 or more, taken as exact; only for
            "short-range-order". None takes the recorded value with its uncertainty.
        errors_from: "zones" derives the uncertainties from the scatter between Brillouin zones; "pixels" treats all
            pixels as independent.
        bounds: whether to keep the alphas physically possible for the concentration.
        concentration: m_A, the fraction of one species, strictly between 0 and 1; only with `bounds`.
        model: the two species, where they are known. Their I_FF then replaces the form factor of the result.
        b_iso_angstrom2: isotropic B of the model's I_FF [Angstrom^2], 0 or more; None refines it with the alphas.
        centring: lattice type of the sites, in the conventional cell; R is the obverse setting on hexagonal axes. None
            takes what the result records, else P.
        layer: whether to refine the correlations of the layer, each the sum over all lattice vectors with the same
            two components in a single plane (`dsfunet.physics.layer_orbits`). None does so for a single plane, unless
            `out_of_plane` or `no_order_along_axis` say otherwise.
        form_factor: "result" divides by the form factor of the result; "data" fits form factor and correlations jointly
            to the measured plane, without the networks, for the layer of a single plane. None takes "data" for a
            single result that used a lattice, unless another setting excludes that: `layer` False, `out_of_plane`,
            `bounds`, `model`, `fit_to` "short-range-order", `errors_from` "pixels" or the answer "networks".
        answer: "lattice" or "networks", which of the two answers of a result gives the form factor or I_SRO. None takes
            the chosen I_SRO and, for "measured", the form factor of the networks where the result holds it, because
            that does not follow the noise of the plane.
        resolution: of the plane, for the form factor "data"; None takes what the result records.
        thickness_rlu: full width of the third index over which the layer was averaged [r.l.u.], 0 or more, likewise.
        scattering: the radiation, for the I_FF of `model`.
        further: terms that are fitted beside form factor and correlations.

    Raises:
        InputError: a setting is out of its range, or two settings contradict each other.

    Examples:
        >>> from dsfunet import RefinementSettings
        >>> RefinementSettings(laue="6/m", vectors=((1, 0, 0), (1, 1, 0))).fit_to
        'measured'
    """

    laue: str
    cell: Cell | None = None
    shells: int | None = None
    vectors: tuple[tuple[Component, ...], ...] | None = None
    unique_axis: UniqueAxis | None = None
    out_of_plane: bool = False
    no_order_along_axis: bool = False
    exclude_below: float = 0.05
    fit_to: FitTo = "measured"
    floor: float | None = None
    errors_from: ErrorsFrom = "zones"
    bounds: bool = False
    concentration: float | None = None
    model: ModelPair | None = None
    b_iso_angstrom2: float | None = None
    centring: Centring | None = None
    layer: bool | None = None
    form_factor: FormFactorFrom | None = None
    answer: Answer | None = None
    resolution: Resolution | None = None
    thickness_rlu: float | None = None
    scattering: Scattering = XRAYS
    further: FurtherTerms = NO_TERMS

    def __post_init__(self) -> None:
        if self.centring is None and self.cell is not None and self.cell.centring != "P":
            object.__setattr__(self, "centring", self.cell.centring)
        rotations = laue_rotations(self.laue, self.unique_axis)
        if self.centring is not None:
            check_closure(rotations, self.centring, self.laue)
        if self.vectors is not None:
            if self.shells is not None:
                raise InputError("--shells and --vectors: found both; use one of them")
            vectors = tuple(
                check_vector(each, self.centring, self.layer is not False) for each in self.vectors
            )
            object.__setattr__(self, "vectors", vectors)
        self._check_layer()
        if not 0 <= self.exclude_below < 1:
            raise InputError(
                f"--exclude-below is {self.exclude_below:g}; expected a fraction, 0 or more and below 1"
            )
        self._check_floor()
        self._check_concentration()
        self._check_model()
        if self.fit_to != "measured":
            self.further.check_fits_measured(self.fit_to)

    def _check_layer(self) -> None:
        if self.form_factor == "data":
            if self.layer is False and not self.no_order_along_axis:
                raise InputError(
                    "--form-factor data: it gives the correlations of one layer; omit --layer false"
                )
            if self.model is not None or self.fit_to != "measured":
                raise InputError(
                    "--form-factor data: it fits the measured plane without a model; omit --model and --fit-to"
                )
            if self.answer == "networks":
                raise InputError(
                    "--form-factor data: it uses no answer of the networks; omit --answer networks, or use"
                    " --form-factor result"
                )
        elif self.form_factor == "result" and (self.resolution is not None or self.thickness_rlu is not None):
            raise InputError(
                "--resolution and --thickness: they enter only the joint fit to a measured plane; add --form-factor"
                " data, or omit them"
            )
        if self.thickness_rlu is not None and not 0 <= self.thickness_rlu < np.inf:
            raise InputError(f"--thickness is {self.thickness_rlu:g}; expected 0 or more [r.l.u.]")
        self._check_alphas()
        layer = "--layer true" if self.layer else "--form-factor data"
        if (self.layer or self.form_factor == "data") and self.out_of_plane:
            raise InputError(f"{layer} and --out-of-plane true: found both; use one of them")
        if (self.layer or self.form_factor == "data") and self.bounds and not self.no_order_along_axis:
            raise InputError(
                f"{layer} and --bounds true: found both; correlations of a layer are sums without bounds, so use one of"
                " them"
            )
        if self.answer is not None and self.model is not None:
            raise InputError(
                f"--answer {self.answer} and --model: found both; the model replaces the form factor of the result, so"
                " use one of them"
            )

    def _check_alphas(self) -> None:
        if self.no_order_along_axis and (self.layer or self.out_of_plane):
            other = "--layer true" if self.layer else "--out-of-plane true"
            raise InputError(f"--no-order-along-axis true and {other}: found both; use one of them")
        if self.layer is False and not (self.out_of_plane or self.no_order_along_axis):
            raise InputError(
                "--layer false: a layer does not determine alphas of its vectors; add --no-order-along-axis true if"
                " correlations along the third axis vanish, or --out-of-plane true if symmetry ties vectors in and out"
                " of the plane"
            )

    def _check_floor(self) -> None:
        if self.floor is None:
            return
        if self.fit_to != "short-range-order":
            raise InputError(
                f"--floor {self.floor:g}: it applies only to I_SRO; add --fit-to short-range-order, or omit it"
            )
        if not 0 <= self.floor < np.inf:
            raise InputError(
                f"--floor is {self.floor:g}; expected 0 or more, in units of the normalised I_SRO"
            )

    def _check_concentration(self) -> None:
        if self.concentration is not None and not self.bounds:
            raise InputError(
                f"--concentration {self.concentration:g}: it is used only with bounds; add --bounds true, or omit it"
            )
        if self.bounds and self.concentration is None:
            raise InputError(
                "--bounds true: found no concentration; give the fraction of one species with --concentration"
            )
        if self.concentration is not None and not 0 < self.concentration < 1:
            raise InputError(
                f"--concentration is {self.concentration:g}; expected a number strictly between 0 and 1"
            )

    def _check_model(self) -> None:
        if self.model is not None and self.fit_to != "measured":
            raise InputError(
                f"--fit-to {self.fit_to}: it does not use the form factor of --model; expected --fit-to measured"
            )
        if self.b_iso_angstrom2 is not None and self.model is None:
            raise InputError(
                "--b-iso-angstrom2: found no --model; give the two species with --model, or omit it"
            )
        if self.b_iso_angstrom2 is not None and not 0 <= self.b_iso_angstrom2 < np.inf:
            raise InputError(
                f"--b-iso-angstrom2 is {self.b_iso_angstrom2:g}; expected 0 or more [Angstrom^2]"
            )

    @classmethod
    def from_options(
        cls,
        measured_cell: Cell,
        laue: str | None = None,
        cell: str | None = None,
        shells: int | None = None,
        vectors: str | None = None,
        unique_axis: UniqueAxis | None = None,
        out_of_plane: bool = False,
        no_order_along_axis: bool = False,
        exclude_below: float = 0.05,
        fit_to: FitTo = "measured",
        floor: float | None = None,
        errors_from: ErrorsFrom = "zones",
        bounds: bool = False,
        concentration: float | None = None,
        model: str | None = None,
        b_iso_angstrom2: float | None = None,
        centring: Centring | None = None,
        layer: bool | None = None,
        form_factor: FormFactorFrom | None = None,
        answer: Answer | None = None,
        resolution: str | None = None,
        thickness: str | None = None,
        radiation: Radiation = "xray",
        wavelength: float | None = None,
        b_factors: str | None = None,
        size_effect: bool = False,
        background: Background | None = None,
        thermal: bool = False,
    ) -> "RefinementSettings":
        """Parse the options of `dsfunet refine`; their texts become a cell, vectors and a model.

        Args:
            measured_cell: the cell of the first result; lattice directions in `model` refer to it unless `cell` is
                given
            laue: Laue class: -1, 2/m, mmm, 4/m, 4/mmm, -3, -3m1, -31m, 6/m, 6/mmm, m-3 or m-3m; on rhombohedral axes
                -3:R or -3m:R. It must be given for planes; for a volume the default is the highest class of the cell
                that the correlations do not contradict
            cell: "a b c alpha beta gamma" [Angstrom, degrees]; by default the cell of the first file
            shells: number of nearest shells to refine; 5 by default, unless vectors are given
            vectors: lattice vectors to refine instead, one of each orbit, such as "1 0 0, 1 1 0"; with centring also
                fractions, such as "1/2 1/2 0"; with layer two components, such as "1/2 0"
            unique_axis: by default b for 2/m and c for tetragonal, trigonal and hexagonal classes
            out_of_plane: also refine vectors with a component along the third axis of the plane, which the Laue class
                must tie to vectors in it; always on for planes of different orientations
            no_order_along_axis: sites of different layers are known to be uncorrelated, so that the values of a layer
                are alphas of its vectors; several layers of one orientation then share them
            exclude_below: exclude pixels whose form factor (for short-range-order: whose intensity) is below this
                fraction of the largest
            fit_to: measured fits the measured intensity, using the form factor of the result; short-range-order fits
                the I_SRO of the result
            floor: for short-range-order, the amount that normalisation subtracted from I_SRO, taken as exact; by
                default the value recorded in the file, with its uncertainty
            errors_from: zones derives uncertainties from the scatter between Brillouin zones; pixels treats all
                pixels as independent
            bounds: keep the alphas physically possible for the given concentration
            concentration: m_A, the fraction of one species, between 0 and 1
            model: the two species, where they are known, written as for `dsfunet compare`; their I_FF then replaces
                the form factor of the networks
            b_iso_angstrom2: isotropic B of the model's I_FF [Angstrom^2]; refined with the alphas by default
            centring: lattice type of the sites in the conventional cell (R: obverse, on hexagonal axes); by default
                what the result records, else P
            layer: refine the correlations of a single layer, each the sum over all lattice vectors with the same two
                components in the plane; by default for a single plane
            form_factor: result divides by the form factor of the result; data fits form factor and correlations of the
                layer jointly to a single measured plane, without the networks; by default data for one result that
                used a lattice, unless other options exclude it
            answer: for results that hold two answers, which of them to use; networks implies form-factor result
            resolution: for form-factor data, standard deviation of the Gaussian resolution: 0.04 (r.l.u., both axes),
                "0.04 0.06" (each axis) or "0.03 1/A"; by default what the result records, else sharp pixels
            thickness: for form-factor data, full width of the third index over which the layer was averaged, such as
                0.25 or +-0.125 [r.l.u.]; by default what the result records, else 0
            radiation: for a model, what was scattered: X-rays, neutrons (bound coherent lengths) or electrons
            wavelength: for a model and X-rays [Angstrom], for f' and f''; without it both are left out
            b_factors: for a model, B of elements or ions [Angstrom^2], such as "Au 0.5, Cu 0.6", instead of those of
                the files; the refined B is added to them
            size_effect: also refine the first-order size effect, static displacements that follow the order
            background: also refine a smooth background, flat or q (a function of |Q|)
            thermal: also refine thermal diffuse scattering, even about the Bragg positions and growing with |Q|^2

        Raises:
            InputError: a text cannot be parsed, a file of the model cannot be used, the settings are invalid, or there
                is no Laue class.
        """
        if laue is None:
            raise InputError(
                f"--laue: found none; expected the Laue class of the crystal, one of {', '.join(LAUE_CLASSES)} (only a"
                " whole volume tells it)"
            )
        parsed_cell = None if cell is None else cell_from_text(cell)
        return cls(
            laue=laue,
            cell=parsed_cell,
            shells=shells,
            vectors=None if vectors is None else parse_vectors(vectors, layer is not False),
            unique_axis=unique_axis,
            out_of_plane=out_of_plane,
            no_order_along_axis=no_order_along_axis,
            exclude_below=exclude_below,
            fit_to=fit_to,
            floor=floor,
            errors_from=errors_from,
            bounds=bounds,
            concentration=concentration,
            model=None if model is None else read_models([model], parsed_cell or measured_cell, b_factors)[0],
            b_iso_angstrom2=b_iso_angstrom2,
            centring=centring,
            layer=layer,
            form_factor=form_factor,
            answer=answer,
            resolution=None if resolution is None else known_resolution(resolution),
            thickness_rlu=None if thickness is None else parse_thickness(thickness),
            scattering=scattering_of_model(model, radiation, wavelength, b_factors),
            further=FurtherTerms(size_effect, background, thermal),
        )

    def alpha_bounds(self) -> tuple[float, float] | None:
        """Return the lowest and highest possible alpha for the concentration; None without bounds.

        An alpha is 1 - P/m, where the conditional probability P lies between 0 and 1 for either species.
        """
        if not self.bounds or self.concentration is None:
            return None
        first = self.concentration
        return max(-first / (1 - first), -(1 - first) / first), 1.0
