"""Every method and objective trains, and what was trained is what is loaded."""

import json
import os

import pytest
import torch
from runs import adapter, antibody_esm_files, flags, losses, make_split, metrics
from transformers import AutoModelForMaskedLM, AutoTokenizer, TrainerCallback

import hfbio
from hfbio.errors import SettingError
from hfbio.models import load_base
from hfbio.train import finetune, read_config


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_split(tmp_path_factory.mktemp("data"))


def read(data, folder, **settings):
    settings = {"model": "sapiens-vh", "data": data, "output_dir": folder} | settings
    return read_config(None, flags(**settings))


class Keep(TrainerCallback):
    """Holds on to the model in memory."""

    def on_train_end(self, args, state, control, model=None, **kwargs):
        self.model = model.eval()


def logits(network, ids):
    with torch.no_grad():
        return network(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


def chain(model):
    """A chain behind its tags, partly hidden."""
    tokens = model.base.token_map
    values = model.tags.seen[0] if model.tags.fields else ()
    prefix = model.prompt.ids(dict(zip(model.tags.fields, values)))
    ids = torch.tensor([[*prefix, *tokens.residue_ids, tokens.stop_id]])
    ids[0, 4:14:3] = tokens.mask_id
    return ids


@pytest.mark.parametrize("method", ["lora", "dora", "full"])
def test_the_loaded_model_is_the_trained_one(data, method, tmp_path):
    keep = Keep()
    settings = {"method": method, "tags": ["isotype", "locus"], "max_steps": 4}
    if method == "lora":
        settings |= {"use_rslora": "true", "lora_modules_to_save": ["LayerNorm"]}
    finetune(read(data, tmp_path, **settings), [keep])
    model = hfbio.load(tmp_path)
    ids = chain(model)
    found = logits(model.model, ids)
    torch.testing.assert_close(found, logits(keep.model, ids))
    assert model.manifest.method == method
    base = load_base("sapiens-vh")
    untrained = ids.clone()
    untrained[0, 0] = base.token_map.start_id  # the tags are not in its vocabulary
    residues = list(base.token_map.residue_ids)
    plain = logits(base.model, untrained)
    assert (found[..., residues] - plain[..., residues]).abs().max() > 0.1
    # Users of transformers alone get the same: the merged folder, or the run folder itself.
    merged = tmp_path if method == "full" else tmp_path / "merged"
    alone = logits(AutoModelForMaskedLM.from_pretrained(merged), ids)
    torch.testing.assert_close(alone[..., residues], found[..., residues], rtol=1e-4, atol=1e-4)
    assert len(AutoTokenizer.from_pretrained(merged)) == alone.shape[-1]
    held_out = metrics(tmp_path)["held_out"]
    assert held_out[0]["tuned"]["nats_per_residue"] < held_out[0]["base"]["nats_per_residue"]


@pytest.mark.parametrize(("objective", "kept"), [("mlm", True), ("diffusion", False)])
def test_token_dropout_is_what_the_objective_calls_for(data, objective, kept, tmp_path):
    esm = tmp_path / "esm"
    esm.mkdir()
    for name, content in antibody_esm_files().items():
        esm.joinpath(name).write_bytes(content)
    keep = Keep()
    run = tmp_path / "run"
    finetune(read(data, run, model=esm, objective=objective, max_steps=2), [keep])
    assert keep.model.config.token_dropout == kept
    model = hfbio.load(run, base=str(esm))
    ids = chain(model)
    torch.testing.assert_close(logits(model.model, ids), logits(keep.model, ids))


@pytest.mark.parametrize(
    ("objective", "start", "end"), [("mlm", 0.7, 0.4), ("diffusion", 0.9, 0.5)]
)
def test_training_lowers_the_loss(data, objective, start, end, tmp_path):
    # 30 chains that share all but CDR3, which is about a tenth of the residues: its random letters
    # cost 2.9 nats each however long one trains, the rest next to nothing.
    finetune(read(data, tmp_path, objective=objective, max_steps=20, learning_rate=5e-3))
    found = losses(tmp_path)
    assert found[0] > start
    assert sum(found[-5:]) / 5 < end


def test_the_same_seed_gives_the_same_adapter(data, tmp_path):
    for name in "ab":
        torch.manual_seed(ord(name))  # whatever the state of the global generator
        finetune(read(data, tmp_path / name, max_steps=2, seed=1))
    a, b = (adapter(tmp_path / name) for name in "ab")
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.slow
def test_weights_of_workers_and_one_process_agree(data, tmp_path):
    for workers in (0, 2):
        folder = tmp_path / str(workers)
        finetune(read(data, folder, max_steps=2, dataloader_num_workers=workers))
    one, other = (adapter(tmp_path / str(workers)) for workers in (0, 2))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"lora_r": 0}, "r must be "),
        ({"method": "prefix"}, "method must be lora, dora or full"),
        ({"objective": "guess"}, "'guess' is not one of: clm, diffusion, germline, infill, mlm"),
        ({"objective": "clm"}, "cannot be trained with objective 'clm'"),
        ({"objective_kwargs": '{"fraction": 2}', "objective": "mlm"}, "fraction must be in"),
        ({"lora_target_modules": "no_such_layer"}, "matches no linear layer"),
        ({"lora_modules_to_save": ["Nothing"]}, "no module "),
    ],
)
def test_impossible_settings_are_refused_and_leave_nothing(data, settings, reason, tmp_path):
    with pytest.raises(SettingError, match=reason):
        finetune(read(data, tmp_path / "run", **settings))
    assert not tmp_path.joinpath("run", "hfbio.json").exists()


def test_a_bundle_names_no_folder_of_this_machine(data, tmp_path):
    finetune(read(data, tmp_path / "run", max_steps=1))
    package = os.path.dirname(hfbio.__file__)
    for path in tmp_path.joinpath("run").rglob("*.json"):
        text = path.read_text()
        assert not any(str(folder) in text for folder in (tmp_path, data, package)), path
    settings = json.loads((tmp_path / "run" / "hfbio.json").read_text())["training"]["settings"]
    assert settings["max_steps"] == 1
    assert settings.keys().isdisjoint({"output_dir", "hub_token", "use_cpu", "report_to"})
