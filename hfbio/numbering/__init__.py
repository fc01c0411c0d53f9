"""Number variable domains: which IMGT position and which region each residue has, or why not."""

from hfbio.numbering.domain import MAX_MISSING, Numbered, Reason, Refusal, check, domains, number
from hfbio.numbering.germline import SPECIES, Germline, is_domain, nearest_germline
from hfbio.numbering.scheme import Position, label
from hfbio.numbering.whole import number_whole

__all__ = [
    "MAX_MISSING",
    "SPECIES",
    "Germline",
    "Numbered",
    "Position",
    "Reason",
    "Refusal",
    "check",
    "domains",
    "is_domain",
    "label",
    "nearest_germline",
    "number",
    "number_whole",
]
