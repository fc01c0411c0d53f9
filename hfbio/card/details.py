"""Lists of a card that take some counting: tag combinations, settings, lengths. Formats nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass

from hfbio.bundle import Manifest, chain_lengths, public_settings


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
            min(sum(chain_lengths(key)) for key in counts),
            max(sum(chain_lengths(key)) for key in counts),
        )
        for row, counts in manifest.lengths.items()
    ]
    return sorted(found, key=lambda c: (-c.n_chains, c.values))


def settings(manifest: Manifest) -> dict[str, str]:
    """The settings that were given, as text, without what may be private.

    A run of hfbio has left that out of hfbio.json already; one of an earlier version has not.
    """
    given = manifest.training.get("settings")
    return {
        str(name): value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in public_settings(given if isinstance(given, dict) else {}).items()
    }
