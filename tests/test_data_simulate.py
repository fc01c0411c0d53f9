"""Simulated tables: seeded, valid, of the species and locus asked for, honest about germlines."""

import random
import subprocess
import sys
from collections import Counter
from statistics import mean

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from antibodies import HEAVY

from hfbio.alphabet import translate
from hfbio.data import import_table, load_table, simulate, simulate_table
from hfbio.data.genairr import compile_engine
from hfbio.data.table import SCHEMA
from hfbio.errors import DataError, MissingExtra, SettingError, Shortfall
from hfbio.numbering import Numbered, check, nearest_germline

genairr = pytest.importorskip("GenAIRR")
RABBIT = {"species": "rabbit", "locus": "IGK"}  # a small reference set: compiled in 0.2 s


@pytest.fixture(scope="module")
def human(tmp_path_factory):
    path = tmp_path_factory.mktemp("simulate") / "t.parquet"
    # One level: each takes GenAIRR 0.3 s to compile for human IGH.
    report = simulate_table(path, species="human", locus="IGH", num=60, mutation=(0.05, 0.05))
    return report, load_table(path)


def mutated(record):
    """Share of residues that differ from a known germline residue."""
    known = [(a, g) for a, g in zip(record.sequence_aa, record.germline_alignment_aa) if g != "-"]
    return mean(a != g for a, g in known)


# The table


def test_every_row_is_a_distinct_valid_domain_of_the_locus_and_species(human):
    report, records = human
    assert len({r.sequence_aa for r in records}) == len(records) == 60 == report.n_kept
    for record in records:
        found = check(record.sequence_aa)
        assert isinstance(found, Numbered), found
        assert (found.start, found.stop) == (0, len(record.sequence_aa))
        assert (record.regions, record.locus, record.species) == (found.regions, "IGH", "human")
    assert len({r.sequence_id for r in records}) == len({r.clone_id for r in records}) == 60


def test_the_schema_is_that_of_an_import_and_importing_the_table_changes_nothing(human, tmp_path):
    report, _ = human
    (tmp_path / "a.fasta").write_text(f">a\n{HEAVY}\n")
    imported = import_table([tmp_path / "a.fasta"], tmp_path / "a.parquet")
    assert pq.read_schema(report.output) == pq.read_schema(imported.output) == SCHEMA
    again = import_table([report.output], tmp_path / "b.parquet")
    assert again.digest == report.digest


def test_every_attempt_is_kept_or_rejected(human):
    report, _ = human
    with open(report.rejects) as file:
        assert len(file.readlines()) - 1 == report.n_rejected
    assert report.n_read == report.n_kept + report.n_rejected
    assert report.rejected["stop codon"] > 0
    assert report.sources[0].endswith(" HUMAN_IGH_IMGT")


def test_a_second_judge_finds_the_same_v_families(human):
    _, records = human
    found = nearest_germline([r.sequence_aa for r in records[:40]])
    families = [(r.v_call.split("-")[0], g.v_gene.split("-")[0]) for r, g in zip(records, found)]
    # Human IGH has seven families; always guessing the most frequent scores below 0.5.
    assert sum(ours == theirs for ours, theirs in families) >= 38
    assert len({ours for ours, _ in families}) >= 4


# Germlines and mutations


def test_germlines_are_the_genes_that_the_calls_name(human):
    _, records = human
    genes = genairr.data.HUMAN_IGH_IMGT
    bases = {
        allele.name: allele.ungapped_seq.upper()
        for segment in (genes.v_alleles, genes.j_alleles)
        for alleles in segment.values()
        for allele in alleles
    }
    for record in records:
        v_gene = translate(bases[record.v_call])
        germline = record.germline_alignment_aa
        cdr3 = record.regions[5]
        assert germline[:cdr3] == v_gene[:cdr3]
        end = germline[record.regions[6] :]  # fwr4
        assert any(end in translate(bases[record.j_call][frame:]) for frame in range(3))
        assert "-" in germline[cdr3 : record.regions[6]]  # D and N are not known


def test_unmutated_chains_equal_their_germline_and_mutated_ones_do_not():
    naive = list(simulate(**RABBIT, num=20, mutation=(0, 0)))
    assert [mutated(r) for r in naive] == [0] * 20
    low, high = (
        mean(mutated(r) for r in simulate(**RABBIT, num=40, mutation=(level, level)))
        for level in (0.02, 0.08)
    )
    # A tenth of the bases is a fifth to a quarter of the residues: three bases each, and about
    # three substitutions in four are not silent; selection takes some back.
    assert 0.02 < low < 0.07
    assert 0.10 < high < 0.24


def test_levels_spread_over_the_range():
    shares = [mutated(r) for r in simulate(**RABBIT, num=60)]
    assert 3 <= shares.count(0) <= 25  # a sixth is naive: 10
    assert max(shares) > 0.15


# Seeds


