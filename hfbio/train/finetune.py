"""The story of one fine-tuning run, from settings to a bundle. Holds no mechanics of its own."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from transformers import TrainerCallback

from hfbio.bundle import write_json, write_manifest
from hfbio.data.groups import clone_groups
from hfbio.errors import SettingError
from hfbio.models import (
    AdapterConfig,
    LoadedBase,
    add_tags,
    attach,
    for_objective,
    load_base,
    set_dropout,
)
from hfbio.objectives import Objective, build
from hfbio.record import Antibody
from hfbio.rng import generator
from hfbio.score.assess import Contender, task_of
from hfbio.score.summary import summarise, summarise_bound
from hfbio.train.config import FinetuneConfig
from hfbio.train.corpus import prepare
from hfbio.train.facts import Setup, run_metrics
from hfbio.train.folder import find_checkpoint, staged_bundle
from hfbio.train.hardware import describe_hardware
from hfbio.train.measure import measure, measure_before, measure_whole
from hfbio.train.ranks import is_sharded, require_world, untie
from hfbio.train.save import save_merged, save_weights
from hfbio.train.start import (
    as_settings,
    collect_tags,
    make_sampler,
    make_trainer,
    mind_licences,
    train,
)
from hfbio.train.traces import save_map, save_sketch


@dataclass(frozen=True)
class Finetuned:
    """What a run leaves behind."""

    folder: Path  # a bundle: `hfbio.load(folder)`
    metrics: Mapping[str, Any]  # metrics.json


def finetune(config: FinetuneConfig, callbacks: Sequence[TrainerCallback] = ()) -> Finetuned:
    """Fine-tune a base model on antibodies and measure what was gained.

    Runs alike in one process and under ``accelerate launch`` or ``torchrun``. The run folder
    holds the adapter, the tokenizer, hfbio.json, metrics.json, what is told of the training chains
    (``training_traces``), the split under ``data/`` and the Trainer's checkpoints; with
    ``resume_from_checkpoint`` a stopped run ends as it would have. An earlier bundle in the folder
    stays until the new one is complete, unless its data changed.

    Args:
        config: the settings; see `hfbio.train.config.read_config`.
        callbacks: added to the Trainer's.

    Raises:
        SettingError: contradicting settings, a licence that forbids the public push asked for, or
            processes that did not find each other.
        DataError: the data cannot be used, or nothing is left after clean-up.
        UnknownModel: the base cannot be loaded.
    """
    require_world(config)
    checkpoint = find_checkpoint(config)
    started = time.perf_counter()
    objective = build(config.objective, as_settings(config.objective_kwargs))
    sampler = make_sampler(config, objective.kind)
    adapter = adapter_config(config)
    base = _load(config, objective)
    mind_licences(base, config)
    corpus = prepare(config, base, resumed=checkpoint is not None)

    task = task_of(dataclasses.asdict(cast(Any, objective)), causal=base.family.causal)
    untuned = Contender(base.model.to(config.device), base.token_map, base.own_prompt, task)
    measured = measure_before(untuned, corpus, config)
    bounds = {}
    if objective.kind == "diffusion":
        bounds["base"] = measure_whole(untuned, corpus.test, config)

    tags = collect_tags(corpus.train, base, config.tags)
    setup = Setup(config, base, tags, corpus, objective, sampler, describe_hardware(config))
    tagged = add_tags(base, tags)
    set_dropout(tagged.model, config.dropout)
    model = attach(tagged, adapter, rng=generator(config.seed))
    sharded = is_sharded(config)
    if sharded:
        untie(model)
    tuned = Contender(model, tagged.token_map, tagged.prompt(tags), task)
    weights = _clone_weights(corpus.train) if config.balance == "clone" else None
    trainer = make_trainer(setup, tuned, tagged, corpus.train, weights, callbacks)
    outcome = train(trainer, checkpoint)

    # Without the autocast that Accelerate wraps around: in float32, as the base was measured.
    model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=sharded)
    tuned = dataclasses.replace(tuned, model=model)
    measured["tuned"] = measure(tuned, corpus.test, config)
    if bounds:
        bounds["tuned"] = measure_whole(tuned, corpus.test, config)
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    groups, layout = clone_groups(corpus.test), config.layout
    metrics = {
        **summarise(measured, groups, compare=("base", "tuned"), task=task, layout=layout),
        **({"bound": summarise_bound(bounds, groups, compare=("base", "tuned"))} if bounds else {}),
        **run_metrics(setup, outcome, trainer.state.log_history, trainable),
        "seconds": time.perf_counter() - started,
    }
    state_dict = trainer.accelerator.get_state_dict(trainer.model) if sharded else None
    folder = Path(str(config.output_dir))
    if config.should_save:
        with staged_bundle(folder) as partial:
            save_weights(partial, model, tagged.tokenizer, state_dict)
            if base.revision is None and config.method != "full":
                save_merged(partial, add_tags(_load(config, objective), tags))
            if config.training_traces:
                save_sketch(partial, corpus.train)
                if not sharded:
                    save_map(partial, corpus.train, tuned, config.per_device_eval_batch_size)
            write_json(partial / "metrics.json", metrics)
            write_manifest(partial, trainer.manifest(seconds=metrics["training"]["seconds"]))
    trainer.accelerator.wait_for_everyone()
    return Finetuned(folder, metrics)


def adapter_config(config: FinetuneConfig) -> AdapterConfig:
    """The adapter that the settings ask for.

    Raises:
        SettingError: a value out of its range.
    """
    try:
        return AdapterConfig(
            method=cast(Any, config.method),  # checked by AdapterConfig itself
            r=config.lora_r,
            lora_alpha=config.lora_alpha,
            lora_dropout=config.lora_dropout,
            use_rslora=config.use_rslora,
            target=config.lora_target_modules,
            modules_to_save=tuple(config.lora_modules_to_save),
        )
    except ValueError as error:
        raise SettingError(f"adapter: {error}") from None


def _clone_weights(records: Sequence[Antibody]) -> Tensor:
    """``(n,)`` one over the size of each chain's clone."""
    groups = torch.from_numpy(clone_groups(records))
    return 1 / torch.bincount(groups)[groups].double()


def _load(config: FinetuneConfig, objective: Objective) -> LoadedBase:
    base = load_base(
        config.model, revision=config.model_revision, trust_remote_code=config.trust_remote_code
    )
    if objective.kind not in base.family.objectives:
        raise SettingError(
            f"{base.name} cannot be trained with objective {objective.kind!r}; "
            f"it serves: {', '.join(base.family.objectives)}"
        )
    return for_objective(base, objective.kind)
