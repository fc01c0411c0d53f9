"""Names of licences as the Hub spells them; what is known of some sources. No legal advice."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

UNKNOWN: Final = "unknown"
OTHER: Final = "other"

# Source: huggingface.co/docs/hub/repositories-licenses; without the licences of single models.
ON_HUB: Final = frozenset(
    (
        *("apache-2.0", "mit", "openrail", "bigscience-openrail-m", "creativeml-openrail-m"),
        *("bigscience-bloom-rail-1.0", "bigcode-openrail-m", "afl-3.0", "artistic-2.0"),
        *("bsl-1.0", "bsd", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "c-uda", "cc"),
        *("cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0"),
        *("cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0"),
        *("cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0"),
        *("cc-by-nc-sa-4.0", "cdla-sharing-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0"),
        *("wtfpl", "ecl-2.0", "epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1", "agpl-3.0", "gfdl"),
        *("gpl", "gpl-2.0", "gpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0", "isc", "lppl-1.3c"),
        *("ms-pl", "mpl-2.0", "odc-by", "odbl", "openrail++", "osl-3.0", "postgresql", "ofl-1.1"),
        *("ncsa", "unlicense", "zlib", "pddl", "lgpl-lr", "unknown"),
    )
)
# SPDX tells "this version only" from "or any later one"; the Hub does not.
_GNU: Final = re.compile(r"((?:a|l)?gpl-\d\.\d)(?:-only|-or-later|\+)")
# The Hub's names for two families whose SPDX names carry a version.
_SPDX: Final = {"odc-by-1.0": "odc-by", "odbl-1.0": "odbl", "pddl-1.0": "pddl"}
# Creative Commons NC, PolyForm Noncommercial, Cambrian Non-Commercial (ESM-C 600M), the academic
# licence of Johns Hopkins University (IgLM), research-only model licences, Prosperity.
_NON_COMMERCIAL: Final = re.compile(
    r"(^|-)nc(-|$)|non-?commercial|(^|-)(jhu|johns-hopkins|prosperity)(-|$)|apple-amlr"
    r"|academic(?!-free)|(research|evaluation)-(use-)?only|^(h|intel)-research"
)


def identifier(text: str) -> str:
    """``CC BY-NC 4.0`` -> ``cc-by-nc-4.0``; an empty text is ``unknown``."""
    slug = re.sub(r"[^a-z0-9.+]+", "-", text.lower()).strip("-.")[:80] or UNKNOWN
    slug = _GNU.sub(r"\1", slug) if _GNU.fullmatch(slug) else slug
    return _SPDX.get(slug, slug)


def is_non_commercial(text: str) -> bool:
    """Whether a licence forbids commercial use; of several to choose from (SPDX ``OR``), all do."""
    choices = re.split(r"\s+or\s+", text, flags=re.IGNORECASE)
    return all(_NON_COMMERCIAL.search(identifier(choice)) for choice in choices)


@dataclass(frozen=True)
class Terms:
    """What is known of a source that hfbio itself names; of others the user knows."""

    licence: str  # in short
    words: str  # whole sentences
    url: str  # where its owner says so


# Read in November 2026. GenAIRR 2.3.1: licence GPL-3.0-or-later in its metadata; its README says
# that its reference sets come from IMGT and OGRDB, and gives no licence for them. hfbio takes those
# of IMGT alone (hfbio.data.genairr). IMGT: "Conditions of use and license" of the page below.
_GERMLINE: Final = Terms(
    licence="germline genes: IMGT, CC BY-NC-ND 4.0 for academic use",
    words=(
        "Simulated chains are rearranged by GenAIRR (GPL-3.0-or-later) from its copies of IMGT's "
        "germline genes, for which GenAIRR states no licence of its own. IMGT gives its data to "
        "academic users and not-for-profit organisations under CC BY-NC-ND 4.0; any other use, "
        "by the private sector, needs an arrangement with the CNRS. Whether that reaches a model "
        "of simulated chains, hfbio does not judge."
    ),
    url="https://www.imgt.org/about/termsofuse.php",
)
_UNIPROT: Final = Terms(
    licence="CC BY 4.0",
    words="Human proteins are those of UniProtKB/Swiss-Prot, under CC BY 4.0, as promb carries "
    "them.",
    url="https://www.uniprot.org/help/license",
)


def terms_of(source: str) -> Terms | None:
    """The terms of a source by its name in hfbio.json; ``None`` if hfbio does not know them."""
    if source.startswith("simulate:"):
        return _GERMLINE
    return _UNIPROT if source == "proteins:example:HumanSwissProt" else None
