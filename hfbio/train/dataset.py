"""Training examples whose noise is a pure function of (seed, epoch, row). Reads no files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Dataset, Sampler

from hfbio.data.encode import Corrupted, encode, tag_values
from hfbio.objectives import Objective
from hfbio.record import AntibodyRecord
from hfbio.rng import generator
from hfbio.tokens import Prompt, TokenMap


class CorruptedChains(Dataset[Corrupted]):
    """Item ``epoch * n + row`` is chain ``row`` as corrupted in that epoch.

    The epoch travels inside the index, so that data-loader workers, ranks, accumulation and a
    resumed run all see the same noise without being told the epoch.
    """

    def __init__(
        self,
        records: Sequence[AntibodyRecord],
        objective: Objective,
        tokens: TokenMap,
        prompt: Prompt,
        *,
        tag_dropout: float,
        seed: int,
    ) -> None:
        self._records = records
        self._objective = objective
        self._tokens = tokens
        self._prompt = prompt
        self._tag_dropout = tag_dropout
        self._seed = seed

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Corrupted:
        epoch, row = divmod(index, len(self._records))
        record = self._records[row]
        rng = generator(self._seed, epoch, row)
        tags = self._prompt.tags
        described = tags.describe(tag_values(record, tags.fields))
        chosen = tags.drop(described, self._tag_dropout, rng)
        example = encode(record, self._tokens, self._prompt.ids(chosen))
        return self._objective.corrupt(example, self._tokens, rng)


class EpochSampler(Sampler[int]):
    """Rows in an order drawn anew each epoch, as indices of `CorruptedChains`."""

    def __init__(self, n_rows: int, seed: int) -> None:
        self._n_rows = n_rows
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order and the noise of the next pass."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._n_rows

    def __iter__(self) -> Iterator[int]:
        rng = generator(self._seed, self._epoch)
        first = self._epoch * self._n_rows
        for row in torch.randperm(self._n_rows, generator=rng).tolist():
            yield first + row
