"""Causal bases: loaded whole and right, tagged and adapted without moving what they say."""

import dataclasses
import json
import shutil

import pytest
import torch
from antibodies import HEAVY
from bundles import LENGTHS, TAGS, disturb, manifest_of
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from toys import numbered
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    PreTrainedTokenizerFast,
)

from hfbio.bundle import MANIFEST, write_manifest
from hfbio.data.encode import encode_described
from hfbio.errors import AdapterMismatch, BundleError, SettingError, UnknownModel
from hfbio.model import load
from hfbio.models import AdapterConfig, add_tags, attach, load_base, merge, restore
from hfbio.models.scratch import fresh
from hfbio.models.verify import GUESSING, TRASTUZUMAB_VH, next_nats, read_tokens
from hfbio.rng import generator
from hfbio.score.causal import next_residues
from hfbio.tokens import Tags

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
}
PREFIX = Tags("prefix", TAGS.values, TAGS.seen)
NEW = Tags.from_rows("prefix", {"locus": ["IGH", "IGH"], "v_family": ["IGHV1", "IGHV3"]})


def learn_letters(base, steps=40):
    """Train a tiny model until it knows one heavy chain: better than a guess, quickly."""
    example = encode_described([numbered(HEAVY)], base.token_map, base.own_prompt)[0]
    ids = example.input_ids[None]
    optimizer = torch.optim.Adam(base.model.parameters(), lr=1e-2)
    for _ in range(steps):
        logits = base.model(input_ids=ids).logits[0, :-1]
        torch.nn.functional.cross_entropy(logits, ids[0, 1:]).backward()
        optimizer.step()
        optimizer.zero_grad()
    return base


def save(folder, base):
    base.model.save_pretrained(folder)
    base.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def trained():
    """A tiny Llama that hfbio made and that has learnt something, with tags of its own."""
    return learn_letters(add_tags(fresh("llama", SIZES, name="mini", rng=generator(0)), PREFIX))


@pytest.fixture(scope="module")
def scratch(trained, tmp_path_factory):
    """Its bundle, as `hfbio pretrain` leaves it."""
    folder = save(tmp_path_factory.mktemp("scratch") / "mini", trained)
    manifest = manifest_of(
        trained, PREFIX, method="scratch", objective={"kind": "infill"}, base_license="Apache-2.0"
    )
    write_manifest(folder, manifest)
    return folder


@pytest.fixture
def llama(tmp_path):
    """A folder with a Llama that nobody told of tags."""
    base = learn_letters(fresh("llama", SIZES, name="plain", rng=generator(1)))
    return save(tmp_path / "plain", base)


def rows(loaded, tag_id=None):
    tokens = loaded.token_map
    prefix = [tokens.start_id] if tag_id is None else [tokens.start_id, tag_id]
    return torch.tensor([[*prefix, *tokens.encode(TRASTUZUMAB_VH).tolist(), tokens.stop_id]])


def logits(model, ids):
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


def residues(loaded, model, ids):
    return logits(model, ids)[..., list(loaded.token_map.residue_ids)]


# --- loading -----------------------------------------------------------------------------------


def test_a_folder_loads_as_a_causal_base_that_takes_prefix_tags(llama):
    loaded = load_base(str(llama))
    assert loaded.family.causal
    assert (loaded.family.model_type, loaded.tag_style) == ("llama", "prefix")
    assert (loaded.name, loaded.max_residues) == ("plain", 1022)
    tokens = loaded.token_map
    assert loaded.tokenizer.convert_ids_to_tokens(tokens.sep_id) == "<sep>"
    assert loaded.tokenizer.convert_ids_to_tokens(tokens.mask_id) == "<mask>"
    assert loaded.tokenizer(TRASTUZUMAB_VH)["input_ids"] == rows(loaded)[0].tolist()
    weights = loaded.model
    assert weights.get_input_embeddings().weight is weights.get_output_embeddings().weight


def test_next_nats_are_the_mean_of_what_each_residue_costs(llama):
    loaded = load_base(str(llama))
    (example,) = encode_described([numbered(HEAVY)], loaded.token_map, loaded.own_prompt)
    ((nats, _),) = next_residues(loaded.model, loaded.token_map, [example])
    assert next_nats(loaded.model, loaded.token_map, HEAVY) == pytest.approx(nats.mean().item())


