"""From what a user asks for to the templates that samplers fill. Draws no residue."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch

from hfbio.alphabet import CHAIN_BREAK, RESIDUES
from hfbio.bundle import chain_lengths
from hfbio.errors import SettingError
from hfbio.sample.state import Template
from hfbio.tokens import WILDCARD, TokenMap

OPEN: Final = "_"
"""Marks a residue to design in a scaffold."""


@dataclass(frozen=True)
class Request:
    """What to generate.

    ``length`` is a number of residues or an inclusive range; ``None`` draws it as the training
    chains with the same tags have it. A ``scaffold`` fixes the length: its letters stay, each
    ``_`` is designed. Of a model of pairs both chains are drawn together, as long as those of a
    training pair, and a scaffold is ``HEAVY:LIGHT``.
    """

    num: int = 32
    seed: int = 0
    conditions: Mapping[str, str] | None = None  # tag -> value, such as isotype -> IGHG
    length: int | tuple[int, int] | None = None
    scaffold: str | None = None
    keep: str = "valid"  # "valid": valid and distinct designs; "all": every draw
    block_size: int = 16  # designs per network pass

    def __post_init__(self) -> None:
        if self.num < 1:
            raise SettingError(f"num must be >= 1, got {self.num}")
        if self.seed < 0:
            raise SettingError(f"seed must be >= 0, got {self.seed}")
        if self.keep not in ("valid", "all"):
            raise SettingError(f"keep must be 'valid' or 'all', got {self.keep!r}")
        if self.block_size < 1:
            raise SettingError(f"block_size must be >= 1, got {self.block_size}")
        if self.scaffold is not None and self.length is not None:
            raise SettingError("a scaffold fixes the length; give one of the two")


@dataclass(frozen=True)
class Reach:
    """What a model can be asked for."""

    name: str  # for messages
    tokens: TokenMap
    max_residues: int
    lengths: Mapping[str, Mapping[str, int]] | None  # as in hfbio.json; None where not known

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


def templates(
    request: Request, prefix: tuple[int, ...], reach: Reach, conditions: Mapping[str, str]
) -> Callable[[int, torch.Generator], Template]:
    """How design ``i`` starts: ``template(i, rng)``.

    Args:
        request: what to generate.
        prefix: ids of start token and condition tags.
        reach: what the model can be asked for.
        conditions: every tag field -> value or ``*``, as ``Tags.choose`` gives them.

    Raises:
        SettingError: a scaffold with other letters or of another number of chains, a chain longer
            than the model reads, no length where none is known, or one length for a pair.
    """
    if request.scaffold is not None:
        fixed = _scaffold(request.scaffold, prefix, reach)
        return lambda index, rng: fixed
    if reach.paired:
        lengths, weights = _pair_lengths(request.length, reach, conditions)
    else:
        single, weights = _lengths(request.length, reach, conditions)
        lengths = [(n,) for n in single]

    def template(index: int, rng: torch.Generator) -> Template:
        drawn = lengths[int(torch.multinomial(weights, 1, generator=rng))]
        return _joined(prefix, [OPEN * n for n in drawn], reach)

    return template


def _scaffold(scaffold: str, prefix: tuple[int, ...], reach: Reach) -> Template:
    chains = scaffold.split(CHAIN_BREAK) if reach.paired else [scaffold]
    if reach.paired and (len(chains) != 2 or not all(chains)):
        raise SettingError(
            f"{reach.name} writes pairs; give the scaffold as HEAVY{CHAIN_BREAK}LIGHT, with "
            f"{OPEN!r} at each residue to design; got {scaffold!r:.80}"
        )
    for chain in chains:
        for at, letter in enumerate(chain):
            if letter not in RESIDUES and letter != OPEN:
                raise SettingError(
                    f"scaffold: {letter!r} at residue {at} is neither one of {RESIDUES} "
                    f"nor {OPEN!r}, which marks a residue to design"
                )
    _require_length(sum(map(len, chains)), reach)
    return _joined(prefix, chains, reach)


def _joined(prefix: tuple[int, ...], chains: Sequence[str], reach: Reach) -> Template:
    """The chains with the separator of the model between them, which is never designed."""
    ids, free = [], []
    for i, chain in enumerate(chains):
        if i:
            ids.append(torch.tensor(reach.tokens.require_between_chains(), dtype=torch.int64))
            free.append(torch.zeros(len(ids[-1]), dtype=torch.bool))
        ids.append(reach.tokens.encode(chain.replace(OPEN, RESIDUES[0])))
        free.append(torch.tensor([letter == OPEN for letter in chain], dtype=torch.bool))
    return Template(prefix, torch.cat(ids), torch.cat(free))


def _lengths(
    asked: int | tuple[int, int] | None, reach: Reach, conditions: Mapping[str, str]
) -> tuple[list[int], torch.Tensor]:
    """Lengths to draw from and their weights."""
    if asked is not None:
        low, high = (asked, asked) if isinstance(asked, int) else asked
        if not 1 <= low <= high:
            raise SettingError(f"length must be 1 or more, low before high; got {asked}")
        _require_length(high, reach)
        return list(range(low, high + 1)), torch.ones(high + 1 - low)
    if reach.lengths is None:
        raise SettingError(
            f"{reach.name} was not fine-tuned with hfbio, so no chain lengths are known; "
            "give a length"
        )
    counts = _counts(reach.lengths, conditions)
    ordered = sorted(n for (n,) in counts)
    _require_length(ordered[-1], reach)
    return ordered, torch.tensor([counts[n,] for n in ordered], dtype=torch.float32)


def _pair_lengths(
    asked: int | tuple[int, int] | None, reach: Reach, conditions: Mapping[str, str]
) -> tuple[list[tuple[int, ...]], torch.Tensor]:
    """Lengths of heavy and light chain to draw from together, and their weights."""
    if asked is not None:
        raise SettingError(
            f"{reach.name} writes pairs, and a pair has two lengths; leave length out, or give a "
            f"scaffold of as many {OPEN!r}, HEAVY{CHAIN_BREAK}LIGHT"
        )
    counts = _counts(reach.lengths or {}, conditions)
    ordered = sorted(counts)
    _require_length(max(map(sum, ordered)), reach)
    return ordered, torch.tensor([counts[pair] for pair in ordered], dtype=torch.float32)


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


def _require_length(n_residues: int, reach: Reach) -> None:
    if n_residues > reach.longest:
        raise SettingError(
            f"{n_residues} residues asked; {reach.name} reads at most {reach.longest}"
        )
