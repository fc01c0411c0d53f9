"""Bundles that a stranger spoilt on purpose: each is refused by name, before it costs anything.

The values are those that peft, transformers or Python would honour: code to import, memory to
ask for, a regex that never ends. A check that is missing shows as a test that hangs, is killed
for its memory, or raises another kind of error.
"""

import json
import os
import re
import shutil
import struct
from pathlib import Path

import pytest
import torch
from bundles import LENGTHS, TAGS, edited, local_base, logits, make_bundle
from safetensors.torch import load_file, save_file

from hfbio.bundle import MANIFEST
from hfbio.errors import AdapterMismatch, BundleError, UnknownModel
from hfbio.model import load

REFUSED = (BundleError, AdapterMismatch)
WEIGHTS = "adapter_model.safetensors"
A_WEIGHT = "base_model.model.roberta.encoder.layer.0.attention.self.key.lora_A.weight"
NEVER_ENDING = r"((\w|\.)+)+!"  # 2^60 ways to read the name of a layer


@pytest.fixture(scope="session")
def honest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("honest")
    make_bundle(folder)
    return folder


@pytest.fixture
def refusal(honest, tmp_path):
    """A function that spoils a copy of the bundle and returns what `load` says about it."""

    def run(spoil):
        folder = Path(shutil.copytree(honest, tmp_path / "bundle"))
        spoil(folder)
        with pytest.raises(REFUSED) as caught:
            load(folder)
        message = str(caught.value)
        assert len(message) < 1000 + len(str(folder))  # a hostile value is not printed at length
        assert message.isprintable()
        return message

    return run


def changing(name, **changes):
    """Other values in a JSON file of the bundle; `...` removes one."""

    def spoil(folder):
        raw = {**json.loads((folder / name).read_text()), **changes}
        kept = {key: value for key, value in raw.items() if value is not ...}
        (folder / name).write_text(json.dumps(kept))

    return spoil


def saying(name, text):
    def spoil(folder):
        old = (folder / name).read_text()
        (folder / name).write_text(text(old) if callable(text) else text)

    return spoil


def retensored(change):
    """Other tensors in the adapter's file."""

    def spoil(folder):
        tensors = load_file(folder / WEIGHTS)
        change(tensors)
        (folder / WEIGHTS).unlink()
        save_file(tensors, folder / WEIGHTS)

    return spoil


# --- hfbio.json --------------------------------------------------------------------------------


def tagged(*values, field="isotype"):
    return {
        "tags": {"style": "composite", "values": {field: list(values)}, "seen": [[values[0]]]},
        "lengths": {values[0]: {"120": 1}},
    }


def many_tags(n):
    seen = [f"v{i:05d}" for i in range(n)]
    return {
        "tags": {"style": "composite", "values": {"v_family": seen}, "seen": [[v] for v in seen]},
        "lengths": {v: {"120": 1} for v in seen},
    }


