"""A few chains of each group: no more than asked, whole cells, the same whatever the row order."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from antibodies import KAPPA, heavy_with, random_cdr3s

from hfbio.data import load_table, thin_table
from hfbio.data.table import SCHEMA, digest, read_arrow, to_arrow
from hfbio.errors import DataError, SettingError
from hfbio.numbering import number
from hfbio.record import AntibodyRecord


def record(sequence, **fields):
    found = number(sequence)
    return AntibodyRecord(
        sequence_aa=sequence, locus=str(found.locus), regions=found.regions, **fields
    )


@pytest.fixture
def table(tmp_path):
    """Clones of one to six cells, each a heavy chain and one light chain that all share."""
    records = []
    for clone, cdr3 in enumerate(random_cdr3s(6)):
        for cell in range(clone + 1):
            fields = {"clone_id": str(clone), "cell_id": f"{clone}-{cell}"}
            heavy = heavy_with(cdr3).replace("SRFT", f"SRF{'TSAVIN'[cell]}")
            records.append(record(heavy, sequence_id=f"{clone}-{cell}-h", **fields))
            records.append(record(KAPPA, sequence_id=f"{clone}-{cell}-k", **fields))
    pq.write_table(to_arrow(records), tmp_path / "t.parquet", row_group_size=5)
    return tmp_path / "t.parquet"


@pytest.mark.parametrize("per_group", [1, 3, 9])
def test_a_group_keeps_as_many_cells_as_asked(table, tmp_path, per_group):
    report = thin_table(table, tmp_path / "u.parquet", per_group=per_group)
    kept = load_table(tmp_path / "u.parquet")
    cells = Counter(r.cell_id for r in kept)
    assert set(cells.values()) == {2}
    clones = Counter(cell.split("-")[0] for cell in cells)
    assert clones == {str(clone): min(clone + 1, per_group) for clone in range(6)}
    assert (report.n_kept, report.n_left_out) == (len(kept), 42 - len(kept))
    assert (report.n_groups, report.largest_group) == (6, 12)
    assert report.digest == digest(read_arrow(tmp_path / "u.parquet"))
    ids = [r.sequence_id for r in load_table(table)]
    assert [r.sequence_id for r in kept] == sorted((r.sequence_id for r in kept), key=ids.index)


def test_row_order_changes_nothing_and_the_seed_does(table, tmp_path):
    rows = read_arrow(table)
    order = pa.array(np.random.default_rng(0).permutation(rows.num_rows))
    pq.write_table(rows.take(order), tmp_path / "shuffled.parquet")
    one, other = (
        thin_table(path, tmp_path / "u.parquet").digest
        for path in (table, tmp_path / "shuffled.parquet")
    )
    assert one == other
    seeds = {thin_table(table, tmp_path / "u.parquet", seed=seed).digest for seed in range(5)}
    assert len(seeds) > 2


def test_settings_that_make_no_sense_are_errors(table, tmp_path):
    with pytest.raises(SettingError, match="per_group"):
        thin_table(table, tmp_path / "u.parquet", per_group=0)
    with pytest.raises(SettingError, match="column:year"):
        thin_table(table, tmp_path / "u.parquet", by="time:year")
    with pytest.raises(DataError, match=r"u\.parquet"):
        thin_table(table, tmp_path / "u.csv")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.parquet"]


def test_a_table_without_rows_is_an_error(tmp_path):
    pq.write_table(SCHEMA.empty_table(), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="without rows"):
        thin_table(tmp_path / "t.parquet", tmp_path / "u.parquet")
