"""Which chains must stay on one side of a split. Assigns no sides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import combinations, pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hfbio.record import Antibody, AntibodyRecord, Locus

CDRH3_IDENTITY: Final = 0.8
"""Least identity of two CDRH3 of one length in one group.

The threshold by which clonotypes are usually called; with it 0 % of test chains have an identical
CDRH3 in train, and 4.1 % a train chain at 95 % (10,492 unique VH). See Gupta et al. 2017,
J. Immunol. 198, 2489, for what such thresholds separate."""

_SMALL: Final = 64  # sequences compared all against all without an index


def clone_groups(antibodies: Sequence[Antibody]) -> NDArray[np.int64]:
    """Group chains that share ancestry or nearly so: ``(N,)``, the group number of each record.

    A group is a connected component of these links:

    - the same sequence;
    - the same ``clone_id`` in the same ``subject``, as the file says;
    - heavy chains with CDRH3 of the same length and at least `CDRH3_IDENTITY`;
    - the chains of one cell: the same ``cell_id`` in the same ``subject``;
    - light chains of one locus with the same CDR3, unless they come with a heavy chain, which then
      decides alone. CDR3s of light chains are short and little diverse: at 0.8 they, and through
      cells any shared light chain, would tie a whole repertoire into one group.

    A pair counts as its heavy chain. Groups are numbered by first appearance.
    """
    records = [antibody.chains[0] for antibody in antibodies]
    links = _Links(len(records))
    links.join((r.locus, r.sequence_aa) if not r.cell_id else "" for r in records)
    links.join(r.clone_id and (r.subject, r.clone_id) for r in records)
    links.join(_cell(r) for r in records)
    paired = {(r.subject, r.cell_id) for r in records if r.cell_id and r.locus == Locus.IGH}
    alone = (r.locus != Locus.IGH and (r.subject, r.cell_id) not in paired for r in records)
    links.join(is_alone and (r.locus, r.region("cdr3")) for is_alone, r in zip(alone, records))
    heavy = [r.region("cdr3") if r.locus == Locus.IGH else "" for r in records]
    links.join(heavy)
    first = {cdr3: i for i, cdr3 in reversed(list(enumerate(heavy))) if cdr3}
    for a, b in similar_pairs(list(first), CDRH3_IDENTITY):
        links.union(first[a], first[b])
    return links.numbers()


def cell_groups(records: Sequence[AntibodyRecord]) -> NDArray[np.int64]:
    """``(N,)`` group numbers in which the chains of one cell are together and all others alone."""
    links = _Links(len(records))
    links.join(_cell(r) for r in records)
    return links.numbers()


def similar_pairs(sequences: Sequence[str], identity: float) -> Iterator[tuple[str, str]]:
    """All pairs of one length with at least ``identity`` equal positions, each pair at least once.

    Exact, without comparing all with all: two sequences with at most ``d`` differences, cut into
    ``d + 2`` blocks, agree in at least two blocks, so only sequences that share two blocks are
    compared.

    Args:
        sequences: distinct, ASCII.
        identity: share in (0.5, 1].
    """
    by_length: dict[int, list[str]] = defaultdict(list)
    for sequence in sequences:
        by_length[len(sequence)].append(sequence)
    for length, members in by_length.items():
        n_different = int(length * (1 - identity) + 1e-9)
        if n_different == 0:
            continue
        letters = np.array([list(m.encode()) for m in members], np.uint8)
        for bucket in _buckets(members, length, n_different):
            for i, j in _close(letters[bucket], n_different):
                yield members[bucket[i]], members[bucket[j]]


def _cell(record: AntibodyRecord) -> Hashable:
    return record.cell_id and (record.subject, record.cell_id)


def _buckets(members: Sequence[str], length: int, n_different: int) -> Iterator[NDArray[np.int64]]:
    """Index sets, so that every pair with at most ``n_different`` differences is in one of them."""
    if len(members) <= _SMALL:
        yield np.arange(len(members))
        return
    edges = np.linspace(0, length, n_different + 3).round().astype(int).tolist()
    blocks = [slice(start, stop) for start, stop in pairwise(edges)]
    for one, two in combinations(blocks, 2):
        shared: dict[tuple[str, str], list[int]] = defaultdict(list)
        for i, member in enumerate(members):
            shared[member[one], member[two]].append(i)
        yield from (np.array(bucket) for bucket in shared.values() if len(bucket) > 1)


def _close(letters: NDArray[np.uint8], n_different: int) -> Iterator[tuple[int, int]]:
    for i in range(len(letters) - 1):
        different = (letters[i + 1 :] != letters[i]).sum(axis=1)
        for j in np.flatnonzero(different <= n_different):
            yield i, i + 1 + int(j)


class _Links:
    """Disjoint sets of 0..n-1, joined by equal keys or one by one."""

    def __init__(self, n: int) -> None:
        self._parent = list(range(n))

    def union(self, a: int, b: int) -> None:
        a, b = self._root(a), self._root(b)
        self._parent[max(a, b)] = min(a, b)

    def join(self, keys: Iterable[Hashable]) -> None:
        """Link all items with one key; a false key (empty, ``False``) links nothing."""
        first: dict[Hashable, int] = {}
        for i, key in enumerate(keys):
            if key:
                self.union(i, first.setdefault(key, i))

    def numbers(self) -> NDArray[np.int64]:
        names: dict[int, int] = {}
        roots = (self._root(i) for i in range(len(self._parent)))
        return np.array([names.setdefault(root, len(names)) for root in roots], np.int64)

    def _root(self, i: int) -> int:
        while self._parent[i] != i:
            self._parent[i] = self._parent[self._parent[i]]
            i = self._parent[i]
        return i
