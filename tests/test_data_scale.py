"""Import by pieces: the same table as in memory, whatever is spilled, killed or in parallel."""

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
from antibodies import GLOBIN, HEAVY, heavy_with, random_cdr3s

from hfbio.data import Reject, import_table, load_table, numberers
from hfbio.data.duplicates import Duplicates, stems
from hfbio.data.firsts import Firsts, key
from hfbio.data.merge import merge
from hfbio.data.partitions import Partitions
from hfbio.data.reject import Fault, write_rejects
from hfbio.data.shards import kept_shards, write_shard
from hfbio.data.table import digest, from_arrow, read_arrow, to_arrow
from hfbio.errors import DataError
from hfbio.record import AntibodyRecord


def random_items(rng, n):
    """Records and rejects with few sequences, cells and ids, so that all of them clash."""
    items = []
    for line in range(n):
        name = rng.choice(["a", "b", "a_2", "a_2_2", "c_x", "a\nb", "é", f"u{line}", f"a_{line}"])
        if rng.random() < 0.2:
            items.append(Reject("f.tsv", line, name, rng.choice(list(Fault)), "seen\there"))
            continue
        sequence = "".join(rng.choices("ACD", k=7))
        record = AntibodyRecord(
            name,
            sequence,
            locus=rng.choice(["IGH", "IGK"]),
            isotype=rng.choice(["", "IGHM"]),
            cell_id=rng.choice(["", "", "x"]),
            duplicate_count=rng.randint(1, 9),
            regions=tuple(range(8)),
            source=f"f.tsv:{line}",
        )
        items.append(record)
    return items


def in_memory(items):
    """What `Duplicates` makes of the items: kept records, rejects, and how many were renamed."""
    duplicates = Duplicates()
    results = [i if isinstance(i, Reject) else duplicates.admit(i) for i in items]
    kept = [r for r in results if isinstance(r, AntibodyRecord)]
    kept = [replace(r, duplicate_count=n, source="") for r, n in zip(kept, duplicates.counts)]
    return kept, [r for r in results if isinstance(r, Reject)], duplicates.n_renamed


def by_pieces(items, size, n_held, folder):
    paths = []
    for start in range(0, len(items), size):
        paths.append(folder / f"{start:06}.arrow")
        write_shard(items[start : start + size], paths[-1])
    return merge(paths, folder / "m", folder / "t.parquet", folder / "r.tsv", n_held=n_held)


@pytest.mark.parametrize("seed", range(40))
def test_pieces_on_disk_give_what_memory_gives(tmp_path, seed):
    rng = random.Random(seed)
    items = random_items(rng, rng.randint(1, 120))
    kept, rejects, n_renamed = in_memory(items)
    done = by_pieces(items, rng.choice([1, 7, 50, 1000]), rng.choice([5, 40, 10**6]), tmp_path)
    assert from_arrow(read_arrow(tmp_path / "t.parquet")) == kept
    write_rejects(rejects, tmp_path / "expected.tsv")
    assert (tmp_path / "r.tsv").read_bytes() == (tmp_path / "expected.tsv").read_bytes()
    assert (done.n_read, done.n_kept, done.n_renamed) == (len(items), len(kept), n_renamed)
    assert done.digest == digest(to_arrow(kept))
    # Equal counts keep the order in which they came, so that a report never depends on the pieces.
    for found, values in [
        (done.rejected, (str(r.reason) for r in rejects)),
        (done.loci, (r.locus for r in kept)),
        (done.isotypes, (r.isotype for r in kept)),
    ]:
        assert found.most_common() == Counter(values).most_common()
    assert done.examples == rejects[:3]
    assert not (tmp_path / "m").exists()