def nested(depth):
    value: dict = {}
    for _ in range(depth):
        value = {"x": value}
    return value


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"family": "gpt9"}, "family must be one of esm, bert, roberta, llama"),
        ({"family": "llama"}, "family is 'llama'; sapiens-vh is 'roberta'"),
        ({"family": ["roberta"]}, "family must be one of"),
        ({"family": "bert"}, "family is 'bert'; sapiens-vh is 'roberta'"),
        ({"method": "pickle"}, "method must be one of lora, dora, full"),
        ({"scheme": "kabat2"}, "scheme must be one of imgt"),
        ({"layout": "pair"}, "layout must be one of single"),
        ({"format": True}, "format True"),
        ({"objective": {"kind": "__import__"}}, "kind of objective must be one of mlm, diffusion"),
        ({"objective": {"kind": "diffusion", "min_t": 7}}, "min_t must be in"),
        ({"objective": {"kind": "diffusion", "min_t": "x" * 999}}, "objective 'diffusion'"),
        ({"objective": {"kind": "diffusion", "eval": 1}}, "no setting 'eval'"),
        ({"base_revision": "main"}, "base_revision must be a commit"),
        ({"base_revision": "a" * 39 + "/"}, "base_revision must be a commit"),
        ({"base_revision": "a" * 40}, "is not on the Hub"),
        ({"base": "user/re po"}, "base must be"),
        ({"base": "~/evil"}, "base must be"),
        ({"base": "user/" + "x" * 200}, "base must be"),
        ({"base": "x\u202ey"}, "invisible"),
        ({"base_license": "<script>alert(1)</script>"}, "base_license"),
        ({"base_license": "MIT" * 99}, "base_license"),
        ({"versions": {"torch": "<b>"}}, "versions"),
        ({"versions": {"torch": 2}}, "versions"),
        ({"versions": {"a b": "1"}}, "versions"),
        ({"versions": {"torch": "1" * 999}}, "versions"),
        ({"data": {"rows": 10**400}}, "data.rows is a number beyond 1e18"),
        ({"data": {"source": "x" * 5_000_000}}, "data.source is a text of 5,000,000 letters"),
        ({"data": {"source": "\x1b[2J"}}, "data.source holds invisible characters"),
        ({"data": {"\x00": 1}}, "invisible"),
        ({"training": nested(200)}, "more than 16 levels deep"),
        (tagged("<img src=x onerror=alert(1)>"), "tags cannot be read"),
        (tagged("a\tb"), "tags cannot be read"),
        (tagged(" a"), "tags cannot be read"),
        (tagged("a b]"), "tags cannot be read"),
        (tagged("a|b"), "tags cannot be read"),
        (tagged("x" * 65), "tags cannot be read"),
        (tagged("MASK", field="__class__"), "'__class__' is not one of locus, species"),
        (tagged("human", field="regions"), "'regions' is not one of"),
        (many_tags(5_000), "more than 4,096"),
        (many_tags(100_000), "too many"),
        ({"tags": {**TAGS.__dict__, "style": "prefix"}}, "takes tags of style 'composite'"),
        ({"lengths": {**LENGTHS, "IGH|human|*": {"9999": 1}}}, "9,999 residues; sapiens-vh reads"),
        ({"lengths": {**LENGTHS, "IGH|human|*": {"0": 1}}}, "lengths"),
        ({"lengths": {**LENGTHS, "IGH|human|*": {"120": 10**17}}}, "lengths"),
        ({"lengths": {**LENGTHS, "IGH|human|*": {"120": 1.5}}}, "lengths"),
        ({"sampler": {"kind": "eval"}}, "the sampler"),
        ({"sampler": {"kind": ["unmask"]}}, "the sampler"),
        ({"sampler": {"kind": "unmask", "steps": "many"}}, "the sampler"),
        ({"sampler": {"kind": "unmask", "steps": 2.5}}, "steps 2.5, not a int"),
        ({"sampler": {"kind": "unmask", "steps": True}}, "steps True"),
        ({"sampler": {"kind": "unmask", "steps": 10**9}}, "1,000,000,000 steps"),
        ({"sampler": {"kind": "gibbs", "sweeps": 99_999}}, "steps, more than 100,000"),
        ({"sampler": {"kind": "unmask", "top_p": 0}}, "top_p must be in"),
        ({"sampler": {"kind": "unmask", "order": "up"}}, "order must be"),
        ({"sampler": {"kind": "unmask", "code": "x"}}, "no setting 'code'"),
    ],
    ids=lambda value: f"{value!s:.40}",
)
def test_a_value_in_hfbio_json_is_refused_by_name(refusal, changes, named):
    assert named in refusal(changing(MANIFEST, **changes))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_number_is_refused(refusal, number):
    message = refusal(saying(MANIFEST, lambda old: old.replace("0.02", number)))
    assert "objective.min_t is" in message
    assert "must be finite" in message


def test_a_name_that_stands_twice_is_refused(refusal):
    twice = saying(MANIFEST, lambda old: old.replace("{", '{"base": "sapiens-vl", ', 1))
    assert "twice" in refusal(twice)


# --- the base ----------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["facebook/esm2_t6_8M_UR50D", "stranger/model"])
def test_a_folder_that_lies_about_does_not_pass_for_a_base_on_the_hub(
    honest, tmp_path, monkeypatch, base
):
    work = tmp_path / "work"
    local_base(work / base)
    bundle = edited(honest, tmp_path / "bundle", base=base, family="esm")
    monkeypatch.chdir(work)
    with pytest.raises(BundleError, match=f"trained on {base} of the Hub, and .* the same name"):
        load(bundle)


def test_a_folder_that_lies_about_does_not_pass_for_a_local_base(honest, tmp_path, monkeypatch):
    local_base(tmp_path / "esm")
    bundle = edited(honest, tmp_path / "bundle", base="esm", family="esm")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError, match=r"local folder called 'esm'; .*base='PATH/esm'"):
        load(bundle)
    with pytest.raises(AdapterMismatch, match="family 'roberta'; esm is of 'esm'"):
        load(edited(bundle, tmp_path / "b", family="roberta"), base="esm")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "quantization or kernels"),
        ({"attn_implementation": "stranger/kernel"}, "quantization or kernels"),
        ({"_attn_implementation": "stranger/kernel"}, "quantization or kernels"),
    ],
    ids=str,
)
def test_a_base_that_asks_for_more_than_its_weights_is_refused(tmp_path, changes, named):
    base = local_base(tmp_path / "base")
    assert load(base).base.name == "base"
    changing("config.json", **changes)(base)
    with pytest.raises(UnknownModel, match=named):
        load(base)


