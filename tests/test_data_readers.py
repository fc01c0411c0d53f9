"""Readers: every file becomes records and named rejects, or one clear error."""

import gzip
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from antibodies import GLOBIN, HEAVY, KAPPA, TCR_BETA, back_translate

from hfbio.alphabet import translate
from hfbio.data import Fault, Reject, read, read_numbered
from hfbio.data.readers import translation
from hfbio.data.readers.translation import find_reading_frame, translate_alignment
from hfbio.errors import DataError, MissingExtra
from hfbio.numbering import Reason
from hfbio.record import AntibodyRecord

DNA = back_translate(HEAVY)


@pytest.fixture
def table(tmp_path):
    """Write rows as a table and give its path."""

    def write(*rows, name="t.tsv", mark="\t", newline="\n"):
        path = tmp_path / name
        path.write_text(newline.join(mark.join(row) for row in rows) + newline, newline="")
        return path

    return write


def only(source):
    items = list(read(source))
    assert len(items) == 1
    return items[0]


# Whole sources that cannot be used


def test_a_missing_file_a_folder_and_an_unknown_suffix_are_errors(tmp_path):
    with pytest.raises(DataError, match=r"no\.tsv: no such file"):
        read(tmp_path / "no.tsv")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="no file to read in 0"):
        read(tmp_path / "folder")
    with pytest.raises(DataError, match=r"'\.doc'.*\.fasta"):
        read(tmp_path / "a.doc")


@pytest.mark.parametrize("name", ["t.tsv", "t.csv", "t.fasta", "t.tsv.gz"])
def test_an_empty_file_is_an_error(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match="empty file"):
        read(tmp_path / name)


def test_a_header_without_rows_and_blank_lines_alone_are_errors(tmp_path, table):
    with pytest.raises(DataError, match="no rows"):
        read(table(["sequence_id", "sequence_aa"]))
    for name in ("t.fasta", "t.tsv"):
        (tmp_path / name).write_text("\n\n\n")
        with pytest.raises(DataError, match="only blank lines"):
            read(tmp_path / name)


@pytest.mark.parametrize(("name", "mark"), [("t.tsv", ","), ("t.tsv", ";"), ("t.csv", "\t")])
def test_another_delimiter_than_the_name_says_is_taken_where_it_gives_a_known_header(
    table, name, mark
):
    path = table(["sequence_id", "sequence_aa"], ["a", HEAVY], name=name, mark=mark)
    assert (only(path).sequence_id, only(path).sequence_aa) == ("a", HEAVY)


def test_a_table_without_sequences_lists_its_columns_and_the_accepted_names(table):
    path = table(["barcode", "cdr3"], ["a", "CARW"])
    with pytest.raises(DataError, match=r"found: barcode, cdr3.*sequence_alignment_aa.*heavy"):
        read(path)


@pytest.mark.parametrize("name", ["a.tsv.gz", "a.tsv.zst"])
def test_a_file_that_is_only_called_compressed_is_an_error(tmp_path, name):
    (tmp_path / name).write_text("sequence_id\tsequence_aa\n")
    with pytest.raises(DataError, match=r"and not compressed so; rename it to a\.tsv"):
        read(tmp_path / name)


def test_text_in_utf16_or_not_fasta_or_not_parquet_is_an_error(tmp_path):
    (tmp_path / "a.tsv").write_bytes("sequence_aa\n".encode("utf-16"))
    with pytest.raises(DataError, match="UTF-16 text; save it as UTF-8"):
        read(tmp_path / "a.tsv")
    (tmp_path / "a.fasta").write_text(HEAVY)
    with pytest.raises(DataError, match="line 1 is not FASTA"):
        read(tmp_path / "a.fasta")
    (tmp_path / "a.parquet").write_text(HEAVY)
    with pytest.raises(DataError, match="not a Parquet file"):
        read(tmp_path / "a.parquet")


