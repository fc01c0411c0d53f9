"""Training that publishes: once from two ranks, interim models only in private, `hf` beside it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from runs import RECIPE, TORCHRUN, antibody_esm_files, flags, launch, make_split

pytestmark = pytest.mark.slow

BASE = "user/tiny-esm"
HF = Path(sys.executable).with_name("hf")


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    return make_split(tmp_path_factory.mktemp("split"))


def train(server, split, folder, launcher=None, **settings):
    """A run of four steps that saves twice, on one process or two."""
    words = flags(
        **{
            "model": BASE,
            "data": split,
            "output_dir": folder / "run",
            "objective": "mlm",
            "max_steps": 4,
            "save_strategy": "steps",
            "save_steps": 2,
            "push_to_hub": "true",
            "hub_model_id": "user/run",
            "sampler_kwargs": json.dumps({"steps": 2}),
        }
        | settings
    )
    config = folder / "empty.yaml"
    config.write_text("seed: 1\n")
    environment = server.environment(folder / "cache")
    arguments = [RECIPE, "--config", str(config), *words]
    if launcher:
        return launch(launcher, arguments, environment=environment)
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=200
    )


def titles(server, repo="user/run"):
    return [commit.title for commit in server.repo("model", repo).history("main")][::-1]


def test_two_ranks_push_once_and_peft_alone_loads_it(hub_server, hub_client, split, tmp_path):
    hub_server.add_repo("model", BASE, antibody_esm_files())
    done = train(hub_server, split, tmp_path, TORCHRUN, hub_strategy="end")
    assert done.returncode == 0, done.stderr[-4000:]
    assert titles(hub_server) == ["initial commit", "Push run with hfbio"]
    assert hub_server.repo("model", "user/run").private
    assert done.stdout.count("loaded back") == 1
    files = hub_server.files("model", "user/run")
    assert not any(name.startswith(("data", "table", "checkpoint", "merged")) for name in files)
    out = hub_client(
        """
import torch
from peft import AutoPeftModel
import hfbio
plain, model = AutoPeftModel.from_pretrained("user/run").eval(), hfbio.load("user/run")
tokens = model.base.token_map
ids = torch.tensor([[tokens.start_id, *tokens.residue_ids, tokens.stop_id]])
with torch.no_grad():
    gap = (plain(input_ids=ids).logits - model.model(input_ids=ids).logits).abs().max().item()
print(gap < 1e-5)
"""
    )
    assert out.split() == ["True"]


def test_interim_models_are_private_and_honest_and_the_last_push_is_whole(
    hub_server, split, tmp_path
):
    hub_server.add_repo("model", BASE, antibody_esm_files())
    done = train(hub_server, split, tmp_path, hub_strategy="checkpoint", hub_always_push="true")
    assert done.returncode == 0, done.stderr[-4000:]
    assert titles(hub_server) == [
        "initial commit",
        "Step 2 of 4",
        "Step 4 of 4",
        "Push run with hfbio",
    ]
    history = list(hub_server.repo("model", "user/run").history("main"))
    interim = history[2].files
    assert "step 2 of 4" in interim["README.md"].text
    assert "metrics.json" not in interim
    assert "last-checkpoint/optimizer.pt" in interim
    final = hub_server.files("model", "user/run")
    assert "metrics.json" in final
    assert b"step 2 of 4" not in final["README.md"]


@pytest.mark.parametrize("launcher", [None, TORCHRUN], ids=["one process", "two ranks"])
def test_what_cannot_be_pushed_is_told_before_the_training(hub_server, split, tmp_path, launcher):
    hub_server.add_repo("model", BASE, antibody_esm_files())
    hub_server.add_repo("model", "user/run", {"README.md": b"mine\n"})
    done = train(hub_server, split, tmp_path, launcher)
    assert done.returncode != 0
    assert "user/run is public: everybody would see this run" in done.stderr
    assert not (tmp_path / "run" / "checkpoint-2").exists()
    assert hub_server.files("model", "user/run") == {"README.md": b"mine\n"}


def test_a_public_run_shows_no_unfinished_model(hub_server, split, tmp_path):
    hub_server.add_repo("model", BASE, antibody_esm_files())
    refused = train(hub_server, split, tmp_path, hub_private_repo="false")
    assert refused.returncode != 0
    assert "use --hub_strategy end" in refused.stderr
    assert not hub_server.exists("model", "user/run")
    done = train(hub_server, split, tmp_path, hub_private_repo="false", hub_strategy="end")
    assert done.returncode == 0, done.stderr[-4000:]
    assert not hub_server.repo("model", "user/run").private
    assert titles(hub_server) == ["initial commit", "Push run with hfbio"]


def test_a_repository_that_turns_public_gets_no_more_unfinished_models(hub_server, split, tmp_path):
    hub_server.add_repo("model", BASE, antibody_esm_files())

    def publish(call):
        if call.path.endswith("/user/run/commit/main"):
            hub_server.repo("model", "user/run").private = False

    hub_server.before_each = publish
    done = train(hub_server, split, tmp_path, hub_always_push="true")
    assert titles(hub_server) == ["initial commit", "Step 2 of 4"]
    assert "step 4 was not pushed: user/run is public" in done.stderr
    assert done.returncode == 1  # the last push too says that it is public


def test_hf_downloads_and_uploads_what_hfbio_pushed(hub_server, split, tmp_path):
    hub_server.add_repo("model", BASE, antibody_esm_files())
    done = train(hub_server, split, tmp_path, hub_strategy="end", save_strategy="no")
    assert done.returncode == 0, done.stderr[-4000:]
    environment = hub_server.environment(tmp_path / "other")

    def run(*words):
        return subprocess.run(
            [str(HF), *words], env=environment, capture_output=True, text=True, check=True
        ).stdout

    copy = tmp_path / "copy"
    run("download", "user/run", "--local-dir", str(copy))
    shutil.rmtree(copy / ".cache")
    mine = hub_server.files("model", "user/run")
    assert {p.relative_to(copy).as_posix() for p in copy.rglob("*") if p.is_file()} == set(mine)
    run("upload", "user/copy", str(copy), ".", "--private")
    assert hub_server.files("model", "user/copy") == mine
    load = (
        "import hfbio; print(hfbio.load('user/copy').manifest == hfbio.load('user/run').manifest)"
    )
    out = subprocess.run(
        [sys.executable, "-c", load], env=environment, capture_output=True, text=True, check=True
    )
    assert out.stdout.split() == ["True"]