def test_a_base_that_brings_an_adapter_is_refused(honest, tmp_path):
    # transformers would load it by itself, with peft reading all of adapter_config.json
    base = local_base(tmp_path / "base")
    shutil.copy(honest / "adapter_config.json", base)
    with pytest.raises(UnknownModel, match=r"base holds adapter_config\.json beside config\.json"):
        load(base)


# --- adapter_config.json -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"peft_type": "IA3"}, "peft_type"),
        ({"peft_type": "XLORA", "adapters": {"a": "/etc"}}, "peft_type"),
        ({"peft_type": ...}, "peft_type"),
        ({"task_type": "CAUSAL_LM"}, "task_type"),
        ({"auto_mapping": {"base_model_class": "system", "parent_library": "os; x"}}, "parent_lib"),
        ({"auto_mapping": {"module": "os"}}, "auto_mapping"),
        ({"auto_mapping": "os"}, "auto_mapping"),
        ({"r": 0}, "r must be a number from 1 to 1024"),
        ({"r": -1}, "r must be"),
        ({"r": 10**9}, "r must be"),
        ({"r": 10**17}, "r must be"),
        ({"r": 2.0}, "r must be"),
        ({"r": True}, "r must be"),
        ({"r": "2"}, "r must be"),
        ({"r": ...}, "r must be"),
        ({"r": 1024}, "of another shape"),  # in range, but not what the file holds
        ({"lora_alpha": 0}, "lora_alpha must be"),
        ({"lora_alpha": 10**9}, "lora_alpha must be"),
        ({"lora_dropout": 1.0}, "lora_dropout must be"),
        ({"lora_dropout": "0"}, "lora_dropout must be"),
        ({"use_dora": 1}, "use_dora must be"),
        ({"use_dora": True}, "missing, unknown or of another shape"),
        ({"use_rslora": "yes"}, "use_rslora must be"),
        ({"inference_mode": None}, "inference_mode must be"),
        ({"peft_version": "\n" * 9}, "peft_version"),
        ({"peft_version": 7}, "peft_version"),
        ({"revision": "refs/pr/1"}, "revision must be a commit"),
        ({"revision": "../../x"}, "revision must be a commit"),
        ({"revision": ["a" * 40]}, "revision must be a commit"),
        ({"base_model_name_or_path": "/etc"}, "trained on /etc, not on sapiens-vh"),
        ({"base_model_name_or_path": "stranger/code"}, "trained on stranger/code"),
        ({"base_model_name_or_path": {"a": 1}}, "not on sapiens-vh"),
        ({"layer_replication": [[0, 4]] * 10**4}, "layer_replication"),
        ({"megatron_config": {"a": 1}}, "megatron_config"),
        ({"megatron_core": "os"}, "megatron_core"),
        ({"loftq_config": {"loftq_bits": 4}}, "loftq_config"),
        ({"eva_config": {"rho": 2.0}}, "eva_config"),
        ({"corda_config": {"cache_file": "/tmp/x.pt"}}, "corda_config"),
        ({"lora_ga_config": {"a": 1}}, "lora_ga_config"),
        ({"velora_config": {"a": 1}}, "velora_config"),
        ({"arrow_config": {"a": 1}}, "arrow_config"),
        ({"kasa_config": {"a": 1}}, "kasa_config"),
        ({"monteclora_config": {"a": 1}}, "monteclora_config"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights"),
        ({"init_lora_weights": "eva"}, "init_lora_weights"),
        ({"init_lora_weights": False}, "init_lora_weights"),
        ({"bias": "all"}, "bias"),
        ({"lora_bias": True}, "lora_bias"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"rank_pattern": {".*": 10**9}}, "rank_pattern"),
        ({"alpha_pattern": {NEVER_ENDING: 1}}, "alpha_pattern"),
        ({"exclude_modules": NEVER_ENDING}, "exclude_modules"),
        ({"layers_pattern": NEVER_ENDING}, "layers_pattern"),
        ({"layers_to_transform": [0]}, "layers_to_transform"),
        ({"target_parameters": ["weight"]}, "target_parameters"),
        ({"alora_invocation_tokens": [1]}, "alora_invocation_tokens"),
        ({"use_qalora": True}, "use_qalora"),
        ({"qalora_group_size": 10**9}, "qalora_group_size"),
        ({"use_bdlora": {"a": 1}}, "use_bdlora"),
        ({"ensure_weight_tying": True}, "ensure_weight_tying"),
        ({"runtime_config": {"ephemeral_gpu_offload": True}}, "runtime_config"),
        ({"a_field_of_next_year": 1}, "a_field_of_next_year"),
        ({"target_modules": NEVER_ENDING}, "matches no linear layer"),
        ({"target_modules": "(x{1000}){1000}"}, "not a regular expression that RE2 reads"),
        ({"target_modules": "a" * 1001}, "longer than 1,000 letters"),
        ({"target_modules": "all-linear"}, "matches no linear layer"),
        ({"target_modules": ".*"}, "which is no linear layer"),
        ({"target_modules": r".*layer\.0\..*query"}, "missing, unknown or of another shape"),
        ({"target_modules": ["query"] * 10**5}, "target_modules must be one regex"),
        ({"target_modules": None}, "target_modules must be one regex"),
        ({"modules_to_save": [""]}, "is not the end of a module's name"),
        ({"modules_to_save": []}, "modules_to_save must be"),
        ({"modules_to_save": "LayerNorm"}, "modules_to_save must be"),
        ({"modules_to_save": [1]}, "modules_to_save must be"),
        ({"modules_to_save": ["r"] * 10**4}, "at most 64"),
        ({"modules_to_save": ["nothing"]}, "no module has a name"),
        ({"modules_to_save": ["encoder", "dense"]}, "lies in"),
        ({"modules_to_save": ["roberta"]}, "of another shape|does not fit"),
        ({"modules_to_save": ["word_embeddings"]}, "does not fit"),
        ({"trainable_token_indices": None}, "other tags"),
        ({"trainable_token_indices": {"word_embeddings": [0, 1]}}, "other tags"),
        ({"trainable_token_indices": {"word_embeddings": list(range(10**5))}}, "other tags"),
        ({"trainable_token_indices": {".*": [25]}}, "other tags"),
        ({"trainable_token_indices": 7}, "other tags"),
    ],
    ids=lambda value: f"{value!s:.60}",
)
def test_a_field_of_the_adapter_is_refused_by_name(refusal, changes, named):
    message = refusal(changing("adapter_config.json", **changes))
    assert re.search(named, message), message


