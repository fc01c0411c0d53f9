"""Rows of Parquet files and of data sets on the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from hfbio.data.readers.rows import Row, Rows, read_rows
from hfbio.data.reject import Fault, Reject
from hfbio.errors import DataError
from hfbio.record import AntibodyRecord

_HUB: Final = "hf://datasets/"
_BATCH: Final = 2000  # rows held as Python objects; a row of OAS has a hundred columns
# Damage to a page shows as one of these, and damage to a value as ValueError or OverflowError.
_DAMAGE: Final = (pa.ArrowException, OSError, ValueError, OverflowError)


def read_parquet(
    path: Path, chosen: Mapping[str, str] | None = None
) -> Iterator[AntibodyRecord | Reject]:
    """Read a Parquet file by its column names; lines are row numbers from 1.

    Where the file is damaged, that is the last item, a `Reject`; earlier rows are read.

    Args:
        path: the file.
        chosen: see `hfbio.data.columns.find_columns`.

    Raises:
        DataError: the file is missing or not Parquet, or see `read_rows`.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        file = pq.ParquetFile(path)
        names = tuple(file.schema_arrow.names)
    except _DAMAGE as fault:
        raise DataError(f"{path}: not a Parquet file ({fault})") from fault

    def rows() -> Iterator[Row]:
        line = 0
        try:
            for batch in file.iter_batches(batch_size=_BATCH):
                for values in zip(*(column.to_pylist() for column in batch.columns)):
                    line += 1
                    yield line, values
        except _DAMAGE as fault:
            line += 1
            yield line, Reject(str(path), line, "", Fault.DAMAGED, str(fault))

    return read_rows(Rows(source=str(path), columns=names, rows=rows()), chosen)


def read_hub(
    spec: str, chosen: Mapping[str, str] | None = None
) -> Iterator[AntibodyRecord | Reject]:
    """Stream ``hf://datasets/USER/NAME[@REVISION][/SPLIT or /PATH]`` through `datasets`.

    Rows come as they are downloaded, and are not cached: reading again downloads again.

    A last part with a suffix is a file of the repository, any other a split; without one the split
    is ``train``, or the only split there is.

    Raises:
        DataError: the spelling is wrong, the data set cannot be loaded, the split is not there, or
            see `read_rows`.
    """
    repo, revision, rest = _parse(spec)
    table = _rows(spec, _load(spec, repo, revision, rest))
    first = next(table, None)
    if first is None:
        raise DataError(f"{spec}: no rows")
    names = tuple(first)

    def rows() -> Iterator[Row]:
        for line, row in enumerate(chain([first], table), start=1):
            yield line, tuple(map(row.get, names))

    return read_rows(Rows(source=spec, columns=names, rows=rows()), chosen)


def _rows(spec: str, table: Any) -> Iterator[dict[str, object]]:
    try:
        yield from table
    except Exception as fault:  # see `_load`; a lost connection must not pass for the end
        raise DataError(f"{spec}: cannot be read from the Hub: {fault}") from fault


def _parse(spec: str) -> tuple[str, str | None, str]:
    if not spec.startswith(_HUB):
        raise DataError(f"{spec}: a Hub data set is spelled {_HUB}USER/NAME")
    user, _, tail = spec.removeprefix(_HUB).partition("/")
    repo, _, rest = tail.partition("/")
    name, _, revision = repo.partition("@")
    if not user or not name:
        raise DataError(f"{spec}: a Hub data set is spelled {_HUB}USER/NAME")
    return f"{user}/{name}", revision or None, rest


def _load(spec: str, repo: str, revision: str | None, rest: str) -> Any:
    # Here, because it takes over a second to import and most commands never need it.
    import datasets

    files = rest if Path(rest).suffix else None
    try:
        found = datasets.load_dataset(repo, revision=revision, data_files=files, streaming=True)
    except (
        Exception
    ) as fault:  # datasets raises many kinds: missing repo, gated, bad files, network
        raise DataError(f"{spec}: cannot be loaded from the Hub: {fault}") from fault
    splits = list(found)
    wanted = "train" if files or not rest else rest
    if wanted in splits:
        return found[wanted]
    if not rest and len(splits) == 1:
        return found[splits[0]]
    raise DataError(f"{spec}: no split {wanted!r}; it has: {', '.join(splits)}; add /SPLIT")
