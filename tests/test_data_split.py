"""Splits: relatives stay together, the same rows give the same parts, leaks are measured."""

import json
import random
from functools import partial
from itertools import combinations

import numpy as np
import pytest
from antibodies import GLOBIN, HEAVY, KAPPA, heavy_with, mutate, random_cdr3s, record

from hfbio import data
from hfbio.data import import_table, load_table, measure_leak, nearest_identity
from hfbio.data.groups import clone_groups, similar_pairs
from hfbio.errors import DataError, SettingError

PARTS = ("train", "validation", "test")
# The chains here share all but a CDR3, so that whole chains would be one cluster.
split_table = partial(data.split_table, by="clone")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """300 heavy chains: 60 families of 5 near CDR3s, clone ids that tie some families."""
    rng = random.Random(1)
    path = tmp_path_factory.mktemp("split") / "t.tsv"
    lines = ["sequence_id\tsequence_aa\tclone_id"]
    for family, cdr3 in enumerate(random_cdr3s(60, seed=1)):
        for member in range(5):
            sequence = heavy_with(mutate(cdr3, min(member // 2, 2), rng))
            sequence = sequence[:60] + mutate(sequence[60:80], member, rng) + sequence[80:]
            clone = str(family // 2) if member == 0 and family < 20 else ""
            lines.append(f"{family}-{member}\t{sequence}\t{clone}")
    path.write_text("\n".join(lines) + "\n")
    import_table([path], path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


def load_parts(folder):
    return {name: load_table(folder / f"{name}.parquet") for name in PARTS}


# The split


def test_every_row_lands_in_exactly_one_part(table, tmp_path):
    report = split_table(table, tmp_path / "s")
    ids = [r.sequence_id for part in load_parts(tmp_path / "s").values() for r in part]
    assert sorted(ids) == sorted(r.sequence_id for r in load_table(table))
    assert sum(report.n_rows.values()) == len(ids)
    assert report.n_rows["test"] == pytest.approx(0.1 * len(ids), abs=5)
    assert report.n_rows["validation"] == pytest.approx(0.1 * len(ids), abs=5)


def test_no_clone_and_no_cdr3_is_on_two_sides(table, tmp_path):
    for seed in range(5):
        report = split_table(table, tmp_path / "s", seed=seed)
        for one, two in combinations(load_parts(tmp_path / "s").values(), 2):
            assert not {r.clone_id for r in one if r.clone_id} & {r.clone_id for r in two}
            assert not {r.region("cdr3") for r in one} & {r.region("cdr3") for r in two}
        assert report.leak.identical_cdr3 == report.leak.identical_sequence == 0


def test_no_similar_cdr3_of_one_length_is_on_two_sides(table, tmp_path):
    split_table(table, tmp_path / "s")
    parts = load_parts(tmp_path / "s")
    for one, two in combinations(parts.values(), 2):
        for a in {r.region("cdr3") for r in one}:
            for b in {r.region("cdr3") for r in two}:
                same = sum(x == y for x, y in zip(a, b))
                assert len(a) != len(b) or same < 0.8 * len(a)


def test_the_same_seed_gives_the_same_split_and_another_seed_another(table, tmp_path):
    one = split_table(table, tmp_path / "a", seed=3)
    two = split_table(table, tmp_path / "b", seed=3)
    other = split_table(table, tmp_path / "c", seed=4)
    assert one == two
    for name in (*(f"{part}.parquet" for part in PARTS), "split.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert other.digest != one.digest
    assert other.table_digest == one.table_digest


def test_the_order_of_rows_does_not_change_the_split(table, tmp_path):
    rows = [(r.sequence_id, r.sequence_aa, r.clone_id) for r in load_table(table)]
    random.Random(0).shuffle(rows)
    lines = ["sequence_id\tsequence_aa\tclone_id", *("\t".join(row) for row in rows)]
    (tmp_path / "t.tsv").write_text("\n".join(lines) + "\n")
    import_table([tmp_path / "t.tsv"], tmp_path / "t.parquet")
    one = split_table(table, tmp_path / "a")
    two = split_table(tmp_path / "t.parquet", tmp_path / "b")
    assert one.digest == two.digest


def test_a_giant_clone_goes_to_train_and_the_fractions_hold(tmp_path):
    rng = random.Random(0)
    giant = [mutate(HEAVY[:60], 3, rng) + HEAVY[60:] for _ in range(100)]
    others = [heavy_with(cdr3) for cdr3 in random_cdr3s(100)]
    chains = "".join(f">{i}\n{s}\n" for i, s in enumerate([*giant, *others]))
    (tmp_path / "a.fasta").write_text(chains)
    n_rows = import_table([tmp_path / "a.fasta"], tmp_path / "t.parquet").n_kept
    for seed in range(3):
        report = split_table(tmp_path / "t.parquet", tmp_path / "s", seed=seed)
        assert report.largest_group > 80
        assert report.n_rows["test"] == report.n_rows["validation"] == n_rows // 10


def test_split_json_holds_the_report(table, tmp_path):
    report = split_table(table, tmp_path / "s", fractions=(0.9, 0.0, 0.1), seed=2)
    saved = json.loads((tmp_path / "s" / "split.json").read_text())
    assert saved["digest"] == report.digest
    assert saved["seed"] == 2
    assert saved["n_rows"]["validation"] == 0
    assert load_table(tmp_path / "s" / "validation.parquet") == []
    assert saved["leak"]["n_test"] == report.n_rows["test"]


def test_a_random_split_leaks_warns_and_is_measured(table, tmp_path, caplog):
    report = split_table(table, tmp_path / "s", by="random")
    assert "held-out numbers will flatter" in caplog.text
    assert report.leak.identical_cdr3 > 0.1
    assert report.leak.near_sequence > 0.5


@pytest.mark.parametrize(
    "options",
    [{"by": "donor"}, {"fractions": (0.8, 0.1, 0.2)}, {"fractions": (1.0, 0.0, 0.0)}],
)
def test_settings_that_make_no_sense_are_errors(table, tmp_path, options):
    with pytest.raises(SettingError):
        split_table(table, tmp_path / "s", **options)
    assert not (tmp_path / "s").exists()


def test_too_few_groups_are_an_error_with_the_numbers(tmp_path):
    (tmp_path / "a.fasta").write_text(f">a\n{HEAVY}\n>b\n{KAPPA}\n")
    import_table([tmp_path / "a.fasta"], tmp_path / "t.parquet")
    with pytest.raises(DataError, match="2 rows in 2 groups"):
        split_table(tmp_path / "t.parquet", tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_folder_with_other_files_is_not_touched(table, tmp_path):
    (tmp_path / "thesis.doc").write_text("mine")
    with pytest.raises(DataError, match=r"thesis\.doc"):
        split_table(table, tmp_path)
    assert (tmp_path / "thesis.doc").read_text() == "mine"


def test_an_error_while_writing_leaves_the_earlier_split(table, tmp_path, monkeypatch):
    split_table(table, tmp_path / "s", seed=0)
    before = {p.name: p.read_bytes() for p in (tmp_path / "s").iterdir()}

    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr("hfbio.data.split.json.dumps", fail)
    with pytest.raises(OSError, match="disk full"):
        split_table(table, tmp_path / "s", seed=1)
    assert {p.name: p.read_bytes() for p in (tmp_path / "s").iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


# Groups


def test_similar_pairs_are_those_of_comparing_all_with_all():
    rng = random.Random(0)
    seeds = ["".join(rng.choices("ACDE", k=k)) for k in (6, 9, 10, 15) for _ in range(60)]
    sequences = sorted({*seeds, *(mutate(s, rng.randint(1, 2), rng) for s in seeds)})
    found = {frozenset(pair) for pair in similar_pairs(sequences, 0.8)}
    expected = {
        frozenset((a, b))
        for a, b in combinations(sequences, 2)
        if len(a) == len(b) and sum(x == y for x, y in zip(a, b)) >= 0.8 * len(a)
    }
    assert expected  # and many more than the direct comparison of small sets would cover
    assert max(sum(len(s) == k for s in sequences) for k in (6, 9, 10, 15)) > 64
    assert found == expected


def test_groups_are_tied_through_a_third_chain():
    cdr3s = ["ARAAAAAAAADY", "ARCCAAAAAADY", "ARCCCCAAAADY"]  # neighbours differ in 2 of 12
    groups = clone_groups([record(heavy_with(c)) for c in cdr3s])
    assert groups.tolist() == [0, 0, 0]
    assert clone_groups([record(heavy_with(c)) for c in cdr3s[::2]]).tolist() == [0, 1]


def test_a_clone_id_ties_chains_of_one_subject_only():
    one, two, three = (heavy_with(c) for c in random_cdr3s(3))
    rows = [
        record(one, clone_id="1", subject="a"),
        record(two, clone_id="1", subject="a"),
        record(three, clone_id="1", subject="b"),
    ]
    assert clone_groups(rows).tolist() == [0, 0, 1]


def test_a_light_chain_follows_its_heavy_chain_and_ties_no_cells():
    one, two = (heavy_with(c) for c in random_cdr3s(2))
    cells = [(one, "x"), (KAPPA, "x"), (two, "y"), (KAPPA, "y")]
    assert clone_groups([record(s, cell_id=c) for s, c in cells]).tolist() == [0, 0, 1, 1]


def test_light_chains_alone_are_tied_by_equal_cdr3_and_not_by_similar_ones():
    other_v = KAPPA.replace("SASFLYS", "AASSLQS")
    near = KAPPA.replace("QQHYTTPPT", "QQHYTTPLT")
    assert clone_groups([record(s) for s in (KAPPA, other_v, near)]).tolist() == [0, 0, 1]


# Identity and leaks


def test_identity_is_one_with_itself_and_counts_each_difference_once():
    n = len(HEAVY)
    queries = [HEAVY, HEAVY.replace("SRWGG", "SRWGA"), HEAVY.replace("GDGFY", "GDGAAFY")]
    identity = nearest_identity(queries, [HEAVY]).identity
    assert identity[0] == 1
    assert identity[1] == pytest.approx((n - 1) / n)
    assert identity[2] == pytest.approx(
        n / (n + 2)
    )  # inserted at 111A and 112A, the middle of CDR3


def test_identity_is_symmetric():
    rng = random.Random(0)
    chains = [mutate(heavy_with(c), rng.randint(0, 20), rng) for c in random_cdr3s(20)]
    chains = [c for c in chains if not np.isnan(nearest_identity([c], [c]).identity[0])]
    assert len(chains) > 10
    for a, b in combinations(chains[:8], 2):
        forth, back = nearest_identity([a], [b]), nearest_identity([b], [a])
        assert forth.identity[0] == pytest.approx(back.identity[0])


def test_the_nearest_reference_is_found_among_those_of_the_locus():
    references = [KAPPA, heavy_with("ARAAAAAAAADY"), HEAVY[1:], HEAVY, GLOBIN]
    nearest = nearest_identity([KAPPA, HEAVY, GLOBIN], references)
    assert nearest.index.tolist() == [0, 3, -1]
    assert nearest.identity[:2].tolist() == [1, 1]
    assert np.isnan(nearest.identity[2])


def test_a_query_without_reference_of_its_locus_has_no_identity():
    nearest = nearest_identity([KAPPA], [HEAVY])
    assert np.isnan(nearest.identity[0])
    assert nearest.index[0] == -1


def test_leaks_are_counted_by_kind():
    train = [record(HEAVY)]
    near = HEAVY.replace("IYPTNGYT", "IYPTNGYA")
    far = heavy_with("ARAAAAAAAADYAAAA")
    test = [record(HEAVY), record(near), record(far)]
    leak = measure_leak(train, test)
    assert leak.n_test == leak.n_compared == 3
    assert leak.identical_sequence == pytest.approx(1 / 3)
    assert leak.identical_cdr3 == pytest.approx(2 / 3)
    assert leak.near_sequence == pytest.approx(2 / 3)
