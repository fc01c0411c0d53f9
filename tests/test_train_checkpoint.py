"""A checkpoint is a bundle of the model as it was then, and stays on this machine."""

import copy

import pytest
import torch
from runs import flags, make_split
from transformers import TrainerCallback

import hfbio
from hfbio.bundle import read_manifest
from hfbio.train import finetune, read_config

SAVING = {"model": "sapiens-vh", "tags": ["isotype"], "save_strategy": "steps", "save_steps": 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_split(tmp_path_factory.mktemp("data"))


class Keep(TrainerCallback):
    """Copies the model in memory whenever it is saved."""

    def __init__(self):
        self.models = {}

    def on_save(self, args, state, control, model=None, **kwargs):
        self.models[state.global_step] = copy.deepcopy(model).eval()


@pytest.fixture(scope="module", params=["lora", "full"])
def run(request, data, tmp_path_factory):
    """``(folder, model in memory by step)`` of a run that saves after each of two steps."""
    folder, keep = tmp_path_factory.mktemp("run"), Keep()
    steps = {"max_steps": 2, "learning_rate": 1e-2}
    words = flags(data=data, output_dir=folder, method=request.param, **SAVING, **steps)
    finetune(read_config(None, words), [keep])
    return folder, keep.models


def logits(network, ids):
    with torch.no_grad():
        return network(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


def test_a_checkpoint_loads_as_the_model_of_its_step(run):
    folder, trained = run
    assert trained.keys() == {1, 2}
    loaded = {step: hfbio.load(folder / f"checkpoint-{step}") for step in trained}
    tokens = loaded[1].base.token_map
    tag = loaded[1].prompt.ids({"isotype": "IGHG"})
    ids = torch.tensor([[*tag, *tokens.residue_ids, tokens.stop_id]])
    ids[0, 4:14:3] = tokens.mask_id
    found = {step: logits(model.model, ids) for step, model in loaded.items()}
    for step, model in trained.items():
        torch.testing.assert_close(found[step], logits(model, ids))
    assert (found[2] - found[1]).abs().max() > 1e-2
    torch.testing.assert_close(found[2], logits(hfbio.load(folder).model, ids))


def test_a_checkpoint_tells_what_its_run_tells_and_how_far_it_had_come(run):
    folder, _ = run
    early, late = (read_manifest(folder / f"checkpoint-{step}") for step in (1, 2))
    whole = read_manifest(folder)
    assert (early.training["steps"], late.training["steps"]) == (1, 2)
    assert whole.training.keys() - late.training.keys() == {"seconds"}
    assert whole.training["seconds"] > 0
    assert whole.training.items() >= late.training.items()
    for name in ("base", "method", "objective", "tags", "lengths", "data", "versions"):
        assert getattr(early, name) == getattr(whole, name)


UNWATCHED = """
import sys
from transformers import TrainerCallback
from hfbio.train import finetune, read_config

class Tell(TrainerCallback):
    def on_train_begin(self, args, state, control, **kwargs):
        # A tracker reads the latter: its Space would be public.
        print(args.push_to_hub, args.hub_private_repo)

config = read_config(None, sys.argv[1:])
finetune(config, [Tell()])
print(config.push_to_hub, config.hub_private_repo, config.hub_model_id, config.hub_strategy.value)
"""


def test_transformers_itself_sends_nothing_to_the_hub(data, hub_server, hub_client, tmp_path):
    # Trainer would make the repo at its start, and upload the run folder, data and all.
    folder = tmp_path / "run"
    hub = {"push_to_hub": "true", "hub_model_id": "user/run", "hub_strategy": "all_checkpoints"}
    words = flags(data=data, output_dir=folder, max_steps=1, **SAVING, **hub)
    told = hub_client(UNWATCHED, *words).splitlines()
    assert [request.path for request in hub_server.requests] == []
    assert told[0] == "False True"
    assert told[-1] == "True None user/run all_checkpoints"
    # Nor does the token that the machine is logged in with come into a file.
    token = hub_server.environment(tmp_path)["HF_TOKEN"].encode()
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert folder / "checkpoint-1" / "hfbio.json" in files
    assert not any(token in path.read_bytes() for path in files)
