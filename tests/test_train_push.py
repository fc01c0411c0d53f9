"""A run that publishes: whom it asks first, what it sends, and what is left if the Hub refuses."""

import os
import subprocess
import sys

import pytest
from hub.faults import Fault
from runs import RECIPE, TORCHRUN, flags, launch, make_split

from hfbio.bundle import read_manifest


@pytest.fixture
def words(tmp_path):
    """A function: a recipe, and flags of a short run that pushes to ``user/run``."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"model: sapiens-vh\ndata: {make_split(tmp_path)}\ndata_license: CC-BY-4.0\n")

    def make(*place, **settings):
        hub = {"push_to_hub": "true", "hub_model_id": "user/run", "max_steps": 2}
        return [*place, str(recipe), *flags(output_dir=tmp_path / "run", **hub | settings)]

    return make


@pytest.mark.slow
def test_two_ranks_train_and_one_of_them_publishes(hub_server, words, tmp_path):
    saving = {"save_strategy": "steps", "save_steps": 1, "hub_always_push": "true"}
    arguments = [RECIPE, *words("--config", per_device_train_batch_size=4, **saving)]
    done = launch(TORCHRUN, arguments, environment=hub_server.environment(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.count("report.html") == done.stdout.count("user/run is private") == 1
    repo = hub_server.repo("model", "user/run")
    assert repo.private
    titles = [commit.title for commit in repo.history("main")]
    assert titles == ["Push run with hfbio", "Step 2 of 2", "Step 1 of 2", "initial commit"]
    assert "hfbio.json" in hub_server.files("model", "user/run")
    sent = b"".join(hub_server.files("model", "user/run").values())
    assert b"PAR1" not in sent  # no table


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [(), TORCHRUN], ids=["one process", "two ranks"])
def test_without_a_token_every_process_ends_before_it_trains(hub_server, words, launcher, tmp_path):
    environment = hub_server.environment(tmp_path / "cache", user=None)
    done = subprocess.run(
        [sys.executable, *(["-m", *launcher] if launcher else []), RECIPE, *words("--config")],
        env=environment, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode != 0
    assert "finetune.py: cannot push to user/run: there is no token" in done.stderr
    assert "hf auth login" in done.stderr
    assert "errors.HubError" not in done.stderr  # said, not thrown
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_refused_push_fails_the_command_and_keeps_the_run(hub_server, words, tmp_path):
    hub_server.plan("POST", "/commit/", [Fault(403)] * 9)
    done = subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "hfbio"), "finetune", *words()],
        env=hub_server.environment(tmp_path / "cache"), capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr[-4000:]
    assert "report.html" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("hfbio: ")
    assert " 403 " in done.stderr
    assert "Traceback" not in done.stderr
    assert read_manifest(tmp_path / "run").training["steps"] == 2
