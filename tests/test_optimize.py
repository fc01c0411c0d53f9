"""`AntibodyModel.optimize` and `hfbio optimize`: from a lead to variants in a file."""

import csv
import json
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from antibodies import GLOBIN, HEAVY, KAPPA
from test_cli import hfbio  # noqa: F401
from toys import numbered

from hfbio.errors import SequenceError, SettingError
from hfbio.model import Lead
from hfbio.numbering import number
from hfbio.sample import BeamSearch, Rules

SMALL = BeamSearch(edits=2, beam=6)
RUN = ["optimize", "sapiens-vh", "--edits", 2, "--beam", 6, "--num", 2, "--seed", 3]


def differences(sequence):
    return [i for i, (a, b) in enumerate(zip(HEAVY, sequence)) if a != b]


def test_variants_are_valid_distinct_and_near_the_lead_and_their_scores_are_the_models(sapiens):
    made = sapiens.optimize(Lead(HEAVY, num=5, freeze="cdrs,1-5"), search=SMALL)
    sequences = [variant.design.sequence_aa for variant in made.kept]
    assert len(set(sequences)) == made.report.kept == 5
    frozen = {*range(5), *(i for i, r in enumerate(regions()) if r.startswith("cdr"))}
    for variant in made.kept:
        changed = differences(variant.design.sequence_aa)
        assert 1 <= len(changed) == variant.variant.n_edits <= 2
        assert not frozen & set(changed)
        assert len(variant.design.sequence_aa) == len(HEAVY)
        assert number(variant.design.sequence_aa).locus == "IGH"
    totals = [variant.variant.total for variant in made.kept]
    assert totals == sorted(totals, reverse=True)
    assert made.report.n_free == len(HEAVY) - len(frozen)
    lead, best = sapiens.score([numbered(HEAVY), numbered(sequences[0])])
    assert made.report.lead_nats_per_residue == pytest.approx(lead["nats_per_residue"])
    assert made.kept[0].nats_per_residue == pytest.approx(best["nats_per_residue"])
    assert best["nats_per_residue"] < lead["nats_per_residue"]  # what a random edit seldom does


def regions():
    record = numbered(HEAVY)
    names = ("fwr1", "cdr1", "fwr2", "cdr2", "fwr3", "cdr3", "fwr4")
    return [name for name in names for _ in record.region(name)]


def test_masked_log_ratios_of_one_edit_are_differences_of_the_masked_score(sapiens):
    # One place open: its log-ratio is what changes of the pseudo-likelihood at that place.
    lead = Lead(HEAVY, num=1, freeze=f"1-49,51-{len(HEAVY)}")
    search = BeamSearch(edits=1, beam=19, temperature=0.0, marginals="masked")
    (best,) = sapiens.optimize(lead, search=search).kept
    assert best.variant.edits.startswith("R50")
    again = sapiens.optimize(lead, search=replace(search, temperature=3.0)).kept[0]
    assert again.variant == best.variant  # all 19 are held, whatever the noise


def test_a_shortfall_is_told_and_counts_what_was_examined(sapiens):
    lead = Lead(HEAVY, num=50, freeze=f"1-21,23-{len(HEAVY)}")  # the conserved cysteine alone
    made = sapiens.optimize(lead, search=BeamSearch(edits=3, beam=30))
    assert made.kept == ()
    assert made.report.found == made.report.examined == 19
    assert made.report.valid == 0
    assert sum(made.report.faults.values()) == 19


@pytest.mark.parametrize(
    ("lead", "kind", "message"),
    [
        (Lead(GLOBIN), SequenceError, "not an antibody variable domain"),
        (Lead("EV" + HEAVY), SequenceError, "the variable domain is residues 3-122 of 122"),
        (Lead(HEAVY.replace("W", "X", 1)), SequenceError, "'X' at residue 36"),
        (Lead(KAPPA), SettingError, "IGK chain; sapiens-vh knows IGH"),
        (Lead(HEAVY, freeze="cdr9"), SettingError, "'cdr9' names no residues"),
        (Lead(HEAVY, freeze="cdrs,fwrs"), SettingError, "no residue of the lead is free"),
        (Lead(HEAVY, forbid=("n",)), SettingError, "rule 'n'"),
    ],
)
def test_a_lead_that_cannot_be_improved_is_refused(sapiens, lead, kind, message):
    with pytest.raises(kind, match=message):
        sapiens.optimize(lead, search=SMALL)


def test_a_causal_model_is_refused(sapiens, monkeypatch):
    causal = replace(sapiens.base.family, auto_class="AutoModelForCausalLM")
    monkeypatch.setattr(sapiens, "base", replace(sapiens.base, family=causal))
    with pytest.raises(SettingError, match="is a causal model"):
        sapiens.optimize(Lead(HEAVY))


