"""From what a user asks for to the templates that samplers fill. Draws no residue."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import torch

from hfbio.alphabet import CHAIN_BREAK, RESIDUES
from hfbio.errors import SettingError
from hfbio.sample.causal import CausalTemplate
from hfbio.sample.reach import OPEN, Reach, pair_lengths, require_length, single_lengths
from hfbio.sample.state import Template
from hfbio.tokens import TokenMap


@dataclass(frozen=True)
class Request:
    """What to generate.

    ``length`` is a number of residues or an inclusive range; ``None`` draws it as the training
    chains with the same tags have it. A causal model ends its chains itself, within the range. A
    ``scaffold`` fixes the length: its letters stay, each ``_`` is designed. So does a ``germline``,
    which the sampler ``germline_walk`` starts from; ``_`` stands where it has no residue. With
    ``gaps`` each run of ``_`` in the scaffold may have another length instead: a masked model is
    told one, drawn evenly from the range, a causal one that has learnt to fill gaps chooses.

    Of a model of pairs both chains are drawn together, as long as those of a training pair, and
    scaffold and germline are ``HEAVY:LIGHT``.

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
        SettingError: a scaffold or germline with other letters or of another number of chains, or
            of different lengths; a chain longer than the model reads; no length where none is
            known, or one length for a pair.
    """
    scaffold, germline = request.scaffold, request.germline
    if scaffold is None and germline is not None:
        scaffold = CHAIN_BREAK.join(OPEN * len(chain) for chain in _germlines(germline, reach))
    if scaffold is not None:
        if not request.keeps_lengths:
            return _of_any_length(scaffold, request.gaps, prefix, reach)
        fixed = scaffold_template(scaffold, prefix, reach)
        if germline is not None:
            fixed = replace(fixed, germline=_germline(germline, scaffold, reach))
        if request.start is not None:
            fixed = replace(fixed, start=_start(request.start, scaffold, reach))
        return lambda index, rng: fixed
    if reach.paired:
        lengths, weights = pair_lengths(request.length, reach, conditions)
    else:
        single, weights = single_lengths(request.length, reach, conditions)
        lengths = [(n,) for n in single]

    def template(index: int, rng: torch.Generator) -> Template:
        drawn = lengths[int(torch.multinomial(weights, 1, generator=rng))]
        return _joined(prefix, [OPEN * n for n in drawn], reach)

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
    not known, anywhere up to what the model reads. So do both chains of a pair, the first one
    where the model writes the separator.

    Args:
        request: what to generate.
        prefix: ids of start token and condition tags, as for a chain that is read forward.
        reach: what the model can be asked for.
        conditions: every tag field -> value or ``*``, as ``Tags.choose`` gives them.

    Raises:
        SettingError: a scaffold with other letters, a chain longer than the model reads, or a pair
            without a scaffold from a model that writes no single token between its chains.
    """
    if reach.reverse:
        prefix = turned(prefix, reach.tokens)
    if request.scaffold is None:
        if request.length is None and reach.lengths is None:
            return CausalTemplate(prefix, ((1, reach.max_residues),), reverse=reach.reverse)
        if reach.paired:
            return _causal_pair(request.length, prefix, reach, conditions)
        lengths, _ = single_lengths(request.length, reach, conditions)
        return CausalTemplate(prefix, ((lengths[0], lengths[-1]),), reverse=reach.reverse)
    made = scaffold_template(request.scaffold, prefix, reach)
    if made.free.all() and request.gaps:  # a chain like any other
        require_length(request.gaps[0][1], reach)
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


def _causal_pair(
    asked: int | tuple[int, int] | None,
    prefix: tuple[int, ...],
    reach: Reach,
    conditions: Mapping[str, str],
) -> CausalTemplate:
    between = reach.tokens.require_between_chains()
    if len(between) != 1:
        raise SettingError(
            f"{reach.name} writes the light chain right behind the heavy one, so that nothing "
            f"tells where one ends; give a scaffold HEAVY{CHAIN_BREAK}LIGHT"
        )
    pairs, _ = pair_lengths(asked, reach, conditions)
    spans = [(min(n), max(n)) for n in zip(*pairs)]
    if reach.reverse:  # from the end of the light chain on
        spans.reverse()
    return CausalTemplate(prefix, tuple(spans), reverse=reach.reverse, between=between[0])


def turned(prefix: tuple[int, ...], tokens: TokenMap) -> tuple[int, ...]:
    """The prefix of a chain that is written from its end: the stop token, then the tags."""
    return (tokens.stop_id, *prefix[1:])