def test_an_example_that_does_not_exist_or_is_not_installed_says_so(monkeypatch):
    with pytest.raises(DataError, match="ExampleDb"):
        read("example:Nothing")
    monkeypatch.setattr("hfbio.data.readers.source.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"hfbio\[demo\]"):
        read("example:ExampleDb")


# Rows


def test_a_row_that_does_not_fit_the_header_is_a_reject_with_its_line(table):
    rows = list(read(table(["sequence_id", "sequence_aa"], ["a", HEAVY], ["b"], ["c", HEAVY])))
    assert [type(r) for r in rows] == [AntibodyRecord, Reject, AntibodyRecord]
    assert (rows[1].line, rows[1].reason) == (3, Fault.MALFORMED)


def test_bom_windows_line_ends_and_compression_change_nothing(tmp_path, table):
    rows = (["sequence_id", "sequence_aa", "c_call"], ["a", HEAVY, "IGHM"])
    plain = only(table(*rows))
    text = table(*rows, name="w.tsv", newline="\r\n").read_bytes()
    (tmp_path / "w.tsv").write_bytes(b"\xef\xbb\xbf" + text)
    (tmp_path / "t.tsv.gz").write_bytes(gzip.compress(text))
    for other in (only(tmp_path / "w.tsv"), only(tmp_path / "t.tsv.gz")):
        assert (other.sequence_id, other.sequence_aa, other.isotype) == ("a", HEAVY, "IGHM")
        assert other.sequence_aa == plain.sequence_aa


def test_airr_values_come_out_in_one_spelling(table):
    header = ["sequence_id", "sequence_alignment_aa", "v_call", "j_call", "c_call", "productive"]
    row = ["a", HEAVY, "Homsap IGHV3-66*01 F,Homsap IGHV3-53*01 F", "IGHJ4*02", "IGHG1*03", "T"]
    record = only(table(header, row))
    assert record.species == "human"
    assert (record.v_call, record.j_call) == ("IGHV3-66*01", "IGHJ4*02")
    assert (record.c_call, record.isotype) == ("IGHG1*03", "IGHG")


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("productive", "F", Fault.NOT_PRODUCTIVE),
        ("productive", "FALSE", Fault.NOT_PRODUCTIVE),
        ("stop_codon", "T", Fault.STOP_CODON),
        ("v_frameshift", "true", Fault.OUT_OF_FRAME),
        ("vj_in_frame", "F", Fault.OUT_OF_FRAME),
    ],
)
def test_what_the_file_calls_broken_is_a_reject(table, column, value, reason):
    assert only(table(["sequence_aa", column], [HEAVY, value])).reason is reason


@pytest.mark.parametrize("missing", ["", "na", "NaN", "None", "ND"])
def test_missing_values_are_empty_and_a_missing_sequence_is_a_reject(table, missing):
    rows = list(read(table(["sequence_aa", "clone_id"], [HEAVY, missing], [missing, "1"])))
    assert rows[0].clone_id == ""
    assert rows[1].reason is Fault.NO_SEQUENCE


@pytest.mark.parametrize(
    "name", ["sequence", "seq", "sequence_aa", "sequence_alignment_aa", "init_seq", "Sequence AA"]
)
def test_amino_acids_are_found_under_the_names_in_use(table, name):
    assert only(table(["id", name], ["a", HEAVY])).sequence_aa == HEAVY


@pytest.mark.parametrize(
    ("heavy", "light"),
    [
        ("heavy", "light"),
        ("VH", "VL"),
        ("HC", "LC"),
        ("heavy_seq", "light_seq"),
        ("Heavy Sequence", "Light Sequence"),
        ("sequence_alignment_aa_heavy", "sequence_alignment_aa_light"),
    ],
)
def test_a_pair_gives_two_chains_of_one_cell(table, heavy, light):
    path = table(["id", heavy, light], ["a", HEAVY, KAPPA], ["b", HEAVY, "na"])
    records, rejects = read_numbered(path)
    assert [(r.locus, r.cell_id) for r in records] == [("IGH", "a"), ("IGK", "a"), ("IGH", "b")]
    assert len({r.sequence_id for r in records}) == 3
    assert not rejects


