"""From what a user asks for to the templates that samplers fill. Draws no residue."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch

from hfbio.alphabet import RESIDUES
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
    ``_`` is designed.
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
        SettingError: a scaffold with other letters, a chain longer than the model reads, or no
            length where none is known.
    """
    if request.scaffold is not None:
        fixed = _scaffold(request.scaffold, prefix, reach)
        return lambda index, rng: fixed
    lengths, weights = _lengths(request.length, reach, conditions)

    def template(index: int, rng: torch.Generator) -> Template:
        n = lengths[int(torch.multinomial(weights, 1, generator=rng))]
        blank = torch.zeros(n, dtype=torch.int64)
        return Template(prefix, blank, torch.ones(n, dtype=torch.bool))

    return template


def _scaffold(scaffold: str, prefix: tuple[int, ...], reach: Reach) -> Template:
    for at, letter in enumerate(scaffold):
        if letter not in RESIDUES and letter != OPEN:
            raise SettingError(
                f"scaffold: {letter!r} at residue {at} is neither one of {RESIDUES} "
                f"nor {OPEN!r}, which marks a residue to design"
            )
    _require_length(len(scaffold), reach)
    filled = scaffold.replace(OPEN, RESIDUES[0])
    free = torch.tensor([letter == OPEN for letter in scaffold])
    return Template(prefix, reach.tokens.encode(filled), free)


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
    wanted = tuple(conditions.values())
    counts: dict[int, float] = {}
    for row, histogram in reach.lengths.items():
        values = row.split("|") if row else []
        if all(want in (WILDCARD, have) for want, have in zip(wanted, values)):
            for length, count in histogram.items():
                counts[int(length)] = counts.get(int(length), 0) + count
    ordered = sorted(counts)
    _require_length(ordered[-1], reach)
    return ordered, torch.tensor([counts[n] for n in ordered], dtype=torch.float32)


def _require_length(n_residues: int, reach: Reach) -> None:
    if n_residues > reach.max_residues:
        raise SettingError(
            f"{n_residues} residues asked; {reach.name} reads at most {reach.max_residues}"
        )