@pytest.mark.parametrize(
    "text", ["", "[]", "null", '{"r": NaN}', "[" * 10**5, '{"r": 1, "r": 2}', "\x00" * 99]
)
def test_an_adapter_config_that_is_no_plain_object_is_refused(refusal, text):
    assert "adapter_config.json" in refusal(saying("adapter_config.json", text))


def test_fields_of_a_later_peft_that_are_off_change_nothing(honest, tmp_path):
    folder = Path(shutil.copytree(honest, tmp_path / "bundle"))
    changing("adapter_config.json", new_config=None, use_new=False, pattern={})(folder)
    assert torch.equal(logits(load(folder)), logits(load(honest)))


def test_an_adapter_comes_back_as_it_was_trained(honest, tmp_path):
    # The layers are found by RE2 and given to peft by name; saved again, the pattern is as before.
    again = load(honest).model
    again.save_pretrained(tmp_path, save_embedding_layers=False)
    before, after = (
        json.loads((folder / "adapter_config.json").read_text()) for folder in (honest, tmp_path)
    )
    assert after == before
    assert (tmp_path / WEIGHTS).read_bytes() == (honest / WEIGHTS).read_bytes()


# --- weights -----------------------------------------------------------------------------------


def renamed(old, new):
    def change(tensors):
        tensors[new] = tensors.pop(old)

    return change


def with_tensor(name, tensor):
    return lambda tensors: tensors.update({name: tensor})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (with_tensor(A_WEIGHT, torch.zeros(2, 127)), "of another shape"),
        (with_tensor(A_WEIGHT, torch.zeros(3, 128)), "of another shape"),
        (with_tensor(A_WEIGHT, torch.zeros(2, 128, dtype=torch.int64)), "is of type I64"),
        (with_tensor(A_WEIGHT, torch.full((2, 128), torch.nan)), "not finite"),
        (with_tensor(A_WEIGHT, torch.full((2, 128), torch.inf)), "not finite"),
        (with_tensor("base_model.model.lm_head.decoder.bias", torch.zeros(33)), "unknown"),
        (with_tensor("../../x", torch.zeros(2)), "unknown"),
        (with_tensor("x" * 10_000, torch.zeros(2)), "unknown"),
        (renamed(A_WEIGHT, A_WEIGHT.replace("key", "kay")), "missing"),
        (lambda tensors: tensors.pop(A_WEIGHT), "missing"),
        (lambda tensors: tensors.clear(), "missing"),
    ],
    ids=range(11),
)
def test_a_tensor_that_does_not_belong_is_refused(refusal, change, named):
    assert named in refusal(retensored(change))


