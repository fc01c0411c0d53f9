"""What a model says of all 20 residues at every place of a chain. Changes no residue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hfbio.alphabet import RESIDUES
from hfbio.data.encode import Example
from hfbio.numbering import label, number_whole
from hfbio.record import Antibody
from hfbio.score.likelihood import Likelihood, residue_log_p
from hfbio.tokens import TokenMap


@dataclass(frozen=True, eq=False)
class Scan:
    """The 20 residues at each place of one chain, of ``n`` residues, under a model.

    A masked model is asked at each place with the residue there hidden and all others shown, so
    what it answers does not depend on the residue it is compared with. A causal model is given the
    residues before the place alone, or those behind it if it reads chains from their end, so a
    change is not charged for what it does to the residues that follow. ``likelihood`` tells which.
    """

    sequence_id: str
    sequence_aa: str
    locus: str
    likelihood: Likelihood
    log_p: Tensor  # (n, 20) float32, nats <= 0, columns as in `alphabet.RESIDUES`
    positions: tuple[str, ...]  # n IMGT positions, such as 111A
    regions: tuple[int, ...]  # 8 cut points, as in `AntibodyRecord`

    @property
    def nats(self) -> Tensor:
        """``(n,)`` float32, ``-ln p`` of the residues that stand there."""
        return -self._own.squeeze(1)

    @property
    def log_ratio(self) -> Tensor:
        """``(n, 20)`` float32 nats: each residue against the one that stands there, which has 0.

        Of a masked model: the "masked marginals" of Meier et al. 2021, "Language models enable
        zero-shot prediction of the effects of mutations on protein function", equation 1.
        """
        return self.log_p - self._own

    def rows(self) -> Iterator[dict[str, Any]]:
        """One row for each place and each of the 20 residues; ``index`` counts from 1."""
        log_p, ratio = self.log_p.tolist(), self.log_ratio.tolist()
        for i, (position, residue) in enumerate(zip(self.positions, self.sequence_aa)):
            for mutant, lp, lr in zip(RESIDUES, log_p[i], ratio[i]):
                yield {
                    "sequence_id": self.sequence_id,
                    "locus": self.locus,
                    "position": position,
                    "index": i + 1,
                    "residue": residue,
                    "mutant": mutant,
                    "log_p": lp,
                    "log_ratio": lr,
                }

    @property
    def _own(self) -> Tensor:
        own = torch.tensor([RESIDUES.index(letter) for letter in self.sequence_aa])
        return self.log_p.gather(1, own.unsqueeze(1))


def scan_chains(
    model: nn.Module,
    tokens: TokenMap,
    record: Antibody,
    example: Example,
    likelihood: Likelihood,
    *,
    batch_size: int = 64,
) -> tuple[Scan, ...]:
    """A scan of each chain of a record: one, or of a pair the heavy one first.

    As in `residue_nats` the softmax runs over the model's whole vocabulary, so that the two agree
    and the 20 probabilities of a place sum to slightly less than one. A pair is read as a whole:
    each of its chains is scanned in the presence of the other.

    Args:
        model: returns an object with ``logits`` ``(B, L, V)``; put into evaluation mode.
        tokens: what its ids mean.
        record: a numbered chain, or a pair of them.
        example: the same, encoded.
        likelihood: of the model.
        batch_size: rows per forward pass; a masked model takes one a residue, a causal one a pass.

    Returns:
        All named after ``record``.

    Raises:
        SequenceError: a chain is not one variable domain of the 20 residues.
    """
    name = f"record {record.sequence_id!r}"
    domains = [number_whole(chain.sequence_aa, name) for chain in record.chains]
    log_p = residue_log_p(model, tokens, example, likelihood, batch_size=batch_size)
    log_p = log_p[:, list(tokens.residue_ids)]
    parts = log_p.split([len(chain.sequence_aa) for chain in record.chains])
    return tuple(
        Scan(
            record.sequence_id,
            chain.sequence_aa,
            chain.locus,
            likelihood,
            part,
            tuple(map(label, domain.positions)),
            chain.regions,
        )
        for chain, part, domain in zip(record.chains, parts, domains)
    )
