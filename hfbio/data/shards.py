"""What a long import has done so far, on disk, so that a killed one goes on. Numbers nothing."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import IO, Final

import pyarrow as pa

from hfbio.data.duplicates import identity_of
from hfbio.data.firsts import KEY_BYTES, key
from hfbio.data.reject import Reject
from hfbio.data.table import SCHEMA, to_arrow
from hfbio.errors import DataError
from hfbio.record import AntibodyRecord

log = logging.getLogger(__name__)

_STATE: Final = "state.json"
_LOCK: Final = "lock"

SHARD: Final = pa.schema(
    [
        *SCHEMA,
        ("key", pa.binary(KEY_BYTES)),  # of what makes two rows one; null in a reject
        ("source", pa.dictionary(pa.int32(), pa.string())),
        ("line", pa.int64()),
        ("reason", pa.dictionary(pa.int32(), pa.string())),  # null in a record
        ("detail", pa.string()),
    ]
)
"""Columns of a shard: one row for each record and each reject, in the order of the source."""


@dataclass(frozen=True)
class Shards:
    """A folder of finished pieces of one import, each a file that appears whole or not at all."""

    folder: Path

    def path(self, index: int) -> Path:
        """Where piece ``index`` is kept."""
        return self.folder / f"{index:06}.arrow"


@contextmanager
def kept_shards(
    output: Path, sources: Sequence[str | Path], settings: Mapping[str, object]
) -> Iterator[Shards]:
    """The folder ``OUTPUT.partial``, with what an earlier import of the same left there.

    The same means: files of the same size and time of change, the same ``settings``, the same
    versions. A source that is no file or folder cannot be told from a changed one and is read
    anew. The folder goes when the block ends, also by an error; it stays when the process is
    killed or interrupted.

    Raises:
        DataError: another process works there, or the folder holds something else.
    """
    folder = output.parent / f"{output.name}.partial"
    if folder.exists() and not (folder.is_dir() and _is_ours(folder)):
        raise DataError(f"{folder} is in the way and is no unfinished import; move it")
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        _begin(folder, _state(sources, settings))
        try:
            yield Shards(folder)
        except Exception:
            shutil.rmtree(folder)
            raise
        shutil.rmtree(folder)


def write_shard(items: Sequence[AntibodyRecord | Reject], path: Path) -> None:
    """Write numbered records and rejects as one table under `SHARD`, whole or not at all."""
    records = [item for item in items if isinstance(item, AntibodyRecord)]
    is_record = [isinstance(item, AntibodyRecord) for item in items]
    last = list(accumulate(is_record))
    at = pa.array([n - 1 if yes else None for n, yes in zip(last, is_record)], pa.int64())
    columns = dict(zip(SCHEMA.names, to_arrow(records).take(at).columns))
    keys = pa.array([key(identity_of(r)) for r in records], SHARD.field("key").type)
    columns["key"] = keys.take(at)
    places = [_place(item) for item in items]
    columns["source"] = pa.array([source for source, _ in places]).dictionary_encode()
    columns["line"] = pa.array([line for _, line in places], pa.int64())
    columns["sequence_id"] = pa.array([item.sequence_id for item in items], pa.string())
    reasons = [str(i.reason) if isinstance(i, Reject) else None for i in items]
    columns["reason"] = pa.array(reasons, pa.string()).dictionary_encode()
    columns["detail"] = pa.array([getattr(item, "detail", "") for item in items], pa.string())
    table = pa.table(columns).cast(SHARD).combine_chunks()
    partial = path.with_suffix(".tmp")
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_file(str(partial), SHARD, options=options) as writer:
        writer.write_table(table)
    os.replace(partial, path)


def read_shard(path: Path, names: Sequence[str] = SHARD.names) -> pa.Table:
    """The columns ``names`` of a shard."""
    fields = [SHARD.get_field_index(name) for name in names]
    options = pa.ipc.IpcReadOptions(included_fields=sorted(fields))
    with pa.OSFile(str(path)) as file:
        return pa.ipc.open_file(file, options=options).read_all()


def _place(item: AntibodyRecord | Reject) -> tuple[str, int]:
    if isinstance(item, Reject):
        return item.source, item.line
    source, _, line = item.source.rpartition(":")
    return source, int(line or 0)


def _is_ours(folder: Path) -> bool:
    names = {path.name for path in folder.iterdir()}
    return _STATE in names or names <= {_LOCK}


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:  # Windows, which refuses by itself to replace a shard that is being read
        yield
        return
    # The system lets go of the lock when the process ends, however it ends.
    file: IO[str]
    with (folder / _LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as fault:
            raise DataError(f"{folder}: another import writes this table; wait for it") from fault
        yield


def _begin(folder: Path, state: dict[str, object] | None) -> None:
    """Make the folder hold shards of ``state`` alone."""
    wanted = json.dumps(state, indent=2, default=str)
    path = folder / _STATE
    n_finished = len(list(folder.glob("*.arrow")))
    if state is not None and path.exists() and path.read_text(encoding="utf-8") == wanted:
        if n_finished:
            log.warning("%s: going on with an import that was stopped", folder)
    else:
        if n_finished:
            log.warning("%s: the sources or settings are others now; starting anew", folder)
        for old in folder.glob("*.arrow"):
            old.unlink()
        partial = folder / "state.tmp"
        partial.write_text(wanted, encoding="utf-8")
        os.replace(partial, path)


def _state(
    sources: Sequence[str | Path], settings: Mapping[str, object]
) -> dict[str, object] | None:
    """What shards depend on, or ``None`` if a source cannot be recognised later."""
    if not sources or not all(Path(source).exists() for source in sources):
        return None
    files = [file for source in sources for file in _files(Path(source))]
    stats = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    packages = {name: version(name) for name in ("hfbio", "immunum", "pyarrow")}
    names = [str(source) for source in sources]
    return {"sources": names, "files": stats, "settings": dict(settings), "versions": packages}


def _files(path: Path) -> list[Path]:
    return [p for p in sorted(path.rglob("*")) if p.is_file()] if path.is_dir() else [path]
