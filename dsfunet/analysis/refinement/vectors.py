"""Lattice vectors as users give and read them: texts and numbers with exact components."""

from collections.abc import Sequence

from dsfunet.errors import InputError
from dsfunet.physics.centring import (
    Centring,
    Component,
    Vector,
    as_component,
    parse_components,
    smallest_component,
    vector_of,
)
from dsfunet.physics.symmetry import Orbit

_LARGEST_INDEX = 50


def parse_vectors(text: str, layer: bool = False) -> tuple[tuple[Component, ...], ...]:
    """Parse lattice vectors such as "1 0 0, 1 1 0" or "1/2 1/2 0, 1 0 0".

    Args:
        text: vectors with commas between them.
        layer: whether two components in a layer will do, such as "1/2 0".

    Raises:
        InputError: a vector is not three (or two) integers or fractions.
    """
    vectors = []
    for each in text.split(","):
        components = parse_components(each)
        if len(components) not in ((2, 3) if layer else (3,)):
            raise InputError(
                f"--vectors: found {each.strip()!r}; expected three integers a vector (or fractions such as 1/2 in a"
                " centred lattice), with commas between vectors"
            )
        vectors.append(components)
    return tuple(vectors)


def check_vector(
    vector: Sequence[float | Component], centring: Centring | None, layer: bool
) -> tuple[Component, ...]:
    """Return a vector with exact components.

    Args:
        vector: three components, or two for the correlations of a layer.
        centring: lattice type; the components must be integers in a primitive lattice. None if it is not known yet.
        layer: whether two components will do.

    Raises:
        InputError: the number of components is another, or one is not whole, not a fraction or too large.
    """
    text = " ".join(map(str, vector))
    expected = "three integers" if centring == "P" else "three integers or fractions such as 1/2"
    if len(vector) != 3 and not (layer and len(vector) == 2):
        hint = "; two components are for --layer true" if len(vector) == 2 else ""
        raise InputError(f"vector {text}: expected {expected}{hint}")
    try:
        components: tuple[Component, ...] = tuple(as_component(each) for each in vector)
    except InputError:
        raise InputError(f"vector {text}: expected {expected}") from None
    if centring == "P" and not all(isinstance(each, int) for each in components):
        raise InputError(
            f"vector {text}: expected three integers in a primitive lattice; give another with --centring"
        )
    if max(abs(float(each)) for each in components) > _LARGEST_INDEX:
        raise InputError(f"vector {text}: expected indices from -{_LARGEST_INDEX} to {_LARGEST_INDEX}")
    return components


def lattice_vectors_of(orbit: Orbit, centring: Centring) -> tuple[Vector, tuple[Vector, ...]]:
    """Return the lattice vector that names an orbit, and all of the orbit.

    Of the lattice vectors with one projection on a layer, that with the smallest component out of it is taken: 1/2 0
    1/2 for 1/2 0 (all l) of an F lattice.

    Args:
        orbit: of lattice vectors, or of projections on a layer.
        centring: lattice type.
    """
    if orbit.summed_axis is None:
        return orbit.representative, orbit.equivalents
    lifted: dict[Vector, Vector] = {}
    for projection, numerators in zip(orbit.equivalents, orbit.vectors.tolist(), strict=True):
        whole = list(numerators)
        whole[orbit.summed_axis] = smallest_component(numerators, orbit.summed_axis, centring)
        lifted[projection] = vector_of(whole, orbit.denominator)
    return lifted[orbit.representative], tuple(lifted.values())
