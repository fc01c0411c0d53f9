"""The command line: one line for a user's fault, an exit code that tells, no half output."""

import csv
import json
import subprocess
import sys

import pytest
from antibodies import GLOBIN, HEAVY, KAPPA, heavy_with, random_cdr3s
from toys import numbered

from hfbio import __version__
from hfbio.alphabet import RESIDUES
from hfbio.cli import main
from hfbio.data import import_table
from hfbio.models.catalogue import BASES

COMMANDS = [[], ["data"], ["data", "import"], ["data", "split"], ["finetune"], ["evaluate"]]
COMMANDS += [
    ["sample"],
    ["infill"],
    ["optimize"],
    ["score"],
    ["embed"],
    ["models"],
    ["data", "simulate"],
    ["data", "stats"],
    ["data", "thin"],
    ["push"],
]
COMMANDS += [["space"], ["space", "create"], ["space", "launch"]]
SAMPLE = ["sample", "sapiens-vh", "--output", "out.fasta", "--num", "1", "--steps", "1"]
INFILL = ["infill", "sapiens-vh", "--output", "out.fasta", "--sequence", HEAVY, "--regions"]


@pytest.fixture
def hfbio(tmp_path, monkeypatch, capsys):
    """A function that runs the command in an empty folder: ``(exit code, stdout, stderr)``."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["hfbio", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def table(tmp_path):
    """A table of three heavy chains."""
    fasta = tmp_path / "chains.fasta"
    chains = enumerate(map(heavy_with, random_cdr3s(3)))
    fasta.write_text("".join(f">c{i}\n{sequence}\n" for i, sequence in chains))
    import_table([fasta], tmp_path / "table.parquet", progress=False)
    return tmp_path / "table.parquet"


# --- help --------------------------------------------------------------------------------------


def test_a_table_is_imported_counted_and_thinned(hfbio, table, tmp_path):
    code, out, _ = hfbio("data", "import", table, "--output", "t.parquet", "--num_proc", 2)
    assert (code, out.splitlines()[0].split()) == (0, ["read", "3"])
    code, out, _ = hfbio("data", "stats", "t.parquet", "--output_dir", "s")
    assert (code, out.splitlines()[0].split()) == (0, ["rows", "3"])
    assert sorted(p.name for p in (tmp_path / "s").iterdir()) == ["stats.html", "stats.json"]
    code, out, _ = hfbio("data", "thin", "t.parquet", "--output", "u.parquet")
    assert (code, out.splitlines()[0].split()) == (0, ["kept", "3"])
    options = ["--by", "random", "--max_identity", "2"]
    code, _, err = hfbio("data", "split", "t.parquet", "--output_dir", "p", *options)
    assert code == 2
    assert "max_identity" in err


def test_help_is_there_for_every_command_before_anything_heavy_is_imported():
    # Importing torch alone takes 2 s, the Trainer 6; a fresh process shows what help needs.
    script = f"""
import sys
from hfbio.cli import app
for command in {COMMANDS!r}:
    try:
        app([*command, "--help"])
    except SystemExit as stop:
        assert not stop.code, command
heavy = {{"torch", "transformers", "datasets", "pyarrow", "peft", "numpy", "matplotlib"}}
print("imported:", sorted(heavy & set(sys.modules)))
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.count("Usage:") == len(COMMANDS)
    assert result.stdout.endswith("imported: []\n")


def test_the_version_is_that_of_the_package(hfbio):
    assert hfbio("--version") == (0, f"{__version__}\n", "")


def test_the_known_bases_are_listed_one_a_line(hfbio):
    code, out, _ = hfbio("models")
    header, *lines = out.splitlines()
    assert code == 0
    assert header.split()[:2] == ["name", "architecture"]
    assert [line.split()[0] for line in lines] == list(BASES)


# --- a user's fault ----------------------------------------------------------------------------

