"""Bad input: damage is named with its line, and what is good beside it goes through."""

import gzip
import io
import sys

import pyarrow as pa
import pytest
from antibodies import CDRH3, HEAVY, KAPPA

from hfbio.data import Fault, Reject, Source, read, read_numbered
from hfbio.data.readers import text
from hfbio.errors import DataError, SettingError
from hfbio.record import AntibodyRecord

HEADER = "sequence_id\tsequence_aa"


def write(path, *lines, encoding="utf-8"):
    path.write_bytes("".join(f"{line}\n" for line in lines).encode(encoding))
    return path


def compressed(data, suffix):
    if suffix == ".gz":
        return gzip.compress(data)
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def outcome(items):
    """``(line, reason)`` of a reject, the id of a record."""
    return [(i.line, i.reason) if isinstance(i, Reject) else i.sequence_id for i in items]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_compression_changes_nothing_and_a_cut_costs_only_what_is_behind_it(tmp_path, suffix):
    # Ids that do not compress, so that half of the bytes are about half of the rows.
    rows = [f"{hash((i, 7)) & 0xFFFFFFFFFFFF:x}\t{HEAVY}" for i in range(3000)]
    whole = compressed("".join(f"{row}\n" for row in [HEADER, *rows]).encode(), suffix)
    path = tmp_path / f"a.tsv{suffix}"
    path.write_bytes(whole)
    assert [r.sequence_id for r in read(path)] == [row.split("\t")[0] for row in rows]
    path.write_bytes(whole[: len(whole) * 2 // 3])
    *kept, last = read(path)
    assert 500 < len(kept) < 3000
    assert all(r.sequence_aa == HEAVY for r in kept)
    assert (last.reason, last.line) == (Fault.DAMAGED, len(kept) + 2)


def test_the_record_in_which_a_fasta_breaks_off_is_the_reject(tmp_path):
    data = "".join(f">{hash((i, 7)) & 0xFFFFFFFFFF:x}\n{HEAVY}\n" for i in range(3000)).encode()
    path = tmp_path / "a.fasta.gz"
    path.write_bytes(gzip.compress(data)[:-4000])
    *kept, last = read(path)
    assert all(r.sequence_aa == HEAVY for r in kept)
    assert last.reason is Fault.DAMAGED
    assert last.sequence_id == f"{hash((len(kept), 7)) & 0xFFFFFFFFFF:x}"


def test_a_file_damaged_from_its_first_byte_on_is_an_error(tmp_path):
    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress(b"sequence\n" + HEAVY.encode())[:12])
    with pytest.raises(DataError, match="damaged or cut-off"):
        read(tmp_path / "a.tsv.gz")


def test_a_line_without_end_is_a_reject_and_is_not_held(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "LONGEST", 1000)
    path = write(tmp_path / "a.tsv", HEADER, f"a\t{HEAVY}", "b\t" + "A" * 5000, f"c\t{HEAVY}")
    *_, long, last = items = list(read(path))
    assert outcome(items) == ["a", (3, Fault.TOO_LONG), "c"]
    assert long.detail == "5,002 characters, at most 1,000 are read"
    assert last.source.endswith(":4")


def test_a_fasta_record_of_too_many_lines_is_a_reject(tmp_path, monkeypatch):
    monkeypatch.setattr("hfbio.data.readers.fasta.LONGEST", 1000)
    path = write(tmp_path / "a.fa", ">a", HEAVY, ">b", *["ACDEFGHIKL" * 10] * 11, ">c", HEAVY)
    assert outcome(read(path)) == ["a", (3, Fault.TOO_LONG), "c"]


def test_a_header_in_the_middle_is_a_reject(tmp_path):
    path = write(tmp_path / "a.tsv", HEADER, f"a\t{HEAVY}", HEADER, f"b\t{HEAVY}")
    assert outcome(read(path)) == ["a", (3, Fault.REPEATED_HEADER), "b"]


def test_a_line_in_another_encoding_is_read_and_told(tmp_path, caplog):
    path = tmp_path / "a.tsv"
    lines = [HEADER.encode(), f"Fab-é\t{HEAVY}".encode(), f"Fab-é\t{HEAVY}".encode("latin-1")]
    path.write_bytes(b"\n".join(lines))
    assert [r.sequence_id for r in read(path)] == ["Fab-é", "Fab-é"]
    assert "1 lines are not UTF-8" in caplog.text
    assert "the first is line 3" in caplog.text


def test_a_quote_that_is_not_closed_costs_one_row(tmp_path):
    lines = [HEADER, f'"a\t{HEAVY}', *(f"{i}\t{HEAVY}" for i in range(300)), f'"z\t{HEAVY}']
    items = list(read(write(tmp_path / "a.tsv", *lines)))
    assert outcome(items) == [(2, Fault.MALFORMED), *map(str, range(300)), (303, Fault.MALFORMED)]


def test_quoted_cells_may_hold_delimiters_quotes_and_lines(tmp_path):
    path = write(tmp_path / "a.csv", "id,note,VH", f'"a,b","said ""no""\n\ntwice",{HEAVY}', "c,,")
    assert outcome(read(path)) == ["a,b_heavy", (5, Fault.NO_SEQUENCE)]


def test_an_id_with_a_comma_that_is_not_quoted_costs_its_row(tmp_path):
    path = write(tmp_path / "a.csv", "id,VH", f"a,b,{HEAVY}", f"c,{HEAVY}")
    assert outcome(read(path)) == [(2, Fault.MALFORMED), "c_heavy"]


@pytest.mark.parametrize("between", [";", " / ", "\n", ":", ", "])
def test_two_sequences_in_a_cell_are_named(tmp_path, between):
    path = write(tmp_path / "a.csv", "id,sequence", f'a,"{HEAVY}{between}{KAPPA}"', f"b,{HEAVY}")
    assert outcome(read(path)) == [(2, Fault.SEVERAL), "b"]


@pytest.mark.parametrize("tail", ["HHHHHH", "ASTKGPLEVLFQGPHHHHHHHH", "GSGLNDIFEAQKIEWHE"])
def test_tags_and_linkers_are_cut_off(tmp_path, tail):
    path = write(tmp_path / "a.csv", "id,heavy,light", f"a,{HEAVY}{tail},{KAPPA}RTVA{tail}")
    records, rejects = read_numbered(path)
    assert [r.sequence_aa for r in records] == [HEAVY, KAPPA]
    assert not rejects


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_any_line_end_will_do(tmp_path, newline):
    (tmp_path / "a.fa").write_bytes(newline.join([">a", HEAVY[:50], HEAVY[50:], ""]).encode())
    assert [r.sequence_aa for r in read(tmp_path / "a.fa")] == [HEAVY]
    (tmp_path / "a.csv").write_bytes(newline.join(["id,VH", f'a,"{HEAVY}"', ""]).encode())
    assert [r.sequence_aa for r in read(tmp_path / "a.csv")] == [HEAVY]


# Places


def test_standard_input_is_read_as_what_the_user_says_it_is(monkeypatch):
    data = gzip.compress(f">a\n{HEAVY}\n".encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert outcome(read(Source("-", format="fasta"))) == ["a"]
    with pytest.raises(DataError, match="say --format tsv or csv"):
        read("-")
    with pytest.raises(SettingError, match=r"format must be one of tsv, csv, .*got 'xlsx'"):
        Source("-", format="xlsx")


def test_a_folder_is_read_in_order_and_a_file_in_it_that_cannot_be_is_a_reject(tmp_path, caplog):
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub" / "b.fasta", ">b", HEAVY)
    write(tmp_path / "a.tsv", HEADER, f"a\t{HEAVY}")
    write(tmp_path / "notes.tsv", "who\twhen", "me\tnow")
    write(tmp_path / "t.rejects.tsv", "source\tline")
    write(tmp_path / "readme.md", "hello")
    items = list(read(tmp_path))
    assert outcome(items) == ["a", (0, Fault.UNUSABLE), "b"]
    assert items[1].sequence_id == "notes.tsv"
    assert "found: who, when" in items[1].detail
    assert "2 files are not read (.md 1, .tsv 1): readme.md, t.rejects.tsv" in caplog.text
    assert outcome(read(str(tmp_path / "*.tsv"))) == ["a", (0, Fault.UNUSABLE)]
    with pytest.raises(DataError, match="no file to read in 0"):
        read(str(tmp_path / "*.fasta"))


def test_a_format_that_the_user_names_goes_before_the_name_of_the_file(tmp_path):
    path = write(tmp_path / "export.txt", "id,VH", f"a,{HEAVY}")
    with pytest.raises(DataError, match="or say which it is with --format"):
        read(path)
    assert outcome(read(Source(str(path), format="csv"))) == ["a_heavy"]


# Constructs


def test_a_single_chain_fv_becomes_a_pair_of_chains(tmp_path):
    linker = "GGGGSGGGGSGGGGS"
    other = HEAVY.replace(CDRH3, "ARDRGYSYGMDY")
    lines = [">scfv", HEAVY + linker + KAPPA, ">lh", KAPPA + linker + other + "HHHHHH"]
    lines += [">tandem", HEAVY + linker + other, ">vh", HEAVY]
    records, rejects = read_numbered(write(tmp_path / "a.fa", *lines))
    assert not rejects
    assert [(r.sequence_id, r.cell_id, r.sequence_aa) for r in records] == [
        ("scfv_heavy", "scfv", HEAVY),
        ("scfv_light", "scfv", KAPPA),
        ("lh_light", "lh", KAPPA),
        ("lh_heavy", "lh", other),
        ("tandem_1", "", HEAVY),
        ("tandem_2", "", other),
        ("vh", "", HEAVY),
    ]


def test_a_construct_in_a_table_keeps_nothing_that_belongs_to_one_domain(tmp_path):
    row = f"a\t{HEAVY}GGGGSGGGGSGGGGS{KAPPA}\tIGHV3-66*01\tIGH\thuman"
    path = write(tmp_path / "a.tsv", f"{HEADER}\tv_call\tlocus\tspecies", row)
    records, rejects = read_numbered(path)
    assert not rejects
    assert [(r.locus, r.v_call, r.species) for r in records] == [
        ("IGH", "", "human"),
        ("IGK", "", "human"),
    ]
    assert all(isinstance(r, AntibodyRecord) for r in records)
