"""Work shared between the processes of one run. Starts none of them."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
import torch.distributed
from torch import Tensor, nn
from transformers import TrainingArguments

from hfbio.errors import SettingError
from hfbio.score.heldout import HeldOut


def require_world(config: TrainingArguments) -> None:
    """Refuse what launchers do in silence: one process for several, several that are alone.

    ``accelerate launch --cpu --num_processes 2`` and ``distributed_type: MULTI_CPU`` start one
    process. All they leave behind is the address at which the others would meet. On CPUs
    Accelerate 1.15 shards nothing, whatever it was asked for.

    Raises:
        SettingError: fewer processes were started than asked for; or they did not find each
            other and would each train for itself in one folder; or FSDP on CPUs.
    """
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if config.world_size != launched:
        raise SettingError(
            f"the launcher started {launched} processes, but this run sees {config.world_size}; "
            "on CPUs pass --use_cpu and launch with recipes/accelerate/cpu2.yaml or torchrun"
        )
    by_accelerate = "ACCELERATE_MIXED_PRECISION" in os.environ
    if by_accelerate and "MASTER_ADDR" in os.environ and "WORLD_SIZE" not in os.environ:
        raise SettingError(
            "accelerate was asked for several processes and started one, as it does with --cpu "
            "and with distributed_type: MULTI_CPU; launch with recipes/accelerate/cpu2.yaml or "
            "torchrun. If one process is what you want, unset MASTER_ADDR"
        )
    if is_sharded(config) and config.distributed_state.distributed_type == "MULTI_CPU":
        raise SettingError(
            "FSDP was asked for, which Accelerate does not do on CPUs: every process would hold "
            "the whole model; launch with recipes/accelerate/cpu2.yaml"
        )


def is_sharded(config: TrainingArguments) -> bool:
    """Whether the launcher or the settings ask for FSDP, so that no rank holds the whole model."""
    return bool(config.fsdp) or os.environ.get("ACCELERATE_USE_FSDP", "false") == "true"


def untie(model: nn.Module) -> None:
    """Give each frozen weight that two layers share to both, in place, so that it can be sharded.

    FSDP2 refuses a weight in two of its groups, and Accelerate 1.15 keeps tied embeddings in one
    only where peft has not wrapped them. What is frozen stays equal by itself.
    """
    seen = set()
    for name, parameter in list(model.named_parameters(remove_duplicate=False)):
        if parameter in seen and not parameter.requires_grad:
            owner, _, last = name.rpartition(".")
            copied = nn.Parameter(parameter.detach().clone(), requires_grad=False)
            setattr(model.get_submodule(owner), last, copied)
        seen.add(parameter)


def rows_of_rank(n_rows: int, config: TrainingArguments) -> Sequence[int]:
    """The rows this process measures: every ``world_size``-th.

    A sharded model runs on all ranks in step, so there each measures every row.
    """
    if config.world_size == 1 or is_sharded(config):
        return range(n_rows)
    return range(config.process_index, n_rows, config.world_size)


def sum_across_ranks(held_out: HeldOut, config: TrainingArguments) -> HeldOut:
    """Add up measurements of which each rank made a part (`rows_of_rank`)."""
    if config.world_size == 1 or is_sharded(config):
        return held_out

    def total(part: Tensor) -> Tensor:
        summed = part.to(config.device)
        torch.distributed.all_reduce(summed)
        return summed.cpu()

    return HeldOut(
        held_out.fractions, total(held_out.nats), total(held_out.hits), total(held_out.residues)
    )
