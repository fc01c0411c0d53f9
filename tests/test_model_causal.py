"""A causal `AntibodyModel`: what its scores, vectors and metrics are, and say they are."""

import csv
import dataclasses
import math
import shutil

import pytest
import torch
from antibodies import HEAVY, KAPPA, heavy_with, random_cdr3s
from bundles import edited, new_model
from toys import numbered
from typer.testing import CliRunner

import hfbio
from hfbio.cli import app
from hfbio.data.encode import encode_described
from hfbio.record import REGIONS
from hfbio.score.causal import next_residues, span_residues
from hfbio.score.likelihood import likelihood_of

CHAINS = [numbered(HEAVY, "h", locus="IGH", isotype="IGHG"), numbered(KAPPA, "k")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return new_model(tmp_path_factory.mktemp("new"), "llama").folder


@pytest.fixture(scope="module")
def model(folder):
    return hfbio.load(folder)


def test_a_score_is_that_of_each_residue_given_those_before_it(model):
    rows = list(model.score(CHAINS))
    tokens = model.base.token_map
    for row, record in zip(rows, CHAINS, strict=True):
        (example,) = encode_described([record], tokens, model.prompt)
        ids = example.input_ids
        with torch.no_grad():
            log_p = model.model(input_ids=ids[None]).logits[0].double().log_softmax(-1)
        nats = torch.stack([-log_p[i - 1, ids[i]] for i in example.residues.tolist()])
        assert row["likelihood"] == "next-residue"
        assert row["nats_per_residue"] == pytest.approx(nats.mean().item(), abs=1e-4)
        assert math.log(row["perplexity"]) == pytest.approx(row["nats_per_residue"], abs=1e-4)
        start, stop = record.regions[5:7]
        assert row["cdr3_nats_per_residue"] == pytest.approx(
            nats[start:stop].mean().item(), abs=1e-4
        )


def test_a_model_of_reversed_chains_scores_them_reversed(folder, tmp_path):
    objective = {"kind": "clm", "direction": "reverse"}
    model = hfbio.load(edited(folder, tmp_path / "reverse", objective=objective))
    (row,) = model.score(CHAINS[:1])
    (example,) = encode_described(CHAINS[:1], model.base.token_map, model.prompt)
    means = [
        next_residues(model.model, model.base.token_map, [example], reverse)[0][0].mean().item()
        for reverse in (False, True)
    ]
    assert row["likelihood"] == "reversed next-residue"
    assert row["nats_per_residue"] == pytest.approx(means[1], abs=1e-5)
    assert abs(means[0] - means[1]) > 1e-2


@pytest.mark.parametrize(
    ("task", "likelihood"),
    [
        ("masked", "masked"),
        ("next", "next-residue"),
        ("span", "next-residue"),
        ("next_reverse", "reversed next-residue"),
    ],
)
def test_every_task_has_its_likelihood(task, likelihood):
    assert likelihood_of(task) == likelihood


def test_a_masked_model_says_that_its_scores_are_masked(sapiens):
    assert sapiens.likelihood == "masked"


def test_the_command_line_and_its_table_tell_which_likelihood_it_is(folder, tmp_path):
    fasta, scores = tmp_path / "t.fasta", tmp_path / "scores.csv"
    fasta.write_text(f">h\n{HEAVY}\n")
    result = CliRunner().invoke(app, ["score", str(folder), str(fasta), "--output", str(scores)])
    assert result.exit_code == 0, result.output
    assert "likelihood: next-residue\n" in result.output
    (row,) = csv.DictReader(scores.open())
    assert row["likelihood"] == "next-residue"


def test_vectors_are_means_of_hidden_states_and_depend_on_the_chain_alone(model):
    whole = model.embed(CHAINS)
    assert whole.shape == (2, 32)
    for vector, record in zip(whole, CHAINS, strict=True):  # padded to the longest above
        torch.testing.assert_close(model.embed([record])[0], vector, atol=1e-5, rtol=1e-5)
    tokens, neutral = model.base.token_map, model.prompt.ids(model.tags.describe({}))
    ids = torch.tensor([*neutral, *tokens.encode(HEAVY).tolist(), tokens.stop_id])
    with torch.no_grad():
        states = model.model.model(input_ids=ids[None]).last_hidden_state[0]
    start, stop = (len(neutral) + i for i in CHAINS[0].regions[5:7])
    torch.testing.assert_close(
        model.embed(CHAINS[:1], region="cdr3")[0], states[start:stop].mean(0), atol=1e-5, rtol=1e-5
    )


def test_vectors_of_an_adapted_causal_model_are_those_of_the_adapted_one(folder):
    from bundles import disturb

    from hfbio.model import AntibodyModel
    from hfbio.models import AdapterConfig, add_tags, attach, load_base
    from hfbio.rng import generator

    base = load_base(str(folder))
    tagged = add_tags(base, base.own_tags)
    before = hfbio.load(folder).embed(CHAINS)
    adapted = attach(tagged, AdapterConfig(r=2), rng=generator(0))
    manifest = dataclasses.replace(hfbio.load(folder).manifest, method="lora")
    model = AntibodyModel(tagged, adapted, manifest)
    torch.testing.assert_close(model.embed(CHAINS), before, atol=1e-5, rtol=1e-5)
    disturb(adapted, 1.0)
    assert (model.embed(CHAINS) - before).abs().max() > 1e-2


def test_the_first_residues_know_nothing_of_the_last(model):
    changed = numbered(HEAVY[:-1] + "A", "changed")
    pair = [CHAINS[0], changed]
    assert model.embed(pair, region="cdr1").diff(dim=0).abs().max() < 1e-6
    assert model.embed(pair, region="fwr4").diff(dim=0).abs().max() > 1e-4


def test_a_model_without_a_base_is_measured_as_itself_on_its_own_task(model):
    chains = [numbered(heavy_with(cdr3), f"c{i}") for i, cdr3 in enumerate(random_cdr3s(3, seed=5))]
    metrics = model.evaluate(chains, train=chains)
    assert metrics["task"] == "span"
    row = metrics["held_out"][0]
    assert {"model", "position", "position_family"} <= set(row)
    assert not {"base", "tuned", "difference"} & set(row)
    examples = encode_described(chains, model.base.token_map, model.prompt)
    nats = [span_residues(model.model, model.base.token_map, e)[0] for e in examples]
    assert row["model"]["nats_per_residue"] == pytest.approx(
        torch.cat(nats).mean().item(), abs=1e-4
    )
    assert {r["region"] for r in metrics["held_out"]} == {"all", *REGIONS}


def test_a_new_model_serves_as_the_base_of_another(folder, tmp_path):
    base = shutil.copytree(folder, tmp_path / "mini")
    assert hfbio.load(base).base.own_tags.values == {}  # as a bundle it has them as its own
    from hfbio.models import load_base

    assert load_base(str(base)).own_tags == hfbio.load(base).tags
