"""Write chains token by token, each from those before it. Never sees a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from hfbio.sample.draw import draw
from hfbio.sample.rules import Rules
from hfbio.sample.unmask import check_settings
from hfbio.tokens import TokenMap


@dataclass(frozen=True)
class CausalTemplate:
    """One design before it is written: what the model is shown, and what may follow.

    The prompt is ``prefix`` and ``body``. Without body a chain is written, one span. With it, gaps
    are filled: the body is the chain with a mask token for each gap, closed by the separator, and
    each span fills a gap (Shuai, Ruffolo and Gray 2023, IgLM, after Donahue, Lee and Liang 2020;
    the format is that of the ``infill`` objective).

    ``forced`` residues are written whatever the model says; the rest of such a chain sees those
    before it alone, not those behind. With ``reverse`` a chain is written from its last residue to
    its first, and ends with the start token; ``forced`` stands in the order of writing.
    """

    prefix: tuple[int, ...]  # start token and tags
    spans: tuple[tuple[int, int], ...]  # shortest and longest, in residues
    body: tuple[int, ...] = ()
    forced: Tensor | None = None  # (n,) int64 residue ids, -1 where free; the span is of n residues
    reverse: bool = False
    between: int | None = None  # id that ends the first of two chains; spans are then these chains

    def __post_init__(self) -> None:
        if not self.prefix or not self.spans:
            raise ValueError("a causal template needs a prefix and a span")
        if any(not 0 <= low <= high or high < 1 for low, high in self.spans):
            raise ValueError(f"a span is a shortest and a longest length, got {self.spans}")
        if len(self.spans) > 1 and not self.body and self.between is None:
            raise ValueError("a chain is one span; several fill the gaps of a body")
        if self.body and (self.reverse or self.forced is not None):
            raise ValueError("gaps are filled forward, and nothing in them is forced")
        n_forced = None if self.forced is None else len(self.forced)
        if n_forced is not None and self.spans != ((n_forced, n_forced),):
            raise ValueError(f"{n_forced} residues are forced in a span of {self.spans}")

    def end(self, tokens: TokenMap) -> int:
        """The id of the token that ends what is written."""
        return tokens.start_id if self.reverse else tokens.stop_id

    def closing(self, span: int, tokens: TokenMap) -> int:
        """The id that ends span ``span``.

        Raises:
            SettingError: it is that of infilling, which the tokenizer lacks.
        """
        if span + 1 == len(self.spans):
            return self.end(tokens)
        return tokens.require_separator() if self.between is None else self.between

    def written(self, row: Tensor, tokens: TokenMap) -> Tensor:
        """Ids behind the prompt of a ``(L,)`` row, without the end; separators stay."""
        ids = row[len(self.prefix) + len(self.body) :]
        ends = (ids == self.end(tokens)).nonzero()
        return ids[: int(ends[0])] if len(ends) else ids

    def chain(self, written: Tensor, tokens: TokenMap) -> Tensor:
        """``(n,)`` residue ids of the whole chain, first residue first."""
        if not self.body:
            return written.flip(0) if self.reverse else written
        parts = _split(written.tolist(), tokens)
        return torch.tensor(self._filled(parts, tokens), dtype=torch.int64)

    def designed(self, written: Tensor, tokens: TokenMap) -> Tensor:
        """``(n,)`` bool, true at the residues of the chain that were free."""
        if not self.body:
            free = torch.ones(len(written), dtype=torch.bool)
            free = free if self.forced is None else self.forced < 0
            return free.flip(0) if self.reverse else free
        marks = [[-1] * len(part) for part in _split(written.tolist(), tokens)]
        return torch.tensor(self._filled(marks, tokens)) < 0

    def around(self, written: Sequence[int], tokens: TokenMap) -> tuple[list[int], int]:
        """The chain as known before the next residue, and where in it that will stand.

        Returns:
            Residue ids, -1 where nothing is decided. A span whose end is not settled goes on with
            one undecided residue at least.
        """
        if not self.body:
            ahead = [] if self.forced is None else self.forced[len(written) + 1 :].tolist()
            chain, at = [*written, -1, *ahead], len(written)
            return (chain[::-1], len(ahead)) if self.reverse else (chain, at)
        parts = _split(written, tokens)
        here = len(parts) - 1
        low, high = self.spans[here]
        n = len(parts[here])
        unknown = max(low - n, min(2, high - n))
        before = self._filled(parts, tokens, upto=here)
        at = len(before) + n
        later = [[-1] * shortest for shortest, _ in self.spans[here + 1 :]]
        filled = [*parts[:here], [*parts[here], *[-1] * unknown], *later]
        return self._filled(filled, tokens), at

    def so_far(self, written: Sequence[int], ended: bool, tokens: TokenMap) -> list[int]:
        """The chain as it stands, first residue first; -1 at residues that are sure to come.

        What is forced ahead is there. A gap that is not closed has one -1 at least, unless it has
        its longest length. A chain whose end the model chooses ends with what is written.
        """
        if not self.body:
            ahead = [] if self.forced is None else self.forced[len(written) :].tolist()
            chain = [*written, *ahead]
            return chain[::-1] if self.reverse else chain
        parts = _split(written, tokens)
        n_closed = len(self.spans) if ended else len(parts) - 1
        parts += [[] for _ in range(len(self.spans) - len(parts))]
        for part, (low, high) in list(zip(parts, self.spans))[n_closed:]:
            part += [-1] * min(max(low - len(part), 1), high - len(part))
        return self._filled(parts, tokens)

    def _filled(
        self, parts: Sequence[Sequence[int]], tokens: TokenMap, upto: int | None = None
    ) -> list[int]:
        """The body with its gaps filled; what stands before gap ``upto`` alone, if given."""
        chain: list[int] = []
        gap = 0
        for token in self.body[:-1]:  # the last one is the separator
            if token != tokens.mask_id:
                chain.append(token)
                continue
            if gap == upto:
                return chain
            chain += parts[gap]
            gap += 1
        return chain


@dataclass(frozen=True)
class CausalState:
    """A block of ``B`` rows, ``L`` tokens so far: a prompt, what was written, padding after it."""

    ids: Tensor  # (B, L) int64
    n_prompt: int  # tokens of the prompt, the same in all rows
    span: tuple[int, ...]  # which span each row is in; one past the last once it has ended
    n_residues: tuple[int, ...]  # of that span so far
    templates: tuple[CausalTemplate, ...]
    rngs: tuple[torch.Generator, ...]  # one per row, so that a row never depends on its block
    rules: Rules | None = None
    designs: tuple[int, ...] = ()  # which design each row belongs to; of a guide several rows do

    @property
    def step(self) -> int:
        """How many tokens have been written."""
        return self.ids.shape[1] - self.n_prompt

    @property
    def ended(self) -> list[bool]:
        """Which rows are finished."""
        return [at == len(made.spans) for at, made in zip(self.span, self.templates)]


@dataclass(frozen=True)
class Causal:
    """Draw the next token of every row of a block until all have ended.

    A residue may be drawn until a span has its longest length; the separator, where another span
    follows, or the end, where none does, from its shortest length on. The model's distribution is
    restricted to these and scaled to one, so a chain ends where the model ends it.

    Every row draws one number a token from its own generator, until it ends.
    """

    causal: ClassVar[bool] = True

    kind: Literal["causal"] = "causal"
    temperature: float = 1.0  # >= 0, finite; below 1 sharpens, 0 takes the most likely token
    top_p: float = 1.0  # probability mass kept at each position, in (0, 1]

    def __post_init__(self) -> None:
        check_settings(1, self.temperature, self.top_p)

    def passes(self, n_residues: int) -> int:
        """The most network passes that designs of ``n_residues`` can take, gaps set aside."""
        return n_residues + 1

    def begin(
        self,
        templates: Sequence[CausalTemplate],
        rngs: Sequence[torch.Generator],
        tokens: TokenMap,
        rules: Rules | None = None,
    ) -> CausalState:
        """The prompts, which must be of one length.

        Raises:
            SettingError: there are several spans, and the tokenizer has no separator.
        """
        prompts = [[*made.prefix, *made.body] for made in templates]
        if len({len(prompt) for prompt in prompts}) != 1:
            raise ValueError("the prompts of a block must be of one length")
        if any(made.body for made in templates):
            tokens.require_separator()
        return CausalState(
            ids=torch.tensor(prompts, dtype=torch.int64),
            n_prompt=len(prompts[0]),
            span=(0,) * len(prompts),
            n_residues=(0,) * len(prompts),
            templates=tuple(templates),
            rngs=tuple(rngs),
            rules=rules,
        )

    def step(self, state: CausalState, logits: Tensor, tokens: TokenMap) -> CausalState:
        """One more token in every row; padding in those that have ended.

        Args:
            state: not changed.
            logits: ``(B, V)`` of the token after the last one.
            tokens: what its ids mean.
        """
        ended = state.ended
        allowed = torch.zeros(len(ended), tokens.vocab_size, dtype=torch.bool)
        uniform = torch.zeros(len(ended))
        for row, over in enumerate(ended):
            allowed[row, [tokens.pad_id] if over else _choices(state, row, tokens)] = True
            if not over:
                uniform[row] = torch.rand((), generator=state.rngs[row])
        drawn = draw(
            logits, uniform, allowed=allowed, temperature=self.temperature, top_p=self.top_p
        )
        span, n_residues = list(state.span), list(state.n_residues)
        for row, over in enumerate(ended):
            closing = -1 if over else state.templates[row].closing(span[row], tokens)
            if not over and int(drawn[row]) != closing:  # a residue, or what a scaffold forces
                n_residues[row] += 1
            elif not over:
                span[row], n_residues[row] = span[row] + 1, 0
        return replace(
            state,
            ids=torch.cat([state.ids, drawn.unsqueeze(1)], dim=1),
            span=tuple(span),
            n_residues=tuple(n_residues),
        )

    def done(self, state: CausalState) -> bool:
        """Every row has ended."""
        return all(state.ended)


def _choices(state: CausalState, row: int, tokens: TokenMap) -> list[int]:
    """The ids that may come next in a row that has not ended."""
    made, at, n = state.templates[row], state.span[row], state.n_residues[row]
    shortest, longest = made.spans[at]
    ids = []
    if n < longest:
        forced = -1 if made.forced is None else int(made.forced[n])
        ids = [forced] if forced >= 0 else _lawful(state, row, tokens)
    if n >= shortest:
        ids.append(made.closing(at, tokens))
    return ids


def _lawful(state: CausalState, row: int, tokens: TokenMap) -> list[int]:
    """Residues that the rules allow next; all of them where the rules leave none."""
    ids = list(tokens.residue_ids)
    if state.rules is None:
        return ids
    chain, at = state.templates[row].around(state.ids[row, state.n_prompt :].tolist(), tokens)
    index = {residue: i for i, residue in enumerate(tokens.residue_ids)}
    allowed = state.rules.allowed([index.get(residue, -1) for residue in chain], at).tolist()
    return [residue for residue, fine in zip(ids, allowed) if fine] or ids


def _split(written: Sequence[int], tokens: TokenMap) -> list[list[int]]:
    """The spans of what was written, apart at the separators."""
    parts: list[list[int]] = [[]]
    for token in written:
        if token == tokens.sep_id:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts
