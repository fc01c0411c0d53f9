"""The story of one pretraining run: a new model, several sources, any objective. No mechanics."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from transformers import TrainerCallback

from hfbio.bundle import write_json, write_manifest
from hfbio.data.encode import encode_protein
from hfbio.data.groups import clone_groups
from hfbio.errors import DataError, SettingError
from hfbio.models import AdapterConfig, add_tags, attach, for_objective
from hfbio.models.scratch import fresh
from hfbio.objectives import build
from hfbio.record import Antibody, ProteinRecord
from hfbio.rng import generator
from hfbio.score import heldout
from hfbio.score.assess import (
    Contender,
    measure_baselines,
    measure_bound,
    measure_model,
    task_of,
)
from hfbio.score.heldout import HeldOut
from hfbio.score.summary import summarise, summarise_bound
from hfbio.train.config import FinetuneConfig
from hfbio.train.corpus import Corpus
from hfbio.train.facts import Setup, run_metrics
from hfbio.train.finetune import Finetuned
from hfbio.train.folder import find_checkpoint, staged_bundle
from hfbio.train.hardware import describe_hardware
from hfbio.train.measure import EVAL_SEED
from hfbio.train.mixture import Source, chain_weights, gather, unigram_nats
from hfbio.train.ranks import require_world
from hfbio.train.save import save_weights
from hfbio.train.start import as_settings, collect_tags, make_sampler, make_trainer, train


def pretrain(config: FinetuneConfig, callbacks: Sequence[TrainerCallback] = ()) -> Finetuned:
    """Train a new model from nothing and measure what it has learnt of each source.

    The run folder is a bundle like that of `finetune`, with full weights and no base. metrics.json
    compares the model with residue frequencies: ``unigram_nats`` of each source, and frequencies by
    IMGT position on the antibodies among the held-out chains.

    Args:
        config: with ``architecture`` and ``sources``.
        callbacks: added to the Trainer's.

    Raises:
        SettingError: contradicting settings, or processes that did not find each other.
        DataError: a source cannot be used, or none of them holds antibodies.
    """
    if not config.architecture or not config.sources:
        raise SettingError(
            "pretraining needs `architecture` and `sources`; see the recipe `hfbio-mini`"
        )
    require_world(config)
    checkpoint = find_checkpoint(config)
    started = time.perf_counter()
    objective = build(config.objective, as_settings(config.objective_kwargs))
    base = fresh(
        config.architecture,
        as_settings(config.architecture_kwargs),
        name=Path(str(config.output_dir)).name,
        rng=generator(config.seed),
    )
    if objective.kind not in base.family.objectives:
        raise SettingError(
            f"architecture {config.architecture!r} cannot be trained with {objective.kind!r}; it "
            f"serves: {', '.join(base.family.objectives)}"
        )
    sources = gather(config, base)
    corpus = _join(sources)

    tags = collect_tags(corpus.train, base, config.tags)
    tagged = for_objective(add_tags(base, tags), objective.kind)
    sampler = make_sampler(config, objective.kind)
    setup = Setup(config, base, tags, corpus, objective, sampler, describe_hardware(config))
    model = attach(tagged, AdapterConfig(method="full"))
    task = task_of(dataclasses.asdict(cast(Any, objective)), causal=base.family.causal)
    tuned = Contender(model, tagged.token_map, tagged.prompt(tags), task)
    chains = [chain for source in sources for chain in source.train]
    trainer = make_trainer(setup, tuned, tagged, chains, chain_weights(sources), callbacks)
    outcome = train(trainer, checkpoint)

    model = trainer.accelerator.unwrap_model(trainer.model)
    tuned = dataclasses.replace(tuned, model=model)
    folder = Path(str(config.output_dir))
    metrics: dict[str, Any] = {}
    if config.process_index == 0:
        held_out = {"model": _measure(tuned, corpus.test, config)} | measure_baselines(
            corpus.train, corpus.test, tuned, draws=config.eval_mask_draws, seed=EVAL_SEED
        )
        trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
        told = run_metrics(setup, outcome, trainer.state.log_history, trainable)
        told.pop("split")  # each source has its own
        groups, layout = clone_groups(corpus.test), config.layout
        if objective.kind == "diffusion":
            whole = measure_bound(
                tuned, corpus.test, seed=EVAL_SEED, batch_size=config.per_device_eval_batch_size
            )
            told["bound"] = summarise_bound({"model": whole}, groups, compare=None)
        metrics = {
            **summarise(held_out, groups, compare=None, task=task, layout=layout),
            **told,
            "sources": {source.name: _learnt(source, tuned, config) for source in sources},
            "seconds": time.perf_counter() - started,
        }
    if config.should_save:
        with staged_bundle(folder) as partial:
            save_weights(partial, model, tagged.tokenizer, None)
            write_json(partial / "metrics.json", metrics)
            write_manifest(partial, trainer.manifest(seconds=outcome.metrics["train_runtime"]))
    trainer.accelerator.wait_for_everyone()
    return Finetuned(folder, metrics)


def _join(sources: Sequence[Source]) -> Corpus:
    """The antibodies of all sources as one corpus; proteins are trained on, and measured apart."""
    parts = {
        part: tuple(
            chain
            for source in sources
            for chain in getattr(source, part)
            if not isinstance(chain, ProteinRecord)
        )
        for part in ("train", "validation", "test")
    }
    if not parts["test"]:
        raise DataError("none of the sources holds antibodies; name one that does")
    left_out: Counter[str] = Counter()
    for source in sources:
        left_out.update(source.left_out)
    return Corpus(**parts, split={s.name: s.split for s in sources}, left_out=left_out)


def _measure(contender: Contender, records: Sequence[Antibody], config: FinetuneConfig) -> HeldOut:
    return measure_model(
        contender,
        records,
        draws=config.eval_mask_draws,
        seed=EVAL_SEED,
        batch_size=config.per_device_eval_batch_size,
    )


def _learnt(source: Source, contender: Contender, config: FinetuneConfig) -> dict[str, Any]:
    """Nats per hidden residue of one source, beside what counting letters gives."""
    if not isinstance(source.test[0], ProteinRecord):
        sums = _measure(contender, source.test, config)  # type: ignore[arg-type]
    else:
        prefix = contender.prompt.ids(contender.prompt.tags.choose({}))
        examples = [encode_protein(r, contender.tokens, prefix) for r in source.test]  # type: ignore[arg-type]
        sums = heldout.measure(
            examples,
            contender.predictor(examples),
            **contender.asked(heldout.FRACTIONS, config.eval_mask_draws),
            seed=EVAL_SEED,
            batch_size=config.per_device_eval_batch_size,
        )
    nats, residues = sums.nats.flatten(1).sum(1), sums.residues.flatten(1).sum(1)
    return {
        "weight": source.weight,
        "split": source.split,
        "train_chains": len(source.train),
        "test_chains": len(source.test),
        "nats_per_residue": {
            f"{fraction:g}": float(n / r)
            for fraction, n, r in zip(sums.fractions, nats, torch.as_tensor(residues))
        },
        "unigram_nats": unigram_nats(source.train, source.test),
    }
