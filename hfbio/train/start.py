"""What a run does before and while it trains, be the model new or tuned. Measures nothing."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import TrainerCallback
from transformers.trainer_utils import TrainOutput

from hfbio.data.encode import tag_values
from hfbio.errors import SettingError
from hfbio.licences import is_non_commercial
from hfbio.models import LoadedBase
from hfbio.record import Antibody, ProteinRecord
from hfbio.sample import NamedSampler
from hfbio.sample import build as build_sampler
from hfbio.score.assess import Contender
from hfbio.tokens import Tags
from hfbio.train.config import FinetuneConfig
from hfbio.train.dataset import CorruptedChains
from hfbio.train.facts import Setup, manifest_of
from hfbio.train.measure import validation_metrics
from hfbio.train.trainer import AntibodyTrainer


def make_trainer(
    setup: Setup,
    tuned: Contender,
    tagged: LoadedBase,
    chains: Sequence[Antibody | ProteinRecord],
    weights: Tensor | None,
    callbacks: Sequence[TrainerCallback],
) -> AntibodyTrainer:
    """The Trainer of a run.

    Args:
        setup: what is settled.
        tuned: the model to train, which the validation split is measured with.
        tagged: its tokenizer, tags added.
        chains: to train on.
        weights: ``(n,)`` how often each is drawn; once an epoch if ``None``.
        callbacks: added to the Trainer's.

    Raises:
        SettingError: the model has no such ``attn_implementation``.
    """
    config, corpus = setup.config, setup.corpus
    if config.attn_implementation:
        try:
            tagged.model.set_attn_implementation(config.attn_implementation)
        except (ImportError, ValueError) as error:
            raise SettingError(f"attn_implementation: {error}") from None
    return AntibodyTrainer(
        model=tuned.model,
        args=config,
        train_dataset=CorruptedChains(
            chains,
            setup.objective,
            tuned.tokens,
            tuned.prompt,
            tag_dropout=config.tag_dropout,
            seed=config.seed,
            weights=weights,
        ),
        pad_id=tuned.tokens.pad_id,
        manifest=manifest_of(setup),
        processing_class=tagged.tokenizer,
        callbacks=list(callbacks),
        held_out=lambda: validation_metrics(tuned, corpus, config),
    )


def train(trainer: AntibodyTrainer, checkpoint: Path | None) -> TrainOutput:
    """Train from the start or from a checkpoint.

    Raises:
        SettingError: the loss is no number any more.
    """
    outcome = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if not math.isfinite(outcome.training_loss):
        raise SettingError(
            f"training diverged: its loss is {outcome.training_loss}; lower learning_rate, or "
            "raise warmup_steps"
        )
    return outcome


def mind_licences(base: LoadedBase, config: FinetuneConfig) -> None:
    """Warn of parts that may not be used commercially; refuse to publish them unasked.

    Raises:
        SettingError: the run would push them to a public repository.
    """
    for what, licence in (("base", base.licence), ("data", config.data_license)):
        if not is_non_commercial(licence):
            continue
        told = f"the licence of the {what}, {licence}, forbids commercial use"
        if config.push_to_hub and config.hub_private_repo is False:
            raise SettingError(
                f"{told}; train without push_to_hub, and if it lets you publish the result, use "
                "`hfbio push --public --allow_non_commercial`"
            )
        warnings.warn(told, stacklevel=3)


def collect_tags(records: Sequence[Antibody], base: LoadedBase, fields: Sequence[str]) -> Tags:
    """The condition tags that ``records`` have for ``fields``, in the style of the base."""
    rows = [tag_values(record, fields) for record in records]
    return Tags.from_rows(base.tag_style, {name: [row[name] for row in rows] for name in fields})


def make_sampler(config: FinetuneConfig, objective: str) -> NamedSampler:
    """What the bundle samples with: `sampler_kwargs`, of the kind that fits the objective.

    Raises:
        SettingError: unknown settings, or a value out of its range.
    """
    kind = {"clm": "causal", "infill": "causal", "germline": "germline_walk"}.get(objective)
    return build_sampler({**({"kind": kind} if kind else {}), **as_settings(config.sampler_kwargs)})


def as_settings(value: dict | str | None) -> dict[str, Any]:
    """Settings given as a mapping.

    Raises:
        SettingError: text that was no JSON object.
    """
    if isinstance(value, str):
        raise SettingError(f"expected settings as a mapping or JSON object, got {value!r}")
    return dict(value or {})
