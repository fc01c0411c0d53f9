"""Objectives: how a chain is corrupted for training, one file each, and the one loss they share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

import torch

from hfbio.data.encode import Corrupted, Example
from hfbio.errors import SettingError
from hfbio.objectives.clm import CausalLM
from hfbio.objectives.diffusion import Diffusion
from hfbio.objectives.germline import GermlineDiffusion
from hfbio.objectives.infill import Infill
from hfbio.objectives.mlm import MaskedLM
from hfbio.objectives.nats import weighted_nats
from hfbio.tokens import TokenMap

__all__ = [
    "OBJECTIVES",
    "CausalLM",
    "Diffusion",
    "GermlineDiffusion",
    "Infill",
    "MaskedLM",
    "Objective",
    "build",
    "weighted_nats",
]


class Objective(Protocol):
    """A frozen dataclass of settings with one method. It sees tensors, never a model."""

    @property
    def kind(self) -> str:
        """Its name in a recipe."""
        ...

    def corrupt(self, example: Example, tokens: TokenMap, rng: torch.Generator) -> Corrupted:
        """Hide part of ``example``; say what is wanted there and what each answer weighs."""
        ...


OBJECTIVES: dict[str, type[MaskedLM | Diffusion | GermlineDiffusion | CausalLM | Infill]] = {
    "mlm": MaskedLM,
    "diffusion": Diffusion,
    "germline": GermlineDiffusion,
    "clm": CausalLM,
    "infill": Infill,
}


def build(kind: str, settings: Mapping[str, Any]) -> Objective:
    """The objective ``kind`` with ``settings`` in place of its defaults.

    Raises:
        SettingError: unknown kind, unknown setting, or a value out of its range.
    """
    if kind not in OBJECTIVES:
        raise SettingError(f"objective {kind!r} is not one of: {', '.join(sorted(OBJECTIVES))}")
    objective = OBJECTIVES[kind]
    known = {f.name for f in dataclasses.fields(objective)} - {"kind"}
    if unknown := sorted(set(settings) - known):
        raise SettingError(
            f"objective {kind!r} has no setting {', '.join(map(repr, unknown))}; "
            f"it has: {', '.join(sorted(known))}"
        )
    try:
        return objective(**settings)
    except (TypeError, ValueError) as error:
        raise SettingError(f"objective {kind!r}: {error}") from None
