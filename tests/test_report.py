"""Reports print what was measured, and nothing that data could smuggle in."""

import csv
import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pyarrow.parquet as pq
import pytest
from antibodies import CDRH3, HEAVY, KAPPA, heavy_with, random_cdr3s
from bundles import new_model
from toys import TOKENS, PositionModel, numbered

from hfbio.data import Reject, import_table, read_numbered, split_table
from hfbio.data.encode import encode
from hfbio.data.reject import Fault
from hfbio.errors import SettingError
from hfbio.model import Designs
from hfbio.report import write_report
from hfbio.report.designs import require_writable, write_designs
from hfbio.report.figures import loss_figure, regions_figure
from hfbio.report.scores import write_scores
from hfbio.report.text import LABELS, cell_name, held_out_table
from hfbio.score.heldout import measure, model_predictor
from hfbio.score.panel import add_novelty, examine, report
from hfbio.score.summary import summarise

HOSTILE = "<script>alert('x')</script>&\"'</svg><img src=x onerror=alert(1)>"
GERMLINE = "Q" + HEAVY[1:98] + "-" * 22


@pytest.fixture(scope="module")
def measured():
    """Metrics of all contenders, from random models and real sums."""
    records = [numbered(HEAVY, germline_alignment_aa=GERMLINE), numbered(heavy_with("ARDYW"))]
    examples = [encode(record, TOKENS, (0,)) for record in records]
    results = {
        name: measure(examples, model_predictor(PositionModel(140, i), TOKENS, examples), draws=1)
        for i, name in enumerate(LABELS)
    }
    return summarise(results, [0, 1], compare=("base", "tuned"))


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """split.json as `hfbio data split` writes it."""
    folder = tmp_path_factory.mktemp("split")
    fasta = folder / "chains.fasta"
    chains = enumerate(map(heavy_with, random_cdr3s(12)))
    fasta.write_text("".join(f">c{i}\n{sequence}\n" for i, sequence in chains))
    import_table([fasta], folder / "table.parquet", progress=False)
    split_table(folder / "table.parquet", folder / "split", by="clone", fractions=(0.5, 0.25, 0.25))
    return json.loads((folder / "split" / "split.json").read_text())


@pytest.fixture
def metrics(measured, split):
    """All that a run reports, with hostile text wherever text comes from outside."""
    log = [{"step": k, "loss": 2 / k} for k in (10, 20)]
    log += [{"step": 20, "eval_nats_per_residue_at_0.5": 0.7}]
    return {
        **measured,
        "run": {
            "base": HOSTILE,
            "base_revision": HOSTILE,
            "method": HOSTILE,
            "objective": HOSTILE,
            "trainable_parameters": 1234567,
            "data": HOSTILE,
            "processes": 1,
        },
        "split": split,
        "left_out": {HOSTILE: 3},
        "training": {"steps": 20, "loss": 0.1, "seconds": 61.2, "log": log},
    }