FAULTS = [
    (["data", "import", "gone.fasta", "--output", "t.parquet"], "gone.fasta"),
    (["data", "import", "given.fasta", "--output", "t.csv"], "call it t.parquet"),
    (["data", "import", "given.fasta", "--output", "t.parquet"], "none of 1 chains"),
    (["data", "split", "gone.parquet", "--output_dir", "s"], "no such file"),
    (["data", "split", "gone.parquet", "--output_dir", "s", "--by", "donor"], "donor"),
    (["finetune", "quickstrat"], "did you mean 'quickstart'"),
    (["finetune", "gone.yaml"], "no recipe file gone.yaml"),
    (["finetune", "quickstart", "--lerning_rate", "1"], "did you mean 'learning_rate'"),
    (["finetune", "quickstart", "--lora_r", "many"], "lora_r"),
    (["finetune", "quickstart", "--objective", "gibbs"], "'gibbs' is not one of"),
    (["finetune", "quickstart", "--sampler_kwargs", '{"stepz": 1}'], "no setting 'stepz'"),
    (["evaluate", "sapiens-vh", "gone.parquet", "--output_dir", "r"], "no such file"),
    ([*SAMPLE[:3], "out.xlsx"], "designs are written as"),
    ([*SAMPLE, "--length", "12-"], "must be a number or a range"),
    ([*SAMPLE, "--length", "1-2-3"], "must be a number or a range"),
    ([*SAMPLE, "--length", "²"], "must be a number or a range"),
    ([*SAMPLE, "--length", "-3"], "must be a number or a range"),
    ([*SAMPLE, "--num", "0"], "num must be >= 1"),
    ([*SAMPLE, "--keep", "best"], "keep must be"),
    ([*SAMPLE, "--scaffold", "A_", "--length", "2"], "a scaffold fixes the length"),
    ([*SAMPLE, "--germline", "A_", "--length", "2"], "a germline fixes the length"),
    ([*SAMPLE, "--guidance", "2", "--contrast", "2"], "give one of the two"),
    ([*SAMPLE, "--guide", "scores"], "--guide must be module:function"),
    ([*SAMPLE, "--guide", "a-b:c"], "--guide must be module:function"),
    ([*SAMPLE, "--guide", "no_such.module:f"], "there is no module 'no_such.module'"),
    ([*SAMPLE, "--guide", "json:pi"], "has no function 'pi'"),
    ([*SAMPLE, "--guide", "math:pi"], "math:pi is a float and cannot be called"),
    ([*SAMPLE, "--guide", "math:cos", "--particles", "0"], "particles must be >= 1"),
    ([*SAMPLE, "--guide", "math:cos", "--guide_weight", "-1"], "guide_weight must be >= 0"),
    (["sample", "sapiens-hv", "--output", "out.csv", "--length", "120"], "did you mean"),
    ([*SAMPLE, "--freeze", "cdr3"], "--freeze names residues of --sequence"),
    ([*SAMPLE, "--sequence", HEAVY, "--scaffold", "A_"], "give one of the two"),
    ([*SAMPLE, "--sequence", HEAVY, "--freeze", "cdrs,fwrs"], "there is nothing to redesign"),
    ([*INFILL, ""], "there is nothing to redesign"),
    ([*INFILL, "cdr9"], "'cdr9' names no residues"),
    ([*INFILL, "cdr3", "--length", "x"], "--length must be a number or a range"),
    ([*INFILL, "cdr3", "--length", "0"], "the length of a gap must be 1 or more"),
    ([*INFILL, "cdr3", "--length", "8,9"], "cdr3 leaves 1 gaps, and lengths are given for 2"),
    ([*INFILL[:5], GLOBIN, "--regions", "cdr3"], "not an antibody"),
    (["score", "sapiens-vh", "gone.fasta", "--output", "s.csv"], "gone.fasta"),
    (["score", "sapiens-vh", "given.fasta", "--output", "s.txt"], "written as .csv"),
    (["score", "sapiens-vh", "given.fasta", "--output", "s.csv"], "none of 1 chains can be"),
]


@pytest.mark.parametrize(("arguments", "message"), FAULTS, ids=[" ".join(a) for a, _ in FAULTS])
def test_a_fault_is_told_in_one_line_and_leaves_nothing_behind(hfbio, tmp_path, arguments, message):
    (tmp_path / "given.fasta").write_text(f">globin\n{GLOBIN}\n")
    code, out, err = hfbio(*arguments)
    assert code == 2
    (line,) = err.splitlines()
    assert line.startswith("hfbio: ")
    assert message in line
    assert out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["given.fasta"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*SAMPLE, "--length", "120", "--isotype", "IGHG"], "its tags are: none"),
        ([*SAMPLE, "--length", "900"], "reads at most 142"),
        ([*SAMPLE], "give a length"),
        ([*SAMPLE, "--scaffold", "AC5_"], "'5' at residue 2"),
        ([*SAMPLE, "--length", "120", "--top_p", "0"], "top_p must be"),
        ([*SAMPLE, "--length", "120", "--order", "left"], "order must be"),
        ([*SAMPLE, "--length", "120", "--device", "toaster"], "device 'toaster'"),
        ([*SAMPLE, "--length", "120", "--sampler", "brew"], "'brew' is not one of"),
        ([*SAMPLE, "--length", "120", "--sampler", "germline_walk"], "there is none; give the"),
        ([*SAMPLE[:6], "--length", "120", "--sampler", "causal"], "does not serve sapiens-vh"),
        ([*SAMPLE, "--germline", "EV_"], "is what the sampler germline_walk starts from"),
        ([*SAMPLE, "--length", "120", "--guidance", "2"], "has learnt none"),
        ([*SAMPLE, "--length", "120", "--contrast", "2"], "has no adapter"),
        ([*SAMPLE, "--length", "9", "--guide", "builtins:len"], "must answer with a number for"),
    ],
)
def test_a_fault_that_shows_once_the_model_is_loaded_leaves_nothing_behind_either(
    hfbio, tmp_path, monkeypatch, sapiens, arguments, message
):
    if "--device" not in arguments:  # the model of the session: loading is not the matter here
        monkeypatch.setattr("hfbio.model.load", lambda *_, **__: sapiens)
    code, out, err = hfbio(*arguments)
    assert code == 2
    assert err.count("hfbio: ") == 1
    assert message in err.splitlines()[-1]
    assert "Traceback" not in err
    assert out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["brew"], ["sample"], [*SAMPLE, "--colour", "blue"]])
