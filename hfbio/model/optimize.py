"""Improve a lead by few substitutions: number it, search with a model, judge what is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from hfbio.data.encode import encode_described
from hfbio.errors import SettingError
from hfbio.model.given import numbered
from hfbio.models import LoadedBase
from hfbio.record import AntibodyRecord
from hfbio.rng import generator
from hfbio.sample import BeamSearch, Rules, Score, Variant, freeze
from hfbio.sample.guide import name_of
from hfbio.score.likelihood import pseudo_nats
from hfbio.score.panel import Design, examine
from hfbio.tokens import Prompt, TokenMap

SEARCH: Final = BeamSearch()


@dataclass(frozen=True)
class Lead:
    """The chain to improve, and what may become of it."""

    sequence: str  # one variable domain, nothing before or after it
    num: int = 32  # variants wanted, >= 1
    seed: int = 0  # >= 0
    freeze: str = ""  # such as cdr3,1-5; see `hfbio.sample.freeze`
    forbid: tuple[str, ...] = ()  # see `hfbio.sample.Rules`

    def __post_init__(self) -> None:
        if self.num < 1:
            raise SettingError(f"num must be >= 1, got {self.num}")
        if self.seed < 0:
            raise SettingError(f"seed must be >= 0, got {self.seed}")


@dataclass(frozen=True)
class Improved:
    """A variant that is a whole variable domain."""

    design: Design
    variant: Variant
    nats_per_residue: float  # masked, of the whole chain; the lead's is in the report
    lead_guide: float | None

    def row(self) -> dict[str, Any]:
        """Columns for a table; AIRR names where there are any."""
        place = self.design.row()
        regions = {name: value for name, value in place.items() if name.endswith("_aa")}
        guides = {"guide": self.variant.guide, "lead_guide": self.lead_guide}
        return {
            "sequence_id": self.design.sequence_id,
            **regions,
            "locus": self.design.locus,
            "edits": self.variant.edits,
            "path": ";".join(step.edit for step in self.variant.path),
            "n_edits": self.variant.n_edits,
            "log_ratio": self.variant.log_ratio,
            "nats_per_residue": self.nats_per_residue,
            **{name: "" if value is None else value for name, value in guides.items()},
            "total": self.variant.total,
        }


@dataclass(frozen=True)
class Search:
    """How a search went: ``kept <= valid <= examined <= found``."""

    asked: int
    found: int  # distinct chains that were in the beam
    examined: int  # of them, the best first, until enough were valid
    valid: int
    kept: int
    faults: dict[str, int]  # kind of fault -> chains examined
    lead_nats_per_residue: float
    lead_guide: float | None
    n_free: int  # residues that could change
    settings: dict[str, Any]  # of the search, and seed, freeze, forbid and name of the guide

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Optimized:
    """Variants, best total first, and the account of how they came about."""

    kept: tuple[Improved, ...]
    report: Search


def optimize(
    base: LoadedBase,
    model: nn.Module,
    prompt: Prompt,
    lead: Lead,
    *,
    search: BeamSearch = SEARCH,
    guide: Score | None = None,
    batch_size: int = 64,
    progress: Callable[[int], None] | None = None,
) -> Optimized:
    """The best valid chains that a beam search finds around a lead.

    Condition tags are those that the lead's own fields call for: its locus, the rest left open.
    Every variant differs from the lead at free residues alone, by substitutions.

    Args:
        base: what ``model`` is made from.
        model: the network.
        prompt: how tags become ids.
        lead: what to improve, and how many variants to return; fewer is a shortfall that the
            report shows and no error.
        search: how.
        guide: scores sequences; larger is better.
        batch_size: rows of a network pass.
        progress: called with the number of rounds done after each.

    Raises:
        SequenceError: the lead is not one whole variable domain, or not of the 20 residues.
        SettingError: a causal model, a chain the model does not read, or a setting out of range.
    """
    if base.family.causal:
        raise SettingError(
            f"{base.name} is a causal model, which cannot weigh one residue against the rest of a "
            "chain; use a masked model"
        )
    record = numbered(lead.sequence, "lead")
    if fault := base.unreadable(record):
        raise SettingError(f"the lead cannot be read: {fault}")
    rules = Rules.parse(lead.forbid) if lead.forbid else None
    frozen = freeze(lead.freeze, record)
    (example,) = encode_described([record], base.token_map, prompt)
    front = example.input_ids[: int(example.residues[0])]
    variants = search.search(
        record.sequence_aa,
        ~frozen,
        logits_of=_logits_of(model, base.token_map, front, batch_size),
        tokens=base.token_map,
        rng=generator(lead.seed, 0),
        guide=guide,
        rules=rules,
        progress=progress,
    )
    pairs, examined = _valid(variants, record, lead.num)

    def nats(sequence: str) -> float:
        chain = AntibodyRecord("", sequence, locus=record.locus, regions=record.regions)
        (example,) = encode_described([chain], base.token_map, prompt)
        return pseudo_nats(model, base.token_map, example, batch_size=batch_size).mean().item()

    lead_guide = float(guide([record.sequence_aa])[0]) if guide else None
    kept = [
        Improved(design, variant, nats(variant.sequence), lead_guide) for design, variant in pairs
    ]
    faults: dict[str, int] = {}
    for design in examined:
        if design.fault:
            kind = design.fault.split(":")[0]
            faults[kind] = faults.get(kind, 0) + 1
    account = Search(
        asked=lead.num,
        found=len(variants),
        examined=len(examined),
        valid=sum(design.valid for design in examined),
        kept=len(kept),
        faults=dict(sorted(faults.items())),
        lead_nats_per_residue=nats(record.sequence_aa),
        lead_guide=lead_guide,
        n_free=int((~frozen).sum()),
        settings={
            **asdict(search),
            "seed": lead.seed,
            "freeze": lead.freeze,
            "forbid": list(lead.forbid),
            "guide": None if guide is None else name_of(guide),
        },
    )
    return Optimized(tuple(kept), account)


def _logits_of(
    model: nn.Module, tokens: TokenMap, front: Tensor, batch_size: int
) -> Callable[[Tensor], Tensor]:
    """A function that puts chains behind ``front``, runs the model, and cuts its answer to them."""
    device = next(model.parameters()).device

    def logits_of(chains: Tensor) -> Tensor:
        n, answers = chains.shape[1], []
        for part in chains.split(batch_size):
            stop = torch.full((len(part), 1), tokens.stop_id)
            ids = torch.cat([front.repeat(len(part), 1), part, stop], dim=1).to(device)
            with torch.inference_mode():
                logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
            answers.append(logits[:, len(front) : len(front) + n].float().cpu())
        return torch.cat(answers)

    return logits_of


def _valid(
    variants: list[Variant], lead: AntibodyRecord, num: int
) -> tuple[list[tuple[Design, Variant]], list[Design]]:
    """The first ``num`` that are valid, with their places in the ranking, and all examined."""
    kept, examined = [], []
    for index, variant in enumerate(variants):
        design = examine(index, variant.sequence, {}, {"locus": str(lead.locus)})
        examined.append(design)
        if design.valid:
            kept.append((design, variant))
        if len(kept) == num:
            break
    return kept, examined
