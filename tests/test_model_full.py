"""Whole weights in a bundle: merged or fully tuned, with the base at hand or gone for good."""

import json
import os
import shutil

import pytest
import torch
from antibodies import HEAVY, heavy_with, random_cdr3s
from bundles import edited, local_base, logits, make_bundle, merged
from safetensors.torch import load_file, save_file
from toys import numbered

from hfbio.errors import AdapterMismatch, BundleError
from hfbio.model import load
from hfbio.sample import Request

CONDITIONS = {"species": "human", "isotype": "IGHM"}


@pytest.fixture(scope="module")
def sapiens_bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sapiens")
    make_bundle(folder, strength=0.2)  # 1 costs more than a guess, and rounds worse than 1e-5
    return folder


@pytest.fixture(scope="module")
def homeless(tmp_path_factory):
    """An adapter, its merged weights and a fully tuned model on a base that is gone, and logits."""
    home = tmp_path_factory.mktemp("home")
    base = local_base(home / "mine")
    kinds = {"lora": home / "lora", "merged": home / "merged", "full": home / "full"}
    make_bundle(kinds["lora"], str(base))
    make_bundle(kinds["full"], str(base), method="full")
    merged(kinds["lora"], kinds["merged"], base=str(base))
    at_home = {name: logits(load(kinds[name], base=str(base)), **CONDITIONS) for name in kinds}
    away = tmp_path_factory.mktemp("away")
    for name in ("merged", "full"):
        shutil.copytree(kinds[name], away / name)
    shutil.rmtree(home)
    return away, at_home


def spoilt(folder, target, name, **changes):
    """A copy with other values in one JSON file."""
    copy = shutil.copytree(folder, target)
    raw = json.loads((copy / name).read_text())
    (copy / name).write_text(json.dumps({**raw, **changes}))
    return copy


def test_a_merged_bundle_says_what_its_adapter_says(sapiens_bundle, tmp_path):
    adapted, whole = load(sapiens_bundle), load(merged(sapiens_bundle, tmp_path / "merged"))
    for conditions in ({}, CONDITIONS):
        after, before = logits(whole, **conditions), logits(adapted, **conditions)
        torch.testing.assert_close(after, before, atol=1e-5, rtol=0)
    assert (logits(whole, **CONDITIONS) - logits(whole)).abs().max() > 0.1  # tags are in it
    row = whole.evaluate([numbered(HEAVY)], draws=1)["held_out"][0]
    assert {"base", "tuned", "difference"} <= set(row)


@pytest.mark.parametrize("kind", ["merged", "full"])
def test_whole_weights_need_no_base(homeless, kind):
    away, at_home = homeless
    found = load(away / kind)
    torch.testing.assert_close(logits(found, **CONDITIONS), at_home[kind], atol=0, rtol=0)
    torch.testing.assert_close(at_home["merged"], at_home["lora"], atol=1e-5, rtol=0)
    assert found.base.name == "mine"
    assert (logits(found, **CONDITIONS) - logits(found)).abs().max() > 1e-3
    designs = found.sample(Request(num=2, keep="all", conditions=CONDITIONS))
    assert [len(design.sequence_aa) for design in designs.kept] == [115, 115]


def test_a_model_without_a_base_is_measured_alone(homeless):
    chains = [numbered(heavy_with(cdr3), species="human") for cdr3 in random_cdr3s(2)]
    metrics = load(homeless[0] / "full").evaluate(chains, train=chains, draws=1)
    row = metrics["held_out"][0]
    assert "tuned" in row
    assert not {"base", "difference"} & set(row)


def test_an_adapter_in_a_folder_of_its_own_is_found_and_two_are_refused(sapiens_bundle, tmp_path):
    apart = edited(sapiens_bundle, tmp_path / "apart")
    (apart / "adapter").mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (apart / name).rename(apart / "adapter" / name)
    assert torch.equal(
        logits(load(apart), **CONDITIONS), logits(load(sapiens_bundle), **CONDITIONS)
    )
    shutil.copy(apart / "adapter" / "adapter_config.json", apart)
    with pytest.raises(BundleError, match=r"holds 2 adapter_config\.json; remove"):
        load(apart)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_hfbio_json_and_the_weights_agree_on_the_method(sapiens_bundle, tmp_path, method):
    whole = merged(sapiens_bundle, tmp_path / "merged")
    wrong = edited(whole if method == "lora" else sapiens_bundle, tmp_path / "x", method=method)
    with pytest.raises(BundleError, match=f"says method '{method}', but the folder holds"):
        load(wrong)


