"""Pushing models that were trained from nothing: they arrive whole and load without a base."""

import json

import pytest
from bundles import new_model
from hub.server import HubServer
from hub.session import Session
from huggingface_hub import ModelCard
from safetensors.torch import load, save

from hfbio.space_repo import files

PUSH = """
from hfbio.hub import push
print(push(run, repo).commit)
"""
LOAD = """
import hfbio
from hfbio.hub.verify import fingerprint
model = hfbio.load(repo)
print(model.manifest.method, model.task, model.likelihood, len(model.tags.tokens()))
print(list(fingerprint(model).sequences) == list(fingerprint(hfbio.load(run)).sequences))
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    with HubServer() as server:
        session = Session(server.environment(folder / "cache"))
        session(
            "import hfbio.hub.client, hfbio.hub.verify as v\n"
            "hfbio.hub.client.BACKOFF_SECONDS = v.BACKOFF_SECONDS = 0.01"
        )
        yield server, session
        session.close()


@pytest.mark.parametrize(
    ("architecture", "told"),
    [
        ("llama", "scratch span next-residue 3"),
        ("esm", "scratch masked masked 3"),
    ],
)
def test_a_new_model_is_pushed_loaded_back_and_described(hub, tmp_path, architecture, told):
    server, session = hub
    run, repo = str(new_model(tmp_path, architecture).folder), f"user/{architecture}"
    commit = session(PUSH, run=run, repo=repo).strip()
    assert server.repo("model", repo).refs["refs/heads/main"] == commit
    there = server.files("model", repo)
    wanted = {"hfbio.json", "metrics.json", "config.json", "model.safetensors", "vocab.txt"}
    wanted |= {"README.md", "CITATION.cff", "tokenizer_config.json", "figures/regions.png"}
    assert wanted <= set(there)
    assert not any("adapter" in name for name in there)
    assert session(LOAD, run=run, repo=repo).split("\n")[:2] == [told, "True"]
    data = ModelCard(there["README.md"].decode()).data
    assert data.pipeline_tag == ("text-generation" if architecture == "llama" else "fill-mask")
    assert data.get("base_model") is None
    assert json.loads(there["metrics.json"])["designs"]["drawn"] == 32


def test_other_weights_than_were_sent_are_noticed_in_a_causal_model(hub, tmp_path):
    _, session = hub
    run = new_model(tmp_path, "llama").folder
    session(
        "import hfbio\nfrom hfbio.hub.verify import fingerprint, require_same\n"
        "sent = fingerprint(hfbio.load(run))",
        run=str(run),
    )
    path = run / "model.safetensors"
    weights = load(path.read_bytes())
    weights["model.norm.weight"] = weights["model.norm.weight"] * 1.01
    path.write_bytes(save(weights, {"format": "pt"}))
    code = (
        "import hfbio.hub.verify as v\nhonest, v._load_back = v._load_back, lambda *_: "
        "hfbio.load(run)\n"
        "try:\n    require_same('user/x', 'c', sent)\nexcept Exception as error:\n"
        "    print(type(error).__name__, error)\nfinally:\n    v._load_back = honest"
    )
    said = session(code, run=str(run))
    assert "HubError user/x does not compute what the run computes" in said


def test_a_space_takes_every_file_of_a_bundled_model(tmp_path, monkeypatch):
    run = new_model(tmp_path, "llama").folder
    made = {path.name for path in run.iterdir() if path.is_file()}
    assert made <= set(files._WEIGHTS)
