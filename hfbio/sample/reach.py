"""What a model can be asked for, and the lengths of what it writes. Makes no template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch

from hfbio.alphabet import CHAIN_BREAK
from hfbio.bundle import chain_lengths
from hfbio.errors import SettingError
from hfbio.tokens import WILDCARD, TokenMap

OPEN: Final = "_"
"""Marks a residue to design in a scaffold, and one without a germline residue in a germline."""


@dataclass(frozen=True)
class Reach:
    """What a model can be asked for."""

    name: str  # for messages
    tokens: TokenMap
    max_residues: int
    lengths: Mapping[str, Mapping[str, int]] | None  # as in hfbio.json; None where not known
    infills: bool = False  # a causal model that has learnt to fill gaps
    reverse: bool = False  # a causal model that writes chains from their end

    @property
    def paired(self) -> bool:
        """Trained on pairs, as the lengths tell: it writes a heavy and a light chain at once."""
        return any(CHAIN_BREAK in key for counts in (self.lengths or {}).values() for key in counts)

    @property
    def longest(self) -> int:
        """Residues of the longest chain, or of the longest pair without what stands between."""
        if not self.paired:
            return self.max_residues
        return self.max_residues - len(self.tokens.require_between_chains())


def single_lengths(
    asked: int | tuple[int, int] | None, reach: Reach, conditions: Mapping[str, str]
) -> tuple[list[int], torch.Tensor]:
    """Lengths to draw from, ascending, and their weights.

    Args:
        asked: a number of residues, an inclusive range, or ``None``: as training chains have them.
        reach: what the model can be asked for.
        conditions: every tag field -> value or ``*``.

    Raises:
        SettingError: no length is known, or one is longer than the model reads.
    """
    if asked is not None:
        low, high = (asked, asked) if isinstance(asked, int) else asked
        if not 1 <= low <= high:
            raise SettingError(f"length must be 1 or more, low before high; got {asked}")
        require_length(high, reach)
        return list(range(low, high + 1)), torch.ones(high + 1 - low)
    if reach.lengths is None:
        raise SettingError(
            f"{reach.name} was not fine-tuned with hfbio, so no chain lengths are known; "
            "give a length"
        )
    counts = _counts(reach.lengths, conditions)
    ordered = sorted(n for (n,) in counts)
    require_length(ordered[-1], reach)
    return ordered, torch.tensor([counts[n,] for n in ordered], dtype=torch.float32)


def pair_lengths(
    asked: int | tuple[int, int] | None, reach: Reach, conditions: Mapping[str, str]
) -> tuple[list[tuple[int, ...]], torch.Tensor]:
    """Lengths of heavy and light chain to draw from together, ascending, and their weights.

    Raises:
        SettingError: a length was asked for, or a pair is longer than the model reads.
    """
    if asked is not None:
        raise SettingError(
            f"{reach.name} writes pairs, and a pair has two lengths; leave length out, or give a "
            f"scaffold of as many {OPEN!r}, HEAVY{CHAIN_BREAK}LIGHT"
        )
    counts = _counts(reach.lengths or {}, conditions)
    ordered = sorted(counts)
    require_length(max(map(sum, ordered)), reach)
    return ordered, torch.tensor([counts[pair] for pair in ordered], dtype=torch.float32)


def require_length(n_residues: int, reach: Reach) -> None:
    """Refuse what is longer than the model reads.

    Raises:
        SettingError: it is.
    """
    if n_residues > reach.longest:
        raise SettingError(
            f"{n_residues} residues asked; {reach.name} reads at most {reach.longest}"
        )


def _counts(
    lengths: Mapping[str, Mapping[str, int]], conditions: Mapping[str, str]
) -> dict[tuple[int, ...], int]:
    """How often training saw which residues per chain under these conditions."""
    wanted = tuple(conditions.values())
    counts: dict[tuple[int, ...], int] = {}
    for row, histogram in lengths.items():
        values = row.split("|") if row else []
        if all(want in (WILDCARD, have) for want, have in zip(wanted, values)):
            for key, count in histogram.items():
                n = chain_lengths(key)
                counts[n] = counts.get(n, 0) + count
    return counts