# --- what a stranger may put into it ----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_size", 10**6),
        ("num_hidden_layers", 10**9),
        ("vocab_size", 10**7),
        ("intermediate_size", 10**8),
        ("max_position_embeddings", 10**8),
        ("num_attention_heads", 3),
        ("hidden_size", True),
        ("hidden_size", "64"),
        ("hidden_size", None),
        ("model_type", "bert"),
        ("model_type", "deberta"),
        ("pad_token_id", -1),
        ("layer_norm_eps", "x"),
        ("position_embedding_type", "rope"),
        ("tie_word_embeddings", "yes"),
        ("quantization_config", {"quant_method": "bitsandbytes", "load_in_8bit": True}),
        ("attn_implementation", "stranger/kernel"),
        ("_attn_implementation", "stranger/kernel"),
        ("auto_map", {"AutoModelForMaskedLM": "code.Model"}),
        ("is_folding_model", True),
        ("is_decoder", True),
        ("chunk_size_feed_forward", 7),
        ("output_attentions", True),
    ],
    ids=str,
)
def test_a_strangers_config_is_refused_before_a_model_is_built(homeless, tmp_path, name, value):
    with pytest.raises((BundleError, AdapterMismatch), match=r"config\.json|another shape"):
        load(spoilt(homeless[0] / "full", tmp_path / "x", "config.json", **{name: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_size", 10**6),
        ("num_hidden_layers", 10**9),
        ("vocab_size", 25),
        ("model_type", "bert"),
    ],
    ids=str,
)
def test_a_config_of_another_shape_than_the_base_is_refused(sapiens_bundle, tmp_path, name, value):
    whole = merged(sapiens_bundle, tmp_path / "merged")
    with pytest.raises(AdapterMismatch, match=f"another shape than that of sapiens-vh.*{name}"):
        load(spoilt(whole, tmp_path / "x", "config.json", **{name: value}))


@pytest.mark.parametrize(
    "extra",
    [{"x": torch.zeros(1000, 1000)}, {f"x{i}": torch.zeros(128, 256) for i in range(20)}],
    ids=["shape", "number"],
)
def test_weights_beyond_the_base_are_refused_unread(sapiens_bundle, tmp_path, monkeypatch, extra):
    file = merged(sapiens_bundle, tmp_path / "merged") / "model.safetensors"
    save_file(load_file(file) | extra, tmp_path / "more")
    os.replace(tmp_path / "more", file)

    def read(*_):
        raise AssertionError("weights were read")

    monkeypatch.setattr("hfbio.models.full_file.read_tensors", read)
    with pytest.raises(AdapterMismatch, match="numbers where it has"):
        load(file.parent)


def test_a_network_far_larger_than_its_weights_is_not_allocated(homeless, tmp_path, monkeypatch):
    def allocate(*_):
        raise AssertionError("weights were read")

    monkeypatch.setattr("hfbio.models.full_file.read_tensors", allocate)
    with pytest.raises(AdapterMismatch, match="numbers where it has"):
        load(spoilt(homeless[0] / "full", tmp_path / "x", "config.json", num_hidden_layers=128))


@pytest.mark.parametrize(
    "change",
    [
        {"auto_map": {"AutoTokenizer": ["code.Tokenizer", None]}},
        {"tokenizer_class": "TapasTokenizer"},
        {"tokenizer_class": None},
        {"tokenizer_class": ["EsmTokenizer"]},
        {"mask_token": None},
        {"added_tokens_decoder": 7},
    ],
    ids=str,
)
def test_a_strangers_tokenizer_is_refused(homeless, tmp_path, change):
    with pytest.raises((BundleError, AdapterMismatch), match="token"):
        load(spoilt(homeless[0] / "full", tmp_path / "x", "tokenizer_config.json", **change))


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "vocab.txt"])
def test_a_pipe_or_an_endless_file_is_not_waited_for(homeless, tmp_path, name):
    copy = shutil.copytree(homeless[0] / "full", tmp_path / "x")
    (copy / name).unlink()
    os.mkfifo(copy / name)
    with pytest.raises(BundleError, match=f"holds no file {name}"):
        load(copy)
    (copy / name).unlink()
    with (copy / name).open("wb") as file:
        file.truncate(16_000_001)
    with pytest.raises(BundleError, match=f"{name} is of 16,000,001 bytes"):
        load(copy)


def test_a_model_saved_with_other_tags_is_refused(homeless, tmp_path):
    other = {"style": "prefix", "values": {"locus": ["IGK"]}, "seen": [["IGK"]]}
    wrong = edited(homeless[0] / "full", tmp_path / "x", tags=other, lengths={"IGK": {"107": 1}})
    with pytest.raises(AdapterMismatch, match=r"has no token '\[locus:IGK\]'"):
        load(wrong)
    composite = {**other, "style": "composite"}
    wrong = edited(wrong, tmp_path / "y", tags=composite)
    with pytest.raises(BundleError, match="takes tags of style 'prefix'"):
        load(wrong)


def test_a_regex_that_may_never_end_is_not_run_by_a_tokenizer(sapiens_bundle, tmp_path):
    whole = edited(merged(sapiens_bundle, tmp_path / "merged"), tmp_path / "x", base="mine")
    assert load(whole).base.name == "mine"  # as it is, the tokenizer is fine
    split = json.loads((whole / "tokenizer.json").read_text())["pre_tokenizer"]
    evil = {"pre_tokenizer": {**split, "pattern": {"Regex": r"(\w+)+!"}}}
    with pytest.raises(BundleError, match=r"tokenizer.json holds the regex '\(\\\\w"):
        load(spoilt(whole, tmp_path / "y", "tokenizer.json", **evil))
