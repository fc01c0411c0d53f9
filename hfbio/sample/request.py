"""From what a user asks for to the templates that samplers fill. Draws no residue."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

import torch

from hfbio.alphabet import RESIDUES
from hfbio.errors import SettingError
from hfbio.sample.causal import CausalTemplate
from hfbio.sample.state import Template
from hfbio.tokens import WILDCARD, TokenMap

OPEN: Final = "_"
"""Marks a residue to design in a scaffold, and one without a germline residue in a germline."""


@dataclass(frozen=True)
class Request:
    """What to generate.

    ``length`` is a number of residues or an inclusive range; ``None`` draws it as the training
    chains with the same tags have it. A causal model ends its chains itself, within the range. A
    ``scaffold`` fixes the length: its letters stay, each ``_`` is designed. So does a ``germline``,
    which the sampler ``germline_walk`` starts from; ``_`` stands where it has no residue. With
    ``gaps`` each run of ``_`` in the scaffold may have another length instead: a masked model is
    told one, drawn evenly from the range, a causal one that has learnt to fill gaps chooses.

    ``guidance`` strengthens the conditions, ``contrast`` what training has added to the base: 1
    changes nothing, more goes beyond (see `hfbio.sample.contrast.Contrast`).
    """

    num: int = 32
    seed: int = 0
    conditions: Mapping[str, str] | None = None  # tag -> value, such as isotype -> IGHG
    hints: Mapping[str, str] | None = None  # conditions for models that have learnt them
    length: int | tuple[int, int] | None = None
    scaffold: str | None = None
    keep: str = "valid"  # "valid": valid and distinct designs; "all": every draw
    block_size: int = 16  # rows per network pass
    germline: str | None = None
    gaps: tuple[tuple[int, int], ...] = ()  # lengths of the runs of `_` in the scaffold, inclusive
    start: str | None = None  # the chain that the sampler gibbs walks on from
    forbid: tuple[str, ...] = ()  # see `hfbio.sample.Rules`
    guidance: float | None = None  # >= 0; weight of the conditions against the same tags left open
    contrast: float | None = None  # >= 0; weight of the tuned model against its base

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
        if self.germline is not None and self.length is not None:
            raise SettingError("a germline fixes the length; give one of the two")
        self._check_gaps()
        for name in ("guidance", "contrast"):
            weight = getattr(self, name)
            if weight is not None and not 0 <= weight < math.inf:
                raise SettingError(f"{name} must be >= 0 and finite, got {weight}")
        if self.guidance is not None and self.contrast is not None:
            raise SettingError("guidance and contrast are two second passes; give one of the two")

    @property
    def keeps_lengths(self) -> bool:
        """Whether every run of ``_`` in the scaffold is as long as what will fill it."""
        return not self.gaps or self.gaps == tuple((n, n) for n in runs_of(self.scaffold or ""))

    def _check_gaps(self) -> None:
        runs = runs_of(self.scaffold or "")
        if not self.gaps:
            return
        if len(self.gaps) != len(runs):
            raise SettingError(
                f"the scaffold has {len(runs)} runs of {OPEN!r}, and lengths are given for "
                f"{len(self.gaps)}; give one range for each"
            )
        for low, high in self.gaps:
            if not 1 <= low <= high:
                raise SettingError(
                    f"the length of a gap must be 1 or more, low before high; got {low}-{high}"
                )
        settled = self.germline is not None or self.start is not None
        if settled and not self.keeps_lengths:
            raise SettingError(
                "a germline, or a chain to start from, fixes the lengths of gaps; give one of the "
                "two"
            )


@dataclass(frozen=True)
class Reach:
    """What a model can be asked for."""

    name: str  # for messages
    tokens: TokenMap
    max_residues: int
    lengths: Mapping[str, Mapping[str, int]] | None  # as in hfbio.json; None where not known
    infills: bool = False  # a causal model that has learnt to fill gaps
    reverse: bool = False  # a causal model that writes chains from their end


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
            length where none is known; or a germline of other letters or another length.
    """
    scaffold, germline = request.scaffold, request.germline
    if scaffold is None and germline is not None:
        scaffold = OPEN * len(germline)
    if scaffold is not None:
        if not request.keeps_lengths:
            return _of_any_length(scaffold, request.gaps, prefix, reach)
        fixed = _scaffold(scaffold, prefix, reach)
        if germline is not None:
            fixed = replace(fixed, germline=_germline(germline, len(scaffold), reach))
        if request.start is not None:
            fixed = replace(fixed, start=_start(request.start, len(scaffold), reach))
        return lambda index, rng: fixed
    lengths, weights = _lengths(request.length, reach, conditions)

    def template(index: int, rng: torch.Generator) -> Template:
        n = lengths[int(torch.multinomial(weights, 1, generator=rng))]
        blank = torch.zeros(n, dtype=torch.int64)
        return Template(prefix, blank, torch.ones(n, dtype=torch.bool))

    return template