def test_a_column_that_is_not_of_one_chain_does_not_speak_for_both(table):
    path = table(["VH", "VL", "locus", "v_call"], [HEAVY, KAPPA, "IGH", "IGHV3-66*01"])
    records, rejects = read_numbered(path)
    assert not rejects
    assert [r.v_call for r in records] == ["", ""]


def test_parquet_is_read_like_a_text_table(tmp_path):
    rows = {"sequence_id": ["a", "b"], "sequence_aa": [HEAVY, None], "duplicate_count": [3, 1]}
    pq.write_table(pa.table(rows), tmp_path / "a.parquet")
    first, second = read(tmp_path / "a.parquet")
    assert (first.sequence_aa, first.duplicate_count) == (HEAVY, 3)
    assert (second.line, second.reason) == (2, Fault.NO_SEQUENCE)


# Sequences that are not antibodies, or not whole


@pytest.mark.parametrize(
    ("sequence", "reason"),
    [
        (HEAVY.replace("GDG", "G*G"), Fault.STOP_CODON),
        (HEAVY + "*", Fault.STOP_CODON),
        (HEAVY.replace("GDG", "GXG"), Fault.AMBIGUOUS),
        (HEAVY.replace("GDG", "GBG"), Fault.AMBIGUOUS),
        (HEAVY.replace("GDG", "G1G"), Reason.LETTERS),
        (TCR_BETA, Reason.T_CELL_RECEPTOR),
        (GLOBIN, Reason.NOT_ANTIBODY),
        (HEAVY[15:], Reason.START),
        (HEAVY[:-8], Reason.END),
    ],
)
def test_each_bad_sequence_is_rejected_for_its_own_reason(tmp_path, sequence, reason):
    (tmp_path / "a.fasta").write_text(f">good\n{HEAVY}\n>bad some words\n{sequence}\n")
    records, rejects = read_numbered(tmp_path / "a.fasta")
    assert [r.sequence_id for r in records] == ["good"]
    assert [(r.sequence_id, r.line, r.reason) for r in rejects] == [("bad", 3, reason)]


def test_lower_case_gaps_and_wrapped_lines_are_cleaned(tmp_path):
    body = "\n".join(f"{HEAVY.lower()[i : i + 30]}-" for i in range(0, len(HEAVY), 30))
    (tmp_path / "a.fa").write_text(f">a\n{body}\n")
    records, _ = read_numbered(tmp_path / "a.fa")
    assert records[0].sequence_aa == HEAVY


def test_an_unknown_residue_outside_the_domain_does_no_harm(tmp_path):
    (tmp_path / "a.fa").write_text(f">a\nMXX{HEAVY}ASTKX\n")
    records, _ = read_numbered(tmp_path / "a.fa")
    assert records[0].sequence_aa == HEAVY


def test_a_locus_that_the_sequence_contradicts_is_a_reject(table):
    path = table(["sequence_aa", "locus"], [HEAVY, "IGH"], [HEAVY, "IGK"], [KAPPA, "L"])
    records, rejects = read_numbered(path)
    assert [r.locus for r in records] == ["IGH", "IGK"]  # a bare L says light, not lambda
    assert [r.reason for r in rejects] == [Fault.LOCUS]


# Nucleotides


@pytest.mark.parametrize("strand", ["forward", "reverse"])
@pytest.mark.parametrize("lead", ["", "G", "GC", "TAATAGTGA"])
def test_the_frame_with_the_domain_is_found_on_both_strands(strand, lead):
    read_ = lead + DNA + "GCCTCCACCAAG"
    if strand == "reverse":
        read_ = read_[::-1].translate(str.maketrans("ACGT", "TGCA"))
    assert HEAVY in find_reading_frame(read_)


