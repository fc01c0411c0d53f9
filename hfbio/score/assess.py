"""Base, tuned model and counting baselines on the same held-out masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from hfbio.data.encode import encode_described
from hfbio.record import AntibodyRecord
from hfbio.score.baseline import BaselinePredictor, PositionFrequency
from hfbio.score.calibrate import fit_temperature
from hfbio.score.heldout import FRACTIONS, HeldOut, measure, model_predictor
from hfbio.tokens import Prompt, TokenMap


@dataclass(frozen=True)
class Contender:
    """A model with what is needed to show it a chain."""

    model: nn.Module
    tokens: TokenMap
    prompt: Prompt  # condition tags come from each record's own fields


def measure_model(
    contender: Contender,
    records: Sequence[AntibodyRecord],
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
        model_predictor(contender.model, contender.tokens, examples),
        fractions=fractions,
        draws=draws,
        seed=seed,
        batch_size=batch_size,
        rows=rows,
    )


def measure_calibrated(
    contender: Contender,
    fit_on: Sequence[AntibodyRecord],
    records: Sequence[AntibodyRecord],
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
    train: Sequence[AntibodyRecord],
    records: Sequence[AntibodyRecord],
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
        contender: only its encoding is used, for regions and germline status.
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
            fractions=fractions,
            draws=draws,
            seed=seed,
        )
        for name, by_family in (("position", False), ("position_family", True))
    }
