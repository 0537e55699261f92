"""Refined correlations in the formats of other programs: Yell, DISCUS and LaTeX."""

from dsfunet.analysis.exports.content import ExportedCorrelations, Site
from dsfunet.analysis.exports.formats import EXPORTS, Export, check_exports, make_exports, parse_exports

__all__ = [
    "EXPORTS",
    "Export",
    "ExportedCorrelations",
    "Site",
    "check_exports",
    "make_exports",
    "parse_exports",
]