def test_many_rows_of_one_name_get_the_names_that_memory_gives(tmp_path):
    # Enough for several turns of renaming: families must not be torn apart between them.
    rng = random.Random(1)
    names = [rng.choice("abcdefgh") + rng.choice(["", "_2", "_3"]) for _ in range(300)]
    items = [
        AntibodyRecord(n, f"{i:07}", locus="IGH", regions=tuple(range(8)), source=f"f:{i}")
        for i, n in enumerate(names)
    ]
    done = by_pieces(items, 64, 20, tmp_path)
    kept, _, n_renamed = in_memory(items)
    assert done.n_renamed == n_renamed > 200
    assert [r.sequence_id for r in load_table(tmp_path / "t.parquet")] == [
        r.sequence_id for r in kept
    ]


@pytest.mark.parametrize("n_held", [1, 10, 10_000])
def test_the_first_of_equal_keys_is_found_whether_spilled_or_not(tmp_path, n_held):
    rng = random.Random(n_held)
    texts = [str(rng.randint(0, 60)) for _ in range(500)]
    firsts = Firsts(tmp_path, "k", n_held=n_held)
    for start in range(0, len(texts), 30):
        firsts.add([key(text) for text in texts[start : start + 30]])
    assert firsts.solve().tolist() == [texts.index(text) for text in texts]
    assert any(tmp_path.glob("k-[0-9]*")) == (n_held < 500)


def test_partitions_ascend_and_lose_nothing(tmp_path):
    rows = np.random.default_rng(0).integers(0, 256, (1000, 5), np.uint8)
    store = Partitions(tmp_path, "p", width=5, n_held=300)
    for part in np.array_split(rows, 13):
        store.add(part)
    parts = list(store)
    assert sorted(map(bytes, np.concatenate(parts))) == sorted(map(bytes, rows))
    edges = [(part[:, 0].min(), part[:, 0].max()) for part in parts if len(part)]
    assert len(edges) > 10
    assert all(a[1] < b[0] for a, b in pairwise(edges))


def test_stems_are_those_of_numbers_alone():
    assert stems("x_2_3") == ["x_2_3", "x_2", "x"]
    assert stems("x_y_") == ["x_y_"]
    assert stems("_7") == ["_7", ""]


# Whole imports


@pytest.fixture
def chains(tmp_path):
    """Forty rows, some of which repeat a sequence or an id, or are no antibody."""
    cdr3s = random_cdr3s(25)
    sequences = [heavy_with(cdr3) for cdr3 in (*cdr3s, *cdr3s[:10])] + [GLOBIN] * 5
    path = tmp_path / "a.fasta"
    path.write_text("".join(f">{i % 30}\n{s}\n" for i, s in enumerate(sequences)))
    return path


def test_processes_and_piece_sizes_change_nothing(chains, tmp_path, monkeypatch):
    one = import_table([chains], tmp_path / "one.parquet")
    monkeypatch.setattr("hfbio.data.intake._PIECE", 9)
    monkeypatch.setattr(numberers, "_ALONE", 1)
    two = import_table([chains], tmp_path / "two.parquet", num_proc=2)
    assert replace(two, output="", rejects="") == replace(one, output="", rejects="")
    for end in (".parquet", ".rejects.tsv"):
        assert (tmp_path / f"one{end}").read_bytes() == (tmp_path / f"two{end}").read_bytes()


def test_an_error_in_a_process_surfaces_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(numberers, "_ALONE", 0)
    odd = AntibodyRecord("a", HEAVY, germline_alignment_aa="A", source="f.tsv:1")
    with (
        pytest.raises(ValueError, match="1 germline letters"),
        kept_shards(tmp_path / "t.parquet", [], {}) as shards,
    ):
        list(numberers.number_pieces([(shards.path(0), [odd])], numberers.Numbering("", 2), 2))
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from hfbio.data import import_table, intake, shards

intake._PIECE = 9
replace = os.replace

def replaced(a, b):
    replace(a, b)
    if str(b).endswith("000001.arrow"):
        os.kill(os.getpid(), signal.SIGKILL)

