"""The ways to split: which rows stay together, and by what. Assigns no sides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hfbio.data.clusters import cluster
from hfbio.data.groups import cell_links, clone_links, deciding
from hfbio.data.links import Links, keys
from hfbio.errors import DataError, SettingError

DEFAULT: Final = "clone+cluster"
TIME: Final = "time:"
_COLUMN: Final = "column:"
_FAMILY: Final = r"^(?P<family>IG[HKL]V[0-9]+)"


def check_way(by: str) -> None:
    """Refuse a way that is none.

    Raises:
        SettingError: it is not one of those of `split_table`.
    """
    prefix, _, name = by.partition(":")
    if by not in _WAYS and not (f"{prefix}:" in (TIME, _COLUMN) and name):
        ways = ", ".join([*_WAYS, f"{_COLUMN}NAME", f"{TIME}NAME"])
        raise SettingError(f"a table can be split by {ways}; not by {by!r}")


def links_by(by: str, rows: pa.Table, table: Path, folder: Path) -> Links:
    """Rows that must be on one side.

    Args:
        by: a way of `split_table`.
        rows: of the table, with `groups.COLUMNS` and ``v_call``.
        table: where other columns are.
        folder: for files of MMseqs2.

    Raises:
        DataError: a column is missing, or a row has no value in it; MMseqs2 failed.
        SettingError: MMseqs2 is not there.
    """
    if by in _WAYS:
        return _WAYS[by](rows, folder)
    links = cell_links(rows)
    links.join(keys(pa.chunked_array([column_of(table, by.partition(":")[2])])))
    return links


def column_of(table: Path, name: str) -> pa.Array:
    """The values of a column as text, none of them empty.

    Raises:
        DataError: there is no such column, or a row has no value.
    """
    with pq.ParquetFile(table) as file:
        if name not in file.schema_arrow.names:
            names = ", ".join(file.schema_arrow.names)
            raise DataError(f"{table} has no column {name!r}; it has {names}")
        values = file.read([name])[name].combine_chunks()
    return _filled(values.cast(pa.string()), name)


def _filled(values: pa.Array, name: str) -> pa.Array:
    empty = pc.equal(pc.utf8_trim_whitespace(pc.fill_null(values, "")), "")
    if n_empty := pc.sum(empty).as_py():
        raise DataError(
            f"{n_empty} of {len(values)} rows have no {name}, so their side is not known; "
            "leave them out, or split another way"
        )
    return values


def _by_clone(rows: pa.Table, folder: Path) -> Links:
    return clone_links(rows)


def _by_cluster(rows: pa.Table, folder: Path) -> Links:
    return _clustered(cell_links(rows), rows, folder)


def _by_both(rows: pa.Table, folder: Path) -> Links:
    return _clustered(clone_links(rows), rows, folder)


def _by_family(rows: pa.Table, folder: Path) -> Links:
    """V families of the chains that decide; the light chains of cells go along."""
    links = cell_links(rows)
    decides = deciding(rows)
    found = pc.struct_field(pc.extract_regex(rows["v_call"], _FAMILY), "family")
    named = pc.if_else(pa.array(decides), pc.fill_null(found, ""), "-")
    families = keys(pa.chunked_array([_filled(_whole(named), "V gene")]))
    links.join(np.where(decides, families, -1))
    return links


def _by_subject(rows: pa.Table, folder: Path) -> Links:
    links = cell_links(rows)
    links.join(keys(pa.chunked_array([_filled(_whole(rows["subject"]), "subject")])))
    return links


def _by_chance(rows: pa.Table, folder: Path) -> Links:
    return cell_links(rows)


def _clustered(links: Links, rows: pa.Table, folder: Path) -> Links:
    """Add clusters of the chains that decide; light chains of cells would tie all together."""
    sequence = np.where(deciding(rows), keys(rows["sequence_aa"]), -1)
    distinct, first, number = np.unique(sequence, return_index=True, return_inverse=True)
    decides = distinct >= 0
    sequences = rows["sequence_aa"].take(pa.array(first[decides])).to_pylist()
    centre = np.full(len(distinct), -1, np.int64)
    centre[decides] = cluster(sequences, folder)
    links.join(centre[number])
    return links


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


_WAYS: Final[dict[str, Callable[[pa.Table, Path], Links]]] = {
    DEFAULT: _by_both,
    "clone": _by_clone,
    "cluster": _by_cluster,
    "v_family": _by_family,
    "subject": _by_subject,
    "random": _by_chance,
}
