"""A base is loaded whole and right, or not at all."""

import importlib.util
import json
import math
import re
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import tiny_esm_files
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch.nn import functional as F
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from hfbio.alphabet import RESIDUES
from hfbio.errors import SettingError, UnknownModel
from hfbio.models import load_base
from hfbio.models.catalogue import BASES, FAMILIES, table
from hfbio.models.verify import TRASTUZUMAB_VH, masked_nats

needs_antiberty = pytest.mark.skipif(
    importlib.util.find_spec("antiberty") is None, reason="needs hfbio[antiberty]"
)


@pytest.fixture
def tiny_esm(tmp_path):
    folder = tmp_path / "tiny-esm"
    folder.mkdir()
    for name, content in tiny_esm_files().items():
        folder.joinpath(name).write_bytes(content)
    return folder


@pytest.fixture
def spaced_bert(tmp_path):
    """A BERT whose tokenizer wants spaces between residues, as IgBert's does."""
    folder = tmp_path / "spaced-bert"
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"LAGVESIKRDTPNQFYMHCWX"]
    backend = Tokenizer(models.WordLevel({t: i for i, t in enumerate(vocabulary)}, "[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=backend,
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        unk_token="[UNK]",
        mask_token="[MASK]",
    ).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=140,
    )
    BertForMaskedLM(config).save_pretrained(folder)
    return folder


def edit_weights(folder, edit):
    weights = load_file(folder / "model.safetensors")
    edit(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_folder_loads_with_its_family_and_without_its_path(tiny_esm):
    loaded = load_base(str(tiny_esm), check_loss=False)
    assert (loaded.family.model_type, loaded.tag_style) == ("esm", "prefix")
    assert (loaded.name, loaded.revision, loaded.max_residues) == ("tiny-esm", None, 1022)
    assert loaded.model.config._name_or_path == "tiny-esm"
    assert not loaded.model.training


def test_ids_mean_the_same_to_token_map_and_tokenizer(tiny_esm):
    loaded = load_base(str(tiny_esm), check_loss=False)
    tokens = loaded.token_map
    ids = loaded.tokenizer(TRASTUZUMAB_VH)["input_ids"]
    assert ids == [tokens.start_id, *tokens.encode(TRASTUZUMAB_VH).tolist(), tokens.stop_id]
    assert tokens.decode(torch.tensor(ids[1:-1])) == TRASTUZUMAB_VH
    assert loaded.tokenizer.convert_ids_to_tokens(tokens.unknown_id) == "X"


def test_a_tokenizer_that_wants_spaces_gives_one_id_per_residue(spaced_bert):
    loaded = load_base(str(spaced_bert), check_loss=False)
    assert loaded.token_map.encode("LAGX").tolist() == [5, 6, 7, 25]
    assert (loaded.tag_style, loaded.max_residues) == ("composite", 138)


def test_random_weights_do_not_pass_for_a_model(tiny_esm):
    with pytest.raises(UnknownModel, match=r"guessing among 20 costs 3\.00"):
        load_base(str(tiny_esm))


def test_a_weight_that_is_missing_is_named(tiny_esm):
    edit_weights(tiny_esm, lambda w: w.pop("esm.encoder.layer.1.output.dense.weight"))
    with pytest.raises(UnknownModel, match=r"left at random.*layer\.1\.output\.dense\.weight"):
        load_base(str(tiny_esm), check_loss=False)


def test_the_contact_head_may_be_missing(tiny_esm):
    edit_weights(tiny_esm, lambda w: [w.pop(k) for k in list(w) if "contact_head" in k])
    load_base(str(tiny_esm), check_loss=False)


def test_a_weight_without_a_place_is_named(tiny_esm):
    edit_weights(tiny_esm, lambda w: w.update({"esm.encoder.layer.9.gate": torch.ones(1)}))
    with pytest.raises(UnknownModel, match=r"no place in the model.*layer\.9\.gate"):
        load_base(str(tiny_esm), check_loss=False)


def test_weights_of_another_shape_are_an_unknown_model(tiny_esm):
    edit_weights(tiny_esm, lambda w: w.update({"lm_head.bias": torch.zeros(40)}))
    with pytest.raises(UnknownModel, match="cannot be loaded"):
        load_base(str(tiny_esm), check_loss=False)


def test_a_tokenizer_without_residues_is_refused(spaced_bert):
    content = json.loads(spaced_bert.joinpath("tokenizer.json").read_text())
    content["model"]["vocab"] = dict(list(content["model"]["vocab"].items())[:5])
    spaced_bert.joinpath("tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(UnknownModel, match="not as start, one id for each residue, stop"):
        load_base(str(spaced_bert), check_loss=False)


def spoil(folder, name, **changes):
    raw = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**raw, **changes}))


