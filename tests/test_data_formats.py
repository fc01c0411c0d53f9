"""Each file format that people come with: what it says becomes fields, and pairs stay pairs."""

import csv
import gzip
import io
import json

import pyarrow.parquet as pq
import pytest
from antibodies import CDRH3, GLOBIN, HEAVY, KAPPA, back_translate

from hfbio.data import Fault, Reject, Source, import_table, read, read_numbered
from hfbio.data.columns import parse_columns
from hfbio.data.pairs import pair
from hfbio.errors import DataError, SettingError
from hfbio.numbering import Reason, number
from hfbio.record import REGIONS

LAMBDA = (  # human IGLV2-14 with IGLJ1
    "QSALTQPASVSGSPGQSITISCTGTSSDVGGYNYVSWYQQHPGKAPKLMIYDVSNRPSGVSNRFSGSKSGNTASLTISGLQAEDEADYYC"
    "SSYTSSSTRVFGTGTKVTVL"
)
OTHER = HEAVY.replace(CDRH3, "ARDRGYSYGMDY")
METADATA = {
    "Run": "SRR1", "Author": "Doe et al., 2020", "Species": "mouse_BALB/c", "Disease": "None",
    "Subject": "Mouse-1", "Isotype": "IGHG", "Chain": "Heavy", "Age": "8 weeks",
}  # fmt: skip


def table(path, *rows, mark=","):
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=mark, lineterminator="\n").writerows(rows)
    data = buffer.getvalue().encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def fasta(path, *entries):
    path.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in entries))
    return path


def cells(path):
    """``(sequence_id, cell_id)`` of each numbered record; there must be no reject."""
    records, rejects = read_numbered(path)
    assert not rejects
    return [(r.sequence_id, r.cell_id) for r in records]


# OAS

UNIT = ["sequence", "locus", "productive", "v_call", "sequence_alignment_aa", "c_region"]
UNIT += ["Redundancy", "ANARCI_status"]
UNIT_ROW = [back_translate(HEAVY), "H", "T", "IGHV1-2*01", HEAVY, "GCCTCC", "7", "good"]


def test_the_metadata_of_an_oas_unit_becomes_fields_of_its_chains(tmp_path):
    path = table(tmp_path / "SRR1_Heavy_IGHG.csv.gz", [json.dumps(METADATA)], UNIT, UNIT_ROW)
    (record,) = read(path)
    assert (record.sequence_aa, record.locus, record.duplicate_count) == (HEAVY, "IGH", 7)
    assert (record.species, record.isotype, record.v_call) == ("mouse", "IGHG", "IGHV1-2*01")
    assert (record.study, record.subject) == ("Doe et al., 2020", "Doe et al., 2020/Mouse-1")
    assert record.disease == ""  # OAS says "None" of the healthy and of the unknown
    assert record.source == f"{path}:3"


@pytest.mark.parametrize("isotype", ["Bulk", "All"])
def test_an_oas_isotype_that_names_no_class_is_unknown(tmp_path, isotype):
    metadata = METADATA | {"Isotype": isotype, "Subject": "no", "Disease": "SARS-COV-2"}
    (record,) = read(table(tmp_path / "a.csv", [json.dumps(metadata)], UNIT, UNIT_ROW))
    assert (record.isotype, record.subject, record.disease) == ("", "", "SARS-COV-2")


def test_a_light_chain_of_sorted_igg_cells_has_no_heavy_isotype(tmp_path):
    row = [*UNIT_ROW[:1], "K", "T", "IGKV1-39*01", KAPPA, "", "1", "good"]
    path = table(tmp_path / "a.csv", [json.dumps(METADATA | {"Chain": "Light"})], UNIT, row)
    assert [r.isotype for r in read(path)] == [""]


def test_a_paired_oas_unit_gives_pairs_whatever_its_contigs_are_called(tmp_path):
    of_chain = ["sequence_id", "sequence", "locus", "sequence_alignment_aa", "v_call", "Redundancy"]
    header = [f"{name}_{chain}" for chain in ("heavy", "light") for name in of_chain]
    rows = []
    for i in range(2):
        heavy = [f"C{i}_contig_2", "", "H", HEAVY, "IGHV1-2*01", "2"]
        rows.append([*heavy, f"C{i}_contig_1", "", "K", KAPPA, "IGKV1-39*01", "3"])
    path = table(tmp_path / "u_Paired_All.csv", [json.dumps(METADATA)], header, *rows)
    records, rejects = read_numbered(path)
    assert not rejects
    assert [r.sequence_id for r in records[:2]] == ["C0_contig_2", "C0_contig_1"]
    assert [r.cell_id for r in records] == ["u_Paired_All_3"] * 2 + ["u_Paired_All_4"] * 2
    assert [(r.isotype, r.v_call, r.duplicate_count) for r in records[:2]] == [
        ("IGHG", "IGHV1-2*01", 2),
        ("", "IGKV1-39*01", 3),
    ]


