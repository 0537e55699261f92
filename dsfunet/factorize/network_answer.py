"""The answer on the networks' grid: of the networks alone, or of a cosine series on a lattice with their help."""

from typing import Literal

from dsfunet.factorize.answers import Answer, CleanPlane, name_sigmas
from dsfunet.factorize.components import Components, StackAnswers
from dsfunet.factorize.factorizer import Factorizer
from dsfunet.factorize.notes import describe_lattice_use, other_answer
from dsfunet.factorize.settings import FactorizeSettings
from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.planes.preprocessing import check_planes, scale_by_power_of_two
from dsfunet.planes.turns import choose_turns
from dsfunet.verdict.judge import judge


def answer_by_networks(
    plane: CleanPlane,
    lattice: LatticePlane | Literal["find"] | None,
    settings: FactorizeSettings,
    factorizer: Factorizer,
    alone: Components | None = None,
) -> Answer:
    """Split a plane by the networks, and by lattice mode on their grid (`dsfunet.lattice.mode`) if there is a lattice.

    Args:
        plane: What to split.
        lattice: That of the plane on the networks' grid; "find" looks for it; None uses the networks alone.
        settings: How to split it.
        factorizer: The networks.
        alone: Components of the networks alone, from as many passes, where they are known already: the networks are
            then not run for them again.
    """
    if alone is None or lattice is None:
        components = factorizer(plane.shown, lattice=lattice, passes=settings.passes, seed=settings.seed)
    else:
        stack, measured = check_planes(plane.shown, None)
        known = StackAnswers.of_one(alone)
        known = known if settings.passes else StackAnswers(known.planes, None)
        turns = choose_turns(settings.passes, settings.seed) if settings.passes else (0,)
        stack = scale_by_power_of_two(stack)
        components = factorizer.use_lattice(lattice, stack, measured, known, settings.passes, turns, True)
    planes = plane.all_to_own_grid(
        {
            "form_factor": components.form_factor,
            "short_range_order": components.short_range_order,
            **name_sigmas(components),
            **other_answer(components),
        }
    )
    [answer] = components.lattice_answers or (None,)
    [found] = components.found_lattices or (None,)
    return Answer(
        planes=planes,
        product=plane.fit_product(planes["form_factor"], planes["short_range_order"]),
        verdict=judge(
            plane.shown,
            components.mask,
            components.form_factor,
            components.short_range_order,
            answer,
            lattice if isinstance(lattice, LatticePlane) else found.lattice if found else None,
        ),
        lattice_use=describe_lattice_use(components),
        lattice={"answer": "cosine series" if answer is not None and answer.accepted else "networks"},
        uncertainty=components.uncertainty,
    )
