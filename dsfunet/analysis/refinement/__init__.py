"""Refinement of Warren-Cowley parameters from one result or from several planes of one crystal."""

from dsfunet.analysis.refinement.run import Alpha, AlphaRefinement, refine_alphas
from dsfunet.analysis.refinement.settings import RefinementSettings

__all__ = ["Alpha", "AlphaRefinement", "RefinementSettings", "refine_alphas"]