def test_joined_oas_units_keep_their_own_metadata(tmp_path):
    other = METADATA | {"Species": "human", "Subject": "D2"}
    rows = [[json.dumps(METADATA)], UNIT, UNIT_ROW, [json.dumps(other)], UNIT, UNIT_ROW]
    first, metadata, header, second = read(table(tmp_path / "a.csv", *rows))
    assert (first.species, second.species) == ("mouse", "human")
    assert second.subject == "Doe et al., 2020/D2"
    assert {metadata.reason, header.reason} == {Fault.REPEATED_HEADER}


def test_an_oas_header_without_rows_says_so(tmp_path):
    with pytest.raises(DataError, match="a header and no rows"):
        read(table(tmp_path / "a.csv", [json.dumps(METADATA)], UNIT))
    with pytest.raises(DataError, match="no header, only metadata"):
        read(table(tmp_path / "b.csv", [json.dumps(METADATA)]))


# FASTA


@pytest.mark.parametrize(
    ("heavy", "light", "ids"),
    [
        ("X_VH", "X_VL", ["X_VH", "X_VL"]),
        ("X|H", "X|L some words", ["X|H", "X|L"]),
        ("X-heavy", "X-kappa", ["X-heavy", "X-kappa"]),
        ("X VH", "X VL", ["X_VH", "X_VL"]),
        ("X", "X", ["X", "X"]),
    ],
)
def test_names_tell_which_chains_are_of_one_cell(tmp_path, heavy, light, ids):
    path = fasta(tmp_path / "a.fa", (heavy, HEAVY), (light, KAPPA), ("Y", OTHER))
    assert cells(path) == [(ids[0], "X"), (ids[1], "X"), ("Y", "")]


def test_names_that_only_look_like_marks_make_no_cell(tmp_path):
    names = ["PD-L", "IgH", "H", "xVH", "a_b"]
    path = fasta(tmp_path / "a.fa", *((name, HEAVY) for name in names))
    assert cells(path) == [(name, "") for name in names]


def test_marks_that_numbering_contradicts_make_no_pair(tmp_path):
    records, _ = read_numbered(fasta(tmp_path / "a.fa", ("X_VH", HEAVY), ("X_VL", OTHER)))
    pairs, alone = pair(records)
    assert not pairs
    assert len(alone) == 2


def test_a_written_pair_is_two_chains_in_either_order(tmp_path):
    entries = [("a", f"{HEAVY}:{KAPPA}"), ("b", f"{LAMBDA}:{OTHER}"), ("c", f"{HEAVY}:")]
    items = list(read(fasta(tmp_path / "a.fa", *entries, ("d", f"{HEAVY}:{KAPPA}:{OTHER}"))))
    assert [(i.sequence_id, i.line if isinstance(i, Reject) else i.cell_id) for i in items] == [
        ("a_heavy", "a"),
        ("a_light", "a"),
        ("b_light", "b"),
        ("b_heavy", "b"),
        ("c_heavy", "c"),
        ("c_2", 5),
        ("d", 7),
    ]
    assert [i.reason for i in items if isinstance(i, Reject)] == [
        Fault.NO_SEQUENCE,
        Fault.NOT_A_PAIR,
    ]


# 10x

CONTIGS = ["barcode", "is_cell", "contig_id", "high_confidence", "chain", "c_gene", "productive"]
CONTIGS += ["cdr3", "reads", "umis", "raw_clonotype_id"]
CALLS = ["IGHG1", "True", "CSRW", "900", "12", "clonotype7"]


@pytest.fixture
def contigs(tmp_path):
    rows = [
        ["AC-1", "True", "AC-1_contig_1", "True", "IGH", *CALLS],
        ["AC-1", "True", "AC-1_contig_2", "True", "IGK", "IGKC", *CALLS[1:]],
        ["AG-1", "False", "AG-1_contig_1", "True", "IGH", *CALLS],
        ["AT-1", "True", "AT-1_contig_1", "False", "IGH", *CALLS],
        ["CC-1", "True", "CC-1_contig_1", "True", "IGH", "IGHM", "False", *CALLS[2:]],
        ["CT-1", "True", "CT-1_contig_9", "True", "Multi", "None", "None", *CALLS[2:]],
    ]
    return table(tmp_path / "filtered_contig_annotations.csv", CONTIGS, *rows)