def _of_any_length(
    scaffold: str, gaps: Sequence[tuple[int, int]], prefix: tuple[int, ...], reach: Reach
) -> Callable[[int, torch.Generator], Template]:
    """Templates whose gaps have lengths drawn evenly from their ranges."""
    fixed = sum(letter not in (OPEN, CHAIN_BREAK) for letter in scaffold)
    require_length(fixed + sum(high for _, high in gaps), reach)
    parts = [(key, "".join(run)) for key, run in groupby(scaffold, lambda c: c == OPEN)]

    def template(index: int, rng: torch.Generator) -> Template:
        lengths = iter([int(torch.randint(low, high + 1, (), generator=rng)) for low, high in gaps])
        drawn = "".join(OPEN * next(lengths) if open_ else run for open_, run in parts)
        return scaffold_template(drawn, prefix, reach)

    return template


def runs_of(scaffold: str) -> list[int]:
    """Lengths of the runs of ``_``."""
    return [len(list(run)) for is_open, run in groupby(scaffold, lambda c: c == OPEN) if is_open]


def _start(start: str, scaffold: str, reach: Reach) -> torch.Tensor:
    """``(n,)`` ids of the chain to walk on from, as a `Template` has them."""
    chains = _chains("start", start, "which cannot be started from", reach)
    for chain, other in zip(chains, scaffold.split(CHAIN_BREAK)):
        if OPEN in chain or len(chain) != len(other):
            raise SettingError(
                f"the chain to start from must have {len(other)} residues, as the scaffold has, "
                f"and no {OPEN!r}; it has {len(chain)}"
            )
    return _joined((), chains, reach).residue_ids


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
            heavy, pair, light = run.partition(CHAIN_BREAK)
            body += tokens.encode(heavy).tolist()
            body += tokens.require_between_chains() if pair else ()
            body += tokens.encode(light).tolist()
    # Beside its residues the network reads a mask and a separator for each gap.
    fixed = sum(letter not in (OPEN, CHAIN_BREAK) for letter in scaffold)
    require_length(fixed + sum(high for _, high in spans) + 2 * len(spans), reach)
    return CausalTemplate(prefix, tuple(spans), body=(*body, tokens.require_separator()))


def scaffold_template(scaffold: str, prefix: tuple[int, ...], reach: Reach) -> Template:
    """The scaffold as residues and gaps, of a pair with what stands between its chains.

    Raises:
        SettingError: other letters, another number of chains, or longer than the model reads.
    """
    chains = _chains("scaffold", scaffold, "which marks a residue to design", reach)
    require_length(sum(map(len, chains)), reach)
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


def _germline(germline: str, scaffold: str, reach: Reach) -> torch.Tensor:
    """``(n,)`` residue ids, -1 where there is none and at what stands between two chains."""
    chains = _germlines(germline, reach)
    for chain, other in zip(chains, scaffold.split(CHAIN_BREAK)):
        if len(chain) != len(other):
            raise SettingError(
                f"the germline has {len(chain)} places and the scaffold {len(other)}; write the "
                f"two in the same length, {OPEN!r} where there is no germline residue"
            )
    made = _joined((), chains, reach)
    return made.residue_ids.masked_fill(made.free | ~_are_residues(made.residue_ids, reach), -1)


def _germlines(germline: str, reach: Reach) -> list[str]:
    return _chains("germline", germline, "which stands where there is none", reach)


def _are_residues(ids: torch.Tensor, reach: Reach) -> torch.Tensor:
    return torch.isin(ids, torch.tensor(reach.tokens.residue_ids))


def _chains(name: str, text: str, meaning: str, reach: Reach) -> list[str]:
    """The one chain, or the two of a pair, that ``text`` spells."""
    chains = text.split(CHAIN_BREAK) if reach.paired else [text]
    if reach.paired and (len(chains) != 2 or not all(chains)):
        raise SettingError(
            f"{reach.name} writes pairs; give the {name} as HEAVY{CHAIN_BREAK}LIGHT, with "
            f"{OPEN!r}, {meaning}; got {text!r:.80}"
        )
    for chain in chains:
        for at, letter in enumerate(chain):
            if letter not in RESIDUES and letter != OPEN:
                raise SettingError(
                    f"{name}: {letter!r} at residue {at} is neither one of {RESIDUES} "
                    f"nor {OPEN!r}, {meaning}"
                )
    return chains
