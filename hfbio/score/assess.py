"""Base, tuned model and counting baselines on the same held-out masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
from torch import nn

from hfbio.data.encode import Example, encode_described
from hfbio.record import Antibody
from hfbio.score.baseline import BaselinePredictor, PositionFrequency
from hfbio.score.bound import bound
from hfbio.score.calibrate import fit_temperature
from hfbio.score.causal import next_predictor, span_predictor
from hfbio.score.heldout import FRACTIONS, HeldOut, Predict, measure, model_predictor
from hfbio.tokens import Prompt, TokenMap

Task = Literal["masked", "next", "next_reverse", "span"]
"""What is asked of a model: hidden residues, the next residue, or a region from all others."""

ALL: Final = (1.0,)
"""The shares of residues asked for by the tasks that mask none: all of them, once."""


def task_of(objective: Mapping[str, Any] | None, *, causal: bool) -> Task:
    """What a model trained with ``objective`` (kind and settings, or ``None``) is asked."""
    kind = (objective or {}).get("kind", "clm" if causal else "diffusion")
    if kind == "clm":
        return "next_reverse" if (objective or {}).get("direction") == "reverse" else "next"
    return "span" if kind == "infill" else "masked"


@dataclass(frozen=True)
class Contender:
    """A model with what is needed to show it a chain."""

    model: nn.Module
    tokens: TokenMap
    prompt: Prompt  # condition tags come from each record's own fields
    task: Task = "masked"

    def predictor(self, examples: Sequence[Example]) -> Predict:
        """Answers to the task on ``examples``."""
        if self.task == "span":
            return span_predictor(self.model, self.tokens, examples)
        if self.task == "masked":
            return model_predictor(self.model, self.tokens, examples)
        reverse = self.task == "next_reverse"
        return next_predictor(self.model, self.tokens, examples, reverse=reverse)

    def asked(self, fractions: Sequence[float], draws: int) -> dict[str, Any]:
        """``fractions`` and ``draws`` for `measure`: only masks are of several kinds."""
        if self.task == "masked":
            return {"fractions": fractions, "draws": draws}
        return {"fractions": ALL, "draws": 1}


def measure_model(
    contender: Contender,
    records: Sequence[Antibody],
    *,
    draws: int,
    seed: int,
    batch_size: int,
    fractions: Sequence[float] = FRACTIONS,
    rows: Sequence[int] | None = None,
) -> HeldOut:
    """`measure` for a model; see there for the arguments."""
    examples = encode_described(records, contender.tokens, contender.prompt)
    return measure(
        examples,
        contender.predictor(examples),
        **contender.asked(fractions, draws),
        seed=seed,
        batch_size=batch_size,
        rows=rows,
    )


def measure_bound(
    contender: Contender,
    records: Sequence[Antibody],
    *,
    seed: int,
    batch_size: int,
    rows: Sequence[int] | None = None,
) -> HeldOut:
    """`bound` of a masked model; see there for the arguments."""
    examples = encode_described(records, contender.tokens, contender.prompt)
    return bound(
        examples, contender.predictor(examples), seed=seed, batch_size=batch_size, rows=rows
    )


def measure_calibrated(
    contender: Contender,
    fit_on: Sequence[Antibody],
    records: Sequence[Antibody],
    *,
    draws: int,
    seed: int,
    batch_size: int,
    fractions: Sequence[float] = FRACTIONS,
    rows: Sequence[int] | None = None,
) -> HeldOut:
    """A model at its best temperature for each share of masked residues.

    Args:
        contender: the model.
        fit_on: chains for the temperatures, normally the validation split.
        records: the held-out chains.
        draws: as for `measure`.
        seed: as for `measure`.
        batch_size: chains per network pass.
        fractions: as for `measure`.
        rows: as for `measure`.
    """
    model, tokens = contender.model, contender.tokens
    known = encode_described(fit_on, tokens, contender.prompt)
    examples = encode_described(records, tokens, contender.prompt)
    parts = []
    for fraction in fractions:
        temperature = fit_temperature(
            model, tokens, known, fraction=fraction, seed=seed, batch_size=batch_size
        )
        predict = model_predictor(model, tokens, examples, temperature=temperature)
        parts.append(
            measure(
                examples,
                predict,
                fractions=[fraction],
                draws=draws,
                seed=seed,
                batch_size=batch_size,
                rows=rows,
            )
        )
    return HeldOut(
        tuple(fractions),
        *(torch.cat([getattr(p, name) for p in parts]) for name in ("nats", "hits", "residues")),
    )


def measure_baselines(
    train: Sequence[Antibody],
    records: Sequence[Antibody],
    contender: Contender,
    *,
    draws: int,
    seed: int,
    fractions: Sequence[float] = FRACTIONS,
) -> dict[str, HeldOut]:
    """The two counting baselines, fitted on ``train``, on the masks that models were shown.

    Args:
        train: the training split.
        records: the held-out chains.
        contender: only its task and encoding are used, for regions and germline status.
        draws: as for the models.
        seed: as for the models.
        fractions: as for the models.

    Returns:
        ``position`` (IMGT position) and ``position_family`` (IMGT position and V family).
    """
    examples = encode_described(records, contender.tokens, contender.prompt)
    return {
        name: measure(
            examples,
            BaselinePredictor(PositionFrequency(train, by_family=by_family), records),
            **contender.asked(fractions, draws),
            seed=seed,
        )
        for name, by_family in (("position", False), ("position_family", True))
    }
