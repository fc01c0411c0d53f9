"""Small things whose right answers are known: a token map, chains, a model of a given joint."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from hfbio.alphabet import RESIDUES
from hfbio.numbering import number
from hfbio.record import AntibodyRecord
from hfbio.tokens import TokenMap

# Ids in another order than the letters, so that an index taken for an id is noticed.
TOKENS = TokenMap(
    vocab_size=26,
    residue_ids=tuple(4 + (7 * i) % 20 for i in range(20)),
    pad_id=1,
    start_id=0,
    stop_id=2,
    mask_id=24,
    unknown_id=3,
)
SPECIAL_IDS = tuple(set(range(TOKENS.vocab_size)) - set(TOKENS.residue_ids))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(sequence: str, name: str = "chain", **fields: str) -> AntibodyRecord:
    """A record as `hfbio.data.clean` returns it; the sequence must be a whole domain."""
    found = number(sequence)
    assert (found.start, found.stop) == (0, len(sequence))
    fields.setdefault("locus", str(found.locus))
    return AntibodyRecord(name, sequence, regions=found.regions, **fields)


def chi_square(counts: Tensor, probabilities: Tensor) -> tuple[float, float]:
    """Pearson's statistic over the cells that can occur, and a bar it stays under.

    The bar is five standard deviations above the mean of the distribution under the hypothesis,
    about one in 10,000 for few degrees of freedom; seeds are fixed, so a test passes always or
    never.
    """
    counts, probabilities = counts.double().flatten(), probabilities.double().flatten()
    possible = probabilities > 0
    assert counts[~possible].sum() == 0, "something happened that cannot"
    expected = probabilities[possible] * counts.sum()
    statistic = ((counts[possible] - expected) ** 2 / expected).sum().item()
    freedom = int(possible.sum()) - 1
    return statistic, freedom + 5 * (2 * freedom) ** 0.5


class JointModel(nn.Module):
    """A masked model that answers with the exact conditionals of a joint distribution.

    ``joint`` is ``(K,) * n`` over the first ``K`` residues of the alphabet at ``n`` positions
    behind one start token. Special tokens get the largest logits: nothing may ever draw them.
    """

    def __init__(self, joint: Tensor) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))
        self.n, self.k = joint.dim(), joint.shape[0]
        self.n_calls = 0
        self._class = torch.full((TOKENS.vocab_size,), self.k)  # K stands for "masked"
        self._class[list(TOKENS.residue_ids[: self.k])] = torch.arange(self.k)
        table = torch.zeros((self.k + 1,) * self.n + (self.n, self.k), dtype=torch.float64)
        for pattern in product(range(self.k + 1), repeat=self.n):
            known = joint.double()
            for axis, value in enumerate(pattern):
                if value < self.k:
                    keep = torch.zeros(self.k, dtype=torch.float64)
                    keep[value] = 1
                    shape = [1] * self.n
                    shape[axis] = self.k
                    known = known * keep.view(shape)
            for axis in range(self.n):
                others = [other for other in range(self.n) if other != axis]
                # A sum over no axis would be one over all of them.
                one = known.sum(dim=others) if others else known
                table[pattern][axis] = one / known.sum()
        self._table = table

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        self.n_calls += 1
        logits = torch.full((*input_ids.shape, TOKENS.vocab_size), -1e4)
        pattern = self._class[input_ids[:, 1 : 1 + self.n]]  # (B, n)
        p = self._table[tuple(pattern.T)]  # (B, n, K)
        logits[:, 1 : 1 + self.n, list(TOKENS.residue_ids[: self.k])] = p.log().float()
        logits[..., list(SPECIAL_IDS)] = 50.0
        return SimpleNamespace(logits=logits)


class PositionModel(nn.Module):
    """Logits that depend on the position and on the residue shown before it, on nothing else."""

    def __init__(self, n_positions: int = 64, seed: int = 0) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))
        shape = (n_positions, TOKENS.vocab_size, TOKENS.vocab_size)
        self._logits = 2 * torch.randn(shape, generator=seeded(seed))
        self._logits[..., list(SPECIAL_IDS)] += 20.0

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        before = torch.cat([input_ids[:, :1], input_ids[:, :-1]], dim=1)
        at = torch.arange(input_ids.shape[1])
        return SimpleNamespace(logits=self._logits[at, before])


def letters(ids: Tensor) -> str:
    return TOKENS.decode(ids)


assert sorted(TOKENS.decode(torch.tensor(TOKENS.residue_ids))) == sorted(RESIDUES)
