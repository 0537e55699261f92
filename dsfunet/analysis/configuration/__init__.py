"""Configurations with refined correlations: which species is on which site of a supercell (no torch)."""

from dsfunet.analysis.configuration.order import Configuration, order_configuration
from dsfunet.analysis.configuration.wanted import WantedAlpha, WantedCorrelations, read_wanted

__all__ = ["Configuration", "WantedAlpha", "WantedCorrelations", "order_configuration", "read_wanted"]