def test_a_nucleotide_read_is_rejected_with_the_reason_that_fits():
    assert find_reading_frame(DNA[:150] + "TAA" + DNA[153:]) is Fault.STOP_CODON
    assert find_reading_frame(back_translate(GLOBIN)) is Fault.NO_READING_FRAME
    no_cys = HEAVY.replace("LSCAAS", "LSSAAS")
    assert find_reading_frame(back_translate(no_cys)) == no_cys  # and cleaning says: no Cys23


def test_a_fasta_of_nucleotides_is_recognised_and_translated(tmp_path):
    (tmp_path / "a.fasta").write_text(f">a\n{DNA.lower()}\n>b\nCC{DNA}\n")
    records, _ = read_numbered(tmp_path / "a.fasta")
    assert [r.sequence_aa for r in records] == [HEAVY, HEAVY]


def test_imgt_gaps_fix_the_frame_and_the_germline_keeps_its_place():
    # IMGT-gapped: columns 3n..3n+2 are one codon; dots are positions without residue.
    sequence = "GAGGTG...CAGCTG"
    germline = "GAGATG...CANCTG"
    assert translate_alignment(sequence, germline, 0) == ("EVQL", "EM-L")


def test_whole_codons_are_translated_as_column_by_column():
    rng = random.Random(0)
    n_same = 0
    for _ in range(300):
        n = rng.randint(0, 12)
        sequence = "".join(rng.choice(["ACG", "GTN", "TAA", "...", "---", "."]) for _ in range(n))
        sequence = sequence[rng.randint(0, 2) :]
        germline = "".join(rng.choice("ACGTN.") for _ in range(rng.randint(0, 36)))
        for frame in range(3):
            whole = translation._by_codons(sequence, germline, frame)
            if whole is not None:
                n_same += 1
                assert whole == translation._by_columns(sequence, germline, frame)
    assert n_same > 100


def test_a_sequence_that_starts_inside_a_codon_starts_at_the_next():
    assert translate_alignment("....TGCAGCTG", "GAGGTGCAGCTG", 0) == ("QL", "QL")


def test_an_indel_hides_the_germline_where_it_is_out_of_frame_and_nowhere_else():
    # One base lost, one gained six columns on: the germline is unknown only in between.
    sequence = "GAG.TGCAGCTGCTGGTG"
    germline = "GAGGTGCAG-TGCTGGTG"
    residues, germlines = translate_alignment(sequence, germline, 0)
    assert len(residues) == len(germlines)
    assert germlines[0] == "E"
    assert set(germlines[1:3]) == {"-"}


def test_a_frame_of_the_alignment_is_found_without_gaps(table):
    header = ["sequence_id", "sequence", "sequence_alignment", "germline_alignment"]
    path = table(header, ["a", "CC" + DNA, "G" + DNA, "G" + DNA[:290] + "N" * (len(DNA) - 290)])
    records, _ = read_numbered(path)
    assert records[0].sequence_aa == HEAVY
    assert records[0].germline_alignment_aa == HEAVY[:96] + "-" * (len(HEAVY) - 96)


def test_the_germline_follows_the_residues_through_trimming(table):
    leader = back_translate("MGWSCIILFLVATATGVHS")
    header = ["sequence_id", "sequence_alignment_aa", "sequence_alignment", "germline_alignment"]
    whole = leader + DNA
    other = back_translate("W" * 19 + HEAVY.replace("T", "S"))
    path = table(header, ["a", translate(whole), whole, other])
    records, _ = read_numbered(path)
    assert records[0].sequence_aa == HEAVY
    assert records[0].germline_alignment_aa == HEAVY.replace("T", "S")


def test_a_germline_of_another_length_is_unknown_rather_than_shifted(table):
    path = table(["sequence_alignment_aa", "germline_alignment_aa"], [HEAVY, HEAVY[1:]])
    records, _ = read_numbered(path)
    assert records[0].germline_alignment_aa == ""
