"""Designs of pairs: two chains drawn together, judged each, written so that they can be read."""

import csv
from dataclasses import replace

import pytest
import torch
from antibodies import HEAVY, KAPPA, heavy_with, random_cdr3s
from bundles import local_base, manifest_of
from toys import TOKENS, numbered

import hfbio
from hfbio.alphabet import RESIDUES
from hfbio.bundle import write_manifest
from hfbio.data import import_table, load_table
from hfbio.data.pairs import pair
from hfbio.errors import DataError, SettingError
from hfbio.model.optimize import Lead
from hfbio.models import AdapterConfig, attach, for_objective, load_base
from hfbio.report.designs import write_designs
from hfbio.rng import generator
from hfbio.sample import Causal, CausalTemplate, Reach, Request, causal_template, templates
from hfbio.score.panel import add_novelty, examine, report
from hfbio.tokens import Tags

H, K = len(HEAVY), len(KAPPA)
LENGTHS = {"": {f"{H}:{K}": 3, "118:105": 1}}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model of pairs that has learnt no more than residue frequencies."""
    folder = tmp_path_factory.mktemp("pairs")
    path = str(local_base(folder / "base"))
    base = for_objective(load_base(path), "diffusion")
    attach(base, AdapterConfig(r=2), rng=generator(1)).save_pretrained(folder / "run")
    manifest = manifest_of(base, Tags("prefix"), layout="paired", lengths=LENGTHS)
    write_manifest(folder / "run", manifest)
    base.tokenizer.save_pretrained(folder / "run")
    return hfbio.load(folder / "run", base=path)


def sampled(model, **settings):
    return model.sample(hfbio.Request(**{"num": 8, "keep": "all", "seed": 1} | settings))


# --- drawing -----------------------------------------------------------------------------------


def test_both_chains_are_as_long_as_those_of_one_training_pair(model):
    made = [d.sequence_aa.split(":") for d in sampled(model, num=32).drawn]
    found = {tuple(map(len, chains)) for chains in made}
    assert found == {(H, K), (118, 105)}  # never (H, 105): the two are drawn together


def test_the_network_sees_the_separator_in_its_place_at_every_step(model):
    separator = list(model.base.require_separator())
    seen = []

    def watch(state):
        for ids, open_, mask in zip(state.ids, state.open, state.attention_mask):
            n = int(mask.sum()) - 4  # start, separator, stop
            at = 1 + (H if n == H + K else 118)
            assert ids[at : at + 2].tolist() == separator
            assert not open_[at : at + 2].any()
            seen.append(int(open_.sum()))

    model.sample(hfbio.Request(num=4, keep="all"), watch=watch)
    assert max(seen) > 0  # steps in which something was still open


def test_a_scaffold_of_a_pair_keeps_its_letters_and_designs_the_others(model):
    scaffold = f"{HEAVY[:96]}{'_' * 13}{HEAVY[109:]}:{KAPPA[:88]}{'_' * 9}{KAPPA[97:]}"
    designs = sampled(model, scaffold=scaffold).drawn
    for design in designs:
        assert len(design.sequence_aa) == len(scaffold)
        kept = [a == b for a, b in zip(design.sequence_aa, scaffold) if b != "_"]
        assert all(kept)
        assert "_" not in design.sequence_aa
    assert len({design.sequence_aa for design in designs}) == len(designs)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"scaffold": HEAVY}, "give the scaffold as HEAVY:LIGHT"),
        ({"scaffold": f"{HEAVY}:"}, "give the scaffold as HEAVY:LIGHT"),
        ({"scaffold": f"{HEAVY}:{KAPPA}:{KAPPA}"}, "give the scaffold as HEAVY:LIGHT"),
        ({"scaffold": f"{HEAVY}:D?Q"}, "scaffold: '\\?' at residue 1"),
        ({"scaffold": f"{'_' * 1000}:{'_' * 21}"}, "1021 residues asked; base reads at most 1020"),
        ({"length": 120}, "a pair has two lengths"),
        ({"forbid": ("N[^P][ST]",)}, "looked for in single chains alone"),
    ],
)
def test_what_a_model_of_pairs_cannot_serve_it_refuses(model, settings, said):
    with pytest.raises(SettingError, match=said):
        sampled(model, **settings)


def test_one_open_residue_of_a_pair_is_filled_in_every_way_once(model):
    scaffold = f"{HEAVY[:104]}_{HEAVY[105:]}:{KAPPA}"
    made = model.sample(Request(num=20, scaffold=scaffold))
    filled = [design.sequence_aa[104] for design in made.drawn]
    assert sorted(filled) == sorted(RESIDUES)
    assert all(d.sequence_aa.replace(":", "")[105:] == (HEAVY + KAPPA)[105:] for d in made.drawn)


def test_gaps_of_a_pair_may_have_other_lengths(model):
    scaffold = f"{HEAVY[:100]}___{HEAVY[103:]}:{KAPPA[:90]}__{KAPPA[92:]}"
    drawn = sampled(model, scaffold=scaffold, gaps=((1, 5), (2, 3)), num=24).drawn
    lengths = {tuple(map(len, design.sequence_aa.split(":"))) for design in drawn}
    assert {heavy - H for heavy, _ in lengths} == {-2, -1, 0, 1, 2}
    assert {light - K for _, light in lengths} == {0, 1}


def test_a_lead_and_a_chain_are_nothing_for_a_model_of_pairs(model):
    with pytest.raises(SettingError, match="a lead is one chain"):
        model.optimize(Lead(HEAVY))
    with pytest.raises(SettingError, match="give the scaffold as HEAVY:LIGHT"):
        model.infill(HEAVY, "cdr3")


def test_a_germline_of_a_pair_stands_at_its_residues_and_nowhere_at_the_separator(model):
    reach = Reach("m", model.base.token_map, 1022, LENGTHS)
    germline = f"{HEAVY[:90]}{'_' * (H - 90)}:{KAPPA[:80]}{'_' * (K - 80)}"
    made = templates(Request(germline=germline), (0,), reach, {})(0, generator(0))
    tokens = model.base.token_map
    expected = [tokens.residue_id(letter) for letter in germline.replace(":", "--")]
    assert made.germline.tolist() == expected  # -1 at gaps and separator alike
    assert (~made.free).nonzero().squeeze(1).tolist() == [H, H + 1]
    with pytest.raises(SettingError, match="give the germline as HEAVY:LIGHT"):
        templates(Request(germline=HEAVY), (0,), reach, {})
    both = Request(germline=f"{HEAVY}:{KAPPA}", scaffold=f"{HEAVY}:{KAPPA[1:]}")
    with pytest.raises(SettingError, match=f"germline has {K} places and the scaffold {K - 1}"):
        templates(both, (0,), reach, {})


@pytest.mark.parametrize("reverse", [False, True])
def test_a_causal_model_ends_each_chain_of_a_pair_itself(reverse):
    tokens = replace(TOKENS, between_chains=(3,))
    reach = Reach("m", tokens, 1022, LENGTHS, reverse=reverse)
    made = causal_template(Request(), (0,), reach, {})
    assert made.between == 3
    spans = ((118, H), (105, K))
    assert made.spans == (spans[::-1] if reverse else spans)
    assert [made.closing(i, tokens) for i in range(2)] == [3, 0 if reverse else 2]


def test_a_causal_pair_is_written_chain_by_chain_and_read_heavy_first():
    tokens = replace(TOKENS, between_chains=(3,))
    for reverse in (False, True):
        made = CausalTemplate((0,), ((3, 3), (2, 2)), reverse=reverse, between=3)
        state = Causal().begin([made], [generator(0)], tokens)
        while not Causal().done(state):
            state = Causal().step(state, torch.zeros(1, tokens.vocab_size), tokens)
        written = made.written(state.ids[0], tokens)
        text = tokens.decode(made.chain(written, tokens))
        assert [len(chain) for chain in text.split(":")] == ([2, 3] if reverse else [3, 2])


def test_a_causal_model_without_a_separator_needs_a_scaffold():
    tokens = replace(TOKENS, between_chains=())
    with pytest.raises(SettingError, match="light chain right behind the heavy one"):
        causal_template(Request(), (0,), Reach("m", tokens, 1022, LENGTHS), {})


def test_a_model_of_single_chains_takes_no_scaffold_of_a_pair():
    with pytest.raises(SettingError, match="':' at residue 2"):
        hfbio.load("sapiens-vh").sample(hfbio.Request(scaffold="EV:DI"))


# --- judging -----------------------------------------------------------------------------------


def test_a_pair_is_valid_if_both_chains_are_and_stand_in_order():
    good = examine(0, f"{HEAVY}:{KAPPA}", {}, {})
    assert good.valid
    assert good.locus == "IGH:IGK"
    assert [chain.locus for chain in good.chains] == ["IGH", "IGK"]
    faults = {
        f"{HEAVY[:50]}:{KAPPA}": "heavy chain, ",
        f"{HEAVY}:{KAPPA[:50]}": "light chain, ",
        f"{KAPPA}:{HEAVY}": "heavy chain, another locus than asked: IGK, not IGH",
        f"{HEAVY}:{HEAVY}": "light chain, another locus than asked: IGH, not IGK or IGL",
        f"{HEAVY}:{KAPPA}GGGGS": "light chain, residues beyond the domain: 5",
    }
    for sequence, fault in faults.items():
        assert examine(0, sequence, {}, {}).fault.startswith(fault)
    asked = examine(0, f"{HEAVY}:{KAPPA}", {}, {"locus": "IGL"})
    assert asked.fault == "light chain, another locus than asked: IGK, not IGL"


def test_a_pair_is_drawn_twice_only_if_both_chains_are():
    seen: dict[str, int] = {}
    other = heavy_with(random_cdr3s(1)[0])
    drawn = [f"{HEAVY}:{KAPPA}", f"{other}:{KAPPA}", f"{HEAVY}:{KAPPA}"]
    designs = [examine(i, sequence, seen, {}) for i, sequence in enumerate(drawn)]
    assert [design.duplicate_of for design in designs] == [None, None, 0]


def test_a_pair_is_as_near_to_training_as_its_stranger_chain():
    reference = [numbered(HEAVY), numbered(KAPPA)]
    other = "Q" + HEAVY[1:]
    drawn = [f"{HEAVY}:{KAPPA}", f"{other}:{KAPPA}"]
    known, new = add_novelty([examine(i, s, {}, {}) for i, s in enumerate(drawn)], reference)
    assert known.nearest_identity == 1
    assert new.nearest_identity == pytest.approx(1 - 1 / H)
    assert report(2, [known, new], [known, new]).novel == 1


# --- files -------------------------------------------------------------------------------------


@pytest.fixture
def designs(model):
    scaffold = f"{HEAVY[:100]}__{HEAVY[102:]}:{KAPPA}"
    made = sampled(model, scaffold=scaffold, num=3, keep="valid")
    assert len(made.kept) == 3
    return made


def test_a_pair_is_two_entries_of_a_fasta_file(designs, tmp_path):
    write_designs(designs, tmp_path / "d.fasta")
    lines = (tmp_path / "d.fasta").read_text().splitlines()
    names = [line.split()[0] for line in lines[::2]]
    ids = [design.sequence_id for design in designs.kept]
    assert names == [f">{name}_{chain}" for name in ids for chain in ("heavy", "light")]
    expected = [chain for design in designs.kept for chain in design.sequence_aa.split(":")]
    assert lines[1::2] == expected
    assert "locus=IGH" in lines[0]
    assert "locus=IGK" in lines[2]


def test_a_table_of_designed_pairs_is_imported_as_the_same_pairs(designs, tmp_path):
    write_designs(designs, tmp_path / "d.csv")
    with (tmp_path / "d.csv").open() as file:
        row = next(csv.DictReader(file))
    assert row["cdr3_aa_light"] == numbered(KAPPA).region("cdr3")
    import_table([tmp_path / "d.csv"], tmp_path / "t.parquet", progress=False)
    pairs, alone = pair(load_table(tmp_path / "t.parquet"))
    assert not alone
    found = [":".join(chain.sequence_aa for chain in p.chains) for p in pairs]
    assert found == [design.sequence_aa for design in designs.kept]
    assert [p.sequence_id for p in pairs] == [design.sequence_id for design in designs.kept]


# --- scores, vectors, held-out nats ------------------------------------------------------------


def cells(n=4):
    chains = [(heavy_with(c), KAPPA) for c in random_cdr3s(n)]
    rows = [
        numbered(sequence, f"{i}{name}", cell_id=f"cell{i}")
        for i, both in enumerate(chains)
        for name, sequence in zip("hl", both)
    ]
    return [*rows, numbered(HEAVY, "alone")]


def test_a_table_of_cells_is_scored_pair_by_pair_and_the_rest_is_told(model):
    rows = cells(2)
    pairs, rejects = model.readable(rows, "cells.csv")
    assert [(r.sequence_id, r.line, r.detail) for r in rejects] == [
        ("alone", 5, "no cell_id to find its partner by")
    ]
    scored = list(model.score(pairs))
    assert [(row["sequence_id"], row["locus"]) for row in scored] == [
        ("cell0", "IGH:IGK"),
        ("cell1", "IGH:IGK"),
    ]
    # Both chains weigh: the mean over regions, by their residues, is the mean over the pair.
    regions = [f"{a}{i}" for i in range(1, 4) for a in ("fwr", "cdr")] + ["fwr4"]
    sizes = {r: sum(len(chain.region(r)) for chain in pairs[0].chains) for r in regions}
    total = sum(scored[0][f"{r}_nats_per_residue"] * n for r, n in sizes.items())
    assert total / sum(sizes.values()) == pytest.approx(scored[0]["nats_per_residue"], rel=1e-5)


def test_a_pair_has_one_vector_of_both_chains(model):
    pairs, _ = model.readable(cells(2), "cells.csv")
    vectors = model.embed(pairs)
    assert vectors.shape == (2, 32)
    heavy = model.embed([pairs[0].heavy])
    assert not torch.allclose(vectors[:1], heavy, atol=1e-3)


def test_evaluation_joins_the_chains_of_cells_and_counts_the_others(model):
    metrics = model.evaluate(cells(), train=cells(), draws=1)
    assert (metrics["chains"], metrics["layout"]) == (4, "paired")
    assert metrics["left_out"] == {"no cell_id to find its partner by": 1}
    row = metrics["held_out"][0]
    assert row["position"]["nats_per_residue"] < row["base"]["nats_per_residue"]
    with pytest.raises(DataError, match="no pair to evaluate on"):
        model.evaluate([numbered(HEAVY)])
