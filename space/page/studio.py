"""The model behind the page: from what was asked for to designs and numbers. Draws no widget."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import torch

import hfbio
from hfbio.alphabet import CHAIN_BREAK
from hfbio.data import Reject
from hfbio.data.encode import record_tag
from hfbio.data.pasted import read_pasted
from hfbio.errors import SequenceError, SettingError
from hfbio.model import AntibodyModel, Designs
from hfbio.model.describe import Described, describe
from hfbio.model.infill import infill_request
from hfbio.model.optimize import Lead, Optimized
from hfbio.model.scores import scan
from hfbio.numbering import SPECIES, nearest_germline
from hfbio.record import Antibody, AntibodyRecord
from hfbio.sample import BeamSearch
from hfbio.sample.partial import partial
from hfbio.sample.request import OPEN
from hfbio.score.panel import Design
from hfbio.score.scan import Scan
from hfbio.score.targets import weighted
from page.ask import Drawing, Generation, Optimisation, Redesign, samplers
from page.limits import LIMITS
from page.places import open_places

Tell = Callable[[Any], None]
BANDS: Final = (1.25, 1.5, 2.0, 3.0)
ROWS: Final = 8  # network rows for the likelihood of a design: an estimate, and much faster


@dataclass(frozen=True)
class Step:
    """Designs that are being made."""

    chains: list[str]  # `_` where nothing is decided yet
    kept: int
    num: int


@dataclass(frozen=True)
class Answer:
    """Designs, those of the base beside them if that was asked for, and the account."""

    designs: Designs
    described: list[Described]  # of each kept design; empty while that is being worked out
    base: Designs | None = None
    start: Antibody | None = None  # what a redesign started from


@dataclass(frozen=True)
class Improvement:
    """A lead and what the search made of it."""

    lead: AntibodyRecord
    found: Optimized
    described: list[Described]  # the lead first


@dataclass(frozen=True)
class Scored:
    """All single mutations of a chain, as the model and its base see them."""

    tuned: tuple[Scan, ...]  # one a chain
    base: tuple[Scan, ...] = ()


class Studio:
    """One model, and its base where there is one."""

    def __init__(self, model: AntibodyModel, name: str) -> None:
        """Load the base as well.

        Args:
            model: what to sample from.
            name: what visitors are told it is called.
        """
        self.model = model
        self.name = name
        # The base of a model of pairs has not learnt to read two chains.
        self.base = model.untuned() if model.layout == "single" else None

    def read(self, text: str) -> tuple[list[Antibody], list[str]]:
        """The chains of pasted text that the model reads, and what there is to say of the others.

        Raises:
            SettingError: too much text, or too many chains.
        """
        if not text.strip():
            return [], []
        pasted = read_pasted(text, max_chars=LIMITS.characters, max_chains=LIMITS.chains)
        said = [*pasted.notes, *map(_refused, pasted.rejects)]
        found: list[Antibody] = []
        for antibody in pasted.antibodies:
            single = self.model.layout == "single"
            for record in antibody.chains if single else (antibody,):
                if not single and len(record.chains) == 1:
                    fault = "this is a model of pairs; write HEAVY:LIGHT"
                else:
                    fault = self.model.base.unreadable(record)
                if fault:
                    said.append(f"{record.sequence_id}: {fault}")
                else:
                    found.append(record)
        return found, said

    def pick(self, text: str, chain: int) -> Antibody:
        """One of the pasted chains.

        Raises:
            SequenceError: there is none that the model reads.
            SettingError: not so many.
        """
        found, said = self.read(text)
        if not found:
            raise SequenceError("; ".join(said[:3]) or "sequence is empty; paste a chain")
        if chain >= len(found):
            raise SettingError(f"chain {chain + 1} was asked for, and {len(found)} can be read")
        return found[chain]

    def generate(self, ask: Generation, tell: Tell) -> Answer:
        """New chains, told step by step."""
        request = self._request(ask.drawing, conditions=dict(ask.conditions), length=ask.length)
        sampler = self._sampler(self.model, ask.drawing)
        designs = self._draw(self.model, request, sampler, tell)
        base = None
        if ask.compare and self.base is not None:
            length: int | tuple[int, int] | None = ask.length
            if length is None and not self.model.base.family.causal:
                sizes = [len(design.sequence_aa) for design in designs.drawn]
                length = (min(sizes), max(sizes))  # a base knows no lengths
            plain = replace(request, conditions=None, guidance=None, keep="all", length=length)
            base = self._draw(self.base, plain, self._sampler(self.base, ask.drawing), tell)
        return self._answer(designs, base, None, tell)

    def redesign(self, ask: Redesign, tell: Tell) -> Answer:
        """A pasted chain with some residues drawn anew, told step by step."""
        antibody = self.pick(ask.text, ask.chain)
        request = self._request(ask.drawing, forbid=ask.forbid)
        lengths = [(ask.shortest, ask.longest)] if ask.longest else []
        asked = self._opened(antibody, ask.free, lengths, request)
        sampler = self._sampler(self.model, ask.drawing, from_chain=True)
        designs = self._draw(self.model, asked, sampler, tell)
        base = None
        if ask.compare and self.base is not None:
            plain = replace(asked, guidance=None, keep="all")
            beside = self._sampler(self.base, ask.drawing, from_chain=True)
            base = self._draw(self.base, plain, beside, tell)
        return self._answer(designs, base, antibody, tell)

    def optimize(self, ask: Optimisation, tell: Tell) -> Improvement:
        """A pasted chain, improved by few substitutions."""
        antibody = self.pick(ask.text, ask.chain)
        if len(antibody.chains) > 1:
            raise SettingError("a lead is one chain, and this is a model of pairs")
        (lead,) = antibody.chains
        weights = {name: weight for name, weight in ask.weights.items() if weight}
        guide = weighted(weights, wanted_charge=ask.charge) if weights else None
        found = self.model.optimize(
            Lead(lead.sequence_aa, ask.num, ask.seed, ask.freeze, ask.forbid),
            search=BeamSearch(edits=ask.edits, beam=LIMITS.beam),
            guide=guide,
            progress=lambda done: tell(Step([], done, ask.edits)),
        )
        sequences = [lead.sequence_aa, *(one.variant.sequence for one in found.kept)]
        return Improvement(lead, found, self._describe(sequences, tell, likelihood=False))

    def score(self, text: str, chain: int, tell: Tell) -> Scored:
        """Every single mutation of a pasted chain."""
        antibody = self.pick(text, chain)
        tuned = scan(self.model, antibody)
        tell(None)
        return Scored(tuned, scan(self.base, antibody) if self.base is not None else ())

    def place(self, records: Sequence[Antibody], tell: Tell) -> torch.Tensor | None:
        """``(n, 2)`` places on the map of the training set; ``None`` without such a map."""
        latent = self.model.latent
        if latent is None or not records:
            return None
        return latent.project(self.model.embed(records, batch_size=16, progress=tell))

    def labels(self, records: Sequence[Antibody], colour: str, tell: Tell) -> list[str]:
        """What the map colours chains by: ``v_family``, ``locus``, ``isotype`` or ``score``.

        Named as those of the training chains are: of a pair the locus and isotype are those of
        its light and its heavy chain. A chain alone does not tell its isotype.
        """
        if colour == "score":
            found = self._describe([_written(record) for record in records], tell)
            return [perplexity_band(one.perplexity) for one in found]
        if colour != "v_family":
            return [record_tag(record, colour) for record in records]
        genes = nearest_germline(
            [record.chains[0].sequence_aa for record in records], species=self._species
        )
        return [
            record_tag(replace(record.chains[0], v_call=gene.v_gene), colour) if gene else ""
            for record, gene in zip(records, genes)
        ]

    # Parts of the above

    def _request(self, drawing: Drawing, **more: Any) -> hfbio.Request:
        return hfbio.Request(
            num=drawing.num,
            seed=drawing.seed,
            guidance=None if drawing.guidance == 1 else drawing.guidance,
            block_size=LIMITS.block,
            **more,
        )

    @staticmethod
    def _sampler(model: AntibodyModel, drawing: Drawing, *, from_chain: bool = False) -> Any:
        known = samplers(model, from_chain=from_chain)
        settings = known[drawing.sampler or next(iter(known))]
        steps = {} if model.base.family.causal or settings["kind"] == "gibbs" else drawing.steps
        more = {"steps": steps} if steps else {}
        return model.blank_sampler(**settings, temperature=drawing.temperature, **more)

    def _draw(
        self, model: AntibodyModel, request: hfbio.Request, sampler: Any, tell: Tell
    ) -> Designs:
        done: dict[int, str] = {}
        kept = 0

        def watch(state: Any) -> None:
            for index, chain in zip(state.designs, partial(state, model.base.token_map)):
                done[index] = chain
            tell(Step([done[i] for i in sorted(done)][-LIMITS.designs :], kept, request.num))

        def progress(n_kept: int, n_drawn: int) -> None:
            nonlocal kept
            kept = n_kept

        return model.sample(request, sampler=sampler, progress=progress, watch=watch)

    def _opened(
        self,
        antibody: Antibody,
        free: str,
        lengths: list[tuple[int, int]],
        request: hfbio.Request,
    ) -> hfbio.Request:
        if len(antibody.chains) == 1:
            return infill_request(antibody.chains[0].sequence_aa, free, lengths, request)
        if lengths:
            raise SettingError("lengths of loops can be chosen for single chains alone")
        opened = open_places(antibody, free)
        if not any(opened):
            raise SettingError("there is nothing to redesign; free at least one residue")
        residues = iter(opened)
        scaffold = ":".join(
            "".join(OPEN if next(residues) else letter for letter in chain.sequence_aa)
            for chain in antibody.chains
        )
        return replace(request, scaffold=scaffold)

    def _answer(
        self, designs: Designs, base: Designs | None, start: Antibody | None, tell: Tell
    ) -> Answer:
        answer = Answer(designs, [], base, start)
        tell(answer)
        described = self._describe([design.sequence_aa for design in designs.kept], tell)
        return replace(answer, described=described)

    def _describe(
        self, sequences: Sequence[str], tell: Tell, *, likelihood: bool = True
    ) -> list[Described]:
        found: list[Described] = []
        for sequence in sequences:  # one by one, so that it can be stopped
            tell(None)
            found += describe(
                self.model, [sequence], species=self._species, likelihood=likelihood, rows=ROWS
            )
        return found

    @property
    def _species(self) -> Sequence[str]:
        """Whose germline genes chains are compared with."""
        learnt = self.model.tags.values.get("species", ())
        return [name for name in learnt if name in SPECIES] or ("human",)


def _refused(reject: Reject) -> str:
    detail = f", {reject.detail}" if reject.detail else ""
    return f"{reject.sequence_id}: {reject.reason}{detail}"


def _written(antibody: Antibody) -> str:
    return CHAIN_BREAK.join(chain.sequence_aa for chain in antibody.chains)


def perplexity_band(perplexity: float | None) -> str:
    """A name for a range of perplexities."""
    if perplexity is None:
        return ""
    for edge, below in zip(BANDS, ("", *BANDS)):
        if perplexity < edge:
            return f"perplexity {below} to {edge}" if below else f"perplexity below {edge}"
    return f"perplexity {BANDS[-1]} or more"


def row(design: Design, described: Described | None) -> dict[str, Any]:
    """All that is said of a design, as columns.

    The likelihood is that of `ROWS` rows: its columns are not called as those of `hfbio score`.
    """
    found: Mapping[str, Any] = described.row() if described else {}
    return {
        **design.row(),
        **{
            re.sub("^(perplexity|nats_per_residue)", r"\1_estimate", n): v for n, v in found.items()
        },
    }
