"""What is told of a run: hfbio.json and the run's part of metrics.json. Measures nothing."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, cast

from transformers.trainer_utils import TrainOutput

from hfbio.bundle import Manifest, length_key
from hfbio.data.encode import describe
from hfbio.models import LoadedBase
from hfbio.objectives import Objective
from hfbio.record import Antibody
from hfbio.sample import NamedSampler
from hfbio.tokens import Tags
from hfbio.train.config import FinetuneConfig, changed_settings
from hfbio.train.corpus import Corpus, source_name

PACKAGES = ("hfbio", "torch", "transformers", "peft", "accelerate", "datasets", "immunum")


@dataclass(frozen=True)
class Setup:
    """What is settled before the first step, alike in every process."""

    config: FinetuneConfig
    base: LoadedBase  # as it came, without tags
    tags: Tags
    corpus: Corpus
    objective: Objective
    sampler: NamedSampler
    hardware: str


def manifest_of(setup: Setup) -> Manifest:
    """hfbio.json of a run that has not begun."""
    config, base, corpus = setup.config, setup.base, setup.corpus
    return Manifest(
        base=base.name,
        base_revision=base.revision,
        family=base.family.model_type,
        base_license=base.licence,
        method="scratch" if config.architecture else config.method,
        objective=dataclasses.asdict(cast(Any, setup.objective)),
        tags=setup.tags,
        lengths=lengths_by_tags(corpus.train, setup.tags),
        sampler=dataclasses.asdict(setup.sampler),
        data={
            "source": source_of(config),
            "license": config.data_license,
            "split": corpus.split,
            "train": len(corpus.train),
        },
        training={
            "seed": config.seed,
            "settings": changed_settings(config),
            "hardware": setup.hardware,
            "processes": config.world_size,
        },
        versions=package_versions(),
        layout=config.layout,
    )


def after(manifest: Manifest, **progress: float) -> Manifest:
    """A copy of ``manifest`` whose ``training`` also says how far the run has come."""
    return dataclasses.replace(manifest, training={**manifest.training, **progress})


def run_metrics(
    setup: Setup, outcome: TrainOutput, log: list[dict[str, Any]], trainable_parameters: int
) -> dict[str, Any]:
    """What metrics.json says of the run itself, beside what was measured on held-out chains.

    Args:
        setup: of the run.
        outcome: of its training; of a resumed run, the seconds are those since it was resumed.
        log: what the Trainer has logged.
        trainable_parameters: how many the optimizer could change.
    """
    config, base = setup.config, setup.base
    return {
        "run": {
            "base": base.name,
            "base_revision": base.revision,
            "method": "scratch" if config.architecture else config.method,
            "objective": setup.objective.kind,
            "trainable_parameters": trainable_parameters,
            "data": source_of(config),
            "processes": config.world_size,
            "hardware": setup.hardware,
        },
        "split": setup.corpus.split,
        "left_out": setup.corpus.left_out,
        "training": {
            "steps": outcome.global_step,
            "loss": outcome.training_loss,
            "seconds": outcome.metrics["train_runtime"],
            "log": [row for row in log if "train_runtime" not in row],
        },
    }


def source_of(config: FinetuneConfig) -> str:
    """What cards call the data: without the folders of this machine."""
    names = list(config.sources) if isinstance(config.sources, dict) else [config.data]
    return "; ".join(source_name(name) for name in names)


def lengths_by_tags(train: tuple[Antibody, ...], tags: Tags) -> dict[str, dict[str, int]]:
    """Chain lengths of the training split by tag values: ``IGH|human|IGHG`` -> length -> count."""
    lengths: dict[str, Counter[str]] = defaultdict(Counter)
    for record in train:
        row = "|".join(describe(record, tags).values())
        lengths[row][length_key(len(chain.sequence_aa) for chain in record.chains)] += 1
    return {row: dict(sorted(counts.items())) for row, counts in sorted(lengths.items())}


def package_versions() -> dict[str, str]:
    """Versions of what made the weights."""
    return {name: version(name) for name in PACKAGES}
