"""A table with a few rows of each group. Makes no groups; see `hfbio.data.ways`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from hfbio.data.assign import shuffled
from hfbio.data.groups import COLUMNS, cell_links
from hfbio.data.intake import table_path
from hfbio.data.staging import staged_file
from hfbio.data.table import TableWriter, hash_of_hashes, read_groups, row_hashes
from hfbio.data.thin import turns
from hfbio.data.ways import TIME, check_way, links_by
from hfbio.errors import DataError, SettingError


@dataclass(frozen=True)
class ThinReport:
    """What `thin_table` wrote."""

    n_kept: int  # rows
    n_left_out: int  # rows
    n_groups: int
    largest_group: int  # rows, before
    digest: str  # of the rows kept; see `hfbio.data.table.digest`

    def __str__(self) -> str:
        rows = [("kept", self.n_kept), ("left out", self.n_left_out)]
        rows += [("groups", self.n_groups), ("largest group", self.largest_group)]
        return "\n".join(f"{name:<52} {n:>9,}" for name, n in rows)


def thin_table(
    table: str | Path,
    output: str | Path,
    *,
    by: str = "clone",
    per_group: int = 1,
    seed: int = 0,
) -> ThinReport:
    """Write at most ``per_group`` chains of each group, with all that is in their cells.

    Which ones depends on ``seed`` and the sequences alone; rows keep their order. A cell counts
    as one.

    Args:
        table: written by `import_table`.
        output: the table to write, ``.parquet``; replaced if it exists.
        by: as in `split_table`, but for ``time:``.
        per_group: at least 1.
        seed: of the choice.

    Raises:
        DataError: the table cannot be used, or the output is not called ``.parquet``.
        SettingError: ``by`` or ``per_group`` make no sense, or there is no MMseqs2.
    """
    check_way(by)
    if by.startswith(TIME):
        raise SettingError(f"a time makes no groups to thin; use column:{by.removeprefix(TIME)}")
    if per_group < 1:
        raise SettingError(f"per_group must be at least 1, got {per_group}")
    table, output = Path(table), table_path(output)
    parts = [part.select([*COLUMNS, "v_call"]) for part in read_groups(table)]
    if not any(part.num_rows for part in parts):
        raise DataError(f"{table}: a table without rows")
    rows = pa.concat_tables(parts)
    with TemporaryDirectory() as folder:
        group = links_by(by, rows, table, Path(folder)).numbers()
    unit = cell_links(rows).numbers()
    group_of_unit = np.zeros(unit.max() + 1, np.int64)
    group_of_unit[unit] = group
    order = shuffled(rows, unit, seed)
    kept = np.isin(unit, order[turns(group_of_unit[order]) < per_group])
    hashes, n_before = [], 0
    with staged_file(output) as partial, TableWriter(partial) as writer:
        for part in read_groups(table):
            chosen = part.filter(pa.array(kept[n_before : n_before + part.num_rows]))
            writer.add(chosen)
            hashes.append(row_hashes(chosen))
            n_before += part.num_rows
    sizes = np.bincount(group)
    return ThinReport(
        n_kept=int(kept.sum()),
        n_left_out=int((~kept).sum()),
        n_groups=len(sizes),
        largest_group=int(sizes.max()),
        digest=hash_of_hashes([np.concatenate(hashes)]),
    )