shards.os.replace = replaced
import_table([sys.argv[1]], sys.argv[2])
"""


def kill_import(chains, output):
    command = [sys.executable, "-c", KILLED, str(chains), str(output)]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert done.returncode == -signal.SIGKILL


def count_numbered(monkeypatch):
    numbered = []
    inner = numberers.clean

    def clean(items, **settings):
        items = list(items)
        numbered.extend(items)
        return inner(items, **settings)

    monkeypatch.setattr(numberers, "clean", clean)
    return numbered


def test_a_killed_import_goes_on_where_it_was(chains, tmp_path, monkeypatch, caplog):
    whole = import_table([chains], tmp_path / "whole.parquet")
    output = tmp_path / "out" / "t.parquet"
    kill_import(chains, output)
    assert [p.name for p in output.parent.iterdir()] == ["t.parquet.partial"]
    monkeypatch.setattr("hfbio.data.intake._PIECE", 9)
    numbered = count_numbered(monkeypatch)
    report = import_table([chains], output)
    assert len(numbered) == whole.n_read - 2 * 9
    assert "going on" in caplog.text
    assert report.digest == whole.digest
    assert report.rejected == whole.rejected
    assert sorted(p.name for p in output.parent.iterdir()) == ["t.parquet", "t.rejects.tsv"]
    # The rest of a changed source is another one: nothing of the old may be used.
    kill_import(chains, output)
    chains.write_text(f">new\n{HEAVY}\n" + chains.read_text())
    report = import_table([chains], output)
    assert "starting anew" in caplog.text
    assert len(numbered) == 2 * whole.n_read - 2 * 9 + 1
    assert report.n_kept == whole.n_kept + 1


def interrupt(output, sources, settings):
    with kept_shards(output, sources, settings) as shards:
        write_shard([AntibodyRecord("a", "", regions=(0,) * 8, source="f:1")], shards.path(0))
        raise KeyboardInterrupt


@pytest.mark.parametrize(("setting", "is_used"), [(1, True), (2, False)])
def test_only_the_same_settings_go_on(chains, tmp_path, setting, is_used):
    output = tmp_path / "t.parquet"
    with pytest.raises(KeyboardInterrupt):
        interrupt(output, [chains], {"a": 1})
    with kept_shards(output, [chains], {"a": setting}) as shards:
        assert shards.path(0).exists() == is_used
    assert not shards.folder.exists()


def test_a_source_that_is_no_file_is_read_anew(tmp_path):
    output = tmp_path / "t.parquet"
    with pytest.raises(KeyboardInterrupt):
        interrupt(output, ["hf://datasets/a/b"], {})
    with kept_shards(output, ["hf://datasets/a/b"], {}) as shards:
        assert not shards.path(0).exists()


def test_a_folder_that_is_no_unfinished_import_is_left_alone(chains, tmp_path):
    (tmp_path / "t.parquet.partial").mkdir()
    (tmp_path / "t.parquet.partial" / "thesis.doc").write_text("mine")
    with pytest.raises(DataError, match="no unfinished import"):
        import_table([chains], tmp_path / "t.parquet")
    assert (tmp_path / "t.parquet.partial" / "thesis.doc").read_text() == "mine"


def test_two_imports_do_not_write_one_table(chains, tmp_path):
    output = tmp_path / "t.parquet"
    with (
        kept_shards(output, [chains], {}),
        pytest.raises(DataError, match="another import writes this table"),
    ):
        import_table([chains], output)


def test_rows_are_written_in_groups_of_one_size(tmp_path, monkeypatch):
    monkeypatch.setattr("hfbio.data.table.ROW_GROUP", 10)
    items = [
        AntibodyRecord(str(i), f"{i:07}", regions=tuple(range(8)), source=f"f:{i}")
        for i in range(47)
    ]
    by_pieces(items, 7, 10**6, tmp_path)
    metadata = pq.read_metadata(tmp_path / "t.parquet")
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert sizes == [10, 10, 10, 10, 7]
