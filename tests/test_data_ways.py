"""Ways to split: whole chains in clusters, families, donors, time; and what is too near goes."""

import csv
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from antibodies import HEAVY, KAPPA, heavy_with, mutate, random_cdr3s, record

from hfbio.data import clusters, import_table, load_table, nearest_identity, split_table
from hfbio.data.clusters import cluster
from hfbio.data.links import Links, keys
from hfbio.data.near import align, near
from hfbio.data.table import read_arrow, to_arrow
from hfbio.errors import DataError, SettingError

PARTS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def donors(tmp_path_factory):
    """400 heavy chains of ten donors and ten years, from three V families."""
    path = tmp_path_factory.mktemp("donors") / "t.parquet"
    records = [
        record(
            heavy_with(cdr3),
            subject=f"donor {i % 10}",
            v_call=f"IGHV{3 if i % 20 else 1 + i // 20 % 2}-{i % 7}*01",
        )
        for i, cdr3 in enumerate(random_cdr3s(400))
    ]
    years = pa.array([str(2010 + i % 10) for i in range(400)])
    table = to_arrow(records).append_column("year", years)
    pq.write_table(table.append_column("blank", pa.array(["a", ""] * 200)), path)
    return path


# Ways


@pytest.mark.parametrize("by", ["subject", "column:subject"])
def test_a_donor_is_on_one_side(donors, tmp_path, by):
    report = split_table(donors, tmp_path / "s", by=by)
    parts = [{r.subject for r in load_table(tmp_path / "s" / f"{p}.parquet")} for p in PARTS]
    assert [len(part) for part in parts] == [8, 1, 1]
    assert len(set.union(*parts)) == 10
    assert report.n_groups == {"train": 8, "validation": 1, "test": 1}


def test_a_v_family_is_on_one_side(donors, tmp_path):
    split_table(donors, tmp_path / "s", by="v_family", fractions=(0.95, 0.025, 0.025))
    parts = [{r.v_call[:5] for r in load_table(tmp_path / "s" / f"{p}.parquet")} for p in PARTS]
    assert "IGHV3" in parts[0]
    assert sum(map(len, parts)) == 3


@pytest.mark.parametrize("seed", [0, 1])
def test_the_latest_rows_are_the_test_part(donors, tmp_path, seed):
    split_table(donors, tmp_path / "s", by="time:year", seed=seed)
    years = dict(zip(*(pq.read_table(donors)[n].to_pylist() for n in ("sequence_id", "year"))))
    parts = [
        {years[r.sequence_id] for r in load_table(tmp_path / "s" / f"{p}.parquet")} for p in PARTS
    ]
    assert parts == [{str(y) for y in range(2010, 2018)}, {"2018"}, {"2019"}]


def test_a_split_by_what_is_not_there_is_an_error(donors, tmp_path):
    with pytest.raises(DataError, match=r"no column 'country'.*subject"):
        split_table(donors, tmp_path / "s", by="column:country")
    with pytest.raises(DataError, match="200 of 400 rows have no blank"):
        split_table(donors, tmp_path / "s", by="time:blank")
    with pytest.raises(SettingError, match=r"clone\+cluster, clone.*'column:'"):
        split_table(donors, tmp_path / "s", by="column:")
    assert not (tmp_path / "s").exists()


def test_a_cell_stays_together_when_its_heavy_chain_decides(tmp_path):
    records = []
    for i, cdr3 in enumerate(random_cdr3s(60)):
        family = f"IGHV{i % 12}-1"
        records.append(record(heavy_with(cdr3), cell_id=str(i), v_call=family))
        records.append(record(KAPPA, cell_id=str(i), v_call="IGKV1-1", sequence_id=f"k{i}"))
    pq.write_table(to_arrow(records), tmp_path / "t.parquet")
    split_table(tmp_path / "t.parquet", tmp_path / "s", by="v_family")
    cells = [{r.cell_id for r in load_table(tmp_path / "s" / f"{part}.parquet")} for part in PARTS]
    assert sum(map(len, cells)) == 60
    assert all(cells)


# Clusters


@pytest.fixture(scope="module")
def families():
    """Three families of ten chains: within one 4 substitutions away, between them 40."""
    rng = random.Random(0)
    centres = [mutate(HEAVY, 40, rng) for _ in range(3)]
    return [mutate(centre, 4, rng) for centre in centres for _ in range(10)]


def test_clusters_are_the_families(families, tmp_path):
    centre = cluster(families, tmp_path)
    assert [set(centre[i : i + 10].tolist()) for i in (0, 10, 20)] == [
        {centre[0]}, {centre[10]}, {centre[20]},
    ]  # fmt: skip
    assert len(set(centre.tolist())) == 3
    assert list(tmp_path.iterdir()) == []


def test_the_order_of_sequences_changes_no_cluster(families, tmp_path):
    order = np.random.default_rng(0).permutation(len(families))
    there = cluster([families[i] for i in order], tmp_path)
    assert order[there].tolist() == cluster(families, tmp_path)[order].tolist()


def test_one_sequence_is_its_own_cluster(tmp_path):
    assert cluster([HEAVY], tmp_path).tolist() == [0]
    assert cluster([], tmp_path).tolist() == []


def test_without_mmseqs_the_message_names_another_way(tmp_path, monkeypatch):
    monkeypatch.setattr(clusters, "find_spec", lambda name: None)
    with pytest.raises(SettingError, match="--by clone"):
        cluster([HEAVY, KAPPA], tmp_path)