def nested(depth):
    return {"x": nested(depth - 1)} if depth else {}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_size": "abc"}, "hidden_size 'abc'; it must be a whole number from 1 to 8,192"),
        ({"hidden_size": 10**6}, "hidden_size 1000000"),
        ({"hidden_size": True}, "hidden_size True"),
        ({"hidden_size": None}, "config.json describes no model"),
        ({"vocab_size": 0}, "vocab_size 0"),
        ({"num_hidden_layers": [2]}, "num_hidden_layers [2]"),
        ({"num_attention_heads": 7}, "config.json describes no model"),
        ({"pad_token_id": "x"}, "config.json describes no model"),
        ({"layer_norm_eps": "x"}, "config.json"),
        ({"quantization_config": {"bits": 4}}, "quantization or kernels"),
        # Nothing of 8,192 x 128 layers is allocated for a file of 0.1 MB.
        ({"hidden_size": 8192, "num_hidden_layers": 128}, "bytes; config.json describes a network"),
        ({"notes": nested(20)}, "more than 16 levels deep"),
        ({"notes": "x" * 5000}, "text of 5,000 letters"),
        ({"model_type": ["esm"]}, "model_type ['esm']; hfbio knows"),
        ({"model_type": "x" * 999}, "hfbio knows esm"),
    ],
    ids=lambda value: f"{value!s:.40}",
)
def test_an_odd_config_is_an_unknown_model(tiny_esm, changes, said):
    spoil(tiny_esm, "config.json", **changes)
    with pytest.raises(UnknownModel) as caught:
        load_base(str(tiny_esm), check_loss=False)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("config.json", text) for text in ("", "[]", "null", "[" * 10**5, '{"a": 1, "a": 2}')),
        *(("tokenizer.json", text) for text in ("", "7", '{"model": 7}')),
        *(("tokenizer_config.json", text) for text in ("", "[]", '{"added_tokens_decoder": 7}')),
        ("model.safetensors", "\x1b[2J" * 10**5),
    ],
    ids=lambda value: f"{value!r:.30}",
)
def test_a_file_that_is_not_what_it_should_be_is_an_unknown_model(spaced_bert, name, text):
    (spaced_bert / name).write_text(text)
    with pytest.raises(UnknownModel, match=re.split(r"[_.]", name)[0] + "|weights") as caught:
        load_base(str(spaced_bert), check_loss=False)
    assert str(caught.value).isprintable()


def test_a_name_of_a_weight_is_not_printed_as_it_comes(tiny_esm):
    edit_weights(tiny_esm, lambda w: w.update({"\x1b[2J" + "x" * 5000: torch.ones(1)}))
    with pytest.raises(UnknownModel, match="no place in the model") as caught:
        load_base(str(tiny_esm), check_loss=False)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_chains_that_the_position_table_does_not_hold_are_an_unknown_model(spaced_bert):
    config = BertConfig.from_pretrained(spaced_bert, max_position_embeddings=50)
    BertForMaskedLM(config).save_pretrained(spaced_bert)
    with pytest.raises(UnknownModel, match="tokenizer and weights do not fit each other"):
        load_base(str(spaced_bert))


def test_a_regex_that_may_never_end_is_not_run_by_the_tokenizer_of_a_base(spaced_bert):
    split = {"type": "Split", "pattern": {"Regex": r"(\w+)+!"}, "behavior": "Isolated"}
    spoil(spaced_bert, "tokenizer.json", pre_tokenizer={**split, "invert": False})
    with pytest.raises(UnknownModel, match=r"tokenizer\.json holds the regex"):
        load_base(str(spaced_bert), check_loss=False)


