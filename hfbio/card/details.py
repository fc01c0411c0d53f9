"""Lists of a card that take some counting: tag combinations, settings, lengths. Formats nothing."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

from hfbio.bundle import Manifest

WITHHELD: Final = "withheld: it names a place or a key"
# A path, a home folder, an address or a token of whoever trained.
_PRIVATE: Final = re.compile(r"(^|[\s\"'=:,(\[])(~|\.{0,2}/|[A-Za-z]:\\)|\bhf_\w{8,}")


@dataclass(frozen=True)
class Combination:
    """Condition tags that training saw together."""

    values: tuple[str, ...]  # by field, `*` where unknown
    n_chains: int
    shortest: int  # residues
    longest: int


def combinations(manifest: Manifest) -> list[Combination]:
    """Every combination, the most frequent first; one without values where there are no tags."""
    found = [
        Combination(
            tuple(row.split("|")) if row else (),
            sum(counts.values()),
            min(map(int, counts)),
            max(map(int, counts)),
        )
        for row, counts in manifest.lengths.items()
    ]
    return sorted(found, key=lambda c: (-c.n_chains, c.values))


def settings(manifest: Manifest) -> dict[str, str]:
    """The settings that were given, as text, without what may be private."""
    shown = {}
    for name, value in dict(manifest.training.get("settings") or {}).items():
        written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        shown[str(name)] = WITHHELD if _PRIVATE.search(written) else written
    return shown
