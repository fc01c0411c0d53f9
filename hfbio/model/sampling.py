"""The story of one request for designs: tags, start, second pass, draws, account. Loads nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from hfbio.errors import SettingError
from hfbio.record import AntibodyRecord
from hfbio.sample import (
    SAMPLERS,
    CausalTemplate,
    Contrast,
    GermlineWalk,
    Guide,
    NamedSampler,
    Reach,
    Request,
    Template,
    causal_template,
    generate,
    templates,
)
from hfbio.sample.request import turned
from hfbio.score.panel import Design, DesignReport, add_novelty, examine, report
from hfbio.tokens import WILDCARD

if TYPE_CHECKING:
    from hfbio.model.antibody import AntibodyModel

MAX_DRAWS_PER_DESIGN: Final = 20


@dataclass(frozen=True)
class Designs:
    """Designs and the account of how they came about."""

    kept: tuple[Design, ...]
    drawn: tuple[Design, ...]  # all draws in order, the kept ones among them
    report: DesignReport

    @property
    def mean_guide_score(self) -> float | None:
        """Of the kept designs; ``None`` without a guide, or if none was kept."""
        scores = [design.guide_score for design in self.kept if design.guide_score is not None]
        return fmean(scores) if scores else None


def sample(
    model: AntibodyModel,
    request: Request,
    sampler: NamedSampler,
    *,
    guide: Guide | None = None,
    reference: Sequence[AntibodyRecord] = (),
    progress: Callable[[int, int], None] | None = None,
    watch: Callable[[Any], None] | None = None,
) -> Designs:
    """Generate new chains; see `AntibodyModel.sample`."""
    _require_fit(model, request, sampler)
    tokens = model.base.token_map
    conditions = model.tags.choose(request.conditions or {})
    reach = _reach(model)
    start, chain_of = _start(request, model.prompt.ids(conditions), reach, conditions, sampler)
    draws = generate(
        model.model,
        tokens,
        sampler,
        start,
        seed=request.seed,
        block_size=request.block_size,
        contrast=_contrast(model, request, conditions, reach),
        guide=guide,
        watch=watch,
    )
    drawn: list[Design] = []
    kept: list[Design] = []
    seen: dict[str, int] = {}
    limit = request.num * (MAX_DRAWS_PER_DESIGN if request.keep == "valid" else 1)
    for index, written in enumerate(islice(draws, limit)):
        design = examine(index, tokens.decode(chain_of(written)), seen, conditions)
        drawn.append(design)
        if request.keep == "all" or (design.valid and design.duplicate_of is None):
            kept.append(design)
        if progress is not None:
            progress(len(kept), len(drawn))
        if len(kept) == request.num:
            break
    if guide is not None and kept:
        scores = guide.scores([design.sequence_aa for design in kept]).tolist()
        kept = [replace(design, guide_score=score) for design, score in zip(kept, scores)]
    if reference:
        kept = add_novelty(kept, reference)
    return Designs(tuple(kept), tuple(drawn), report(request.num, drawn, kept))


def serving(causal: bool) -> str:
    """The samplers for causal models, or for masked ones, in words."""
    return ", ".join(name for name, kind in SAMPLERS.items() if kind.causal == causal)


def _require_fit(model: AntibodyModel, request: Request, sampler: NamedSampler) -> None:
    """Model, request and sampler go together."""
    causal = model.base.family.causal
    if sampler.causal != causal:
        raise SettingError(
            f"the sampler {sampler.kind} does not serve {model.base.name}, a "
            f"{'causal' if causal else 'masked'} model; use {serving(causal)}"
        )
    walks = isinstance(sampler, GermlineWalk)
    if request.germline is not None and not walks:
        raise SettingError(
            f"a germline is what the sampler germline_walk starts from, not {sampler.kind}; "
            "use germline_walk, or leave the germline out"
        )
    if walks and request.germline is None and request.scaffold is None:
        raise SettingError(
            "the sampler germline_walk starts from a germline, and there is none; give the "
            "germline of the chain (_ where it has no residue), or use the sampler unmask"
        )


def _reach(model: AntibodyModel) -> Reach:
    objective = model.manifest.objective if model.manifest else {}
    return Reach(
        model.base.name,
        model.base.token_map,
        model.base.max_residues,
        model.manifest.lengths if model.manifest else None,
        infills=objective.get("kind") == "infill",
        reverse=objective.get("direction") == "reverse",  # "both" writes forward as well
    )


def _start(
    request: Request,
    prefix: tuple[int, ...],
    reach: Reach,
    conditions: Mapping[str, str],
    sampler: NamedSampler,
) -> tuple[Callable[[int, torch.Generator], Template | CausalTemplate], Callable[[Tensor], Tensor]]:
    """How design ``i`` starts, and how what is written becomes a whole chain."""
    if not sampler.causal:
        return templates(request, prefix, reach, conditions), lambda written: written
    fixed = causal_template(request, prefix, reach, conditions)
    return lambda index, rng: fixed, lambda written: fixed.chain(written, reach.tokens)


def _contrast(
    model: AntibodyModel, request: Request, conditions: Mapping[str, str], reach: Reach
) -> Contrast | None:
    """The second pass that the request asks for."""
    if request.guidance is not None:
        droppable = {name: vs for name, vs in model.tags.values.items() if len(vs) > 1}
        if not droppable:
            raise SettingError(
                f"guidance strengthens conditions, and {model.base.name} has learnt none that "
                "could be left open; use contrast, or leave guidance out"
            )
        if all(conditions[name] == WILDCARD for name in droppable):
            raise SettingError(
                "guidance strengthens conditions, and none was asked for; ask for one of "
                + ", ".join(f"{name} ({', '.join(vs)})" for name, vs in droppable.items())
            )
        other = model.prompt.ids(model.tags.choose({}))
        return Contrast(request.guidance, _turned(other, reach))
    if request.contrast is not None:
        if not hasattr(model.model, "disable_adapter"):
            raise SettingError(
                f"contrast compares a tuned model with its base, and {model.base.name} has no "
                "adapter that can be switched off; use a bundle of method lora or dora"
            )
        # The base has never seen a tag: it is shown its own start token.
        other = _turned((reach.tokens.start_id,), reach)
        return Contrast(request.contrast, other, untuned=True)
    return None


def _turned(prefix: tuple[int, ...], reach: Reach) -> tuple[int, ...]:
    return turned(prefix, reach.tokens) if reach.reverse else prefix
