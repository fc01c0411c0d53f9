"""Readers under mutated files: no exception but DataError, and no row lost or counted twice."""

import gzip
import json
import re
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from antibodies import GLOBIN, HEAVY, KAPPA, back_translate
from hypothesis import given, settings
from hypothesis import strategies as st
from test_data_damage import compressed
from test_data_formats import CIF, seqres

from hfbio.data import Reject, import_table, read
from hfbio.errors import DataError
from hfbio.record import AntibodyRecord

PAIRS = [("a", HEAVY, KAPPA), ("b,c", HEAVY, "na"), ("d", "", KAPPA), ("e", GLOBIN, HEAVY[9:])]
TSV = "\n".join("\t".join(row) for row in [("id", "VH", "VL"), *PAIRS]) + "\n"
CSV = "\r\n".join(";".join(f'"{cell}"' for cell in row) for row in [("id", "VH", "VL"), *PAIRS])
CELL = '"' + json.dumps({"Species": "human", "Isotype": "IGHG"}).replace('"', '""') + '"'
OAS = f"{CELL}\nsequence,locus,sequence_alignment_aa,Redundancy\n" + f"ACGT,H,{HEAVY},2\n" * 3
AIRR = f"sequence_id\tproductive\tsequence\tv_call\na\tT\t{back_translate(HEAVY)}\tIGHV1-2*01\n"
FASTA = "".join(f">{name}_VH\n{heavy}\n>{name}_VL\n{light}\n" for name, heavy, light in PAIRS)
FASTA += f">scfv\n{HEAVY}GGGGSGGGGSGGGGS{KAPPA}\n>pair\n{HEAVY}:{KAPPA}\n"
JSONL = "".join(json.dumps({"id": i, "heavy": h, "light": k}) + "\n" for i, h, k in PAIRS)
PDB = "\n".join([*seqres("H", HEAVY), *seqres("L", KAPPA), "END"])
MMCIF = CIF.format(light=KAPPA, heavy=HEAVY, heavy_rest=HEAVY[1:])


def parquet():
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(dict(zip(("id", "VH", "VL"), zip(*PAIRS)))), sink)
    return sink.getvalue().to_pybytes()


VALID = {
    "a.tsv": TSV.encode(),
    "a.csv": b"\xef\xbb\xbf" + CSV.encode(),
    "oas.csv": OAS.encode(),
    "airr.tsv": AIRR.encode(),
    "a.fasta": FASTA.encode(),
    "a.jsonl": JSONL.encode(),
    "a.pdb": PDB.encode(),
    "a.cif": MMCIF.encode(),
    "a.parquet": parquet(),
    "a.tsv.gz": gzip.compress(TSV.encode()),
    "a.fasta.zst": compressed(FASTA.encode(), ".zst"),
}
PIECES = st.sampled_from(
    [
        *(bytes([byte]) for byte in b'\n\r\t,;">:*-\0\xff{[_'),
        *(b"", b"na", b"loop_\n", b"SEQRES", b"\xef\xbb\xbf", HEAVY.encode()),
    ]
)
CHANGE = st.tuples(st.floats(0, 1), st.integers(0, 40), PIECES)  # where, how much goes, what comes
SETTINGS = settings(max_examples=40, deadline=None, derandomize=True, database=None)


def mutate(data, changes, kept):
    for where, n_lost, piece in changes:
        at = int(where * len(data))
        data = data[:at] + piece + data[at + n_lost :]
    return data[: round(kept * len(data))]


def items_of(path):
    """What a reader gives; nothing if the file as a whole cannot be used."""
    try:
        return list(read(path))
    except DataError:
        return []


def line_of(item):
    return item.line if isinstance(item, Reject) else int(item.source.rpartition(":")[2])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("name", VALID)
def test_the_files_that_are_mutated_are_good_to_begin_with(folder, name):
    (folder / name).write_bytes(VALID[name])
    assert any(isinstance(item, AntibodyRecord) for item in read(folder / name))


@pytest.mark.parametrize("name", VALID)
@SETTINGS
@given(changes=st.lists(CHANGE, max_size=4), kept=st.sampled_from([1.0, 1.0, 0.9, 0.5, 0.1]))
def test_no_damage_stops_a_reader_or_goes_without_a_place(folder, name, changes, kept):
    path = folder / name
    path.write_bytes(mutate(VALID[name], changes, kept))
    for item in items_of(path):
        assert isinstance(item, AntibodyRecord | Reject)
        assert 1 <= line_of(item) <= 200  # no file has more lines, mutated or not


@pytest.mark.parametrize("name", ["a.tsv", "a.jsonl", "airr.tsv"])
@SETTINGS
@given(changes=st.lists(CHANGE, max_size=4))
def test_each_line_of_a_table_is_in_a_record_or_a_reject(folder, name, changes):
    data = mutate(VALID[name], changes, 1.0)
    if name != "a.jsonl":
        data = data.replace(b'"', b"")  # quotes join lines, and JSON needs them
    (folder / name).write_bytes(data)
    items = items_of(folder / name)
    lines = re.split("\r\n|\r|\n", data.decode("latin-1").removeprefix("\xef\xbb\xbf"))
    blank = str.strip if name == "a.jsonl" else lambda line: line.strip(" ")
    filled = [n for n, line in enumerate(lines, start=1) if blank(line)]
    if items:
        assert set(map(line_of, items)) == set(filled[name != "a.jsonl" :])


@SETTINGS
@given(changes=st.lists(CHANGE, max_size=4))
def test_each_record_of_a_fasta_file_is_in_a_record_or_a_reject(folder, changes):
    data = mutate(VALID["a.fasta"], changes, 1.0)
    (folder / "a.fasta").write_bytes(data)
    items = items_of(folder / "a.fasta")
    lines = re.split("\r\n|\r|\n", data.decode("latin-1"))
    headers = [n for n, line in enumerate(lines, start=1) if line.strip().startswith(">")]
    places = Counter(
        i.line if isinstance(i, Reject) else int(i.source.split(":")[-1]) for i in items
    )
    if items:
        assert sorted(places) == headers
        assert set(places.values()) <= {1, 2}  # two of a written pair


@settings(SETTINGS, max_examples=15)
@given(changes=st.lists(CHANGE, max_size=3), name=st.sampled_from(sorted(VALID)))
def test_what_is_read_is_kept_or_rejected(folder, changes, name):
    path = folder / name
    path.write_bytes(mutate(VALID[name], changes, 1.0))
    try:
        report = import_table([path], folder / "t.parquet")
    except DataError:
        return
    listed = (folder / "t.rejects.tsv").read_text().count("\n") - 1
    assert report.n_read == report.n_kept + report.n_rejected
    assert report.n_rejected == listed
    assert report.n_kept == pq.read_metadata(folder / "t.parquet").num_rows
