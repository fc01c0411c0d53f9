"""One process, two ranks and one big batch make the same update; silent traps are refused."""

import sys

import pytest
from runs import (
    ACCELERATE,
    RECIPE,
    REPO,
    TORCHRUN,
    adapter,
    flags,
    furthest,
    launch,
    losses,
    make_split,
    metrics,
)

from hfbio.errors import SettingError
from hfbio.train import finetune, read_config
from hfbio.train.ranks import require_world

CPU2 = (*ACCELERATE, str(REPO / "recipes/accelerate/cpu2.yaml"))
# Six steps, of which the fourth is filled up from the next epoch. Adam divides by the size of the
# gradient, so that rounding decides the sign of a step where it is next to nothing; an epsilon
# above the rounding leaves such weights where they are.
TRAINING = {
    "tags": ["isotype"],
    "lora_modules_to_save": ["LayerNorm"],
    "max_steps": 6,
    "adam_epsilon": 1e-6,
}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A YAML file with base, data and settings."""
    folder = tmp_path_factory.mktemp("recipe")
    path = folder / "recipe.yaml"
    path.write_text(f"model: sapiens-vh\ndata: {make_split(folder)}\n")
    return path


@pytest.fixture(scope="module")
def accumulated(recipe, tmp_path_factory):
    """A function: the run folder of one process with four micro-batches of two."""
    done = {}

    def run(objective):
        if objective not in done:
            folder = tmp_path_factory.mktemp(objective)
            settings = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
            train(recipe, objective, folder, **settings)
            done[objective] = folder
        return done[objective]

    return run


def train(recipe, objective, folder, **settings):
    words = flags(objective=objective, output_dir=folder, **TRAINING, **settings)
    finetune(read_config(recipe, words))


def assert_same_update(one, other):
    assert losses(one) == pytest.approx(losses(other), abs=1e-5)
    assert furthest(adapter(one), adapter(other)) < 1e-5
    # Far enough from the start to tell: LoRA's B is zero there, and each step moves it by 1e-3.
    moved = [v.abs().max() for name, v in adapter(one).items() if "lora_B" in name]
    assert min(moved) > 1e-3
    for row, other_row in zip(*(metrics(f)["held_out"] for f in (one, other)), strict=True):
        assert row["residues"] == other_row["residues"]
        for name in ("base", "tuned"):
            nats = other_row[name]["nats_per_residue"]
            assert row[name]["nats_per_residue"] == pytest.approx(nats, abs=1e-4)


@pytest.mark.parametrize("objective", ["mlm", "diffusion"])
def test_four_micro_batches_equal_one_big_batch(recipe, accumulated, objective, tmp_path):
    train(recipe, objective, tmp_path)
    assert_same_update(accumulated(objective), tmp_path)


@pytest.mark.parametrize(
    ("launcher", "objective", "size", "accumulate"),
    [
        pytest.param(CPU2, "diffusion", 2, 2, id="accelerate"),
        # The default tests have torchrun in test_train_hub.py.
        pytest.param(TORCHRUN, "mlm", 4, 1, id="torchrun", marks=pytest.mark.slow),
    ],
)
def test_two_ranks_equal_one_process(
    recipe, accumulated, launcher, objective, size, accumulate, tmp_path
):
    words = flags(
        objective=objective,
        output_dir=tmp_path,
        per_device_train_batch_size=size,
        gradient_accumulation_steps=accumulate,
        **TRAINING,
    )
    done = launch(launcher, [RECIPE, "--config", str(recipe), *words])
    assert done.returncode == 0, done.stderr[-4000:]
    told = metrics(tmp_path)["run"]
    assert told["processes"] == 2
    assert told["hardware"].startswith("2 x ")  # one thread each
    assert done.stdout.count("report.html") == 1  # one process speaks
    assert_same_update(accumulated(objective), tmp_path)


def test_processes_that_do_not_find_each_other_are_refused(recipe, monkeypatch):
    config = read_config(recipe)
    monkeypatch.setenv("WORLD_SIZE", "2")  # set after the config has looked for other processes
    with pytest.raises(SettingError, match="started 2 processes, but this run sees 1"):
        require_world(config)


def test_one_process_in_place_of_two_is_refused(recipe, monkeypatch):
    """What ``accelerate launch --cpu --num_processes 2`` leaves in the environment."""
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    config = read_config(recipe)
    require_world(config)  # accelerate launch of one process
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.raises(SettingError, match="asked for several processes and started one"):
        require_world(config)


LONELY = """
import sys
from transformers import TrainingArguments
from hfbio.errors import SettingError
from hfbio.train.ranks import require_world
try:
    require_world(TrainingArguments(output_dir=sys.argv[1], use_cpu=False))
except SettingError as error:
    print(error)
"""


@pytest.mark.slow
def test_real_launchers_that_go_astray_are_refused(recipe, tmp_path):
    asked = [RECIPE, "--config", str(recipe), *flags(output_dir=tmp_path / "run", max_steps=1)]
    multi_cpu = tmp_path / "multi_cpu.yaml"
    multi_cpu.write_text(
        "compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_CPU\nuse_cpu: true\n"
        "num_machines: 1\nnum_processes: 2\nmachine_rank: 0\nmixed_precision: 'no'\n"
    )
    for launcher in (
        ("accelerate.commands.launch", "--cpu", "--num_processes", "2"),
        (*ACCELERATE, str(multi_cpu)),
    ):
        done = launch(launcher, asked)
        assert done.returncode != 0
        assert "asked for several processes and started one" in done.stderr
        assert not (tmp_path / "run").exists()

    script = tmp_path / "lonely.py"  # transformers alone: no --use_cpu, no accelerator
    script.write_text(LONELY)
    done = launch(TORCHRUN, [str(script), str(tmp_path)])
    assert done.stdout.count("started 2 processes, but this run sees 1") == 2, done.stderr[-2000:]


@pytest.mark.slow
def test_a_failing_rank_ends_the_run_with_its_reason(recipe, tmp_path):
    words = flags(output_dir=tmp_path / "run", tags=["weight"])
    done = launch(TORCHRUN, [RECIPE, "--config", str(recipe), *words])
    assert done.returncode != 0
    assert "finetune.py: tags ['weight'] are not among" in done.stderr
    assert sys.executable not in done.stdout
