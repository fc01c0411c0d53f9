"""How alike two variable domains are, position by position. Aligns by numbering, not by search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hfbio.alphabet import RESIDUES
from hfbio.numbering import Numbered, Position, check

_BLOCK: Final = 1024  # queries compared at once: bounds the (queries x references) matrices


@dataclass(frozen=True)
class Nearest:
    """For each query its most alike reference."""

    identity: NDArray[np.float32]  # (Q,) in [0, 1]; NaN if the query is no domain, or no
    # reference has its locus
    index: NDArray[np.int64]  # (Q,) index of the reference, the first of equals; -1 where NaN


def nearest_identity(queries: Sequence[str], references: Sequence[str]) -> Nearest:
    """Identity of each query to its nearest reference of the same locus.

    Identity is the share of equal residues over the IMGT positions that either domain occupies:
    a position only one of them has, such as an insertion in CDR3, counts as a difference. It is
    symmetric, and 1 only for equal domains. A trimmed end counts as differences too.

    All pairs are compared, by matrix products of one-hot columns; ties and results do not depend
    on threads, because the products are sums of whole numbers.

    Args:
        queries: amino acids; residues outside the domain are ignored.
        references: likewise; those that are no antibody domain are never nearest.
    """
    query_domains = [check(sequence) for sequence in queries]
    reference_domains = [check(sequence) for sequence in references]
    identity = np.full(len(queries), np.nan, np.float32)
    index = np.full(len(queries), -1, np.int64)
    loci = {d.locus for d in query_domains if isinstance(d, Numbered)}
    for locus in loci:
        rows = _of_locus(query_domains, locus)
        others = _of_locus(reference_domains, locus)
        if not others:
            continue
        domains = [(queries[i], query_domains[i]) for i in rows]
        domains += [(references[i], reference_domains[i]) for i in others]
        onehot = _onehot(domains)
        best, at = _nearest(onehot[: len(rows)], onehot[len(rows) :])
        identity[rows] = best
        index[rows] = np.asarray(others)[at]
    return Nearest(identity, index)


def _of_locus(domains: Sequence[object], locus: str) -> list[int]:
    return [i for i, d in enumerate(domains) if isinstance(d, Numbered) and d.locus == locus]


def _onehot(domains: Sequence[tuple[str, object]]) -> NDArray[np.float32]:
    """``(N, C, 21)``: one of 20 residues, or another letter, at each of C IMGT positions."""
    numbered = [(s, d) for s, d in domains if isinstance(d, Numbered)]
    columns: dict[Position, int] = {}
    for _, domain in numbered:
        for position in domain.positions:
            columns.setdefault(position, len(columns))
    letter = {residue: i for i, residue in enumerate(RESIDUES)}
    onehot = np.zeros((len(numbered), len(columns), len(RESIDUES) + 1), np.float32)
    for i, (sequence, domain) in enumerate(numbered):
        residues = sequence[domain.start : domain.stop].upper()
        at = [columns[position] for position in domain.positions]
        onehot[i, at, [letter.get(residue, len(RESIDUES)) for residue in residues]] = 1
    return onehot


def _nearest(
    queries: NDArray[np.float32], references: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    flat = references.reshape(len(references), -1).T  # (C * 21, R)
    occupied = references.sum(2).T  # (C, R)
    size = occupied.sum(0)  # (R,)
    best = np.empty(len(queries), np.float32)
    at = np.empty(len(queries), np.int64)
    for start in range(0, len(queries), _BLOCK):
        block = queries[start : start + _BLOCK]
        equal = block.reshape(len(block), -1) @ flat  # (B, R)
        filled = block.sum(2)  # (B, C)
        union = filled.sum(1)[:, None] + size[None, :] - filled @ occupied
        identity = equal / union
        chosen = identity.argmax(1)
        at[start : start + _BLOCK] = chosen
        best[start : start + _BLOCK] = identity[np.arange(len(block)), chosen]
    return best, at