def test_what_mmseqs_says_when_it_fails_is_passed_on(tmp_path, monkeypatch):
    program = tmp_path / "mmseqs"
    program.write_text("#!/bin/sh\necho no space left >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(clusters, "_program", lambda: program)
    with pytest.raises(DataError, match=r"MMseqs2 failed on 2 chains \(exit 3\):\nno space left"):
        cluster([HEAVY, KAPPA], tmp_path)
    assert list(tmp_path.iterdir()) == [program]


def test_the_default_lets_no_relative_through(tmp_path):
    pytest.importorskip("pyalakazam")
    import_table(["example:ExampleDb"], tmp_path / "t.parquet")
    report = split_table(tmp_path / "t.parquet", tmp_path / "s")
    assert report.by == "clone+cluster"
    assert report.n_rows["test"] == 137
    # A random split has 27.7 and 39.4 %, one by clone 0 and 6.6 %.
    assert report.leak.identical_cdr3 == report.leak.near_sequence == 0
    rows = read_arrow(tmp_path / "t.parquet")
    order = pa.array(np.random.default_rng(0).permutation(rows.num_rows))
    pq.write_table(rows.take(order), tmp_path / "u.parquet")
    assert split_table(tmp_path / "u.parquet", tmp_path / "v").digest == report.digest


# Near chains


def test_near_chains_are_those_that_comparing_all_finds():
    rng = random.Random(0)
    frames = [mutate(HEAVY, n, rng) for n in (0, 3, 5, 8)] + [KAPPA, HEAVY[1:], HEAVY[:-1]]
    chains = [
        mutate(frame.replace("SRWGG", "SRW" + "A" * rng.randint(0, 3)), rng.randint(0, 9), rng)
        for frame in frames
        for _ in range(12)
    ]
    chains = [c for c in chains if not np.isnan(nearest_identity([c], [c]).identity[0])]
    half = len(chains) // 2
    rng.shuffle(chains)
    ours, theirs = chains[:half], chains[half:]
    tables = [to_arrow([record(c) for c in part]) for part in (theirs, ours)]
    for threshold in (0.8, 0.9, 0.95):
        found = set()
        for references, queries in align(tables).values():
            for at, near_ones in near(queries, references, threshold):
                found |= {(queries.rows[at], references.rows[i]) for i in near_ones}
        expected = {
            (i, j)
            for i, one in enumerate(ours)
            for j, other in enumerate(theirs)
            if nearest_identity([one], [other]).identity[0] >= threshold
        }
        assert found == expected
        assert 0 < len(expected) < half * half


def test_train_rows_near_a_test_chain_are_dropped_and_listed(donors, tmp_path):
    # Donors share all but a CDR3, so that half of train is near any test part.
    report = split_table(donors, tmp_path / "s", by="subject", max_identity=0.95)
    parts = {p: load_table(tmp_path / "s" / f"{p}.parquet") for p in PARTS}
    with (tmp_path / "s" / "dropped.tsv").open(newline="") as file:
        dropped = {row["sequence_id"]: row["near"] for row in csv.DictReader(file, delimiter="\t")}
    assert 0 < report.n_dropped == len(dropped) == 400 - sum(report.n_rows.values())
    test = [r.sequence_id for r in parts["test"]]
    assert set(dropped.values()) <= set(test)
    assert nearest_identity(list(dropped), test).identity.min() >= 0.95
    train = [r.sequence_id for r in parts["train"]]
    assert nearest_identity(train, test).identity.max() < 0.95
    assert report.leak.near_sequence == 0


def test_a_cell_is_dropped_whole(tmp_path):
    records = []
    for i, cdr3 in enumerate(random_cdr3s(100)):
        records.append(record(heavy_with(cdr3), cell_id=str(i)))
        records.append(record(KAPPA, cell_id=str(i), sequence_id=f"k{i}"))
    pq.write_table(to_arrow(records), tmp_path / "t.parquet")
    report = split_table(tmp_path / "t.parquet", tmp_path / "s", by="random", max_identity=0.95)
    cells = [r.cell_id for r in load_table(tmp_path / "s" / "train.parquet")]
    assert 0 < report.n_dropped < report.n_rows["train"] + report.n_dropped
    assert all(cells.count(cell) == 2 for cell in cells)


@pytest.mark.parametrize("max_identity", [0.5, 1.01, 95])
def test_a_threshold_that_is_no_share_is_an_error(donors, tmp_path, max_identity):
    with pytest.raises(SettingError, match="max_identity"):
        split_table(donors, tmp_path / "s", max_identity=max_identity)


# Links


def test_links_are_those_of_following_every_pair():
    rng = np.random.default_rng(0)
    for n in (1, 5, 50, 300):
        a, b = rng.integers(0, n, (2, n * 2 // 3))
        links = Links(n)
        for part in np.array_split(np.arange(len(a)), 3):
            links.pair(a[part], b[part])
        group = {i: {i} for i in range(n)}
        for i, j in zip(a.tolist(), b.tolist()):
            group[i] |= group[j]
            for k in group[i]:
                group[k] = group[i]
        names = {}
        expected = [names.setdefault(min(group[i]), len(names)) for i in range(n)]
        assert links.numbers().tolist() == expected


def test_keys_are_equal_where_all_columns_are_and_absent_where_the_last_is_empty():
    columns = [["a", "a", "b", "a", ""], ["x", "y", "x", "x", ""], ["1", "1", "1", "1", ""]]
    found = keys(*(pa.chunked_array([pa.array(column)]) for column in columns)).tolist()
    assert found[0] == found[3]
    assert len(set(found[:3])) == 3
    assert found[4] == -1
