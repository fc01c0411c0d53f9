"""Improve a chain by few substitutions: stochastic beam search. Never sees a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final, Literal

import torch
from torch import Tensor

from hfbio.alphabet import RESIDUES
from hfbio.errors import SettingError
from hfbio.sample.guide import Score
from hfbio.sample.rules import Rules
from hfbio.tokens import TokenMap

LogitsOf = Callable[[Tensor], Tensor]
"""``(B, n)`` int64 ids of residues and masks, without start and stop, to ``(B, n, V)`` logits."""

_A: Final = len(RESIDUES)


@dataclass(frozen=True)
class Step:
    """One edit on the way from the lead to a variant, and what the chain was worth after it."""

    edit: str  # such as S31T
    log_ratio: float  # of the chain after this edit, to the lead; as in `Variant`
    guide: float | None
    total: float


@dataclass(frozen=True)
class Variant:
    """A chain that the search kept."""

    sequence: str
    edits: str  # such as S31T;N55Q: residue of the lead, its place counted from 1, new residue
    log_ratio: float  # nats, > 0 where the model prefers it to the lead; see `BeamSearch`
    guide: float | None  # of the chain; None without a guide
    total: float  # log_ratio + guide_weight * (guide - guide of the lead)
    path: tuple[Step, ...] = ()  # the edits in the order they were made; the last is the variant

    @property
    def n_edits(self) -> int:
        """Residues that differ from the lead."""
        return self.edits.count(";") + 1


@dataclass(frozen=True)
class BeamSearch:
    """Search the chains at most ``edits`` substitutions from a lead for what a model prefers.

    In each round every member of the beam proposes all its single substitutions at free places
    that it has not changed yet, so that a chain of round ``r`` has ``r`` edits. Its score is its
    parent's, plus the log-ratio of new to old residue there in the parent. For a model with the
    conditionals of one joint distribution, that sums to the log-ratio of chain to lead, however
    it came about; a chain that several parents propose counts once, with its best sum, and has
    come from that parent: ``path`` of a variant tells the way.

    With a guide the total is that sum plus ``guide_weight`` times what the guide gains on the
    lead. It is asked for the ``shortlist * beam`` proposals alone that lead by model score and by
    the guide of their parents.

    Gumbel noise times ``temperature`` is added to the totals, and the ``beam`` largest go on: a
    sample without replacement from ``softmax(total / temperature)``. Noise is fresh in every
    round. All members of all rounds are returned, best total first.

    ``masked`` takes log-ratios from a place that is hidden, in one pass a member and free place;
    ``unmasked`` from the chain as it is, in one pass a member (Meier et al. 2021, "masked
    marginals" and "wildtype marginals"). The second is cheaper by the number of free places and
    reads the model's output at residues it can see: see `Unmask` on which models know of those.

    Source:
        McCarter et al. 2026, arXiv 2603.10302 (stochastic beam search over the one-edit
        neighbourhood, with fresh noise and guides); Kool et al. 2019, "Stochastic beams and where
        to find them" (the Gumbel-top-k trick). Other than McCarter et al. this scores an edit by
        its own place alone.
    """

    edits: int = 5  # rounds, >= 1
    beam: int = 64  # chains kept in a round, >= 1
    temperature: float = 1.0  # nats, >= 0, finite; 0 keeps the best
    guide_weight: float = 1.0  # nats for one unit of the guide, finite
    shortlist: int = 4  # chains that the guide is asked about, for each one kept, >= 1
    marginals: Literal["masked", "unmasked"] = "unmasked"

    def __post_init__(self) -> None:
        for name in ("edits", "beam", "shortlist"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} must be >= 1, got {getattr(self, name)}")
        if not 0 <= self.temperature < math.inf:
            raise SettingError(f"temperature must be >= 0 and finite, got {self.temperature}")
        if not math.isfinite(self.guide_weight):
            raise SettingError(f"guide_weight must be finite, got {self.guide_weight}")
        if self.marginals not in ("masked", "unmasked"):
            raise SettingError(f"marginals must be 'masked' or 'unmasked', got {self.marginals!r}")

    def search(
        self,
        lead: str,
        free: Tensor,
        *,
        logits_of: LogitsOf,
        tokens: TokenMap,
        rng: torch.Generator,
        guide: Score | None = None,
        rules: Rules | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> list[Variant]:
        """The chains the beam held in any round, best total first.

        Args:
            lead: residues.
            free: ``(n,)`` bool, the places that may change.
            logits_of: runs the model.
            tokens: what its ids mean.
            rng: source of the noise.
            guide: scores sequences; only differences to the lead count.
            rules: no substitution completes what they forbid; what the lead holds may stay.
            progress: called with the number of rounds done after each.

        Raises:
            SettingError: nothing is free, or the guide does not answer with one finite number for
                each sequence.
        """
        if not free.any():
            raise SettingError("no residue of the lead is free; freeze fewer")
        run = _Run(self, lead, free, logits_of, tokens, rng, guide, rules)
        beam, found = run.first(), []
        paths: list[tuple[Step, ...]] = [()]
        for done in range(1, self.edits + 1):
            beam = run.next(beam)
            variants = run.variants(beam, paths)
            paths = [variant.path for variant in variants]
            found += variants
            if progress is not None:
                progress(done)
            if not len(beam.edits):
                break
        return sorted(found, key=lambda variant: (-variant.total, variant.sequence))


@dataclass(frozen=True)
class _Beam:
    """``M`` chains of one round, as what distinguishes them from the lead."""

    edits: Tensor  # (M, r) int64, 20 x place + new residue, sorted along a row
    ratios: Tensor  # (M,) float64, log-ratio to the lead
    guides: Tensor  # (M,) float64, what the guide says; 0 without one
    parents: Tensor  # (M,) int64, members of the round before
    last: Tensor  # (M,) int64, the edit that was made of them

    def take(self, rows: Tensor) -> _Beam:
        """The members ``rows``."""
        return _Beam(*(getattr(self, f.name)[rows] for f in fields(self)))


class _Run:
    """One search: what stays the same from round to round."""

    def __init__(
        self,
        settings: BeamSearch,
        lead: str,
        free: Tensor,
        logits_of: LogitsOf,
        tokens: TokenMap,
        rng: torch.Generator,
        guide: Score | None,
        rules: Rules | None,
    ) -> None:
        self.settings, self.free, self.logits_of, self.rng = settings, free, logits_of, rng
        self.guide, self.rules = guide, rules
        self.mask_id = tokens.require_mask()
        self.ids = torch.tensor(tokens.residue_ids)
        self.lead = torch.tensor([RESIDUES.index(letter) for letter in lead])
        self.lead_guide = self._ask([lead])

    def first(self) -> _Beam:
        """The lead alone."""
        none = torch.full((1,), -1)
        edits = torch.zeros(1, 0, dtype=torch.int64)
        return _Beam(edits, torch.zeros(1).double(), self.lead_guide, none, none)

    def next(self, beam: _Beam) -> _Beam:
        """The distinct chains one edit on that are drawn; none if there is nothing left to edit."""
        chains = self._chains(beam.edits)
        open_places = self._open(beam.edits)  # (M, n)
        gains = self._log_ratios(chains, open_places)
        possible = open_places[..., None] & gains.isfinite()
        possible &= torch.arange(_A) != chains[..., None]
        if self.rules is not None:
            for member, place in open_places.nonzero().tolist():
                possible[member, place] &= self.rules.allowed(chains[member].tolist(), place)
        member, place, residue = possible.nonzero().unbind(1)
        last = _A * place + residue
        edits = torch.cat([beam.edits[member], last[:, None]], dim=1)
        edits, which = edits.sort(dim=1).values.unique(dim=0, return_inverse=True)
        ratios = beam.ratios[member] + gains[member, place, residue]
        best = _first_of_each(which, ratios)
        # The chain's best parent gives its sum and its path; the best guide of all its parents
        # says whether the guide is asked about it.
        guides = torch.full((len(edits),), -torch.inf, dtype=torch.float64)
        guides = guides.scatter_reduce(0, which, beam.guides[member], "amax")
        return self._draw(_Beam(edits, ratios[best], guides, member[best], last[best]))

    def variants(self, beam: _Beam, paths: Sequence[tuple[Step, ...]]) -> list[Variant]:
        """What is said of each member; ``paths`` are those of the members of the round before."""
        found = []
        totals = self._totals(beam)
        for i, sequence in enumerate(self._sequences(beam.edits)):
            edits = ";".join(map(self._name, beam.edits[i].tolist()))
            guide = beam.guides[i].item() if self.guide else None
            values = (beam.ratios[i].item(), guide, totals[i].item())
            step = Step(self._name(int(beam.last[i])), *values)
            path = (*paths[int(beam.parents[i])], step)
            found.append(Variant(sequence, edits, *values, path))
        return found

    def _draw(self, proposed: _Beam) -> _Beam:
        """The members of the next round; ``guides`` of the proposals are still their parents'."""
        uniform = torch.rand(len(proposed.edits), generator=self.rng, dtype=torch.float64)
        noise = -self.settings.temperature * (-uniform.log()).log()
        if self.settings.temperature == 0:
            noise = torch.zeros_like(uniform)
        if self.guide is not None:
            n_asked = self.settings.shortlist * self.settings.beam
            asked = _largest(self._totals(proposed) + noise, n_asked)
            proposed, noise = proposed.take(asked), noise[asked]
            proposed = replace(proposed, guides=self._ask(self._sequences(proposed.edits)))
        return proposed.take(_largest(self._totals(proposed) + noise, self.settings.beam))

    def _totals(self, beam: _Beam) -> Tensor:
        return beam.ratios + self.settings.guide_weight * (beam.guides - self.lead_guide)

    def _log_ratios(self, chains: Tensor, open_places: Tensor) -> Tensor:
        """``(M, n, 20)`` float64 nats: each residue against the one that stands there."""
        shown = self.ids[chains]
        if self.settings.marginals == "unmasked":
            logits = self.logits_of(shown)[..., self.ids].double()
        else:
            logits = torch.zeros(*chains.shape, _A, dtype=torch.float64)
            for row, ids in enumerate(shown):
                places = open_places[row].nonzero().flatten()
                at = torch.arange(len(places))
                hidden = ids.repeat(len(places), 1)
                hidden[at, places] = self.mask_id
                if len(places):
                    logits[row, places] = self.logits_of(hidden)[at, places][:, self.ids].double()
        return logits - logits.gather(2, chains[..., None])

    def _chains(self, edits: Tensor) -> Tensor:
        """``(M, n)`` int64 indices into the alphabet."""
        chains = self.lead.repeat(len(edits), 1)
        return chains.scatter(1, edits // _A, edits % _A)

    def _open(self, edits: Tensor) -> Tensor:
        """``(M, n)`` bool: free, and as in the lead."""
        return self.free.repeat(len(edits), 1).scatter(1, edits // _A, False)

    def _sequences(self, edits: Tensor) -> list[str]:
        return ["".join(RESIDUES[i] for i in chain) for chain in self._chains(edits).tolist()]

    def _name(self, edit: int) -> str:
        """Such as S31T: residue of the lead, its place counted from 1, new residue."""
        place, residue = divmod(edit, _A)
        return f"{RESIDUES[self.lead[place]]}{place + 1}{RESIDUES[residue]}"

    def _ask(self, sequences: list[str]) -> Tensor:
        """``(M,)`` float64 of the guide; 0 without one."""
        if self.guide is None:
            return torch.zeros(len(sequences), dtype=torch.float64)
        said = torch.tensor([float(value) for value in self.guide(sequences)], dtype=torch.float64)
        if len(said) != len(sequences):
            raise SettingError(
                f"the guide was given {len(sequences)} sequences and returned {len(said)} numbers; "
                "it must return one for each, in order"
            )
        if not said.isfinite().all():
            at = int((~said.isfinite()).nonzero()[0])
            raise SettingError(f"the guide returned {said[at].item()} for {sequences[at]}")
        return said


def _first_of_each(groups: Tensor, keys: Tensor) -> Tensor:
    """For each group 0, 1, 2, … the index of its largest key; of equals the first."""
    order = keys.argsort(descending=True, stable=True)
    order = order[groups[order].argsort(stable=True)]
    starts = groups[order].diff(prepend=torch.tensor([-1])) > 0
    return order[starts]


def _largest(keys: Tensor, n: int) -> Tensor:
    """Indices of the ``n`` largest, or of all if there are fewer; of equals the first."""
    return keys.argsort(descending=True, stable=True)[:n]
