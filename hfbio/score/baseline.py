"""What counting residues already predicts: the bar a language model has to beat."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from hfbio.alphabet import RESIDUES
from hfbio.data.encode import record_tag
from hfbio.numbering import number
from hfbio.record import Antibody, AntibodyRecord

Position = tuple[int, str]
Place = tuple[int, Position]
"""Which chain of the record, from 0, and where in it."""


class PositionFrequency:
    """Residue frequencies by IMGT position and, if asked, by V family.

    Of pairs the heavy and the light chains are counted apart, and each chain has its own family.

    p(residue | position) = (count + 1/20 * 1) / (n + 1): one pseudo-count spread evenly.
    p(residue | position, family) = (count + p(residue | position)) / (n + 1): one pseudo-count
    spread as the position alone has it, so that a rare family falls back on all families.
    (Additive smoothing with back-off, Chen and Goodman 1996, sections 2.1 and 2.3.)
    """

    def __init__(self, records: Sequence[Antibody], *, by_family: bool) -> None:
        """Count residues of numbered ``records``, normally the training split."""
        self._by_family = by_family
        self._all: dict[Place, Counter[str]] = defaultdict(Counter)
        self._family: dict[tuple[str, Place], Counter[str]] = defaultdict(Counter)
        for record in records:
            for family, place, letter in _residues(record):
                self._all[place][letter] += 1
                self._family[family, place][letter] += 1

    def probabilities(self, record: Antibody) -> Tensor:
        """``(n, 20)`` float64 probability of each of ``alphabet.RESIDUES`` at each residue."""
        rows = []
        for family, place, _ in _residues(record):
            uniform = torch.full((len(RESIDUES),), 1 / len(RESIDUES), dtype=torch.float64)
            row = _smooth(self._all.get(place, Counter()), uniform)
            if self._by_family:
                row = _smooth(self._family.get((family, place), Counter()), row)
            rows.append(row)
        return torch.stack(rows)


class BaselinePredictor:
    """A `PositionFrequency` in the shape that ``score.heldout.measure`` asks for."""

    def __init__(self, baseline: PositionFrequency, records: Sequence[Antibody]) -> None:
        self._nats, self._hits = [], []
        for record in records:
            p = baseline.probabilities(record)
            truth = torch.tensor([RESIDUES.index(letter) for _, _, letter in _residues(record)])
            self._nats.append(-p.gather(1, truth.unsqueeze(1)).squeeze(1).log())
            self._hits.append(p.argmax(dim=1) == truth)

    def __call__(
        self, rows: Sequence[int], hidden: Sequence[Tensor]
    ) -> list[tuple[Tensor, Tensor]]:
        """Nats and hits of the hidden residues; the residues shown are not used."""
        return [(self._nats[row][at], self._hits[row][at]) for row, at in zip(rows, hidden)]


def imgt_positions(record: AntibodyRecord) -> tuple[Position, ...]:
    """IMGT position of each residue of a numbered record."""
    return number(record.sequence_aa).positions


def _residues(record: Antibody) -> Iterator[tuple[str, Place, str]]:
    """V family of its chain, place and letter of each residue, in the order of encoding."""
    for i, chain in enumerate(record.chains):
        family = record_tag(chain, "v_family")
        for position, letter in zip(imgt_positions(chain), chain.sequence_aa):
            yield family, (i, position), letter


def _smooth(counts: Counter[str], prior: Tensor) -> Tensor:
    row = torch.tensor([counts[letter] for letter in RESIDUES], dtype=torch.float64)
    return (row + prior) / (row.sum() + 1)