def test_contigs_are_joined_with_the_fasta_beside_them(contigs):
    leader, constant = back_translate("MGWSCIILFLVATATGVHS"), back_translate("ASTKGPSVFPLAP")
    fasta(
        contigs.with_name("filtered_contig.fasta"),
        ("AC-1_contig_2", "G" + leader + back_translate(KAPPA) + back_translate("RTVAAPSV")),
        ("AC-1_contig_1", "GG" + leader + back_translate(HEAVY) + constant),
    )
    for source in (contigs, contigs.parent):  # the folder holds the same contigs, not more
        records, rejects = read_numbered(source)
        assert [(r.sequence_aa, r.cell_id) for r in records] == [(HEAVY, "AC-1"), (KAPPA, "AC-1")]
        heavy = records[0]
        assert (heavy.sequence_id, heavy.isotype) == ("AC-1_contig_1", "IGHG")
        assert (heavy.duplicate_count, heavy.clone_id) == (12, "clonotype7")
        assert [(r.line, r.reason) for r in rejects] == [
            (4, Fault.NOT_A_CELL),
            (5, Fault.LOW_CONFIDENCE),
            (6, Fault.NOT_PRODUCTIVE),
            (7, Fault.NO_SEQUENCE),
        ]


def test_contigs_without_their_fasta_name_the_missing_file(contigs):
    with pytest.raises(DataError, match=r"filtered_contig\.fasta is not beside them"):
        read(contigs)
    (reject,) = read(contigs.parent)
    assert (reject.reason, reject.line) == (Fault.UNUSABLE, 0)
    renamed = contigs.rename(contigs.with_name("donor1_filtered_contig_annotations.csv"))
    with pytest.raises(DataError, match=r"donor1_filtered_contig\.fasta is not beside"):
        read(renamed)


def test_contigs_of_newer_versions_carry_their_residues(tmp_path):
    domain = number(KAPPA)
    parts = [KAPPA[a:b] for a, b in zip(domain.regions, domain.regions[1:])]
    row = ["AC-1", "True", "AC-1_contig_2", "True", "IGK", "IGKC", *CALLS[1:]]
    header = [name for name in CONTIGS if name != "cdr3"]
    row.pop(CONTIGS.index("cdr3"))
    rows = [[*row, *parts], [*row, *parts[:3], "", *parts[4:]]]
    path = table(tmp_path / "filtered_contig_annotations.csv", [*header, *REGIONS], *rows)
    records, rejects = read_numbered(path)
    assert [r.sequence_aa for r in records] == [KAPPA]
    assert [r.reason for r in rejects] == [Fault.NO_SEQUENCE]


def test_the_airr_table_of_cell_ranger_is_read_like_any_other(tmp_path):
    header = ["cell_id", "clone_id", "sequence_id", "sequence", "sequence_aa", "productive"]
    header += ["c_call", "duplicate_count", "is_cell"]
    whole = "MGWSCIILFLVATATGVHS" + HEAVY + "ASTKGP"
    row = ["AC-1", "c1", "AC-1_contig_1", back_translate(whole), whole, "true", "IGHG1", "3"]
    path = table(
        tmp_path / "airr_rearrangement.tsv", header, [*row, "true"], [*row, "false"], mark="\t"
    )
    records, rejects = read_numbered(tmp_path)
    assert [(r.sequence_aa, r.cell_id, r.duplicate_count) for r in records] == [(HEAVY, "AC-1", 3)]
    assert [(r.source, r.reason) for r in rejects] == [(str(path), Fault.NOT_A_CELL)]


# Tables of any shape


def test_a_csv_that_a_spreadsheet_saved_is_read(tmp_path):
    path = tmp_path / "a.csv"
    text = f'"Name";"Gewicht, kDa";"VH";"VL"\r\n"a";"1,5";"{HEAVY}";"{KAPPA}"\r\n'
    for start in (b"\xef\xbb\xbf", b"\xef\xbb\xbfsep=;\r\n"):
        path.write_bytes(start + text.encode())
        assert cells(path) == [("a_heavy", "a"), ("a_light", "a")]


