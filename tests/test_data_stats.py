"""What a table holds: counts that add up, as text, JSON and a page that trusts no name."""

import json

import pyarrow.parquet as pq
import pytest
from antibodies import HEAVY, KAPPA, heavy_with, random_cdr3s

from hfbio.data import table_stats
from hfbio.data.table import SCHEMA, to_arrow
from hfbio.errors import DataError
from hfbio.numbering import number
from hfbio.record import AntibodyRecord
from hfbio.report.table import write_stats


def record(sequence, **fields):
    found = number(sequence)
    fields = {"sequence_id": sequence, "locus": str(found.locus), **fields}
    return AntibodyRecord(sequence_aa=sequence, regions=found.regions, **fields)


@pytest.fixture
def table(tmp_path):
    """Five heavy chains and two light ones, in row groups of three."""
    one_off = "D" + HEAVY[1:]
    unknown = HEAVY[:60] + "-" * 60
    records = [
        record(HEAVY, v_call="IGHV3-66*01", isotype="IGHG", germline_alignment_aa=HEAVY),
        record(HEAVY, v_call="IGHV3-23*01", isotype="IGHG", germline_alignment_aa=one_off),
        record(HEAVY, v_call="IGHV1-2", germline_alignment_aa=unknown, duplicate_count=4),
        record(HEAVY, v_call="", germline_alignment_aa="-" * 120),
        record(heavy_with("ARAAADY"), isotype="<b>$x$"),
        record(KAPPA, v_call="IGKV1-39*01"),
        record(KAPPA, v_call="odd"),
    ]
    pq.write_table(to_arrow(records), tmp_path / "t.parquet", row_group_size=3)
    return tmp_path / "t.parquet"


def test_rows_are_counted_by_name_and_by_number(table):
    stats = table_stats(table)
    assert (stats.n_rows, stats.n_reads) == (7, 10)
    assert stats.loci == {"IGH": 5, "IGK": 2}
    assert stats.isotypes == {"": 4, "IGHG": 2, "<b>$x$": 1}
    assert stats.v_families == {"": 3, "IGHV3": 2, "IGHV1": 1, "IGKV1": 1}
    assert stats.lengths == {"IGH": {114: 1, 120: 4}, "IGK": {107: 2}}
    assert stats.cdr3_lengths == {"IGH": {7: 1, 13: 4}, "IGK": {9: 2}}


def test_germline_identity_counts_residues_whose_germline_is_known(table):
    stats = table_stats(table)
    # 119 of 120 are 99 per cent; half of the chain unknown leaves the other half; all of it, none.
    assert stats.germline_identity == {"IGH": {99: 1, 100: 2}}
    assert stats.n_without_germline == 3


def test_row_groups_change_nothing(table, tmp_path):
    records = [record(heavy_with(c), v_call=f"IGHV{i % 3}") for i, c in enumerate(random_cdr3s(50))]
    tables = []
    for size in (7, 1000):
        path = tmp_path / f"{size}.parquet"
        pq.write_table(to_arrow(records), path, row_group_size=size)
        tables.append(str(table_stats(path)))
    assert tables[0] == tables[1]


def test_an_empty_table_is_an_error(tmp_path):
    pq.write_table(SCHEMA.empty_table(), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="without rows"):
        table_stats(tmp_path / "t.parquet")


def test_the_page_shows_every_count_and_no_markup_of_the_table(table, tmp_path):
    stats = table_stats(table)
    written = write_stats(stats, tmp_path / "s")
    page = written.page.read_text(encoding="utf-8")
    assert page.count("<svg") == 6
    assert "<b>" not in page
    assert "&lt;b&gt;$x$" in page
    numbers = json.loads(written.numbers.read_text(encoding="utf-8"))
    assert numbers["v_families"] == stats.v_families
    assert numbers["lengths"]["IGH"] == {"114": 1, "120": 4}
    assert str(stats) in str(written)