def test_a_command_or_flag_that_is_none_is_refused(hfbio, arguments):
    code, _, err = hfbio(*arguments)
    assert code == 2
    assert "Traceback" not in err


# --- work --------------------------------------------------------------------------------------


def test_import_tells_once_which_columns_it_took_and_obeys_the_user(hfbio, tmp_path):
    (tmp_path / "in").mkdir()
    for i, cdr3 in enumerate(random_cdr3s(3)):
        rows = f"id;my chain\n{i};{heavy_with(cdr3)}\n"
        (tmp_path / "in" / f"{i}.txt.csv").write_text(rows)
    options = ["--output", "t.parquet", "--columns", "heavy=my chain"]
    code, out, err = hfbio("data", "import", "in", *options)
    assert (code, out.split()[:2]) == (0, ["read", "3"])
    assert err == "in/0.txt.csv: id, heavy=my chain\n"
    code, _, err = hfbio("data", "import", "in", "--output", "t.parquet", "--columns", "heavy")
    assert code == 2
    assert "'heavy' is not KEY=NAME" in err


def test_sampling_twice_writes_the_same_file(hfbio, tmp_path):
    arguments = ["--num", "4", "--steps", "3", "--keep", "all", "--length", "118-121"]
    for name in ("one.fasta", "two.fasta"):
        code, out, _ = hfbio("sample", "sapiens-vh", "--output", name, *arguments, "--seed", 5)
        assert code == 0
        assert "asked 4, drawn 4" in out
    one = (tmp_path / "one.fasta").read_text()
    assert one.count(">design-") == 4
    assert one == (tmp_path / "two.fasta").read_text()


def test_a_guide_of_the_current_folder_steers_and_its_scores_are_written(hfbio, tmp_path):
    (tmp_path / "own_scores.py").write_text(
        "def tryptophans(sequences):\n    return [s.count('W') for s in sequences]\n"
    )
    arguments = ["--num", "3", "--steps", "3", "--keep", "all", "--length", "118"]
    arguments += ["--guide", "own_scores:tryptophans", "--guide_weight", 5, "--particles", 4]
    code, out, _ = hfbio("sample", "sapiens-vh", "--output", "d.csv", *arguments)
    assert code == 0
    rows = list(csv.DictReader((tmp_path / "d.csv").open()))
    scores = [float(row["guide_score"]) for row in rows]
    assert scores == [row["sequence_aa"].count("W") for row in rows]
    mean = sum(scores) / 3
    assert f"mean guide score of the 3 kept {mean:.4g}" in out
    assert json.loads((tmp_path / "d.report.json").read_text())["mean_guide_score"] == mean
    code, out, _ = hfbio("sample", "sapiens-vh", "--output", "plain.csv", *arguments[:8])
    assert "guide" not in out + (tmp_path / "plain.csv").read_text()


def test_a_guide_whose_module_fails_is_named(hfbio, tmp_path):
    (tmp_path / "broken_scores.py").write_text("import no_such_library\n")
    code, _, err = hfbio(*SAMPLE, "--length", 120, "--guide", "broken_scores:f")
    assert code == 2
    assert "broken_scores cannot be imported: No module named 'no_such_library'" in err


def test_a_shortfall_exits_with_1_and_writes_what_there_is(hfbio, tmp_path):
    # A likely residue at each of three places, over and over. Lower-case letters are residues too.
    scaffold = (HEAVY[:30] + "___" + HEAVY[33:]).lower()
    code, out, err = hfbio(
        *["sample", "sapiens-vh", "--output", "d.csv", "--num", 3, "--scaffold", scaffold],
        *["--steps", 1, "--temperature", 0],
    )
    assert code == 1
    account = json.loads((tmp_path / "d.report.json").read_text())
    assert account["drawn"] == 20 * 3
    assert not account["exhausted"]
    assert len(list(csv.DictReader((tmp_path / "d.csv").open()))) == account["kept"] == 1
    assert "60 draws gave 1 valid and distinct" in err.splitlines()[-1]
    assert "asked 3" in out