def test_json_lines_are_rows_and_other_lines_are_rejects(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [{"id": "a", "VH": HEAVY, "VL": KAPPA}, {"VL": KAPPA, "id": "b", "other": [1]}]
    lines = [json.dumps(rows[0]), "", "[1]", "{", json.dumps(rows[1]), "[" * 100_000]
    path.write_text("\n".join(lines))
    items = list(read(path))
    assert [i.sequence_id for i in items if not isinstance(i, Reject)] == [
        "a_heavy",
        "a_light",
        "b_light",
    ]
    rejects = [(i.line, i.reason) for i in items if isinstance(i, Reject)]
    assert rejects == [(3, Fault.MALFORMED), (4, Fault.MALFORMED), (6, Fault.MALFORMED)]


def test_the_user_says_what_columns_hold(tmp_path, caplog):
    caplog.set_level("INFO")
    header = ["antibody_id", "label, long", "H seq", "L seq", "VH", "VL"]
    path = table(tmp_path / "a.csv", header, ["1", "x", OTHER, LAMBDA, HEAVY, KAPPA])
    assert [r.sequence_aa for r in read(path)] == [HEAVY, KAPPA]
    assert "heavy=VH" in caplog.text
    columns = parse_columns("heavy=h SEQ, light=L seq,id=label, long")
    items = list(read(Source(str(path), columns=columns)))
    assert [(r.sequence_id, r.sequence_aa) for r in items] == [
        ("x_heavy", OTHER),
        ("x_light", LAMBDA),
    ]
    assert "heavy=H seq, " in caplog.text
    (one,) = read(Source(str(path), columns={"sequence": "L seq"}))
    assert one.sequence_aa == LAMBDA
    with pytest.raises(DataError, match=r"no column 'X' for heavy; found: antibody_id, "):
        read(Source(str(path), columns={"heavy": "X"}))


def test_an_empty_column_gives_way_to_one_with_sequences(tmp_path):
    header = ["sequence_id", "sequence_alignment_aa", "sequence_aa"]
    (record,) = read(table(tmp_path / "a.csv", header, ["a", "", HEAVY]))
    assert record.sequence_aa == HEAVY


@pytest.mark.parametrize("text", ["heavy", "heavy=", "h=VH", "heavy=VH,heavy=VL"])
def test_columns_that_say_nothing_are_an_error(text):
    with pytest.raises(SettingError, match=r"is not KEY=NAME with a new key of: sequence, heavy"):
        parse_columns(text)


@pytest.mark.parametrize("of_second", ["Sequence(ifbispec)", " Sequence (if bispec)"])
def test_both_fv_of_a_bispecific_antibody_are_read(tmp_path, of_second):
    header = ["Therapeutic", "Heavy Sequence", "LC", f"Heavy{of_second}", f"Light{of_second}"]
    rows = [["mab", HEAVY, KAPPA, "na", "na"], ["bimab", HEAVY, KAPPA, OTHER, LAMBDA]]
    assert cells(table(tmp_path / "a.csv", header, *rows)) == [
        ("mab_heavy", "mab"),
        ("mab_light", "mab"),
        ("bimab_heavy", "bimab"),
        ("bimab_light", "bimab"),
        ("bimab_heavy_2", "bimab_2"),
        ("bimab_light_2", "bimab_2"),
    ]


def test_a_flab_table_of_single_domains_keeps_them(tmp_path):
    path = table(tmp_path / "a.csv", ["heavy", "fitness"], [HEAVY + "HHHHHH", "0.1"])
    assert cells(path) == [("a_2_heavy", "a_2")]


# Structures

_THREE = "ALA ARG ASN ASP CYS GLN GLU GLY HIS ILE LEU LYS MET PHE PRO SER THR TRP TYR VAL"
_NAMES = dict(zip("ARNDCQEGHILKMFPSTWYV", _THREE.split()))


def seqres(chain, residues):
    names = [_NAMES.get(residue, "UNK") for residue in residues]
    for row, at in enumerate(range(0, len(names), 13), start=1):
        part = " ".join(names[at : at + 13])
        yield f"SEQRES {row:3d} {chain} {len(names):4d}  {part}"


def pdb(path, *chains):
    lines = ["HEADER    IMMUNE SYSTEM", *(line for chain in chains for line in seqres(*chain))]
    path.write_text("\n".join([*lines, "ATOM      1  N   GLU H   1", "END", ""]))
    return path


def test_chains_of_a_pdb_file_are_read_and_one_fv_is_a_pair(tmp_path):
    chains = [("L", KAPPA + "RTVA"), ("H", HEAVY), ("A", KAPPA + "RTVA"), ("B", HEAVY)]
    path = pdb(tmp_path / "1n8z.pdb", *chains, ("C", GLOBIN))
    records, rejects = read_numbered(path)
    assert [(r.sequence_id, r.cell_id, r.sequence_aa) for r in records] == [
        ("1n8z_L", "1n8z", KAPPA),
        ("1n8z_H", "1n8z", HEAVY),
        ("1n8z_A", "", KAPPA),
        ("1n8z_B", "", HEAVY),
    ]
    assert [(r.sequence_id, r.reason) for r in rejects] == [("1n8z_C", Reason.NOT_ANTIBODY)]


def test_two_different_fv_in_one_structure_are_not_paired(tmp_path):
    path = pdb(tmp_path / "a.ent", ("H", HEAVY), ("L", KAPPA), ("A", OTHER), ("B", LAMBDA))
    assert [cell for _, cell in cells(path)] == [""] * 4


CIF = """data_1ABC
#
_entry.id   1ABC
#
loop_
_entity_poly.entity_id
_entity_poly.type
_entity_poly.pdbx_seq_one_letter_code
_entity_poly.pdbx_seq_one_letter_code_can
_entity_poly.pdbx_strand_id
1 'polypeptide(L)'
;{light}
;
;{light}
;
L,A
2 'polypeptide(L)'
;(PCA){heavy_rest}
;
;{heavy}
;
"H"
3 polydeoxyribonucleotide
;ACGT
;
ACGT D
#
loop_
_atom_site.group_PDB
_atom_site.id
ATOM 1
"""


def test_chains_of_an_mmcif_file_are_read(tmp_path):
    wrapped = "\n".join(HEAVY[i : i + 80] for i in range(0, len(HEAVY), 80))
    path = tmp_path / "1abc.cif"
    path.write_text(CIF.format(light=KAPPA, heavy=wrapped, heavy_rest=wrapped[1:]))
    records, rejects = read_numbered(path)
    assert not rejects
    assert [(r.sequence_id, r.cell_id, r.sequence_aa) for r in records] == [
        ("1abc_L", "1abc", KAPPA),
        ("1abc_A", "", KAPPA),
        ("1abc_H", "1abc", HEAVY),
    ]


def test_a_single_polymer_of_an_mmcif_file_needs_no_loop(tmp_path):
    item = "_entity_poly."
    lines = [f"{item}entity_id 1", f"{item}type 'polypeptide(L)'"]
    lines += [f"{item}pdbx_seq_one_letter_code_can", f";{HEAVY}", ";", f"{item}pdbx_strand_id A"]
    path = tmp_path / "a.cif"
    path.write_text("\n".join(["data_A", *lines, "_other.item 1", "loop_", "_atom_site.id", "1"]))
    assert cells(path) == [("a_A", "")]


@pytest.mark.parametrize("text", ["HEADER\nATOM\n", "data_X\n_entry.id X\n"])
def test_a_structure_without_sequences_is_an_error(tmp_path, text):
    (tmp_path / "a.pdb").write_text(text)
    with pytest.raises(DataError, match="no protein in SEQRES or _entity_poly"):
        read(tmp_path / "a.pdb")


# Round trips


@pytest.mark.parametrize("name", ["t.tsv", "t.csv", "t.jsonl", "t.parquet"])
def test_a_table_that_is_written_in_another_format_comes_back_the_same(tmp_path, name):
    header = ["sequence_id", "cell_id", "sequence_alignment_aa", "germline_alignment_aa", "v_call"]
    header += ["c_call", "species", "subject", "duplicate_count", "clone_id"]
    rows = [
        ["a,1", "AC-1", HEAVY, "-" * 90 + HEAVY[90:], "IGHV3-66*01", "IGHG1", "dog", "d", "3", "7"],
        ["b", "AC-1", KAPPA + "RTVA", KAPPA + "----", "IGKV1-39*01", "IGKC", "dog", "d", "1", "7"],
        ["c", "", LAMBDA, "", "", "", "", "", "", ""],
    ]  # fmt: skip
    first = import_table([table(tmp_path / "in.csv", header, *rows)], tmp_path / "1.parquet")
    whole = pq.read_table(tmp_path / "1.parquet")
    match name:
        case "t.jsonl":
            lines = map(json.dumps, whole.to_pylist())
            (tmp_path / name).write_text("\n".join(lines))
        case "t.parquet":
            pq.write_table(whole, tmp_path / name)
        case _:
            values = [list(row.values()) for row in whole.to_pylist()]
            mark = "\t" if name == "t.tsv" else ";"
            table(tmp_path / name, whole.column_names, *values, mark=mark)
    again = import_table([tmp_path / name], tmp_path / "2.parquet")
    assert first.n_kept == again.n_kept == 3
    assert again.digest == first.digest
