"""What a run measures of its models on held-out chains, shared between ranks. Trains nothing."""

from __future__ import annotations

from collections.abc import Sequence

from hfbio.record import Antibody
from hfbio.score.assess import (
    Contender,
    measure_baselines,
    measure_bound,
    measure_calibrated,
    measure_model,
)
from hfbio.score.heldout import HeldOut
from hfbio.train.config import FinetuneConfig
from hfbio.train.corpus import Corpus
from hfbio.train.ranks import rows_of_rank, sum_across_ranks

EVAL_SEED = 0  # of the held-out masks: the same for every run, so that runs can be compared


def measure(contender: Contender, records: Sequence[Antibody], config: FinetuneConfig) -> HeldOut:
    """Sums of a model on ``records``, of which every rank measures a part."""
    part = measure_model(
        contender,
        records,
        draws=config.eval_mask_draws,
        seed=EVAL_SEED,
        batch_size=config.per_device_eval_batch_size,
        rows=rows_of_rank(len(records), config),
    )
    return sum_across_ranks(part, config)


def measure_whole(
    contender: Contender, records: Sequence[Antibody], config: FinetuneConfig
) -> HeldOut:
    """The diffusion bound on whole chains, of which every rank measures a part."""
    part = measure_bound(
        contender,
        records,
        seed=EVAL_SEED,
        batch_size=config.per_device_eval_batch_size,
        rows=rows_of_rank(len(records), config),
    )
    return sum_across_ranks(part, config)


def measure_before(
    untuned: Contender, corpus: Corpus, config: FinetuneConfig
) -> dict[str, HeldOut]:
    """The base as it came, at its best temperature, and plain counting, on the test split."""
    measured = {"base": measure(untuned, corpus.test, config)}
    if corpus.validation and untuned.task == "masked":
        measured["base_calibrated"] = _measure_calibrated(untuned, corpus, config)
    return measured | measure_baselines(
        corpus.train, corpus.test, untuned, draws=config.eval_mask_draws, seed=EVAL_SEED
    )


def validation_metrics(
    contender: Contender, corpus: Corpus, config: FinetuneConfig
) -> dict[str, float]:
    """Nats per hidden residue of the validation split, by share of residues hidden."""
    held_out = measure(contender, corpus.validation, config)
    nats, residues = held_out.cell(held_out.nats), held_out.cell(held_out.residues)
    return {
        f"nats_per_residue_at_{fraction:g}": float(nats[f].sum() / residues[f].sum())
        for f, fraction in enumerate(held_out.fractions)
    }


def _measure_calibrated(contender: Contender, corpus: Corpus, config: FinetuneConfig) -> HeldOut:
    part = measure_calibrated(
        contender,
        corpus.validation,
        corpus.test,
        draws=config.eval_mask_draws,
        seed=EVAL_SEED,
        batch_size=config.per_device_eval_batch_size,
        rows=rows_of_rank(len(corpus.test), config),
    )
    return sum_across_ranks(part, config)