# --- the command -------------------------------------------------------------------------------


@pytest.fixture
def opened(monkeypatch, sapiens):
    """The model of the session: loading is not the matter here."""
    monkeypatch.setattr("hfbio.model.load", lambda *_, **__: sapiens)


def test_the_command_writes_variants_that_the_guide_prefers(hfbio, tmp_path, opened):  # noqa: F811
    (tmp_path / "tryptophans.py").write_text("def count(seqs): return [s.count('W') for s in seqs]")
    asked = ["--sequence", HEAVY.lower(), "--freeze", "cdrs", "--forbid", "nglyc,M"]
    guided = ["--guide", "tryptophans:count", "--guide_weight", 50, "--shortlist", 400]
    code, out, err = hfbio(*RUN, *asked, *guided, "--output", "d.csv")
    assert (code, err.count("hfbio: ")) == (0, 0)
    assert "asked 2" in out
    rows = list(csv.DictReader((tmp_path / "d.csv").open()))
    assert len(rows) == 2
    rules = Rules.parse(["nglyc", "M"])
    for row in rows:
        changed = differences(row["sequence_aa"])
        assert rules.broken(row["sequence_aa"], [i in changed for i in range(len(HEAVY))]) == ()
        assert int(row["n_edits"]) == len(changed)
        assert float(row["lead_guide"]) == HEAVY.count("W")
        assert float(row["guide"]) == row["sequence_aa"].count("W")
    assert float(rows[0]["guide"]) == HEAVY.count("W") + 2  # an edit each
    account = json.loads((tmp_path / "d.report.json").read_text())
    assert account["kept"] == 2
    assert account["settings"]["forbid"] == ["nglyc", "M"]
    assert account["settings"]["guide_weight"] == 50

    assert hfbio(*RUN, *asked, *guided, "--output", "again.csv")[0] == 0
    assert (tmp_path / "again.csv").read_text() == (tmp_path / "d.csv").read_text()


def test_every_format_holds_the_same_variants(hfbio, tmp_path, opened):  # noqa: F811
    for name in ("d.csv", "d.fasta", "d.parquet"):
        assert hfbio(*RUN, "--sequence", HEAVY, "--output", name)[0] == 0
    rows = list(csv.DictReader((tmp_path / "d.csv").open()))
    made = [row["sequence_aa"] for row in rows]
    fasta = (tmp_path / "d.fasta").read_text().splitlines()
    assert fasta[1::2] == made
    assert all(f"edits={row['edits']} " in head for row, head in zip(rows, fasta[::2]))
    assert pq.read_table(tmp_path / "d.parquet").column("sequence_aa").to_pylist() == made
    assert pq.read_table(tmp_path / "d.parquet").column("guide").null_count == 2


def test_a_shortfall_exits_with_1_and_writes_what_there_is(hfbio, tmp_path, opened):  # noqa: F811
    # Residue 31, a D, may become T, V, W or Y.
    code, _, err = hfbio(
        *["optimize", "sapiens-vh", "--sequence", HEAVY, "--freeze", f"1-30,32-{len(HEAVY)}"],
        *["--forbid", ",".join("ACEFGHIKLMNPQRS"), "--num", 30, "--output", "d.fasta"],
    )
    assert code == 1
    assert "30 variants were asked for; the search held 4 chains" in err.splitlines()[-1]
    lines = (tmp_path / "d.fasta").read_text().splitlines()
    assert sorted(sequence[30] for sequence in lines[1::2]) == list("TVWY")
    assert json.loads((tmp_path / "d.report.json").read_text())["kept"] == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "d.xlsx"], "designs are written as"),
        (["--output", "d.csv", "--forbid", "N{2}"], "'{' at character 2"),
        (["--output", "d.csv", "--edits", 0], "edits must be >= 1"),
        (["--output", "d.csv", "--num", 0], "num must be >= 1"),
        (["--output", "d.csv", "--guide", "nowhere"], "--guide must be module:function"),
        (
            ["--output", "d.csv", "--guide", "no_such_module:f"],
            "there is no module 'no_such_module'",
        ),
        (["--output", "d.csv", "--guide", "math:humanness"], "has no function 'humanness'"),
        (["--output", "d.csv", "--freeze", "cdr9"], "'cdr9' names no residues"),
    ],
)
def test_a_fault_is_told_and_leaves_nothing_behind(
    hfbio,  # noqa: F811
    tmp_path,
    opened,
    arguments,
    message,
):
    code, out, err = hfbio("optimize", "sapiens-vh", "--sequence", HEAVY, *arguments)
    assert code == 2
    assert err.count("hfbio: ") == 1
    assert message in err.splitlines()[-1]
    assert out == ""
    assert list(tmp_path.iterdir()) == []