class Page(HTMLParser):
    """Elements, attributes and visible text of a page."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.attributes, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


def page_of(metrics, folder):
    return Page(write_report(metrics, folder).page.read_text(encoding="utf-8"))


# --- the page ----------------------------------------------------------------------------------


def test_text_from_data_is_shown_and_never_run(metrics, tmp_path):
    page = page_of(metrics, tmp_path)
    assert "script" not in page.elements
    assert "img" not in page.elements
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert page.text.count(HOSTILE) >= 5  # title, base, revision, data, left out: as text


def test_a_page_needs_nothing_from_elsewhere(metrics, tmp_path):
    page = page_of(metrics, tmp_path)
    links = [value for name, value in page.attributes if name in ("src", "href", "xlink:href")]
    assert all(value.startswith("#") for value in links)
    assert "link" not in page.elements


def test_every_number_of_the_table_is_on_the_page_and_in_the_metrics(metrics, tmp_path):
    written = write_report(metrics, tmp_path)
    page = page_of(metrics, tmp_path)
    rows = metrics["held_out"]
    printed = [line for line in written.table.splitlines() if line.startswith("  ")]
    assert len(printed) == len(rows)
    for line, row in zip(printed, rows):
        assert line.split("  ")[1].strip() == cell_name(row)
        numbers = [float(x) for x in re.findall(r"[-+]?\d+\.\d+", line)]
        expected = [row[name]["nats_per_residue"] for name in LABELS]
        if gap := row.get("difference"):
            expected += [gap["nats_per_residue"], gap["low"], gap["high"]]
        assert numbers == pytest.approx(expected, abs=5.1e-4)
        for name in LABELS:
            assert f"{row[name]['nats_per_residue']:.3f}" in page.text
        assert f"{row['residues']:,}" in page.text
    assert f"{metrics['chance_nats']:.3f}" in written.table
    assert "2 held-out chains in 2 clones" in written.table


def test_metrics_are_written_as_they_are(metrics, tmp_path):
    written = write_report(metrics, tmp_path / "new" / "folder")
    assert json.loads(written.metrics.read_text()) == json.loads(json.dumps(metrics))
    assert sorted(p.name for p in written.page.parent.iterdir()) == ["metrics.json", "report.html"]
    assert str(written.page) in str(written)


def test_a_base_alone_has_a_report_without_a_comparison(measured, tmp_path):
    rows = [
        {k: v for k, v in row.items() if k not in ("tuned", "base_calibrated", "difference")}
        for row in measured["held_out"]
    ]
    alone = {**measured, "held_out": rows}
    assert "tuned" not in held_out_table(alone)
    page = page_of(alone, tmp_path)
    assert f"{rows[0]['base']['nats_per_residue']:.3f}" in page.text
    assert LABELS["tuned"] not in [text.strip() for text in page.text.splitlines()]


# --- figures -----------------------------------------------------------------------------------


def test_a_figure_is_svg_with_a_bar_for_each_contender_and_region(measured):
    def n_shapes(names):
        rows = [
            {k: v for k, v in row.items() if k not in LABELS or k in names}
            for row in measured["held_out"]
        ]
        root = ElementTree.fromstring(regions_figure({**measured, "held_out": rows}, 0.5))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        return sum(g.get("id", "").startswith("patch_") for g in root.iter())

    names = list(LABELS)
    # One contender more: a bar for each of seven regions and for all, and one in the legend.
    assert n_shapes(names) - n_shapes(names[:-1]) == 9
    assert n_shapes(names) - n_shapes(names[:1]) == 9 * (len(names) - 1)


def test_a_loss_figure_is_svg_with_and_without_evaluations():
    log = [{"step": k, "loss": 1 / k} for k in range(1, 5)]
    for rows in ([], log, [*log, {"step": 4, f"eval_nats_per_residue_at_{0.5:g}": 0.4}]):
        assert ElementTree.fromstring(loss_figure({"training": {"log": rows}})).tag.endswith("svg")


def test_a_validation_curve_is_named_by_what_was_asked():
    log = [{"step": 1, "loss": 1.0}, {"step": 1, "eval_nats_per_residue_at_1": 0.4}]
    for task, said in (("span", "each region from all others"), ("masked", "100% masked")):
        figure = loss_figure({"task": task, "training": {"log": log}})
        assert f"validation, {said}" in figure


# --- what was asked ----------------------------------------------------------------------------

ASKED = {
    "next": "each residue after those before it",
    "next_reverse": "each residue before those after it",
    "span": "each region from all others",
}


@pytest.mark.parametrize("task", ASKED)
def test_a_task_without_masks_is_called_by_its_name_and_never_masked(measured, tmp_path, task):
    rows = [{**row, "masked": 1.0} for row in measured["held_out"] if row["masked"] == 0.5]
    rows = [{k: v for k, v in row.items() if k not in ("base_calibrated", "model")} for row in rows]
    metrics = {**measured, "task": task, "held_out": rows}
    table = held_out_table(metrics)
    page = page_of(metrics, tmp_path)
    for text in (table, page.text, regions_figure(metrics, 1.0)):
        assert ASKED[task] in text
        assert "masked" not in text
        assert "hidden" not in text
    assert "nats per predicted residue" in table
    assert "calibrated" not in page.text
    head, columns, *_ = table.splitlines()
    assert head == ASKED[task]
    assert columns.split()[:2] == ["base", "tuned"]


def test_metrics_of_earlier_versions_name_no_task_and_were_masked(measured, tmp_path):
    old = {k: v for k, v in measured.items() if k != "task"}
    assert held_out_table(old) == held_out_table(measured)
    assert "15% masked" in held_out_table(old)
    assert page_of(old, tmp_path / "a").text == page_of(measured, tmp_path / "b").text


@pytest.mark.parametrize("architecture", ["llama", "esm"])
def test_a_new_model_is_reported_beside_letters_and_counting(tmp_path, architecture):
    metrics = new_model(tmp_path, architecture).metrics
    written = write_report(metrics, tmp_path / "report")
    page = Page(written.page.read_text(encoding="utf-8"))
    assert "New model on held-out chains" in page.text
    assert "trained from nothing" in page.text
    for text in (page.text, written.table):
        for name in ("tuned", "Base", "calibrated", "→"):
            assert name not in text
        for name, source in metrics["sources"].items():
            assert name in text
            for nats in (*source["nats_per_residue"].values(), source["unigram_nats"]):
                assert f"{nats:.3f}" in text
    assert " 75 %" in " ".join(page.text.split())
    for row in metrics["held_out"]:
        assert f"{row['model']['nats_per_residue']:.3f}" in page.text
    asked = ASKED["span"] if architecture == "llama" else "15% masked"
    assert asked in page.text


# --- designs and scores ------------------------------------------------------------------------


def designs_of(sequences, keep=None):
    seen = {}
    drawn = [examine(i, s, seen, {"locus": "IGH"}) for i, s in enumerate(sequences)]
    kept = [d for d in drawn if d.valid and d.duplicate_of is None]
    kept = add_novelty(kept, [numbered(HEAVY)]) if kept else kept
    return Designs(tuple(kept), tuple(drawn), report(len(sequences), drawn, kept))


DESIGNS = designs_of([HEAVY, "AAA", heavy_with("ARDYW"), HEAVY, KAPPA])


def test_designs_are_the_same_in_every_format(tmp_path):
    for suffix in (".fasta", ".csv", ".parquet"):
        write_designs(DESIGNS, tmp_path / f"designs{suffix}")
    with (tmp_path / "designs.csv").open() as file:
        rows = list(csv.DictReader(file))
    table = pq.read_table(tmp_path / "designs.parquet").to_pylist()
    fasta = (tmp_path / "designs.fasta").read_text().splitlines()
    expected = [HEAVY, heavy_with("ARDYW")]
    assert [row["sequence_aa"] for row in rows] == expected
    assert [row["sequence_aa"] for row in table] == expected
    assert fasta[1::2] == expected
    ids = ["design-000000", "design-000002"]  # numbered before anything is set aside
    assert [row["sequence_id"] for row in rows] == ids
    assert [row["sequence_id"] for row in table] == ids
    assert [line[1:].split()[0] for line in fasta[::2]] == ids
    assert rows[0]["cdr3_aa"] == table[0]["cdr3_aa"] == CDRH3
    assert float(rows[0]["nearest_identity"]) == table[0]["nearest_identity"] == 1
    assert "asked_locus=IGH" in fasta[0]


def test_designs_are_written_with_their_account(tmp_path):
    written = write_designs(DESIGNS, tmp_path / "new" / "d.fasta")
    account = json.loads(written.report_path.read_text())
    assert account == DESIGNS.report.to_dict()
    assert account["drawn"] == 5
    assert "asked 5, drawn 5, valid 3 (60.0%), unique 2, kept 2" in str(written)
    assert "novel 1 of 2" in str(written)
    assert "not valid: 1 x another locus than asked" in str(written)
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["d.fasta", "d.report.json"]


def test_airr_files_of_designs_read_back_as_they_were(tmp_path):
    path = tmp_path / "designs.tsv"
    write_designs(DESIGNS, path)
    header = path.read_text().split("\n")[0].split("\t")
    # The fields that the AIRR schema 1.5 requires of a rearrangement file.
    required = {
        *("sequence_id", "sequence", "rev_comp", "productive", "v_call", "d_call", "j_call"),
        *("sequence_alignment", "germline_alignment", "junction", "junction_aa"),
        *("v_cigar", "d_cigar", "j_cigar"),
    }
    assert required <= set(header)
    with path.open() as file:
        first = next(csv.DictReader(file, delimiter="\t"))
    assert (first["productive"], first["junction_aa"]) == ("T", f"C{CDRH3}W")
    records, rejects = read_numbered(path)
    assert not rejects
    assert [(r.sequence_id, r.sequence_aa, r.locus) for r in records] == [
        (design.sequence_id, design.sequence_aa, "IGH") for design in DESIGNS.kept
    ]


def test_the_chains_of_a_pair_are_two_rows_of_one_cell(tmp_path):
    design = examine(7, f"{HEAVY}:{KAPPA}", {}, {})
    write_designs(Designs((design,), (design,), report(1, [design], [design])), tmp_path / "p.tsv")
    records, rejects = read_numbered(tmp_path / "p.tsv")
    assert not rejects
    assert [(r.sequence_id, r.sequence_aa, r.locus, r.cell_id) for r in records] == [
        ("design-000007_heavy", HEAVY, "IGH", "design-000007"),
        ("design-000007_light", KAPPA, "IGK", "design-000007"),
    ]


@pytest.mark.parametrize("suffix", [".fasta", ".csv", ".tsv", ".parquet"])
def test_an_empty_set_of_designs_is_written_too(tmp_path, suffix):
    written = write_designs(designs_of(["AAA"]), tmp_path / f"none{suffix}")
    assert written.path.exists()
    assert "kept 0" in str(written)
    if suffix == ".csv":
        assert written.path.read_text().startswith("sequence_id")
    if suffix == ".parquet":
        assert pq.read_table(written.path).num_rows == 0


@pytest.mark.parametrize("name", ["designs", "designs.xlsx", "designs.fa.gz", "designs.FASTA"])
def test_another_format_is_refused_before_any_work(tmp_path, name):
    with pytest.raises(SettingError, match=r"\.fasta, \.csv, \.tsv, \.parquet"):
        require_writable(tmp_path / name)


def test_scores_appear_when_all_are_done_or_not_at_all(tmp_path):
    def rows(n):
        for i in range(n):
            yield {"sequence_id": f"a{i}", "nats_per_residue": i / 10}
        if n == 3:
            raise RuntimeError("the third chain is too much")

    path = tmp_path / "scores.csv"
    with pytest.raises(RuntimeError):
        write_scores(rows(3), [], path)
    assert list(tmp_path.iterdir()) == []
    rejects = [Reject("x.fasta", 7, "bad", Fault.STOP_CODON, "at residue 3")]
    written = write_scores(rows(2), rejects, path)
    assert [row["sequence_id"] for row in csv.DictReader(path.open())] == ["a0", "a1"]
    assert "scored 2, rejected 1" in str(written)
    assert "1 x stop codon" in str(written)
    assert "x.fasta\t7\tbad\tstop codon\tat residue 3" in written.rejects_path.read_text()