def causal_template(
    request: Request, prefix: tuple[int, ...], reach: Reach, conditions: Mapping[str, str]
) -> CausalTemplate:
    """How every design of a causal model starts.

    A model that has learnt to fill gaps sees a scaffold as a whole, and fills each run of ``_``
    with as many residues. Another writes the chain and is made to write the scaffold's letters
    where they stand: it sees those before a residue alone.

    Without a scaffold the chain ends where the model ends it: within ``length`` if that is given,
    else between the shortest and the longest training chain with these tags, and where those are
    not known, anywhere up to what the model reads.

    Args:
        request: what to generate.
        prefix: ids of start token and condition tags, as for a chain that is read forward.
        reach: what the model can be asked for.
        conditions: every tag field -> value or ``*``, as ``Tags.choose`` gives them.

    Raises:
        SettingError: a scaffold with other letters, or a chain longer than the model reads.
    """
    if reach.reverse:
        prefix = turned(prefix, reach.tokens)
    if request.scaffold is None:
        if request.length is None and reach.lengths is None:
            return CausalTemplate(prefix, ((1, reach.max_residues),), reverse=reach.reverse)
        lengths, _ = _lengths(request.length, reach, conditions)
        return CausalTemplate(prefix, ((lengths[0], lengths[-1]),), reverse=reach.reverse)
    made = _scaffold(request.scaffold, prefix, reach)
    if made.free.all() and request.gaps:  # a chain like any other
        _require_length(request.gaps[0][1], reach)
        return CausalTemplate(prefix, request.gaps, reverse=reach.reverse)
    if reach.infills and made.free.any() and not made.free.all():
        return _gaps(request.scaffold, request.gaps, prefix, reach)
    if not request.keeps_lengths:
        raise SettingError(
            f"{reach.name} has not learnt to fill gaps, and cannot choose their lengths; give one "
            "length, or use a model trained with the objective infill"
        )
    n = len(made.free)
    forced = made.residue_ids.masked_fill(made.free, -1)
    forced = forced.flip(0) if reach.reverse else forced
    return CausalTemplate(prefix, ((n, n),), forced=forced, reverse=reach.reverse)


def turned(prefix: tuple[int, ...], tokens: TokenMap) -> tuple[int, ...]:
    """The prefix of a chain that is written from its end: the stop token, then the tags."""
    return (tokens.stop_id, *prefix[1:])


def _of_any_length(
    scaffold: str, gaps: Sequence[tuple[int, int]], prefix: tuple[int, ...], reach: Reach
) -> Callable[[int, torch.Generator], Template]:
    """Templates whose gaps have lengths drawn evenly from their ranges."""
    longest = sum(high for _, high in gaps) + len(scaffold) - scaffold.count(OPEN)
    _require_length(longest, reach)
    parts = [(key, "".join(run)) for key, run in groupby(scaffold, lambda c: c == OPEN)]

    def template(index: int, rng: torch.Generator) -> Template:
        lengths = iter([int(torch.randint(low, high + 1, (), generator=rng)) for low, high in gaps])
        drawn = "".join(OPEN * next(lengths) if open_ else run for open_, run in parts)
        return _scaffold(drawn, prefix, reach)

    return template


def runs_of(scaffold: str) -> list[int]:
    """Lengths of the runs of ``_``."""
    return [len(list(run)) for is_open, run in groupby(scaffold, lambda c: c == OPEN) if is_open]


def _start(start: str, n_residues: int, reach: Reach) -> torch.Tensor:
    """``(n,)`` residue ids of the chain to walk on from."""
    _require_letters("start", start, "which cannot be started from")
    if OPEN in start or len(start) != n_residues:
        raise SettingError(
            f"the chain to start from must have {n_residues} residues, as the scaffold has, and no "
            f"{OPEN!r}; it has {len(start)}"
        )
    return reach.tokens.encode(start)


def _gaps(
    scaffold: str, gaps: Sequence[tuple[int, int]], prefix: tuple[int, ...], reach: Reach
) -> CausalTemplate:
    """The scaffold with a mask token for each run of ``_``, and the separator behind it."""
    tokens = reach.tokens
    body: list[int] = []
    spans: list[tuple[int, int]] = []
    for is_gap, letters in groupby(scaffold, key=lambda letter: letter == OPEN):
        run = "".join(letters)
        if is_gap:
            body.append(tokens.require_mask())
            spans.append(gaps[len(spans)] if gaps else (len(run), len(run)))
        else:
            body += tokens.encode(run).tolist()
    # Beside its residues the network reads a mask and a separator for each gap.
    fixed = len(scaffold) - scaffold.count(OPEN)
    _require_length(fixed + sum(high for _, high in spans) + 2 * len(spans), reach)
    return CausalTemplate(prefix, tuple(spans), body=(*body, tokens.require_separator()))


def _scaffold(scaffold: str, prefix: tuple[int, ...], reach: Reach) -> Template:
    _require_letters("scaffold", scaffold, "which marks a residue to design")
    _require_length(len(scaffold), reach)
    filled = scaffold.replace(OPEN, RESIDUES[0])
    free = torch.tensor([letter == OPEN for letter in scaffold])
    return Template(prefix, reach.tokens.encode(filled), free)


def _germline(germline: str, n_residues: int, reach: Reach) -> torch.Tensor:
    """``(n,)`` residue ids, -1 where there is none."""
    _require_letters("germline", germline, "which stands where there is none")
    if len(germline) != n_residues:
        raise SettingError(
            f"the germline has {len(germline)} places and the scaffold {n_residues}; write the two "
            f"in the same length, {OPEN!r} where there is no germline residue"
        )
    return torch.tensor([reach.tokens.residue_id(letter) for letter in germline])


def _require_letters(name: str, text: str, meaning: str) -> None:
    for at, letter in enumerate(text):
        if letter not in RESIDUES and letter != OPEN:
            raise SettingError(
                f"{name}: {letter!r} at residue {at} is neither one of {RESIDUES} "
                f"nor {OPEN!r}, {meaning}"
            )


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
