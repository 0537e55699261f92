"""Planes that break what the networks assume, by the physics that breaks it, in a store like any other.

A plane is first drawn as an ordinary one is: species, order, cell, layer, mask. Then one thing is done to it that
makes it no product of a smooth form factor and a periodic short-range order, or that tells the wrong lattice or pixels.
`form_factor` and `short_range_order` of the store are those of the plane before that; `scattering` is what was
measured.
The attribute `violations` names kind, level and counts of every plane.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsfunet.errors import InputError
from dsfunet.physics import Cell, Molecule, Plane, plane_through
from dsfunet.physics.form_factor import molecular_form_factor
from dsfunet.preprocessing import PIXELS, normalise
from simulate.artefacts import draw_mask
from simulate.crystals import ORDER_KINDS, Crystal, World, draw_crystal
from simulate.degradation import add_spots, bragg_pixels, counted, smooth_background
from simulate.kernels import form_factor_intensity, measured_range, short_range_order_intensity
from simulate.planes import Sample, draw_layers
from simulate.recipe import SPLITS

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

COUNTS: tuple[float | None, ...] = (None, 1000.0, 100.0)
"""Counts expected in the brightest pixel, in turn; None is no noise."""

# Of each plane that is asked for; most crystals give one at the first.
_MOST_ATTEMPTS = 60
_LAYER_TOLERANCE = 0.02
_FEWEST_SPOTS = 6
# Vectors along which neighbours are pushed reach so far; displacements fall off with the square of the distance.
_SIZE_REACH = 2
# The softest phonon that is told from a Bragg peak, as a share of the zone-boundary frequency squared.
_SOFTEST = 0.01
# A second site's form factor is uncorrelated with the first's; how their occupations go together is drawn.
_LARGEST_CROSS = 0.6


@dataclass(frozen=True)
class Draft:
    """A plane before it is spoilt, in electrons squared.

    Attributes:
        crystal: it is of.
        plane: where the pixels lie.
        axes: the two reciprocal axes that span it.
        offset: index along the third [r.l.u.].
        form_factor: I_FF [electrons^2].
        order: I_SRO, not normalised.
        mask: True = measured.
    """

    crystal: Crystal
    plane: Plane
    axes: tuple[int, int]
    offset: float
    form_factor: Array
    order: Array
    mask: Mask

    @property
    def scattering(self) -> Array:
        """The product [electrons^2]."""
        return self.form_factor * self.order


@dataclass(frozen=True)
class Spoilt:
    """A measured plane, any unit, with the mask and the cell that are told of it."""

    scattering: Array
    mask: Mask
    cell: Cell


Spoiler = Callable[[World, np.random.Generator, Draft, float], Spoilt | None]
"""Spoils a draft with a strength; None where that cannot be shown on it, and another is drawn."""


def bragg_peaks(world: World, rng: np.random.Generator, draft: Draft, strength: float) -> Spoilt | None:
    """Every Bragg peak left in, as |m_A F_A + m_B F_B|^2 makes them; the brightest is `strength` times the plane's."""
    pixels = bragg_pixels(draft.plane, draft.crystal.cell, _LAYER_TOLERANCE)
    # Row and column 0 hold no Q = 0; the direct beam is behind its stop.
    pixels = pixels[np.abs(pixels - PIXELS // 2).max(axis=1) > 2]
    if len(pixels) < _FEWEST_SPOTS:
        return None
    mean = _mean_power(draft)
    rows, columns = np.rint(pixels).astype(int).T
    seen = draft.mask[rows, columns]
    if seen.sum() < _FEWEST_SPOTS:
        return None
    heights = mean[rows, columns]
    measured = draft.scattering
    heights = heights / heights[seen].max() * strength * measured[draft.mask].max()
    add_spots(measured, pixels, heights, float(rng.uniform(0.6, 2.0)))
    return Spoilt(measured, draft.mask, draft.crystal.cell)


def smooth_background_alone(world: World, rng: np.random.Generator, draft: Draft, strength: float) -> Spoilt:
    """No diffuse scattering: air scattering and a bump in |Q|; `strength` is the bump's height beside the air's."""
    air = smooth_background(draft.plane, rng.uniform(0.02, 0.3), 1.0, 0.0, rng.uniform(0.8, 3.0))
    bump = smooth_background(draft.plane, 0.0, strength, rng.uniform(1.5, 4.5), rng.uniform(0.3, 1.0))
    return Spoilt(air + bump, draft.mask, draft.crystal.cell)


def powder_rings_alone(world: World, rng: np.random.Generator, draft: Draft, strength: float) -> Spoilt:
    """No diffuse scattering: rings of a powder on air scattering, `strength` times as high."""
    measured = smooth_background(draft.plane, rng.uniform(0.02, 0.2), 1.0, 0.0, rng.uniform(0.8, 3.0))
    first = rng.uniform(1.8, 3.0)
    for multiple in (
        1.0,
        np.sqrt(4 / 3),
        np.sqrt(8 / 3),
        np.sqrt(11 / 3),
        2.0,
    ):  # a face-centred cubic powder
        height = strength * rng.uniform(0.2, 1.0)
        measured += smooth_background(draft.plane, 0.0, height, first * multiple, rng.uniform(0.04, 0.12))
    return Spoilt(measured, draft.mask, draft.crystal.cell)


def noise_alone(world: World, rng: np.random.Generator, draft: Draft, strength: float) -> Spoilt:
    """Nothing but counts: Poisson's law with `strength` expected everywhere."""
    return Spoilt(rng.poisson(strength, draft.plane.shape).astype(np.float64), draft.mask, draft.crystal.cell)


def background_left(world: World, rng: np.random.Generator, draft: Draft, strength: float) -> Spoilt:
    """Air scattering and a bump in |Q| left in, together `strength` times the plane's brightest."""
    background = smooth_background_alone(world, rng, draft, float(rng.uniform(0.0, 1.5))).scattering
    measured = draft.scattering
    return Spoilt(
        measured + background * (strength * measured[draft.mask].max() / background.max()),
        draft.mask,
        draft.crystal.cell,
    )


def size_effect(world: World, rng: np.random.Generator, draft: Draft, strength: float) -> Spoilt:
    """Warren's size effect: I_FF [sum alpha_v cos(Q.v) - sum (Q.v/|v|) gamma_v sin(Q.v)], clipped at zero.

    gamma_v [Angstrom] is `strength` along the nearest neighbours' vectors and falls off as 1/|v|^2; its sign is
    drawn, the same for all, as a larger A pushes all its neighbours away.
    """
    sign = float(rng.choice([-1.0, 1.0]))
    steps = np.stack(np.meshgrid(*(np.arange(-_SIZE_REACH, _SIZE_REACH + 1),) * 3, indexing="ij"), axis=-1)
    steps = steps.reshape(-1, 3)
    steps = steps[len(steps) // 2 + 1 :]  # one of v and -v: both add the same
    vectors = steps @ draft.crystal.cell.direct
    lengths = np.linalg.norm(vectors, axis=1)
    gammas = sign * strength * (lengths.min() / lengths) ** 2
    origin, rows, columns = draft.plane.phase_factors(vectors)
    q = draft.plane.q_points()
    term = np.zeros(draft.plane.shape)
    for component in range(3):
        weights = 2 * gammas * vectors[:, component] / lengths
        term += q[..., component] * ((rows * (origin * weights)) @ columns.T).imag
    return Spoilt(draft.form_factor * np.maximum(draft.order - term, 0.0), draft.mask, draft.crystal.cell)


def thermal_diffuse(world: World, rng: np.random.Generator, draft: Draft, strength: float) -> Spoilt:
    """Scattering by acoustic phonons, |F|^2 Q^2 / omega^2(q), its mean `strength` times that of the plane.

    omega^2 is that of a lattice whose nearest neighbours are bound by equal springs, the sum over the three axes of
    1 - cos(Q.a), so that it goes with 1/q^2 about every Bragg position, whose core is cut out with the peak.
    """
    origin, rows, columns = draft.plane.phase_factors(np.asarray(draft.crystal.cell.direct))
    stiffness = sum(1 - np.multiply.outer(origin[i] * rows[:, i], columns[:, i]).real for i in range(3))
    phonons = _mean_power(draft) * draft.plane.q_squared() / (np.asarray(stiffness) + _SOFTEST)
    measured = draft.scattering
    scale = strength * measured[draft.mask].mean() / phonons[draft.mask].mean()
    return Spoilt(measured + scale * phonons, draft.mask, draft.crystal.cell)


def two_sites(world: World, rng: np.random.Generator, draft: Draft, strength: float) -> Spoilt | None:
    """A second disordered site: |dF1|^2 S11 + |dF2|^2 S22 + 2 Re(dF1 conj(dF2) S12 exp(i Q.r)).

    The second site holds another pair of species with an order of its own; `strength` is its mean intensity beside the
    first's. S12 = rho sqrt(S11 S22) with rho drawn, the largest that keeps all intensities positive being 1.
    """
    lattice = draft.crystal.species[0].lattice
    for _ in range(_MOST_ATTEMPTS):
        other = draw_crystal(world, rng)
        if other.species[0].lattice == lattice and {*other.species} != {*draft.crystal.species}:
            break
    else:
        return None
    cell, plane = draft.crystal.cell, draft.plane
    first, second = (_difference(each, plane) for each in (draft.crystal, other))
    order = short_range_order_intensity(other.order.alphas, cell, plane, draft.axes).astype(np.float64)
    alone = np.square(np.abs(second)) * order
    if np.ptp(alone) < 1e-2:
        return None
    measured = draft.scattering
    scale = np.sqrt(strength * measured[draft.mask].mean() / alone[draft.mask].mean())
    shift = rng.uniform(0.2, 0.8, 3) @ cell.direct
    cross = rng.uniform(-_LARGEST_CROSS, _LARGEST_CROSS) * np.sqrt(draft.order * order)
    beats = first * np.conj(scale * second) * np.exp(1j * (plane.q_points() @ shift))
    total = measured + scale**2 * alone + 2 * cross * beats.real
    return Spoilt(np.maximum(total, 0.0), draft.mask, cell)


def wrong_edge(world: World, rng: np.random.Generator, draft: Draft, strength: float) -> Spoilt:
    """An exact plane whose cell is told with one edge in the plane `strength` times as long."""
    lengths = list(draft.crystal.cell.parameters)
    lengths[draft.axes[int(rng.integers(2))]] *= strength
    return Spoilt(draft.scattering, draft.mask, Cell(*lengths))


def zeros_for_gaps(world: World, rng: np.random.Generator, draft: Draft, strength: float) -> Spoilt | None:
    """Gaps given as zeros that were measured; `strength` is the share of the plane they cover at least."""
    if draft.mask.mean() > 1 - strength:
        return None
    return Spoilt(np.where(draft.mask, draft.scattering, 0.0), np.ones_like(draft.mask), draft.crystal.cell)


def transposed_mask(world: World, rng: np.random.Generator, draft: Draft, strength: float) -> Spoilt | None:
    """Zeros in the gaps, and a mask transposed; `strength` is the least share of the plane at zero and not masked."""
    told = draft.mask.T.copy()
    if np.mean(told & ~draft.mask) < strength or not (told & draft.mask).any():
        return None
    return Spoilt(np.where(draft.mask, draft.scattering, 0.0), told, draft.crystal.cell)


def hot_pixels(world: World, rng: np.random.Generator, draft: Draft, strength: float) -> Spoilt:
    """One pixel in a thousand `strength` times as bright as the brightest of the plane."""
    measured = draft.scattering
    hot = rng.random(measured.shape) < 1e-3
    measured[hot] = strength * measured[draft.mask].max() * rng.uniform(0.5, 1.0, int(hot.sum()))
    return Spoilt(measured, draft.mask, draft.crystal.cell)


KINDS: dict[str, tuple[Spoiler, dict[str, float]]] = {
    "Bragg peaks left in": (bragg_peaks, {"0.3 of brightest": 0.3, "3 times": 3.0, "100 times": 100.0}),
    "smooth background alone": (smooth_background_alone, {"air": 0.0, "air and bump": 0.5, "bump": 2.0}),
    "powder rings alone": (powder_rings_alone, {"weak": 0.3, "middling": 1.0, "strong": 5.0}),
    "noise alone": (noise_alone, {"3 counts": 3.0, "30 counts": 30.0, "300 counts": 300.0}),
    "background left in": (background_left, {"0.1 of brightest": 0.1, "0.3": 0.3, "1": 1.0}),
    "size effect": (size_effect, {"0.03 A": 0.03, "0.1 A": 0.1, "0.3 A": 0.3}),
    "thermal diffuse": (thermal_diffuse, {"0.1 of mean": 0.1, "0.5": 0.5, "2": 2.0}),
    "two sites": (two_sites, {"0.1 of mean": 0.1, "0.3": 0.3, "1": 1.0}),
    "wrong cell": (wrong_edge, {"1 % longer": 1.01, "3 % longer": 1.03, "10 % longer": 1.1}),
    "another cell": (wrong_edge, {"halved": 0.5, "0.7": 0.7, "doubled": 2.0}),
    "zeros for gaps": (zeros_for_gaps, {"7 %": 0.07, "20 %": 0.2, "35 %": 0.35}),
    "transposed mask": (transposed_mask, {"2 %": 0.02, "7 %": 0.07, "15 %": 0.15}),
    "hot pixels": (hot_pixels, {"0.3 of brightest": 0.3, "1": 1.0, "10 times": 10.0}),
}
"""What is done to planes, and the strength of each level."""


def plan(planes_per_kind: int) -> list[dict[str, str | float | None]]:
    """Kind, level, strength and counts of every plane of a store: levels and noise levels take turns.

    Raises:
        InputError: fewer than one plane of each kind is asked for.
    """
    if planes_per_kind < 1:
        raise InputError(f"{planes_per_kind} planes of each kind: expected at least 1")
    return [
        {
            "kind": kind,
            "level": [*levels][number % len(levels)],
            "strength": [*levels.values()][number % len(levels)],
            "counts": COUNTS[number // len(levels) % len(COUNTS)],
        }
        for kind, (_, levels) in KINDS.items()
        for number in range(planes_per_kind)
    ]


def draw_violation(world: World, index: int, kind: str, strength: float, counts: float | None) -> Sample:
    """Plane number `index` of a store of violations: one entry for every array, `scattering` among them.

    It follows from the recipe's seed, the split and the index alone.

    Raises:
        InputError: no crystal of many drawn shows this kind.
    """
    stream = (len(SPLITS) + 1, SPLITS.index(world.split), index)
    rng = np.random.default_rng(np.random.SeedSequence(world.recipe.seed, spawn_key=stream))
    for _ in range(_MOST_ATTEMPTS):
        draft = _draw_draft(world, rng)
        if draft is None:
            continue
        spoilt = KINDS[kind][0](world, rng, draft, strength)
        if spoilt is None:
            continue
        scattering = spoilt.scattering
        if counts is not None and kind != "noise alone":
            brightest = float(scattering[spoilt.mask].max())
            if not brightest > 0:
                continue
            # Counted where it was measured: what lies under the mask may be brighter, and is nobody's business.
            scattering = counted(np.minimum(scattering, brightest), counts, rng)
        shown = np.where(spoilt.mask, scattering, 0.0)
        if not np.ptp(shown[spoilt.mask]) > 0:
            continue
        shown /= shown.max()
        if measured_range(shown.astype(np.float32), spoilt.mask) > 1e-3:
            return _sample(world, draft, spoilt, shown)
    raise InputError(
        f"{kind}: none of {_MOST_ATTEMPTS} crystals shows it; expected a recipe with masks, layers at whole"
        " indices and species that scatter differently"
    )


def _sample(world: World, draft: Draft, spoilt: Spoilt, shown: Array) -> Sample:
    form_factor, form_factor_low, form_factor_range = normalise(draft.form_factor)
    order, order_low, order_range = normalise(draft.order)
    crystal, plane = draft.crystal, draft.plane
    return {
        "form_factor": form_factor.astype(np.float16),
        "short_range_order": order.astype(np.float16),
        "scattering": shown.astype(np.float16),
        "mask": np.packbits(spoilt.mask, axis=-1),
        "form_factor_floor": np.float32(form_factor_low / form_factor_range),
        "short_range_order_floor": np.float32(order_low / order_range),
        "species": np.array([world.catalogue.index(each) for each in crystal.species], np.int16),
        "rotations": crystal.rotations.astype(np.float32),
        "cell": np.array(spoilt.cell.parameters),
        "plane": np.stack([plane.origin, plane.step_u, plane.step_v]),
        "plane_axes": np.array(draft.axes, np.int8),
        "plane_offset": np.float64(draft.offset),
        "concentration": np.float32(crystal.order.m_a),
        "debye_waller_b": np.float32(crystal.debye_waller_b_angstrom2),
        "alphas": crystal.order.alphas.astype(np.float32),
        "order_kind": np.int8(ORDER_KINDS.index(crystal.order.kind)),
    }


def _draw_draft(world: World, rng: np.random.Generator) -> Draft | None:
    """The first layer of a crystal; None where a component is flat."""
    recipe = world.recipe
    crystal = draw_crystal(world, rng)
    axes, offset = next(draw_layers(recipe, rng, crystal))
    plane = plane_through(crystal.cell, axes, offset, crystal.q_max_inv_angstrom, PIXELS)
    form_factor = form_factor_intensity(
        *crystal.molecules, plane, crystal.order.m_a, crystal.debye_waller_b_angstrom2
    )
    order = short_range_order_intensity(crystal.order.alphas, crystal.cell, plane, axes)
    if np.ptp(form_factor) < 1e-2 or np.ptp(order) < 1e-2:
        return None
    masks = recipe.mask.for_triclinic() if crystal.is_triclinic else recipe.mask
    mask = draw_mask(rng, plane.origin, plane.step_u, plane.step_v, plane.shape, masks)
    if measured_range(normalise(form_factor * order)[0], mask) < 1e-3:
        return None
    return Draft(crystal, plane, axes, offset, form_factor.astype(np.float64), order.astype(np.float64), mask)


def _amplitude(molecule: Molecule, crystal: Crystal, plane: Plane) -> npt.NDArray[np.complex128]:
    damping = np.exp(-crystal.debye_waller_b_angstrom2 / (16 * np.pi**2) * plane.q_squared())
    amplitude: npt.NDArray[np.complex128] = molecular_form_factor(molecule, plane) * damping
    return amplitude


def _difference(crystal: Crystal, plane: Plane) -> npt.NDArray[np.complex128]:
    """sqrt(m_A m_B) (F_A - F_B), whose square is I_FF."""
    first, second = (_amplitude(each, crystal, plane) for each in crystal.molecules)
    share = crystal.order.m_a
    difference: npt.NDArray[np.complex128] = np.sqrt(share * (1 - share)) * (first - second)
    return difference


def _mean_power(draft: Draft) -> Array:
    """|m_A F_A + m_B F_B|^2: what Bragg peaks and phonons see of the site [electrons^2]."""
    first, second = (_amplitude(each, draft.crystal, draft.plane) for each in draft.crystal.molecules)
    share = draft.crystal.order.m_a
    mean: Array = np.square(np.abs(share * first + (1 - share) * second))
    return mean