def test_fields_that_hfbio_does_not_know_do_not_spoil_a_base(tiny_esm):
    spoil(
        tiny_esm,
        "config.json",
        architectures=["EsmForMaskedLM"],
        auto_map={"AutoModel": "stranger.Model"},  # not run, and not needed
        classifier_dropout=None,
        gradient_checkpointing=False,
        id2label={"0": "LABEL_0"},
        my_training={"epochs": 3, "loss": 2.1},
        torch_dtype="float16",
        transformers_version="4.25.0.dev0",
    )
    (tiny_esm / "trainer_state.json").write_bytes(b" " * 16_000_001)  # read by nobody
    load_base(str(tiny_esm), check_loss=False)


def test_a_misspelt_alias_is_answered_with_the_right_one():
    with pytest.raises(UnknownModel, match=r"'sapens-vh'.*did you mean sapiens-vh"):
        load_base("sapens-vh")


def test_an_unknown_architecture_is_named_with_the_known_ones(tmp_path):
    tmp_path.joinpath("config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(UnknownModel, match=r"model_type 't5'; hfbio knows esm, bert, roberta"):
        load_base(str(tmp_path))


def test_an_adapter_folder_is_not_a_base(tmp_path):
    tmp_path.joinpath("adapter_config.json").write_text("{}")
    with pytest.raises(UnknownModel, match=r"it is an adapter, which hfbio\.load reads"):
        load_base(str(tmp_path))


def test_a_revision_needs_a_hub_id():
    with pytest.raises(SettingError, match="has no revision 'main'"):
        load_base("sapiens-vh", revision="main")


@needs_antiberty
def test_antiberty_predicts_trastuzumab_as_measured_before():
    loaded = load_base("antiberty")
    tokens = loaded.token_map
    n = len(TRASTUZUMAB_VH)
    ids = torch.tensor([tokens.start_id, *tokens.encode(TRASTUZUMAB_VH), tokens.stop_id])
    rows = ids.repeat(n, 1)
    rows[torch.arange(n), torch.arange(n) + 1] = tokens.mask_id
    with torch.no_grad():
        output = loaded.model(input_ids=rows, attention_mask=torch.ones_like(rows)).logits
    hidden = output[torch.arange(n), torch.arange(n) + 1]  # (n, V)
    # 1.90548 and 101 of 120, over all 25 tokens as over the 20 residues: what is left to the
    # five special tokens does not reach the sixth digit. Guessing scores 20 and 6 of 120.
    for scores in (hidden, hidden.masked_fill(~tokens.allowed, -math.inf)):
        assert F.cross_entropy(scores, ids[1:-1]).exp().item() == pytest.approx(1.90548, abs=1e-4)
        assert (scores.argmax(-1) == ids[1:-1]).sum() == 101


@needs_antiberty
def test_antiberty_is_read_without_running_its_code():
    program = (
        "import sys; from hfbio.models import load_base; b = load_base('antiberty'); "
        "assert 'antiberty' not in sys.modules; assert type(b.model).__name__ == 'BertForMaskedLM'"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_masked_nats_counts_every_residue_once():
    loaded = load_base("sapiens-vh")
    tokens = loaded.token_map
    whole = masked_nats(loaded.model, tokens, TRASTUZUMAB_VH, stride=7)
    at = torch.arange(len(TRASTUZUMAB_VH))
    ids = torch.tensor([tokens.start_id, *tokens.encode(TRASTUZUMAB_VH), tokens.stop_id])
    total = 0.0
    for offset in range(7):
        row = ids.clone()
        row[1 + at[offset::7]] = tokens.mask_id
        with torch.no_grad():
            output = loaded.model(row[None], attention_mask=torch.ones(1, len(row))).logits[0]
        chosen = 1 + at[offset::7]
        total += F.cross_entropy(output[chosen], ids[chosen], reduction="sum").item()
    assert whole == pytest.approx(total / len(TRASTUZUMAB_VH), abs=1e-5)


def test_every_catalogue_entry_is_complete():
    rows = list(table())
    assert [row["name"] for row in rows] == list(BASES)
    for base, row in zip(BASES.values(), rows, strict=True):
        assert base.model_type in FAMILIES
        assert all(row.values())
        assert (base.source == "hub") == (base.revision is not None)
        assert base.revision is None or len(base.revision) == 40


@pytest.mark.parametrize("name", ["sapiens-vh", "sapiens-vl"])
def test_the_catalogue_counts_parameters_as_the_model_does(name):
    loaded = load_base(name)
    assert loaded.model.num_parameters() == BASES[name].parameters
    assert len(loaded.token_map.residue_ids) == len(RESIDUES)
