"""Training examples whose order and noise are pure functions of (seed, epoch, slot)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from hfbio.data.encode import Corrupted, describe, encode, encode_protein
from hfbio.objectives import Objective
from hfbio.record import Antibody, ProteinRecord
from hfbio.rng import generator
from hfbio.tokens import Prompt, TokenMap


class CorruptedChains(Dataset[Corrupted]):
    """Item ``epoch * n + slot`` is the chain drawn for that slot of that epoch, corrupted.

    The epoch travels inside the index, so that data-loader workers, ranks, accumulation and a
    resumed run all see the same chains and the same noise without being told the epoch.
    """

    def __init__(
        self,
        records: Sequence[Antibody | ProteinRecord],
        objective: Objective,
        tokens: TokenMap,
        prompt: Prompt,
        *,
        tag_dropout: float,
        seed: int,
        weights: Tensor | None = None,
    ) -> None:
        """Set up ``n`` chains.

        Args:
            records: the training split.
            objective: corrupts each chain.
            tokens: ids of the tokenizer.
            prompt: condition tags.
            tag_dropout: how often a tag is hidden, in [0, 1).
            seed: of order and noise.
            weights: ``(n,)`` float64 > 0: how often each chain is drawn, in proportion. Without
                them every epoch shows each chain once.
        """
        self._records = records
        self._objective = objective
        self._tokens = tokens
        self._prompt = prompt
        self._tag_dropout = tag_dropout
        self._seed = seed
        self._cumulative = None if weights is None else weights.cumsum(0)
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))  # of the epoch read last

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Corrupted:
        epoch, slot = divmod(index, len(self._records))
        record = self._records[int(self._rows(epoch)[slot])]
        rng = generator(self._seed, epoch, slot)
        tags = self._prompt.tags
        chosen = tags.drop(describe(record, tags), self._tag_dropout, rng)
        prefix = self._prompt.ids(chosen)
        if isinstance(record, ProteinRecord):
            example = encode_protein(record, self._tokens, prefix)
        else:
            example = encode(record, self._tokens, prefix)
        return self._objective.corrupt(example, self._tokens, rng)

    def _rows(self, epoch: int) -> Tensor:
        """``(n,)`` row shown at each slot of ``epoch``."""
        if self._order[0] != epoch:
            rng = generator(self._seed, epoch)
            n = len(self._records)
            if self._cumulative is None:
                rows = torch.randperm(n, generator=rng)
            else:
                at = torch.rand(n, generator=rng, dtype=torch.float64) * self._cumulative[-1]
                rows = torch.searchsorted(self._cumulative, at, right=True).clamp(max=n - 1)
            self._order = (epoch, rows)
        return self._order[1]


class EpochSampler(Sampler[int]):
    """The indices of `CorruptedChains` in order, cut into epochs where an optimizer step ends.

    An epoch of the Trainer is one of the chains rounded up to whole steps; the next one goes on
    where it ended. So all steps have equally many chains and step ``k`` has the same ones, whether
    one process accumulates four micro-batches or four ranks hold one each. Left to Accelerate,
    ranks would fill the last step of an epoch up with the first chains of the same epoch, and
    one process would leave it short.
    """

    def __init__(self, n_rows: int, rows_per_step: int) -> None:
        """Count ``n_rows`` chains per pass and ``rows_per_step`` per optimizer step, all ranks."""
        self._rows_per_epoch = -(-n_rows // rows_per_step) * rows_per_step
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the next epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._rows_per_epoch

    def __iter__(self) -> Iterator[int]:
        first = self._epoch * self._rows_per_epoch
        return iter(range(first, first + self._rows_per_epoch))
