"""Data units of the Observed Antibody Space: a line of metadata above the table.

Source: Olsen, Boyles and Deane 2022 (Protein Science 31:141), and its data units: the first line
is one JSON object, quoted as a CSV cell; the second is the header, AIRR names with ``_heavy`` and
``_light`` in paired units.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

COLUMNS: Final = ("species", "subject", "study", "disease", "isotype", "isotype_heavy")
"""What `values` gives, by the names that `hfbio.data.columns` knows."""

_KEYS: Final = ("Species", "Subject", "Author", "Disease")
_UNKNOWN: Final = frozenset({"no", "none", "undefined", "unknown"})


def metadata(row: Sequence[str]) -> dict[str, str] | None:
    """What the first row of a data unit says, by OAS's names; ``None`` if it is no such row."""
    if len(row) != 1 or not row[0].startswith("{"):
        return None
    try:
        found = json.loads(row[0])
    except (ValueError, RecursionError):
        return None
    return {str(name): str(value).strip() for name, value in found.items()}


def values(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The cells that the metadata adds to each row of its unit, in the order of `COLUMNS`.

    The isotype is that of the sorted cells: it says nothing about a light chain, and ``Bulk`` and
    ``All`` say nothing about a heavy one.
    """
    known = {k: v for k, v in metadata.items() if v.lower() not in _UNKNOWN}
    isotype = "" if known.get("Chain") == "Light" else known.get("Isotype", "")
    return (*(known.get(key, "") for key in _KEYS), isotype, isotype)
