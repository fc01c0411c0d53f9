"""Pseudo-log-likelihood of whole chains."""

import csv
import importlib.util
import math
from pathlib import Path

import pytest
import torch
from antibodies import CDRH3, HEAVY, KAPPA
from toys import TOKENS, PositionModel, numbered
from typer.testing import CliRunner

from hfbio.cli import app
from hfbio.data.encode import encode, encode_described
from hfbio.record import REGIONS
from hfbio.score.likelihood import mean_by_region, pseudo_nats


def test_each_residue_is_hidden_alone_and_costs_what_the_model_then_says(sapiens):
    tokens, model = sapiens.base.token_map, sapiens.model
    (example,) = encode_described([numbered(HEAVY)], tokens, sapiens.prompt)
    direct = []
    with torch.inference_mode():
        for position in example.residues.tolist():
            shown = example.input_ids[None].clone()
            shown[0, position] = tokens.mask_id
            logits = model(input_ids=shown, attention_mask=torch.ones_like(shown)).logits
            truth = example.input_ids[position]
            direct.append(-logits[0, position].double().log_softmax(-1)[truth].item())
    nats = pseudo_nats(model, tokens, example)
    assert nats.tolist() == pytest.approx(direct, abs=1e-5)
    assert nats.mean() < 1.1  # 0.996, measured when Sapiens was converted; a guess costs 2.996


@pytest.mark.parametrize("batch_size", [1, 7, 500])
def test_the_batch_size_does_not_change_a_score(batch_size):
    example = encode(numbered(KAPPA), TOKENS, (0,))
    model = PositionModel(n_positions=120)
    whole = pseudo_nats(model, TOKENS, example)
    assert whole.shape == (len(KAPPA),)
    assert pseudo_nats(model, TOKENS, example, batch_size=batch_size).equal(whole)


def test_the_regions_of_a_score_add_up_to_the_chain(sapiens):
    record = numbered(HEAVY)
    (row,) = sapiens.score([record])
    total = sum(len(record.region(r)) * row[f"{r}_nats_per_residue"] for r in REGIONS)
    assert total / len(HEAVY) == pytest.approx(row["nats_per_residue"], rel=1e-5)
    assert math.log(row["perplexity"]) == pytest.approx(row["nats_per_residue"], rel=1e-5)


def test_a_region_without_residues_has_no_score():
    example = encode(numbered(HEAVY), TOKENS, (0,))
    nats = torch.ones(len(HEAVY))
    scores = mean_by_region(nats, example, [*REGIONS, "absent"])
    assert [scores[name] for name in REGIONS] == [1.0] * 7
    assert math.isnan(scores["absent"])


@pytest.mark.skipif(importlib.util.find_spec("antiberty") is None, reason="not installed")
def test_antiberty_scores_trastuzumab_as_its_published_weights_do(tmp_path):
    # Masked pseudo-perplexity 1.905, measured from the weights of the wheel (antiberty 0.1.3).
    from transformers import BertConfig, BertForMaskedLM

    fasta, scores = tmp_path / "t.fasta", tmp_path / "scores.csv"
    fasta.write_text(f">trastuzumab_VH\n{HEAVY}\n")
    result = CliRunner().invoke(app, ["score", "antiberty", str(fasta), "--output", str(scores)])
    assert result.exit_code == 0, result.output
    (row,) = csv.DictReader(scores.open())
    assert row["sequence_id"] == "trastuzumab_VH"
    assert row["locus"] == "IGH"
    assert float(row["perplexity"]) == pytest.approx(1.905, abs=5e-4)  # guessing gives 20

    # The CDRs once more, from the files alone.
    package = Path(importlib.util.find_spec("antiberty").origin).parent / "trained_models"
    folder = package / "AntiBERTy_md_smooth"
    model = BertForMaskedLM(BertConfig.from_pretrained(folder)).eval()
    weights = torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
    assert not model.load_state_dict(weights, strict=False).missing_keys
    names = (package / "vocab.txt").read_text().split()
    ids = torch.tensor([names.index(t) for t in ["[CLS]", *HEAVY, "[SEP]"]])
    for region, residues in [("cdr1", "GFNIKDTY"), ("cdr2", "IYPTNGYT"), ("cdr3", CDRH3)]:
        rows = torch.arange(len(residues))
        at = 1 + HEAVY.index(residues) + rows
        shown = ids.repeat(len(rows), 1)
        shown[rows, at] = names.index("[MASK]")
        with torch.inference_mode():
            logits = model(shown, torch.ones_like(shown)).logits[rows, at]
        direct = torch.nn.functional.cross_entropy(logits, ids[at]).item()
        assert float(row[f"{region}_nats_per_residue"]) == pytest.approx(direct, abs=1e-4)
