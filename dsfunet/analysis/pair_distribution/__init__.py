"""Three-dimensional difference pair distribution functions of volumes and their factors (no torch)."""

from dsfunet.analysis.pair_distribution.files import write_pair_distribution
from dsfunet.analysis.pair_distribution.run import PairDistribution, pair_distribution
from dsfunet.analysis.pair_distribution.settings import PairDistributionSettings

__all__ = ["PairDistribution", "PairDistributionSettings", "pair_distribution", "write_pair_distribution"]
