"""Refinement of Warren-Cowley parameters from one result or from several planes of one crystal."""

from dsfunet.analysis.refinement.outcome import Alpha, AlphaRefinement
from dsfunet.analysis.refinement.run import refine_alphas
from dsfunet.analysis.refinement.settings import RefinementSettings

__all__ = ["Alpha", "AlphaRefinement", "RefinementSettings", "refine_alphas"]
