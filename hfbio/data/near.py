"""Which of many chains are nearly those of another set. Finds no distant relatives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hfbio.data.links import keys
from hfbio.numbering import Numbered, Position, check
from hfbio.record import REGIONS

COLUMNS: Final = ("sequence_aa", "locus", *(f"{region}_aa" for region in REGIONS))
"""Columns that `align` looks at."""

_BLOCK: Final = 4  # IMGT positions; in one uint16
_AT_ONCE: Final = 8  # blocks compared before those that differ too much are let go


@dataclass(frozen=True)
class Aligned:
    """Chains of one locus in columns of IMGT positions."""

    rows: NDArray[np.int64]  # (n,) where they stand in the table
    letters: NDArray[np.uint8]  # (n, C) ASCII; 0 where a chain has no residue


def align(tables: Sequence[pa.Table]) -> dict[str, tuple[Aligned, ...]]:
    """The chains of each locus, for all tables in the same columns.

    One chain is numbered for all that have the same seven region lengths in a locus, and these are
    taken to have the same positions. A chain that is no domain alone is left out.

    Args:
        tables: with the columns `COLUMNS`.

    Returns:
        By locus, as many as there are tables.
    """
    joined = pa.concat_tables([table.select(COLUMNS) for table in tables])
    borders = np.cumsum([0, *(table.num_rows for table in tables)])
    lengths = [pc.utf8_length(joined[name]).cast(pa.string()) for name in COLUMNS[2:]]
    layout = keys(joined["locus"], *lengths)
    found: dict[str, list[tuple[NDArray[np.int64], int, tuple[Position, ...]]]] = {}
    order = np.argsort(layout, kind="stable")
    cuts = np.flatnonzero(np.diff(layout[order])) + 1
    for rows in np.split(order, cuts) if len(order) else ():
        # The least of them, so that row order does not matter.
        sample = pc.min(joined["sequence_aa"].take(pa.array(rows))).as_py()
        domain = check(sample, max_missing=len(sample))
        if isinstance(domain, Numbered):
            member = (rows, domain.start, domain.positions)
            found.setdefault(str(domain.locus), []).append(member)
    return {locus: _aligned(joined, members, borders) for locus, members in found.items()}


def near(
    queries: Aligned, references: Aligned, identity: float
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """For each query all references at least ``identity`` like it.

    Identity is that of `hfbio.data.identity.nearest_identity`: equal residues over the positions
    that either has. Exact: a pair that is near enough differs in so few positions that most blocks
    of positions agree, and only such pairs are compared in full.

    Args:
        queries: any.
        references: in the same columns.
        identity: share in (0.5, 1].

    Returns:
        Index into ``queries``, and ``(k,)`` indices into ``references``, which may be none.
    """
    blocks = _blocks(references.letters)
    wanted = _blocks(queries.letters)
    # Blocks of many kinds tell most apart.
    order = np.argsort([-len(np.unique(block[:20_000])) for block in blocks], kind="stable")
    for at in range(len(queries.rows)):
        n_residues = int(np.count_nonzero(queries.letters[at]))
        # At most (1 - t) of the union differ, and the union is no more than query and differences.
        most = int(n_residues * (1 - identity) / identity + 1e-9)
        left = np.arange(len(references.rows))
        n_different = np.zeros(len(left), np.uint8)
        for start in range(0, len(order), _AT_ONCE):
            for b in order[start : start + _AT_ONCE]:
                block = blocks[b] if len(left) == len(blocks[b]) else blocks[b][left]
                n_different += block != wanted[b][at]
            kept = n_different <= most
            left, n_different = left[kept], n_different[kept]
        yield at, left[_identity(queries.letters[at], references.letters[left]) >= identity]


def _identity(query: NDArray[np.uint8], references: NDArray[np.uint8]) -> NDArray[np.float64]:
    either = ((query | references) != 0).sum(axis=1)
    equal = ((query == references) & (query != 0)).sum(axis=1)
    return np.asarray(equal / np.maximum(either, 1), np.float64)


def _aligned(
    table: pa.Table,
    members: Sequence[tuple[NDArray[np.int64], int, tuple[Position, ...]]],
    borders: NDArray[np.int64],
) -> tuple[Aligned, ...]:
    columns = {p: i for i, p in enumerate(sorted({p for *_, ps in members for p in ps}))}
    n_rows = sum(len(rows) for rows, *_ in members)
    letters = np.zeros((n_rows, len(columns)), np.uint8)
    n_done = 0
    for rows, start, positions in members:
        text = "".join(table["sequence_aa"].take(pa.array(rows)).to_pylist()).encode()
        residues = np.frombuffer(text, np.uint8).reshape(len(rows), -1)
        at = [columns[position] for position in positions]
        block = letters[n_done : n_done + len(rows)]
        block[:, at] = residues[:, start : start + len(positions)]
        n_done += len(rows)
    rows = np.concatenate([rows for rows, *_ in members])
    order = np.argsort(rows)
    rows, letters = rows[order], letters[order]
    edges = np.searchsorted(rows, borders)
    return tuple(
        Aligned(rows[a:b] - border, letters[a:b])
        for (a, b), border in zip(pairwise(edges), borders)
    )


def _blocks(letters: NDArray[np.uint8]) -> list[NDArray[np.uint16]]:
    """For each block of columns ``(n,)`` a number that equal residues share."""
    blocks = []
    for start in range(0, letters.shape[1], _BLOCK):
        block = np.zeros(len(letters), np.uint16)
        for column in letters[:, start : start + _BLOCK].T:
            block = block * np.uint16(31) + column  # modulo 2^16: some are alike by chance
        blocks.append(block)
    return blocks
