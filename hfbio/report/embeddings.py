"""Vectors of chains as a Parquet file, with the account of what was embedded. Computes none."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from hfbio.data.encode import record_tag
from hfbio.data.reject import Reject, write_rejects
from hfbio.data.staging import staged_file
from hfbio.errors import SettingError
from hfbio.record import Antibody

LABEL_COLUMNS: Final = ("locus", "v_family", "isotype", "species")
METADATA: Final = b"hfbio"
"""Key of the file's metadata under which `write_embeddings` says how the vectors were made."""


@dataclass(frozen=True)
class WrittenEmbeddings:
    """Where vectors were written, and what has none."""

    path: Path
    rejects_path: Path
    shape: tuple[int, int]  # chains, numbers for each
    rejected: dict[str, int]  # reason -> chains

    def __str__(self) -> str:
        n, width = self.shape
        lines = [f"embedded {n}, {width} numbers each, rejected {sum(self.rejected.values())}"]
        lines += [f"  {count} x {reason}" for reason, count in self.rejected.items()]
        lines.append(f"embeddings  {self.path}")
        if self.rejected:
            lines.append(f"rejects     {self.rejects_path}")
        return "\n".join(lines)


def require_output(path: Path, source: str) -> None:
    """Check the name of the output before the work.

    Raises:
        SettingError: not ``.parquet``, or the file that is read.
    """
    if path.suffix != ".parquet":
        raise SettingError(f"{path}: embeddings are written as .parquet")
    if path.resolve() == Path(source).resolve():
        raise SettingError(f"{path} is what is read; write the embeddings to another file")


def write_embeddings(
    records: Sequence[Antibody],
    vectors: Tensor,
    rejects: Sequence[Reject],
    path: Path,
    *,
    made_by: Mapping[str, Any],
) -> WrittenEmbeddings:
    """Write one row a chain: id, labels (empty where unknown), and the vector.

    Rejects, if there are any, are listed beside it as ``NAME.rejects.tsv``.

    Args:
        records: the chains.
        vectors: ``(n, width)`` float32; becomes the fixed-size list ``embedding``.
        rejects: chains without a vector.
        path: the file.
        made_by: plain values that say how the vectors were made; goes into the file's metadata
            as JSON under `METADATA`.
    """
    n, width = vectors.shape
    columns: dict[str, pa.Array] = {
        "sequence_id": pa.array([record.sequence_id for record in records], pa.string())
    }
    for name in LABEL_COLUMNS:
        columns[name] = pa.array([record_tag(record, name) for record in records], pa.string())
    flat = pa.array(vectors.numpy().reshape(-1), pa.float32())
    columns["embedding"] = pa.FixedSizeListArray.from_arrays(flat, width)
    table = pa.table(columns).replace_schema_metadata({METADATA: json.dumps(dict(made_by))})
    with staged_file(path) as partial:
        pq.write_table(table, partial)
    rejects_path = path.with_suffix(".rejects.tsv")
    if rejects:
        with staged_file(rejects_path) as partial:
            write_rejects(rejects, partial)
    counts = Counter(str(reject.reason) for reject in rejects)
    return WrittenEmbeddings(path, rejects_path, (n, width), dict(counts.most_common()))
