"""Runs on pairs, from a table of cells to a bundle that is read again."""

import json

import pytest
import torch
from antibodies import HEAVY, KAPPA, heavy_with, random_cdr3s
from bundles import edited, local_base
from runs import flags, make_split, metrics

import hfbio
from hfbio.alphabet import RESIDUES
from hfbio.bundle import read_manifest
from hfbio.card import write_card
from hfbio.data import import_table, load_table, split_table
from hfbio.data.pairs import pair
from hfbio.errors import BundleError, DataError, SettingError
from hfbio.report import write_report
from hfbio.train import finetune, pretrain, read_config

N_CELLS = 30
TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
LAMBDA = (
    "QSALTQPASVSGSPGQSITISCTGTSSDVGGYNYVSWYQQHPGKAPKLMIYDVSNRPSGVSNRFSGSKSGNTASLTISGLQAEDEADYYC"
    "SSYTSSSTLVFGGGTKLTVL"  # V as in the germline gene IGLV2-14*03
)

LEFT_OUT = {
    "several heavy or light chains in its cell": 3,
    "no cell_id to find its partner by": 1,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """30 cells, half kappa and half lambda; one with two heavy chains; a chain without a cell."""
    folder = tmp_path_factory.mktemp("pairs")
    rows = [
        f"{name}{i},{sequence},cell{i},IGHG1\n"
        for i, cdr3 in enumerate(random_cdr3s(N_CELLS))
        for name, sequence in (("h", heavy_with(cdr3)), ("l", (KAPPA, LAMBDA)[i % 2]))
    ]
    extra = [heavy_with(cdr3) for cdr3 in random_cdr3s(3, seed=1)]
    rows += [f"x{i},{s},{cell},\n" for i, (s, cell) in enumerate(zip(extra, ("d", "d", "")))]
    rows += [f"x9,{KAPPA},d,\n"]
    source = folder / "cells.csv"
    source.write_text("sequence_id,sequence_aa,cell_id,c_call\n" + "".join(rows))
    import_table([source], folder / "table.parquet", progress=False)
    split_table(folder / "table.parquet", folder / "split", by="clone")
    return folder / "split"


def words(data, folder, **settings):
    return flags(
        **{
            "data": data,
            "output_dir": folder,
            "layout": "paired",
            "tags": ["locus"],
            "max_steps": 3,
        }
        | settings
    )


@pytest.fixture(scope="module")
def tuned(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("esm")
    base = local_base(folder / "base")
    done = finetune(read_config(None, words(data, folder / "run", model=base, lora_r=2)))
    return done, base


def test_of_pairs_each_chain_is_sketched_and_each_cell_is_a_point(tuned, data):
    done, base = tuned
    model = hfbio.load(done.folder, base=str(base))
    train, _ = pair(load_table(data / "train.parquet"))
    assert model.sketch.copies([c.sequence_aa for p in train for c in p.chains]).all()
    assert model.latent.ids == tuple(p.sequence_id for p in train)
    placed = model.latent.project(model.embed(train))
    torch.testing.assert_close(placed, model.latent.points, atol=1e-3, rtol=1e-3)


def test_a_run_on_pairs_is_a_bundle_of_pairs(tuned, data):
    done, base = tuned
    manifest = read_manifest(done.folder)
    assert manifest.layout == "paired"
    assert manifest.training["settings"]["layout"] == "paired"
    assert manifest.tags.values == {"locus": ("IGK", "IGL")}
    n_train = manifest.data["train"]
    assert sum(sum(counts.values()) for counts in manifest.lengths.values()) == n_train
    n_heavy = len(heavy_with(random_cdr3s(1)[0]))
    assert manifest.lengths["IGK"].keys() == {f"{n_heavy}:{len(KAPPA)}"}
    assert manifest.lengths["IGL"].keys() == {f"{n_heavy}:{len(LAMBDA)}"}
    assert hfbio.load(done.folder, base=str(base)).manifest.layout == "paired"


def test_chains_in_no_pair_are_counted_and_all_others_are_measured(tuned, data):
    done, _ = tuned
    told = metrics(done.folder)
    assert told["left_out"] == LEFT_OUT
    rows = told["split"]["n_rows"]
    n_parts = read_manifest(done.folder).data["train"] + told["chains"]
    n_left = rows["train"] + rows["test"] - 2 * n_parts
    assert 0 <= n_left <= sum(LEFT_OUT.values())  # all of the two parts but what was left out
    heavy = len(heavy_with(random_cdr3s(1)[0]))
    (row,) = (
        r
        for r in told["held_out"]
        if (r["masked"], r["region"], r["status"]) == (0.5, "all", "all")
    )
    per_pair = 2 * row["residues"] / told["chains"]  # half of the residues of both chains
    assert heavy + len(KAPPA) - 1 <= per_pair <= heavy + len(LAMBDA) + 1


def test_a_report_of_pairs_speaks_of_pairs(tuned):
    done, _ = tuned
    told = write_report(done.metrics, done.folder)
    assert f"{done.metrics['chains']} held-out pairs" in str(told)
    assert f"{done.metrics['chains']} pairs in" in told.page.read_text()


def test_a_card_of_pairs_speaks_of_pairs_and_of_both_loci(tuned, tmp_path):
    done, _ = tuned
    folder = edited(done.folder, tmp_path / "card")
    write_card(folder, "user/pairs", example=None)
    page = " ".join((folder / "README.md").read_text().split())
    n_train, n_test = read_manifest(folder).data["train"], done.metrics["chains"]
    assert f"fine-tuned with hfbio on {n_train} antibody pairs from" in page
    assert "writes new antibody pairs (IGH, IGK and IGL)" in page
    assert f"Nats per hidden residue on {n_test} pairs" in page
    assert "Pairs alone." in page
    assert "One chain at a time." not in page


@pytest.mark.parametrize("objective", ["clm", "infill"])
def test_a_new_causal_model_learns_pairs(objective, data, tmp_path):
    given = {
        "sources": json.dumps({str(data): 1.0}),
        "architecture": "llama",
        "architecture_kwargs": json.dumps(TINY),
        "method": "full",
        "objective": objective,
    }
    # A rate so high that the model beats a guess after a handful of steps: what is loaded must.
    given |= {"max_steps": 20, "learning_rate": 2e-2}
    done = pretrain(read_config(None, words(None, tmp_path / "run", **given)))
    assert read_manifest(done.folder).layout == "paired"
    model = hfbio.load(done.folder)
    assert model.base.token_map.between_chains
    assert done.metrics["left_out"] == LEFT_OUT
    (source,) = done.metrics["sources"].values()
    assert source["nats_per_residue"]["1"] < source["unigram_nats"]  # these pairs differ in CDRH3

    n_heavy = len(heavy_with(random_cdr3s(1)[0]))
    drawn = model.sample(hfbio.Request(num=3, keep="all")).drawn
    for heavy, light in (design.sequence_aa.split(":") for design in drawn):
        assert len(heavy) == n_heavy
        assert len(KAPPA) <= len(light) <= len(LAMBDA)
        assert set(heavy + light) <= set(RESIDUES)
    scaffold = f"{HEAVY[:100]}____{HEAVY[104:]}:{KAPPA[:90]}___{KAPPA[93:]}"
    drawn = model.sample(hfbio.Request(num=3, keep="all", scaffold=scaffold)).drawn
    for design in drawn:
        assert len(design.sequence_aa) == len(scaffold)
        assert all(a == b for a, b in zip(design.sequence_aa, scaffold) if b != "_")
    assert len({design.sequence_aa for design in drawn}) == 3


def test_data_without_cells_says_why_there_is_no_pair(tuned, tmp_path):
    _, base = tuned
    split = make_split(tmp_path)
    config = read_config(None, words(split, tmp_path / "run", model=base))
    with pytest.raises(DataError, match=r"no pair of .*train\.parquet .*: {'no cell_id"):
        finetune(config)


def test_a_base_of_single_chains_is_refused_before_the_data_is_read(tmp_path):
    config = read_config(None, words(tmp_path / "none", tmp_path / "run", model="sapiens-vh"))
    with pytest.raises(SettingError, match="sapiens-vh is of family 'roberta'"):
        finetune(config)


def test_a_layout_is_single_or_paired(tmp_path):
    with pytest.raises(SettingError, match="layout must be single or paired, got 'both'"):
        read_config(None, words("x", tmp_path, model="sapiens-vh", layout="both"))


@pytest.mark.parametrize(
    ("lengths", "said"),
    [
        ({"120": 3}, "not HEAVY:LIGHT residues"),
        ({"120:107:9": 3}, "not HEAVY:LIGHT residues"),
        ({"120:0": 3}, "not HEAVY:LIGHT residues"),
        ({"120:": 3}, "not HEAVY:LIGHT residues"),
        ({"120:1e9": 3}, "not HEAVY:LIGHT residues"),
        ({"120:107": True}, "how often it was seen"),
        ({"900:900": 3}, "training pairs of 1,800 residues"),
        ({"1000:21": 3}, "reads at most 1,020"),  # 1,022 less the separator
    ],
)
def test_odd_lengths_of_pairs_are_refused(tuned, tmp_path, lengths, said):
    done, base = tuned
    spoilt = edited(done.folder, tmp_path / "odd", lengths={"IGK": lengths, "IGL": {"1:1": 1}})
    with pytest.raises(BundleError, match=said):
        hfbio.load(spoilt, base=str(base))


def test_lengths_of_pairs_do_not_fit_a_bundle_of_single_chains(tuned, tmp_path):
    done, base = tuned
    with pytest.raises(BundleError, match="not a number of residues"):
        hfbio.load(edited(done.folder, tmp_path / "odd", layout="single"), base=str(base))


def test_a_bundle_of_pairs_on_a_base_of_single_chains_is_refused(tuned, tmp_path):
    done, _ = tuned
    raw = json.loads((done.folder / "hfbio.json").read_text())
    changes = {"base": "sapiens-vh", "family": "roberta"}
    changes |= {"tags": raw["tags"] | {"style": "composite"}}
    with pytest.raises(BundleError, match="one chain at a time"):
        hfbio.load(edited(done.folder, tmp_path / "odd", **changes))
