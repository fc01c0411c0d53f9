"""Likelihoods of numbered chains under a model, as rows and as scans. Reads and writes no file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hfbio.alphabet import CHAIN_BREAK
from hfbio.data.encode import Example, encode_described
from hfbio.record import REGIONS, Antibody
from hfbio.score.likelihood import mean_by_region, residue_nats
from hfbio.score.scan import Scan, scan_chains

if TYPE_CHECKING:
    from hfbio.model.antibody import AntibodyModel


def score(
    model: AntibodyModel,
    records: Sequence[Antibody],
    *,
    batch_size: int = 64,
    scanned: Callable[[Scan], None] | None = None,
) -> Iterator[dict[str, Any]]:
    """One row a record; see `AntibodyModel.score`."""
    for record in records:  # all of them before the work, not after half of it
        model.require_readable(record)
    for record in records:
        example = _encoded(model, record)
        if scanned is None:
            nats = _nats(model, example, batch_size)
        else:
            scans = scan(model, record, batch_size=batch_size)
            nats = torch.cat([found.nats for found in scans])
            for found in scans:
                scanned(found)
        by_region = mean_by_region(nats, example, REGIONS)
        yield {
            "sequence_id": record.sequence_id,
            "locus": CHAIN_BREAK.join(chain.locus for chain in record.chains),
            "likelihood": model.likelihood,
            "nats_per_residue": nats.mean().item(),
            "perplexity": nats.mean().exp().item(),
            **{f"{name}_nats_per_residue": value for name, value in by_region.items()},
        }


def chain_nats(
    model: AntibodyModel, record: Antibody, *, batch_size: int = 64, rows: int | None = None
) -> tuple[Tensor, ...]:
    """``(n,)`` float32 nats of the residues of each chain; of a pair each beside the other.

    ``rows`` is as for `hfbio.score.likelihood.masked_log_p`.

    Raises:
        SequenceError: a chain is not numbered, or longer than the model reads.
    """
    model.require_readable(record)
    nats = _nats(model, _encoded(model, record), batch_size, rows)
    return nats.split([len(chain.sequence_aa) for chain in record.chains])


def scan(model: AntibodyModel, record: Antibody, *, batch_size: int = 64) -> tuple[Scan, ...]:
    """A scan of each chain of a record; see `hfbio.score.scan.scan_chains`.

    Raises:
        SequenceError: a chain is not numbered, is longer than the model reads, or holds a letter
            that is not one of the 20 residues.
    """
    model.require_readable(record)
    return scan_chains(
        model.model,
        model.base.token_map,
        record,
        _encoded(model, record),
        model.likelihood,
        batch_size=batch_size,
    )


def _encoded(model: AntibodyModel, record: Antibody) -> Example:
    (example,) = encode_described([record], model.base.token_map, model.prompt)
    return example


def _nats(
    model: AntibodyModel, example: Example, batch_size: int, rows: int | None = None
) -> Tensor:
    tokens, likelihood = model.base.token_map, model.likelihood
    return residue_nats(model.model, tokens, example, likelihood, batch_size=batch_size, rows=rows)