def test_same_seed_same_bytes_even_after_a_new_compilation(tmp_path):
    files = []
    for name in "ab":
        compile_engine.cache_clear()
        report = simulate_table(tmp_path / f"{name}.parquet", **RABBIT, num=30, clone_size=2)
        files.append((tmp_path / f"{name}.parquet").read_bytes())
        files.append((tmp_path / f"{name}.rejects.tsv").read_bytes())
    assert files[:2] == files[2:]
    other = simulate_table(tmp_path / "c.parquet", **RABBIT, num=30, clone_size=2, seed=1)
    assert other.digest != report.digest
    ours, theirs = (load_table(tmp_path / f"{name}.parquet") for name in "ac")
    assert not {r.sequence_aa for r in ours} & {r.sequence_aa for r in theirs}
    assert not {r.clone_id for r in ours} & {r.clone_id for r in theirs}


def test_the_iterator_gives_the_rows_of_the_table_and_a_longer_run_begins_alike(tmp_path):
    simulate_table(tmp_path / "t.parquet", **RABBIT, num=12)
    rows = [(r.sequence_id, r.sequence_aa) for r in load_table(tmp_path / "t.parquet")]
    assert [(r.sequence_id, r.sequence_aa) for r in simulate(**RABBIT, num=20)][:12] == rows


def test_global_generators_are_not_touched():
    states = (random.getstate(), torch.get_rng_state(), np.random.get_state()[1].tolist())
    list(simulate(**RABBIT, num=5))
    assert random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])
    assert np.random.get_state()[1].tolist() == states[2]


# Clones


def test_members_of_a_clone_share_genes_and_cdr3_length_and_nothing_more():
    records = list(simulate(**RABBIT, num=120, clone_size=4, mutation=(0.03, 0.05)))
    clones = {}
    for record in records:
        clones.setdefault(record.clone_id, []).append(record)
    sizes = Counter(map(len, clones.values()))
    assert 2.5 < 120 / len(clones) < 6  # 30 clones expected
    assert len(sizes) > 3
    for members in clones.values():
        shared = {(r.v_call, r.j_call, len(r.sequence_aa), len(r.region("cdr3"))) for r in members}
        assert len(shared) == 1
        assert len({r.sequence_aa for r in members}) == len(members)


# Refusals


def test_unknown_species_and_loci_are_answered_with_those_there_are(tmp_path):
    with pytest.raises(SettingError, match=r"'unicorn'.*human \(IGH IGK IGL\).*rabbit"):
        simulate(species="unicorn", locus="IGH", num=1)
    with pytest.raises(SettingError, match=r"'TRB' of species 'mouse'; it has"):
        simulate_table(tmp_path / "t.parquet", species="mouse", locus="TRB", num=1)
    with pytest.raises(SettingError, match=r"'IGL' of species 'horse'.*horse \(IGH IGK\)"):
        simulate(species="horse", locus="IGL", num=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"num": 0}, "num must be at least 1, got 0"),
        ({"mutation": (0.2, 0.1)}, "got 0.2 to 0.1"),
        ({"mutation": (0, 0.3)}, "within 0 and 0.2"),
        ({"clone_size": 0.5}, "clone_size must be at least 1, got 0.5"),
    ],
)
def test_numbers_out_of_range_are_refused_at_once(setting, message):
    with pytest.raises(SettingError, match=message):
        simulate(**{**RABBIT, "num": 1, **setting})


def test_species_and_locus_are_read_as_tables_spell_them():
    (record,) = simulate(species="Oryctolagus cuniculus", locus="kappa", num=1)
    assert (record.species, record.locus) == ("rabbit", "IGK")


def test_the_output_must_say_that_it_is_parquet(tmp_path):
    with pytest.raises(DataError, match=r"call it .*t\.parquet"):
        simulate_table(tmp_path / "t.csv", **RABBIT, num=1)


def test_a_shortfall_says_how_many_there_are_and_writes_them(tmp_path, monkeypatch):
    module = sys.modules["hfbio.data.simulate"]  # the package has a function of that name
    monkeypatch.setattr(module, "_SPARE", 12)
    monkeypatch.setattr(module, "_ATTEMPTS", 0)
    path = tmp_path / "t.parquet"
    with pytest.raises(Shortfall, match="40 chains were asked for; 12 attempts") as raised:
        simulate_table(path, **RABBIT, num=40)
    n_kept = len(load_table(path))
    assert 0 < n_kept <= 12
    assert f"gave {n_kept} valid and distinct ones, which are in {path}" in str(raised.value)
    with pytest.raises(Shortfall, match=f"only {n_kept} were made"):
        list(simulate(**RABBIT, num=40))


def test_a_set_without_a_single_valid_chain_is_a_shortfall_too(tmp_path):
    # Its V genes have Tyr at position 41; the validity rule wants Trp.
    with pytest.raises(Shortfall, match=r"none of 200 chains.*no Trp41"):
        simulate_table(tmp_path / "t.parquet", species="chicken", locus="IGL", num=5)
    assert not list(tmp_path.iterdir())


# The optional package


def test_without_genairr_the_message_names_the_extra(monkeypatch):
    compile_engine.cache_clear()
    monkeypatch.setitem(sys.modules, "GenAIRR", None)
    with pytest.raises(MissingExtra, match=r"hfbio\[simulate\]"):
        simulate(**RABBIT, num=1)


def test_importing_data_does_not_import_genairr():
    script = "import sys, hfbio.data, hfbio.data.simulate; print('GenAIRR' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