def test_no_adapter_is_built_larger_than_its_file(refusal, monkeypatch):
    def allocate(*_):
        raise AssertionError("peft was asked for memory")

    monkeypatch.setattr("hfbio.models.lora.PeftModel", allocate)
    assert "48 weights" in refusal(changing("adapter_config.json", r=1024))


def header(content, length=None, tail=b""):
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return struct.pack("<Q", len(data) if length is None else length) + data + tail


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04\x95",  # a pickle begins so
        header(b"{}", length=2**63),
        header(b"{}", length=10**8),
        header(b"{}" + b" " * 10**7),
        header(b"not json"),
        header(
            {A_WEIGHT: {"dtype": "F32", "shape": [2, 128], "data_offsets": [0, 1024]}}
        ),  # no data
        header(
            {A_WEIGHT: {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4]}}, tail=b"abcd"
        ),
        header({A_WEIGHT: {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, tail=b"abcd"),
        header({A_WEIGHT: {"dtype": "OBJ", "shape": [1], "data_offsets": [0, 4]}}, tail=b"abcd"),
    ],
    ids=range(10),
)
def test_what_is_no_safetensors_file_is_refused(refusal, data):
    message = refusal(lambda folder: (folder / WEIGHTS).write_bytes(data))
    assert f"{WEIGHTS} is no safetensors file" in message


def test_pickles_are_never_read(refusal):
    def pickled(folder):
        (folder / WEIGHTS).unlink()
        torch.save({}, folder / "adapter_model.bin")

    assert "pickled weights are not read" in refusal(pickled)


def test_whole_weights_as_a_pickle_are_never_read(refusal):
    def pickled(folder):
        for name in ("adapter_config.json", WEIGHTS):
            (folder / name).unlink()
        changing(MANIFEST, method="full")(folder)
        torch.save({}, folder / "pytorch_model.bin")

    assert "pickled weights are not read" in refusal(pickled)


@pytest.mark.parametrize("name", [MANIFEST, "adapter_config.json", WEIGHTS])
def test_a_pipe_is_not_waited_for(honest, tmp_path, name):
    folder = Path(shutil.copytree(honest, tmp_path / "bundle"))
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises((*REFUSED, LookupError)):  # without hfbio.json it is no bundle at all
        load(folder)


# --- on the Hub --------------------------------------------------------------------------------

LOAD = """
import sys, hfbio
for repo in sys.argv[1:]:
    try:
        hfbio.load(repo)
        print(repo, "loaded")
    except Exception as error:
        print(repo, type(error).__name__, error)
"""


def test_absurd_files_on_the_hub_are_refused_before_they_are_fetched(
    hub_server, hub_client, honest
):
    good = {path.name: path.read_bytes() for path in honest.iterdir()}
    spoilt = {
        "manifest": {MANIFEST: b" " * 16_000_001},
        "json": {"adapter_config.json": b" " * 16_000_001},
        "weights": {WEIGHTS: bytes(74_000_000)},  # sapiens-vh needs 16 x 0.57 MB + 64 MB at most
        "config": {"tokenizer.json": b" " * 16_000_001},
    }
    hub_server.add_repo("model", "user/good", {**good, "x.json": b"{}", "y.safetensors": b"x"})
    for name, files in spoilt.items():
        hub_server.add_repo("model", f"user/{name}", {**good, **files})
    out = hub_client(LOAD, *(f"user/{name}" for name in ["good", *spoilt])).splitlines()
    assert out[0] == "user/good loaded"
    for line, (name, files) in zip(out[1:], spoilt.items(), strict=True):
        (file,) = files
        assert line.startswith(f"user/{name} BundleError")
        assert f"{file} is of" in line
        got = {r.path for r in hub_server.requests if r.method == "GET" and "/resolve/" in r.path}
        assert not any(path.endswith((f"/{name}/{file}", f"user/{name}/")) for path in got)
        assert not any(f"user/{name}/" in path and path.endswith(file) for path in got)
    fetched = {
        r.path.rpartition("/")[2] for r in hub_server.requests if "user/good/resolve" in r.path
    }
    assert {"adapter_config.json", WEIGHTS, MANIFEST} <= fetched
    assert not {"x.json", "y.safetensors"} & fetched
