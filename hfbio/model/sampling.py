"""The story of one request for designs: tags, start, second pass, draws, account. Loads nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from hfbio.errors import SettingError
from hfbio.record import AntibodyRecord
from hfbio.rng import generator
from hfbio.sample import (
    SAMPLERS,
    Causal,
    CausalTemplate,
    Contrast,
    GermlineWalk,
    Guide,
    NamedSampler,
    Reach,
    Request,
    Rules,
    Template,
    Unmask,
    causal_template,
    generate,
    templates,
)
from hfbio.sample.fillings import MOST_OPEN, fillings
from hfbio.sample.network import asking
from hfbio.sample.request import runs_of, scaffold_template, turned
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
    hints = _known_hints(model, request)
    conditions = model.tags.choose({**hints, **(request.conditions or {})})
    reach = _reach(model)
    rules = Rules.parse(request.forbid) if request.forbid else None
    begin = _start(request, model.prompt.ids(conditions), reach, conditions, sampler)
    contrast = _contrast(model, request, conditions, reach)
    draws: Iterator[tuple[Any, Tensor]]
    blanks = isinstance(sampler, Unmask | Causal) and guide is None and contrast is None
    short = blanks and _is_short(request)
    if short:
        draws = _all_fillings(model, begin(0, generator(request.seed)), sampler, request, rules)
    else:
        draws = _draws(
            model,
            begin,
            sampler,
            request,
            rules=rules,
            contrast=contrast,
            guide=guide,
            watch=watch,
        )
    drawn: list[Design] = []
    kept: list[Design] = []
    seen: dict[str, int] = {}
    limit = request.num * (MAX_DRAWS_PER_DESIGN if request.keep == "valid" else 1)
    for index, (begun, written) in enumerate(islice(draws, limit)):
        sequence = tokens.decode(begun.chain(written, tokens))
        design = examine(index, sequence, seen, conditions)
        broken = rules.broken(sequence, begun.designed(written, tokens).tolist()) if rules else ()
        if broken and not design.fault:
            design = replace(design, fault=f"forbidden: {', '.join(broken)}")
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
    counts = report(request.num, drawn, kept)
    exhausted = short and len(kept) < request.num and next(draws, None) is None
    return Designs(tuple(kept), tuple(drawn), replace(counts, exhausted=exhausted))


def _is_short(request: Request) -> bool:
    """Whether all fillings can be asked for: the scaffold has one or two open residues."""
    runs = runs_of(request.scaffold or "")
    return request.keep == "valid" and request.keeps_lengths and 1 <= sum(runs) <= MOST_OPEN


def _draws(
    model: AntibodyModel,
    begin: Callable[[int, torch.Generator], Any],
    sampler: NamedSampler,
    request: Request,
    **options: Any,
) -> Iterator[tuple[Any, Tensor]]:
    """The template and what was written of designs 0, 1, 2, … without end."""
    begun: dict[int, Any] = {}

    def remembered(index: int, rng: torch.Generator) -> Any:
        begun[index] = begin(index, rng)
        return begun[index]

    draws = generate(
        model.model,
        model.base.token_map,
        sampler,
        remembered,
        seed=request.seed,
        block_size=request.block_size,
        **options,
    )
    for index, written in zip(count(), draws):
        yield begun.pop(index), written


def _all_fillings(
    model: AntibodyModel,
    template: Template | CausalTemplate,
    sampler: NamedSampler,
    request: Request,
    rules: Rules | None,
) -> Iterator[tuple[Template, Tensor]]:
    """Every filling of a scaffold once, in the order of draws without replacement."""
    tokens = model.base.token_map
    blank = scaffold_template(request.scaffold or "", (tokens.start_id,), _reach(model))
    reverse = isinstance(template, CausalTemplate) and template.reverse
    open_at = blank.free.nonzero().flatten().tolist()
    order = open_at[::-1] if reverse else open_at

    def allowed(decided: Sequence[int]) -> Tensor:
        chain = [-1 if free else int(i) for i, free in zip(blank.residue_ids, blank.free)]
        for at, residue in zip(order, decided):
            chain[at] = residue
        index = {residue: i for i, residue in enumerate(tokens.residue_ids)}
        residues = [index.get(residue, -1) for residue in chain]
        may = tokens.allowed.clone()
        if rules is not None:
            lawful = rules.allowed(residues, order[len(decided)])
            may[list(tokens.residue_ids)] = lawful
        return may

    found = fillings(
        asking(model.model, tokens, template),
        len(order),
        tokens,
        generator(request.seed),
        temperature=sampler.temperature,
        top_p=sampler.top_p,
        allowed=allowed,
    )
    if not found:
        raise SettingError(
            "the rules leave the open residues no filling beside their frozen neighbours; free "
            "more of them, or drop a rule"
        )
    for filling in found:
        written = blank.residue_ids.clone()
        written[order] = torch.tensor(filling)
        yield blank, written


def serving(causal: bool) -> str:
    """The samplers for causal models, or for masked ones, in words."""
    return ", ".join(name for name, kind in SAMPLERS.items() if kind.causal == causal)


def _known_hints(model: AntibodyModel, request: Request) -> dict[str, str]:
    """The hints of a request that the model has learnt.

    Raises:
        SettingError: the chain is of a locus that the model does not know.
    """
    hints = dict(request.hints or {})
    known = model.tags.values.get("locus", ()) or tuple(map(str, model.base.loci))
    if "locus" in hints and known and hints["locus"] not in known:
        raise SettingError(
            f"the chain is of {hints['locus']}; {model.base.name} knows {', '.join(known)}"
        )
    return {n: value for n, value in hints.items() if value in model.tags.values.get(n, ())}


def _require_fit(model: AntibodyModel, request: Request, sampler: NamedSampler) -> None:
    """Model, request and sampler go together."""
    if request.forbid and model.layout == "paired":
        raise SettingError(
            "forbidden motifs are looked for in single chains alone, and this is a model of pairs; "
            "leave forbid out"
        )
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
) -> Callable[[int, torch.Generator], Template | CausalTemplate]:
    """How design ``i`` starts."""
    if not sampler.causal:
        return templates(request, prefix, reach, conditions)
    fixed = causal_template(request, prefix, reach, conditions)
    return lambda index, rng: fixed


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
        # The base has never seen a tag of the adapter: it is shown what it starts from itself.
        other = model.base.own_prompt.ids(model.base.own_tags.choose({}))
        return Contrast(request.contrast, _turned(other, reach), untuned=True)
    return None


def _turned(prefix: tuple[int, ...], reach: Reach) -> tuple[int, ...]:
    return turned(prefix, reach.tokens) if reach.reverse else prefix
