"""transformers.Trainer with losses as sums. Everything else is the Trainer's own."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainingArguments,
)

from hfbio.bundle import Manifest, write_manifest
from hfbio.data.encode import collate
from hfbio.objectives import weighted_nats
from hfbio.train.dataset import CorruptedChains, EpochSampler
from hfbio.train.facts import after
from hfbio.train.save import save_weights


class AntibodyTrainer(Trainer):
    """Divides weighted nats by the denominator of the whole optimizer step, across all ranks.

    One process with four micro-batches, two with two, and one large batch give the same update.
    """

    control: TrainerControl
    loss_is_scaled_for_ga = True  # compute_loss divides by the whole accumulated batch

    def __init__(
        self,
        *,
        args: TrainingArguments,
        train_dataset: CorruptedChains,
        pad_id: int,
        manifest: Manifest,
        held_out: Callable[[], dict[str, float]] | None = None,
        **kwargs: Any,
    ) -> None:
        """Set up a trainer.

        Args:
            args: the settings. Not changed, and never obeyed where they ask for a push: Trainer's
                own uploads the whole run folder, the user's sequences with it.
            train_dataset: the chains.
            pad_id: fills short rows of a batch.
            manifest: goes into each checkpoint, with its steps, so that each is a bundle.
            held_out: measures the validation split when the Trainer asks for an evaluation;
                returns metrics without prefix. Runs on every rank.
            **kwargs: as for Trainer.
        """
        super().__init__(
            args=_without_pushing(args),
            train_dataset=train_dataset,
            # Never read, see `evaluate`; without one Trainer refuses an eval_strategy.
            eval_dataset=train_dataset if held_out else None,
            data_collator=partial(collate, pad_id=pad_id),
            **kwargs,
        )
        self._held_out = held_out
        self._manifest = manifest
        rows_per_step = (
            args.train_batch_size * args.gradient_accumulation_steps * max(1, args.world_size)
        )
        self._sampler = EpochSampler(len(train_dataset), rows_per_step)
        # Accelerate forwards the epoch only through some of its wrappers; a resumed epoch on
        # two ranks is wrapped twice and would otherwise train on the noise of epoch 0.
        self.add_callback(_SetEpoch(self._sampler))

    def manifest(self, **progress: float) -> Manifest:
        """hfbio.json of what is trained by now."""
        return after(self._manifest, steps=self.state.global_step, **progress)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Weighted nats over the step's denominator, times the ranks that DDP averages over."""
        outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
        nats = weighted_nats(outputs.logits, inputs["labels"], inputs["weights"])
        if num_items_in_batch is None:
            num_items_in_batch = inputs["denominator"].sum()
        loss = nats / num_items_in_batch * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Measure the validation split by region instead of a mean of batch losses."""
        if self._held_out is None:
            return {}
        metrics = {f"{metric_key_prefix}_{k}": v for k, v in self._held_out().items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        # Trainer's own would have peft ask the Hub for the base at every checkpoint, and pickle
        # the settings, tokens among them.
        if self.args.should_save:
            folder = Path(output_dir or str(self.args.output_dir))
            folder.mkdir(parents=True, exist_ok=True)
            model = self.accelerator.unwrap_model(self.model)
            save_weights(folder, model, self.processing_class, state_dict)
            write_manifest(folder, self.manifest())

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        # transformers 5.23 writes ESM's norms under other names than the model has, and the Trainer
        # passes over names it does not know: a resumed run would start with untrained norms.
        target = self.model if model is None else model
        if isinstance(target, PreTrainedModel):
            saved = type(target).from_pretrained(
                resume_from_checkpoint, dtype=target.dtype, use_safetensors=True
            )
            target.load_state_dict(saved.state_dict())
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochSampler:
        return self._sampler

    def _get_num_items_in_batch(
        self, batch_samples: list[dict[str, Tensor]], device: torch.device
    ) -> Tensor | None:
        if not batch_samples:
            return None
        total = torch.stack([batch["denominator"].sum() for batch in batch_samples]).sum()
        return self.accelerator.gather(total.to(device)).sum()


def _without_pushing(config: TrainingArguments) -> TrainingArguments:
    """The settings as Trainer and its callbacks may see them."""
    # dataclasses.replace would run __post_init__ again, which resets the state of Accelerate.
    view = copy.copy(config)
    view.push_to_hub = False
    # For trackers, whose Spaces are public unless told otherwise. Here only `false` is public.
    view.hub_private_repo = config.hub_private_repo is not False
    return view


class _SetEpoch(TrainerCallback):
    def __init__(self, sampler: EpochSampler) -> None:
        self._sampler = sampler

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._sampler.set_epoch(int(state.epoch + 1e-6))  # a resumed epoch starts at a fraction
