"""Which chains must stay on one side of a split. Assigns no sides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hfbio.data.links import Links, keys
from hfbio.record import Antibody, Locus

CDRH3_IDENTITY: Final = 0.8
"""Least identity of two CDRH3 of one length in one group.

The threshold by which clonotypes are usually called; with it 0 % of test chains have an identical
CDRH3 in train, and 4.1 % a train chain at 95 % (10,492 unique VH). See Gupta et al. 2017,
J. Immunol. 198, 2489, for what such thresholds separate."""

COLUMNS: Final = ("sequence_aa", "locus", "clone_id", "subject", "cell_id", "cdr3_aa")
"""Columns that groups depend on."""

_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)  # odd: letters of a block stay apart, modulo 2^64


def clone_groups(antibodies: Sequence[Antibody]) -> NDArray[np.int64]:
    """`clone_links` of records, as ``(N,)`` group numbers; a pair counts as its heavy chain."""
    records = [antibody.chains[0] for antibody in antibodies]
    values = {name: [getattr(r, name) for r in records] for name in COLUMNS[:-1]}
    values["cdr3_aa"] = [r.region("cdr3") for r in records]
    columns = {name: pa.array(column, pa.string()) for name, column in values.items()}
    return clone_links(pa.table(columns)).numbers()


def clone_links(rows: pa.Table) -> Links:
    """Group chains that share ancestry or nearly so.

    A group is a connected component of these links:

    - the same sequence;
    - the same ``clone_id`` in the same ``subject``, as the file says;
    - heavy chains with CDRH3 of the same length and at least `CDRH3_IDENTITY`;
    - the chains of one cell: the same ``cell_id`` in the same ``subject``;
    - light chains of one locus with the same CDR3, unless they come with a heavy chain, which then
      decides alone. CDR3s of light chains are short and little diverse: at 0.8 they, and through
      cells any shared light chain, would tie a whole repertoire into one group.

    Args:
        rows: with the columns `COLUMNS`, N rows.

    Returns:
        Links of 0..N-1, to which more can be added.
    """
    links = cell_links(rows)
    in_cell = keys(rows["cell_id"]) >= 0
    links.join(np.where(in_cell, -1, keys(rows["locus"], rows["sequence_aa"])))
    links.join(keys(rows["subject"], rows["clone_id"]))
    heavy = is_heavy(rows)
    cdr3s = keys(rows["locus"], rows["cdr3_aa"])
    links.join(np.where(deciding(rows), cdr3s, -1))
    _, first = np.unique(cdr3s[heavy & (cdr3s >= 0)], return_index=True)
    distinct = np.flatnonzero(heavy & (cdr3s >= 0))[first]
    sequences = rows["cdr3_aa"].take(pa.array(distinct)).to_pylist()
    for a, b in similar(sequences, CDRH3_IDENTITY):
        links.pair(distinct[a], distinct[b])
    return links


def cell_links(rows: pa.Table) -> Links:
    """Links in which the chains of one cell are together and all others alone."""
    links = Links(rows.num_rows)
    links.join(keys(rows["subject"], rows["cell_id"]))
    return links


def is_heavy(rows: pa.Table) -> NDArray[np.bool_]:
    """``(N,)`` which rows are heavy chains."""
    found: NDArray[np.bool_] = pc.equal(rows["locus"], str(Locus.IGH)).to_numpy()
    return found


def deciding(rows: pa.Table) -> NDArray[np.bool_]:
    """``(N,)`` which rows groups are made by: all but light chains that come with a heavy one."""
    heavy = is_heavy(rows)
    cells = keys(rows["subject"], rows["cell_id"])
    return heavy | (cells < 0) | ~np.isin(cells, cells[heavy])


def similar_pairs(sequences: Sequence[str], identity: float) -> Iterator[tuple[str, str]]:
    """The pairs of `similar`, as sequences."""
    for a, b in similar(sequences, identity):
        yield from ((sequences[i], sequences[j]) for i, j in zip(a.tolist(), b.tolist()))


def similar(
    sequences: Sequence[str], identity: float
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """All pairs of one length with at least ``identity`` equal positions, each pair at least once.

    Exact, without comparing all with all: two sequences with at most ``d`` differences, cut into
    ``d + 2`` blocks, agree in at least two blocks, so only sequences that share two blocks are
    compared.

    Args:
        sequences: distinct, ASCII.
        identity: share in (0.5, 1].

    Returns:
        Indices of the one and of the other of each pair, many pairs at a time.
    """
    by_length: dict[int, list[int]] = defaultdict(list)
    for i, sequence in enumerate(sequences):
        by_length[len(sequence)].append(i)
    for length, indices in by_length.items():
        n_different = int(length * (1 - identity) + 1e-9)
        if n_different == 0:
            continue
        members = np.array(indices)
        text = "".join(sequences[i] for i in indices).encode()
        letters = np.frombuffer(text, np.uint8).reshape(-1, length)
        for a, b in _sharing_two_blocks(letters, n_different):
            close = (letters[a] != letters[b]).sum(axis=1) <= n_different
            yield members[a[close]], members[b[close]]


def _sharing_two_blocks(
    letters: NDArray[np.uint8], n_different: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Row pairs in which every pair with at most ``n_different`` differences is."""
    edges = np.linspace(0, letters.shape[1], n_different + 3).round().astype(int).tolist()
    blocks = [_hashes(letters[:, start:stop]) for start, stop in pairwise(edges)]
    for one, two in combinations(blocks, 2):
        shared = (one * _FACTOR) ^ two  # two that are alike by chance are only compared in vain
        order = np.argsort(shared, kind="stable")
        shared = shared[order]
        at = np.arange(len(order) - 1)
        step = 1
        while len(at := at[at + step < len(order)]):
            at = at[shared[at] == shared[at + step]]
            if len(at):
                yield order[at], order[at + step]
            step += 1


def _hashes(block: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """``(m,)`` one number for the letters of each row."""
    hashes = np.zeros(len(block), np.uint64)
    for column in block.T:
        hashes = (hashes + column) * _FACTOR
    return hashes
