"""The bundled weights behave as the published Sapiens does."""

import importlib.resources
import json

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from hfbio.models import load_base
from hfbio.models.verify import GUESSING, TRASTUZUMAB_VH, TRASTUZUMAB_VL, masked_nats

CHAINS = {"sapiens-vh": TRASTUZUMAB_VH, "sapiens-vl": TRASTUZUMAB_VL}


def logits(model, ids):
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


def folder(name):
    return importlib.resources.files("hfbio.models") / "weights" / name


# Logits of A, C, D, E, F, G at token 1 and 100 of trastuzumab, from `fairseq_logits` in
# recipes/convert_sapiens.py on the checkpoints of sapiens 1.0.5: plain torch, no transformers.
@pytest.mark.parametrize(
    ("name", "first", "hundredth"),
    [
        (
            "sapiens-vh",
            [0.25047, 0.39265, 1.00369, 5.86685, 0.11523, 0.52081],
            [0.43162, -0.88663, 0.67981, 0.23103, 0.28254, 4.68282],
        ),
        (
            "sapiens-vl",
            [1.70211, -0.27223, 5.26043, -0.20658, -0.18996, -0.15999],
            [-0.03289, -0.06503, -0.96322, 0.10179, -0.85726, 2.20392],
        ),
    ],
)
def test_logits_are_those_of_fairseq(name, first, hundredth):
    model = AutoModelForMaskedLM.from_pretrained(folder(name)).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder(name))
    got = logits(model, tokenizer(CHAINS[name], return_tensors="pt")["input_ids"])[0, :, 4:10]
    torch.testing.assert_close(got[1], torch.tensor(first), atol=2e-5, rtol=0)
    torch.testing.assert_close(got[100], torch.tensor(hundredth), atol=2e-5, rtol=0)


# Measured here in November 2026; guessing among 20 residues costs 2.9957. The wrong chain is
# close to guessing, so weights swapped between the two folders would show.
@pytest.mark.parametrize(("name", "nats"), [("sapiens-vh", 1.01014), ("sapiens-vl", 0.64719)])
def test_each_model_knows_its_own_chain(name, nats):
    loaded = load_base(name)
    own = masked_nats(loaded.model, loaded.token_map, CHAINS[name], stride=999)
    assert own == pytest.approx(nats, abs=1e-4)
    (other,) = {*CHAINS.values()} - {CHAINS[name]}
    assert 2.5 < masked_nats(loaded.model, loaded.token_map, other) < GUESSING


@pytest.mark.parametrize(("name", "residues"), [("sapiens-vh", 142), ("sapiens-vl", 126)])
def test_the_longest_chain_fits_and_one_more_does_not(name, residues):
    loaded = load_base(name)
    assert loaded.max_residues == residues
    tokens = loaded.token_map
    ids = torch.full((1, residues + 2), tokens.residue_ids[0])
    assert logits(loaded.model, ids).isfinite().all()
    with pytest.raises((IndexError, RuntimeError), match="out of"):
        logits(loaded.model, torch.cat([ids, ids[:, :1]], dim=1))


def test_unknown_residues_read_as_masked():
    tokenizer = AutoTokenizer.from_pretrained(folder("sapiens-vh"))
    assert tokenizer("EX*BQ", add_special_tokens=False)["input_ids"] == [7, 24, 24, 24, 17]


def test_the_folder_says_whose_work_it_is_and_where_it_did_not_come_from():
    for name in CHAINS:
        notice = folder(name).joinpath("NOTICE").read_text(encoding="utf-8")
        assert "Merck Sharp & Dohme" in notice
        assert "Permission is hereby granted, free of charge" in notice
        assert "license: mit" in folder(name).joinpath("README.md").read_text(encoding="utf-8")
        config = json.loads(folder(name).joinpath("config.json").read_text(encoding="utf-8"))
        assert not config.get("_name_or_path")
