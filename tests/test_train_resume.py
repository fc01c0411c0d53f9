"""Stop, resume, repeat: what a run folder holds at each moment, and what comes out in the end."""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest
from runs import (
    RECIPE,
    TORCHRUN,
    adapter,
    flags,
    furthest,
    launch,
    losses,
    make_split,
    metrics,
)
from transformers import TrainerCallback

import hfbio
from hfbio.errors import SettingError
from hfbio.train import finetune, read_config
from hfbio.train.folder import find_checkpoint, staged_bundle

# With dropout, so that the state of the random numbers counts; with rows of tags and with whole
# modules beside the low-rank update, so that they count. Four steps make an epoch: six end in it.
TRAINING = {
    "model": "sapiens-vh",
    "tags": ["isotype"],
    "lora_modules_to_save": ["LayerNorm"],
    "dropout": 0.1,
    "lora_dropout": 0.1,
    "max_steps": 12,
    "save_strategy": "steps",
    "save_steps": 6,
    "seed": 0,
}


class Crash(TrainerCallback):
    """Ends the process, as far as a test can, after a step."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_split(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def straight(data, tmp_path_factory):
    """The run folder of 12 steps without a stop."""
    folder = tmp_path_factory.mktemp("straight")
    train(data, folder)
    return folder


def train(data, folder, *callbacks, **settings):
    words = flags(data=data, output_dir=folder, **TRAINING | settings)
    return finetune(read_config(None, words), callbacks)


def crash(data, folder, step=8, **settings):
    with pytest.raises(KeyboardInterrupt):
        train(data, folder, Crash(step), **settings)


@pytest.fixture(scope="module")
def stopped(data, tmp_path_factory):
    """The run folder of a run that died after step 8, with a checkpoint of step 6."""
    folder = tmp_path_factory.mktemp("stopped")
    crash(data, folder)
    assert not folder.joinpath("hfbio.json").exists()
    return folder


@pytest.fixture
def stopped_copy(stopped, tmp_path):
    return shutil.copytree(stopped, tmp_path / "run")


def assert_same_end(folder, straight):
    assert len(losses(folder)) == 12
    assert losses(folder) == pytest.approx(losses(straight), abs=1e-6)
    assert furthest(adapter(folder), adapter(straight)) < 1e-6
    kinds = {name.split(".")[-2 if "weight" in name else -1] for name in adapter(folder)}
    assert {"lora_A", "lora_B", "trainable_tokens_delta", "LayerNorm"} <= kinds


def test_a_stopped_run_ends_as_it_would_have(data, stopped_copy, straight):
    train(data, stopped_copy, resume_from_checkpoint="true")
    assert_same_end(stopped_copy, straight)
    # Steps 7 to 12 were really made anew, not found in the log.
    assert metrics(stopped_copy)["training"]["log"][5]["step"] == 6
    assert furthest(adapter(stopped_copy), adapter(stopped_copy / "checkpoint-6")) > 1e-3


def test_a_checkpoint_can_be_named_and_continued_elsewhere(data, stopped, straight, tmp_path):
    train(data, tmp_path, resume_from_checkpoint=stopped / "checkpoint-6")
    assert_same_end(tmp_path, straight)


def test_a_half_written_checkpoint_is_passed_over(data, stopped_copy):
    half = shutil.copytree(stopped_copy / "checkpoint-6", stopped_copy / "checkpoint-8")
    half.joinpath("trainer_state.json").unlink()
    words = flags(data=data, output_dir=stopped_copy, resume_from_checkpoint="True", **TRAINING)
    assert find_checkpoint(read_config(None, words)).name == "checkpoint-6"


def test_checkpoints_hold_no_pickled_settings_and_no_template(stopped):
    names = {path.name for path in (stopped / "checkpoint-6").iterdir()}
    assert {"adapter_model.safetensors", "optimizer.pt", "rng_state.pth"} <= names
    assert names.isdisjoint({"training_args.bin", "README.md"})


@pytest.mark.parametrize(
    ("asked", "reason"),
    [("true", "holds no complete checkpoint"), ("elsewhere", "elsewhere is no folder with")],
)
def test_resuming_from_nothing_is_refused(data, tmp_path, asked, reason):
    with pytest.raises(SettingError, match=reason):
        train(data, tmp_path, resume_from_checkpoint=asked)


def test_an_unfinished_run_is_not_overwritten_by_mistake(data, stopped_copy):
    before = sorted(stopped_copy.rglob("*"))
    with pytest.raises(SettingError, match="did not finish, the last one checkpoint-6; go on with"):
        train(data, stopped_copy)
    assert sorted(stopped_copy.rglob("*")) == before


def test_a_finished_run_is_repeated_from_the_start(data, straight, tmp_path):
    folder = shutil.copytree(straight, tmp_path / "run")
    old = adapter(folder)
    crash(data, folder, step=3, max_steps=4, seed=1)  # before its first checkpoint
    assert furthest(adapter(folder), old) == 0  # the old bundle stays whole
    assert hfbio.load(folder).manifest.training["seed"] == 0
    with pytest.raises(SettingError, match="no complete checkpoint"):  # nothing of the old run
        train(data, folder, resume_from_checkpoint="true")
    train(data, folder, max_steps=4, seed=1)
    assert len(losses(folder)) == 4
    assert furthest(adapter(folder), old) > 1e-3
    assert hfbio.load(folder).manifest.training["seed"] == 1


def test_another_method_leaves_nothing_of_the_one_before(data, straight, tmp_path):
    folder = shutil.copytree(straight, tmp_path / "run")
    folder.joinpath("notes.txt").write_text("mine")
    train(data, folder, method="full", lora_modules_to_save=None, max_steps=1, save_strategy="no")
    names = {path.name for path in folder.iterdir()}
    assert names.isdisjoint({"adapter_config.json", "adapter_model.safetensors", "merged"})
    assert {"model.safetensors", "config.json", "hfbio.json", "notes.txt"} <= names
    assert hfbio.load(folder).manifest.method == "full"


def test_a_repeated_run_reads_its_source_anew(data, tmp_path):
    source = tmp_path / "chains.csv"
    table = data.with_name("chains.csv").read_text().splitlines(keepends=True)
    folder = tmp_path / "run"
    settings = {"max_steps": 2, "save_steps": 1, "lora_modules_to_save": None}
    source.write_text("".join(table))
    train(source, folder, **settings)
    split = json.loads(folder.joinpath("data/split.json").read_text())
    source.write_text("".join(table[:-4]))
    crash(source, folder, step=2, **settings)
    # The old weights would now lie beside a split that they were not trained on.
    assert not folder.joinpath("hfbio.json").exists()
    with pytest.raises(SettingError, match="with seed 0; a resumed run cannot go on with"):
        train(source, folder, resume_from_checkpoint="true", seed=5, **settings)
    source.unlink()  # a resumed run does without
    train(source, folder, resume_from_checkpoint="true", **settings)
    assert metrics(folder)["split"]["n_rows"]["train"] < split["n_rows"]["train"]


def test_a_bundle_is_replaced_whole_or_not_at_all(tmp_path):
    def replace(content, die=False):
        with staged_bundle(tmp_path) as partial:
            partial.joinpath("adapter_model.safetensors").write_text(content)
            if die:
                raise KeyboardInterrupt
            partial.joinpath("hfbio.json").write_text(content)

    def found():
        return {path.name: path.read_text() for path in tmp_path.iterdir()}

    replace("old")
    with pytest.raises(KeyboardInterrupt):
        replace("new", die=True)
    assert found() == {"hfbio.json": "old", "adapter_model.safetensors": "old"}
    replace("new")
    assert found() == {"hfbio.json": "new", "adapter_model.safetensors": "new"}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [(), TORCHRUN], ids=["one process", "two ranks"])
def test_a_killed_run_ends_as_it_would_have(data, launcher, tmp_path):
    """Real processes, SIGKILL, whatever step they are at."""
    settings = TRAINING | {
        "data": data,
        "max_steps": 60,
        "per_device_train_batch_size": 4 if launcher else 8,
    }
    empty = tmp_path / "empty.yaml"
    empty.write_text("{}")

    def start(name, **more):
        words = flags(output_dir=tmp_path / name, **settings, **more)
        command = [sys.executable, *(["-m", *launcher] if launcher else []), RECIPE]
        with tmp_path.joinpath(f"{name}.log").open("w") as log:
            return subprocess.Popen(
                [*command, "--config", str(empty), *words],
                env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
                stdout=log,
                stderr=log,
            )

    killed, straight = tmp_path / "killed", tmp_path / "straight"
    assert start("straight").wait(200) == 0
    process = psutil.Process(start("killed").pid)
    end = time.monotonic() + 200
    while not killed.joinpath("checkpoint-6", "trainer_state.json").exists():
        assert time.monotonic() < end
        time.sleep(0.005)
    # torchrun starts its ranks in sessions of their own, where they would outlive it.
    everyone = [*process.children(recursive=True), process]
    for one in everyone:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(everyone, timeout=30)
    assert not killed.joinpath("hfbio.json").exists()
    assert start("killed", resume_from_checkpoint="true").wait(200) == 0
    assert losses(killed) == pytest.approx(losses(straight), abs=1e-6)
    assert furthest(adapter(killed), adapter(straight)) < 1e-6
    assert metrics(killed)["run"]["processes"] == (2 if launcher else 1)


TWO_RANKS = """
import sys
from hfbio.train import finetune, read_config
sys.path.insert(0, sys.argv[1])
from test_train_resume import Crash
words = sys.argv[3:]
finetune(read_config(None, [*words, "--output_dir", sys.argv[2] + "/straight"]))
try:
    finetune(read_config(None, [*words, "--output_dir", sys.argv[2] + "/run"]), [Crash(8)])
except KeyboardInterrupt:
    pass
again = ["--output_dir", sys.argv[2] + "/run", "--resume_from_checkpoint", "true"]
finetune(read_config(None, [*words, *again]))
"""


@pytest.mark.slow
def test_two_stopped_ranks_end_as_they_would_have(data, straight, tmp_path):
    script = tmp_path / "ranks.py"
    script.write_text(TWO_RANKS)
    settings = TRAINING | {"per_device_train_batch_size": 4, "data": data}
    arguments = [str(script), os.path.dirname(__file__), str(tmp_path), *flags(**settings)]
    done = launch(TORCHRUN, arguments)
    assert done.returncode == 0, done.stderr[-4000:]
    assert metrics(tmp_path / "run")["run"]["processes"] == 2
    assert_same_end(tmp_path / "run", tmp_path / "straight")
    assert losses(straight) != losses(tmp_path / "straight")  # each rank has its own dropout