def test_a_causal_model_that_guesses_does_not_pass_for_a_base(tmp_path):
    folder = save(tmp_path / "random", fresh("llama", SIZES, name="x", rng=generator(0)))
    with pytest.raises(UnknownModel, match=r"next residues of trastuzumab cost .* costs 3\.00"):
        load_base(str(folder))
    loaded = load_base(str(folder), check_loss=False)
    assert next_nats(loaded.model, loaded.token_map, HEAVY) > GUESSING


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda w: w.pop("model.layers.1.mlp.up_proj.weight"), "left at random.*up_proj"),
        (lambda w: w.update({"model.layers.1.gate": torch.ones(1)}), "no place in the model"),
        (lambda w: w.update({"model.norm.weight": torch.ones(5)}), "cannot be loaded"),
    ],
)
def test_weights_of_a_llama_are_all_there_and_no_others(llama, edit, said):
    weights = load_file(llama / "model.safetensors")
    edit(weights)
    save_file(weights, llama / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UnknownModel, match=said):
        load_base(str(llama), check_loss=False)


def plain_tokenizer(named, added=""):
    """One token a residue; ``added`` says what it puts around them by itself."""
    vocabulary = ["<pad>", "<bos>", "<eos>", "<unk>", *"LAGVESIKRDTPNQFYMHCW"]
    backend = Tokenizer(models.WordLevel({t: i for i, t in enumerate(vocabulary)}, "<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    if added:
        backend.post_processor = processors.TemplateProcessing(
            single=added, special_tokens=[("<bos>", 1), ("<eos>", 2)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>", **named
    )


BOTH = {"bos_token": "<bos>", "eos_token": "<eos>"}


@pytest.mark.parametrize("added", ["", "<bos> $A", "<bos> $A <eos>"])
def test_start_and_stop_are_those_a_tokenizer_adds_or_names(added):
    tokens = read_tokens("x", plain_tokenizer(BOTH, added), 24)
    assert (tokens.start_id, tokens.stop_id, tokens.pad_id) == (1, 2, 0)
    assert (tokens.mask_id, tokens.sep_id) == (None, None)
    assert tokens.encode("LAG").tolist() == [4, 5, 6]


@pytest.mark.parametrize("named", [{}, {"bos_token": "<bos>"}, {"eos_token": "<eos>"}], ids=str)
def test_a_tokenizer_that_neither_adds_nor_names_both_is_refused(named):
    with pytest.raises(UnknownModel, match="not as start, one id for each residue, stop"):
        read_tokens("x", plain_tokenizer(named), 24)


def test_gpt_neox_loads_takes_tags_and_comes_back_from_its_adapter(tmp_path):
    plain_tokenizer(BOTH).save_pretrained(tmp_path / "neox")
    config = GPTNeoXConfig(
        vocab_size=24,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=200,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        GPTNeoXForCausalLM(config).save_pretrained(tmp_path / "neox")

    def tagged():
        loaded = load_base(str(tmp_path / "neox"), check_loss=False)
        assert (loaded.tag_style, loaded.max_residues) == ("prefix", 198)
        return add_tags(loaded, NEW)

    base = tagged()
    model = attach(base, AdapterConfig(r=2), rng=generator(1)).eval()
    adapted = {
        n.split(".lora_")[0].rpartition(".")[2] for n, _ in model.named_parameters() if "lora" in n
    }
    assert adapted == {"query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"}
    disturb(model, 1.0)
    model.save_pretrained(tmp_path / "run", save_embedding_layers=False)
    ids = rows(base, base.tag_ids[0])
    assert torch.equal(logits(restore(tagged(), tmp_path / "run"), ids), logits(model, ids))


@pytest.mark.parametrize(
    ("architecture", "sizes"),
    [
        ("llama", {"num_attention_heads": 3}),
        ("esm", {"num_attention_heads": 7}),
        ("llama", {"hidden_size": "x"}),
        ("llama", {"num_attention_heads": 0}),
        ("gpt_neox", {}),
        ("llama", {"depth": 3}),
    ],
    ids=str,
)
def test_sizes_of_a_new_model_that_do_not_fit_are_a_fault_of_the_settings(architecture, sizes):
    with pytest.raises(SettingError, match="architecture"):
        fresh(architecture, {**SIZES, **sizes}, name="x", rng=generator(0))


# --- tags --------------------------------------------------------------------------------------


def test_adding_tags_leaves_what_a_llama_says_of_residues(llama):
    before = load_base(str(llama))
    ids = rows(before)
    expected = residues(before, before.model, ids)
    tagged = add_tags(load_base(str(llama)), NEW)
    assert tagged.token_map.vocab_size == before.token_map.vocab_size + 3
    assert torch.equal(residues(tagged, tagged.model, ids), expected)
    # A tag starts as a second start token.
    weight = tagged.model.get_input_embeddings().weight
    assert weight[list(tagged.tag_ids)].eq(weight[tagged.token_map.start_id]).all()


def test_a_base_knows_the_tags_it_was_trained_with(scratch, trained):
    loaded = load_base(str(scratch))
    assert loaded.own_tags == PREFIX
    chosen = PREFIX.choose({"species": "human", "isotype": "IGHM"})
    assert loaded.own_prompt.ids(chosen) == trained.prompt(PREFIX).ids(chosen)
    assert len(loaded.own_prompt.ids(chosen)) == 4


def test_tags_that_a_base_has_learnt_keep_their_rows_and_new_ones_follow(scratch):
    before = load_base(str(scratch)).model.get_input_embeddings().weight.clone()
    loaded = load_base(str(scratch))
    known = dict(zip(PREFIX.tokens(), loaded.tokenizer.convert_tokens_to_ids(PREFIX.tokens())))
    tagged = add_tags(loaded, NEW)
    ids = dict(zip(NEW.tokens(), tagged.tag_ids, strict=True))
    assert ids["[locus:IGH]"] == known["[locus:IGH]"]
    assert {ids["[v_family:IGHV1]"], ids["[v_family:IGHV3]"]} == {len(before), len(before) + 1}
    after = tagged.model.get_input_embeddings().weight
    assert torch.equal(after[: len(before)], before)
    assert after[len(before) :].eq(before[tagged.token_map.start_id]).all()
    assert not torch.equal(before[known["[locus:IGH]"]], before[tagged.token_map.start_id])


def test_tags_that_a_base_has_learnt_all_add_none(scratch):
    loaded = load_base(str(scratch))
    size = loaded.token_map.vocab_size
    tagged = add_tags(loaded, PREFIX)
    assert tagged.token_map.vocab_size == size
    assert tagged.tag_ids == tuple(loaded.tokenizer.convert_tokens_to_ids(PREFIX.tokens()))
    assert tagged.model.get_input_embeddings().weight.shape[0] == size


@pytest.mark.parametrize(
    "tags",
    [
        7,
        [],
        {"style": "prefix"},
        {"style": "evil", "values": {}, "seen": []},
        {"style": "prefix", "values": 7, "seen": []},
        {"style": "prefix", "values": {"__class__": ["x"]}, "seen": [["x"]]},
        {"style": "prefix", "values": {"locus": "IGH"}, "seen": [["IGH"]]},
        {"style": "prefix", "values": {"locus": [7]}, "seen": [[7]]},
        {"style": "prefix", "values": {"locus": ["IGH"]}, "seen": []},
        {"style": "prefix", "values": {"locus": ["IGX"]}, "seen": [["IGX"]]},
        {"style": "prefix", "values": {"locus": ["x\x1b[2J"]}, "seen": [["x\x1b[2J"]]},
        {"style": "composite", "values": {"locus": ["IGH"]}, "seen": [["IGH"]]},
        {"style": "prefix", "values": {"locus": [f"v{i}" for i in range(9000)]}, "seen": [["v0"]]},
        "absent",
    ],
    ids=lambda tags: f"{tags!s:.60}",
)
def test_hostile_tags_beside_a_base_are_an_unknown_model(scratch, tmp_path, tags):
    base = shutil.copytree(scratch, tmp_path / "base")
    raw = json.loads((base / MANIFEST).read_text())
    raw = {k: v for k, v in raw.items() if k != "tags"} | (
        {} if tags == "absent" else {"tags": tags}
    )
    (base / MANIFEST).write_text(json.dumps(raw))
    with pytest.raises(UnknownModel, match="its tags") as caught:
        load_base(str(base))
    assert len(str(caught.value)) < 1000 + len(str(base))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["", "[]", "[" * 10**5, '{"tags": 1, "tags": 2}'], ids=range(4))
def test_a_broken_hfbio_json_beside_a_base_is_an_unknown_model(scratch, tmp_path, text):
    base = shutil.copytree(scratch, tmp_path / "base")
    (base / MANIFEST).write_text(text)
    with pytest.raises(UnknownModel, match="its tags"):
        load_base(str(base))


# --- adapters ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["lora", "dora", "full"])
def test_training_a_llama_starts_from_the_base(llama, method):
    tagged = add_tags(load_base(str(llama)), NEW)
    ids = rows(tagged, tagged.tag_ids[0])
    before = logits(tagged.model, ids)
    model = attach(tagged, AdapterConfig(method=method, r=4), rng=generator(0)).eval()
    torch.testing.assert_close(logits(model, ids), before, atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", ["lora", "dora", "full"])
@pytest.mark.parametrize("base", ["plain", "with own tags"])
def test_saved_merged_and_restored_llamas_agree(llama, scratch, tmp_path, method, base):
    folder, tags = (llama, NEW) if base == "plain" else (scratch, PREFIX)

    def tagged():
        return add_tags(load_base(str(folder)), tags)

    prepared = tagged()
    ids = rows(prepared, prepared.tag_ids[0])
    untrained = residues(prepared, prepared.model, ids)
    model = attach(prepared, AdapterConfig(method=method, r=4), rng=generator(0)).eval()
    disturb(model, 1.0)
    said = logits(model, ids)
    assert (said[..., list(prepared.token_map.residue_ids)] - untrained).abs().max() > 0.1
    kept = {} if method == "full" else {"save_embedding_layers": False}
    model.save_pretrained(tmp_path / "run", **kept)
    assert torch.equal(logits(restore(tagged(), tmp_path / "run"), ids), said)

    save(tmp_path / "merged", dataclasses.replace(prepared, model=merge(model)))
    plain, report = AutoModelForCausalLM.from_pretrained(
        tmp_path / "merged", output_loading_info=True
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    at = list(prepared.token_map.residue_ids)
    torch.testing.assert_close(
        logits(plain.eval(), ids)[..., at], said[..., at], atol=3e-5, rtol=1e-5
    )
    again = AutoTokenizer.from_pretrained(tmp_path / "merged")
    assert again.convert_tokens_to_ids(tags.tokens()) == list(prepared.tag_ids)
    other = logits(model, rows(prepared, prepared.tag_ids[1]))
    assert not torch.allclose(other[:, -9:], said[:, -9:])


def test_every_linear_layer_of_a_llama_and_the_rows_of_tags_are_adapted(llama):
    tagged = add_tags(load_base(str(llama)), NEW)
    model = attach(tagged, AdapterConfig(r=4), rng=generator(0))
    trained = {n for n, w in model.named_parameters() if w.requires_grad}
    assert len({n.split(".lora_")[0] for n in trained if ".lora_" in n}) == 7 * 2
    ids = rows(tagged, tagged.tag_ids[0])
    model(input_ids=ids).logits[..., :20].sum().backward()
    (delta,) = [w for n, w in model.named_parameters() if "trainable_tokens_delta" in n]
    assert delta.grad[0].abs().sum() > 0
    assert delta.grad[1:].abs().sum() == 0


def test_an_adapter_of_another_llama_is_refused(llama, tmp_path):
    tagged = add_tags(load_base(str(llama)), NEW)
    attach(tagged, AdapterConfig(r=4), rng=generator(0)).save_pretrained(tmp_path / "run")
    other = shutil.copytree(llama, tmp_path / "other")
    with pytest.raises(AdapterMismatch, match="trained on plain, not on other"):
        restore(add_tags(load_base(str(other)), NEW), tmp_path / "run")
    with pytest.raises(AdapterMismatch, match="other tags"):
        restore(add_tags(load_base(str(llama)), PREFIX), tmp_path / "run")


# --- bundles without a base --------------------------------------------------------------------


def test_a_new_llama_comes_back_with_its_tags(scratch, trained):
    model = load(scratch)
    assert model.untuned() is None
    assert model.task == "span"
    ids = rows(trained, trained.tag_ids[0])
    assert torch.equal(logits(model.model, ids), logits(trained.model, ids))
    assert model.base.token_map == trained.token_map
    with pytest.raises(SettingError, match="trained from nothing and has no base"):
        load(scratch, base=str(scratch))


def spoilt(folder, target, name, **changes):
    copy = shutil.copytree(folder, target)
    raw = json.loads((copy / name).read_text())
    (copy / name).write_text(json.dumps({**raw, **changes}))
    return copy


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_size", 10**6),
        ("num_hidden_layers", 10**9),
        ("num_hidden_layers", 100),
        ("vocab_size", 10**7),
        ("intermediate_size", 10**8),
        ("max_position_embeddings", 10**8),
        ("num_attention_heads", 3),
        ("num_key_value_heads", 10**6),
        ("num_key_value_heads", 7),
        ("head_dim", 10**6),
        ("hidden_size", True),
        ("hidden_size", None),
        ("model_type", "gpt_neox"),
        ("pad_token_id", -1),
        ("rms_norm_eps", "x"),
        ("hidden_act", "evil"),
        ("tie_word_embeddings", "yes"),
        ("tie_word_embeddings", False),
        ("rope_parameters", {"rope_type": "yarn", "factor": 1e9}),
        ("rope_parameters", {"rope_type": "default", "rope_theta": 10**400}),
        ("pretraining_tp", 10**6),
        ("attention_bias", True),
        ("quantization_config", {"quant_method": "bitsandbytes"}),
        ("_attn_implementation", "stranger/kernel"),
        ("auto_map", {"AutoModelForCausalLM": "code.Model"}),
    ],
    ids=str,
)
def test_a_strangers_config_of_a_llama_is_refused(scratch, tmp_path, name, value):
    with pytest.raises((BundleError, AdapterMismatch), match=r"config\.json|another shape|fit"):
        load(spoilt(scratch, tmp_path / "x", "config.json", **{name: value}))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"objective": {"kind": "diffusion"}}, "does not serve family 'llama'"),
        ({"objective": {"kind": "infill", "whole": 7}}, "whole must be in"),
        ({"objective": {"kind": "clm", "direction": "up"}}, "direction must be"),
        ({"family": "esm"}, "does not serve family 'esm'"),
        ({"base": "../x"}, "base must be"),
        ({"base_revision": "a" * 40}, "is not on the Hub"),
        ({"tags": {**dataclasses.asdict(PREFIX), "style": "composite"}}, "style 'prefix'"),
        (
            {
                "tags": {"style": "prefix", "values": {"locus": ["IGL"]}, "seen": [["IGL"]]},
                "lengths": {"IGL": {"110": 1}},
            },
            "has no token '[locus:IGL]'",
        ),
        ({"lengths": {**LENGTHS, "IGH|human|*": {"9999": 1}}}, "9,999 residues"),
    ],
    ids=lambda value: f"{value!s:.40}",
)
def test_a_strangers_account_of_a_llama_is_refused(scratch, tmp_path, changes, named):
    with pytest.raises((BundleError, AdapterMismatch)) as caught:
        load(spoilt(scratch, tmp_path / "x", MANIFEST, **changes))
    assert named in str(caught.value)


def test_a_bundle_without_a_base_cannot_pass_for_an_adapter(scratch, tmp_path):
    with pytest.raises(BundleError, match="local folder called 'mini'"):
        load(spoilt(scratch, tmp_path / "x", MANIFEST, method="lora"))


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w.update({"x": torch.zeros(1000, 1000)}),
        lambda w: w.update({"model.norm.weight": torch.full((32,), torch.nan)}),
        lambda w: w.pop("model.layers.0.mlp.up_proj.weight"),
        lambda w: w.update({"lm_head.weight": torch.zeros(9, 32)}),
    ],
    ids=range(4),
)
def test_a_strangers_weights_of_a_llama_are_refused(scratch, tmp_path, change):
    copy = shutil.copytree(scratch, tmp_path / "x")
    weights = load_file(copy / "model.safetensors")
    change(weights)
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises((BundleError, AdapterMismatch)):
        load(copy)