@pytest.mark.parametrize("verb", ["infill", "sample"])
def test_all_fillings_of_one_residue_are_twenty_and_the_message_says_so(hfbio, tmp_path, verb):
    what = {
        "infill": ["--sequence", HEAVY, "--regions", "31"],
        "sample": ["--scaffold", HEAVY[:30] + "_" + HEAVY[31:]],
    }[verb]
    code, out, err = hfbio(verb, "sapiens-vh", "--output", "d.csv", "--num", 500, *what)
    assert code == 1
    rows = list(csv.DictReader((tmp_path / "d.csv").open()))
    assert sorted(row["sequence_aa"][30] for row in rows) == sorted(RESIDUES)
    assert {row["sequence_aa"][:30] + row["sequence_aa"][31:] for row in rows} == {
        HEAVY[:30] + HEAVY[31:]
    }
    account = json.loads((tmp_path / "d.report.json").read_text())
    assert account["exhausted"]
    assert (account["asked"], account["drawn"], account["kept"]) == (500, 20, 20)
    assert "no more than 20 fillings, and 20 valid and distinct ones among them" in err
    assert "asked 500, drawn 20" in out


def test_a_region_of_other_lengths_is_designed_under_rules(hfbio, tmp_path):
    code, _, _ = hfbio(
        *["infill", "sapiens-vh", "--sequence", HEAVY.lower(), "--regions", "cdr3"],
        *["--length", "10-12", "--forbid", "nglyc,M", "--num", 4, "--steps", 4],
        *["--output", "d.csv"],
    )
    assert code == 0
    rows = list(csv.DictReader((tmp_path / "d.csv").open()))
    assert len(rows) == 4
    for row in rows:
        assert heavy_with(row["cdr3_aa"]) == row["sequence_aa"]
        assert len(row["cdr3_aa"]) in (10, 11, 12)
        assert "M" not in row["cdr3_aa"]


def test_a_chain_is_varied_but_for_what_is_frozen(hfbio, tmp_path):
    code, _, _ = hfbio(
        *["sample", "sapiens-vh", "--sequence", HEAVY, "--freeze", "fwrs,cdr1,cdr3", "--num", 3],
        *["--sampler", "gibbs", "--sweeps", 1, "--output", "d.csv"],
    )
    assert code == 0
    start, stop = numbered(HEAVY).regions[3:5]
    for row in csv.DictReader((tmp_path / "d.csv").open()):
        assert row["sequence_aa"][:start] == HEAVY[:start]
        assert row["sequence_aa"][stop:] == HEAVY[stop:]
        assert row["sequence_aa"] != HEAVY


def test_scores_are_written_for_what_can_be_scored_and_the_rest_is_named(hfbio, tmp_path):
    (tmp_path / "mixed.fasta").write_text(f">good\n{HEAVY}\n>globin\n{GLOBIN}\n>again\n{HEAVY}\n")
    code, out, _ = hfbio("score", "sapiens-vh", "mixed.fasta", "--output", "s.csv")
    assert code == 0
    assert "scored 2, rejected 1" in out
    assert "1 x not an antibody variable domain" in out
    assert "mixed.fasta\t3\tglobin\tnot an antibody" in (tmp_path / "s.rejects.tsv").read_text()
    good, again = csv.DictReader((tmp_path / "s.csv").open())
    assert (good["sequence_id"], again["sequence_id"]) == ("good", "again")
    assert good["nats_per_residue"] == again["nats_per_residue"]


def test_chains_the_model_was_not_made_for_are_counted_rejects(hfbio, tmp_path):
    long = heavy_with("AR" + "GYS" * 11 + "FDY")  # 145 residues, a valid domain
    (tmp_path / "three.fasta").write_text(f">good\n{HEAVY}\n>long\n{long}\n>kappa\n{KAPPA}\n")
    code, out, _ = hfbio("score", "sapiens-vh", "three.fasta", "--output", "s.csv")
    assert code == 0
    assert "scored 1, rejected 2" in out
    listed = (tmp_path / "s.rejects.tsv").read_text()
    assert "long\tnot a chain this model reads\tlonger than the 142 residues" in listed
    assert "kappa\tnot a chain this model reads\tIGK chain; sapiens-vh knows IGH" in listed


def test_a_model_is_measured_on_a_table(hfbio, tmp_path, table):
    code, out, _ = hfbio(
        "evaluate", "sapiens-vh", table, "--output_dir", "r", "--draws", 1, "--train", table
    )
    assert code == 0
    assert "3 held-out chains in 3 clones" in out
    metrics = json.loads((tmp_path / "r" / "metrics.json").read_text())
    row = metrics["held_out"][0]
    assert {"base", "position", "position_family"} <= set(row)
    assert f"{row['base']['nats_per_residue']:.3f}" in out
    assert (tmp_path / "r" / "report.html").is_file()
