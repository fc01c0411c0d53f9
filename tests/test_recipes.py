"""Every recipe and launcher file is read by what reads it, and run as far as CPUs go."""

import sys

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import DistributedType
from runs import (
    ACCELERATE,
    RECIPE,
    adapter,
    antibody_esm_files,
    flags,
    furthest,
    launch,
    losses,
    make_split,
    metrics,
)

from hfbio.models.catalogue import find
from hfbio.objectives import OBJECTIVES
from hfbio.resources import folder
from hfbio.train import read_config

CONFIGS = sorted(folder("configs").rglob("*.yaml"))
LAUNCHERS = sorted(folder("accelerate").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_recipe_is_read(path):
    config = read_config(path)
    assert config.data_license != "unknown"
    assert config.output_dir == f"runs/{path.stem}"
    if config.architecture:  # a new model
        return
    base = find(config.model)
    assert base is not None
    # What comes from the Hub is pinned to a commit.
    assert config.model_revision == (base.revision if base.source == "hub" else None)
    if config.data.startswith("hf://"):
        commit = config.data.partition("@")[2].partition("/")[0]
        assert len(commit) == 40


def test_the_five_recipes_of_the_minis_differ_in_objective_and_model_alone():
    files = {kind: folder("configs") / f"mini-{kind}.yaml" for kind in OBJECTIVES}
    read = {kind: yaml.safe_load(path.read_text()) for kind, path in files.items()}
    for kind, settings in read.items():
        assert settings.pop("objective") == kind
        causal = kind in ("clm", "infill")
        assert settings.pop("model") == ("hfbio-mini-clm" if causal else "hfbio-mini")
    assert all(settings == read["mlm"] for settings in read.values())


def test_a_recipe_without_output_dir_writes_under_its_own_name(tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("model: sapiens-vh\ndata: example:ExampleDb\n")
    assert read_config(recipe).output_dir == "runs/mine"
    assert read_config(recipe, ["--output_dir", "elsewhere"]).output_dir == "elsewhere"


@pytest.mark.parametrize("path", LAUNCHERS, ids=lambda path: path.stem)
def test_accelerate_reads_every_launcher_file(path):
    config = load_config_from_file(str(path))
    assert config.compute_environment == "LOCAL_MACHINE"
    kinds = {
        "cpu2": DistributedType.MULTI_GPU,
        "ddp": DistributedType.MULTI_GPU,
        "fsdp2": DistributedType.FSDP,
        "one_gpu": DistributedType.NO,
    }
    assert config.distributed_type == kinds[path.stem]
    assert (config.num_processes > 1) == (path.stem != "one_gpu")
    assert config.use_cpu == (path.stem == "cpu2")


def test_there_is_a_launcher_file_for_each_size():
    assert [path.stem for path in LAUNCHERS] == ["cpu2", "ddp", "fsdp2", "one_gpu"]


@pytest.fixture(scope="module")
def esm(tmp_path_factory):
    """Flags of a short run of the tiny ESM-2, the family that FSDP is for."""
    where = tmp_path_factory.mktemp("esm")
    for name, content in antibody_esm_files().items():
        where.joinpath(name).write_bytes(content)
    empty = where / "empty.yaml"
    empty.write_text("{}")
    settings = {
        "model": where,
        "data": make_split(where),
        "tags": ["isotype"],
        "max_steps": 4,
        "adam_epsilon": 1e-6,
        "per_device_train_batch_size": 4,
    }
    return lambda out, **more: [
        *("--config", str(empty)),
        *flags(output_dir=out, **settings | more),
    ]


def start(launcher, arguments, *overrides):
    path = str(folder("accelerate") / f"{launcher}.yaml")
    return launch((*ACCELERATE, path, *overrides), arguments)


@pytest.fixture(scope="module")
def two_ranks(esm, tmp_path_factory):
    """The run folder of cpu2.yaml, which all others must equal."""
    out = tmp_path_factory.mktemp("two_ranks")
    done = start("cpu2", [RECIPE, *esm(out)])
    assert done.returncode == 0, done.stderr[-4000:]
    return out


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [(), ("--cpu",)], ids=["as it is", "--cpu"])
def test_one_gpu_runs_on_a_cpu(esm, tmp_path, overrides):
    done = start("one_gpu", [RECIPE, *esm(tmp_path)], *overrides)
    assert done.returncode == 0, done.stderr[-4000:]
    assert metrics(tmp_path)["run"]["processes"] == 1


@pytest.mark.slow
def test_ddp_runs_on_two_cpus(esm, two_ranks, tmp_path):
    done = start("ddp", [RECIPE, *esm(tmp_path)], "--num_processes", "2", "--mixed_precision", "no")
    assert done.returncode == 0, done.stderr[-4000:]
    assert metrics(tmp_path)["run"]["processes"] == 2
    assert furthest(adapter(tmp_path), adapter(two_ranks)) < 1e-6


FSDP = ("--num_processes", "2", "--mixed_precision", "no")
# Accelerate 1.15 leaves FSDP out where the ranks are CPUs (`AcceleratorState.__init__` asks for
# MULTI_GPU and its kin). Everything below it, Accelerate's own preparation and torch's sharding,
# runs on CPUs over gloo.
ON_CPUS = """
import runpy, sys
from accelerate.state import PartialState
from accelerate.utils import DistributedType

start = PartialState.__init__
def on_cpus(self, cpu=False, **kwargs):
    start(self, cpu, **kwargs)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_GPU
PartialState.__init__ = on_cpus

from hfbio.train.trainer import AntibodyTrainer

compute = AntibodyTrainer.compute_loss
def tell(self, model, *args, **kwargs):
    parameters = list(model.parameters())
    kinds = {type(p).__name__ for p in parameters}
    share = sum(p.to_local().numel() for p in parameters) / sum(p.numel() for p in parameters)
    if self.state.global_step == 0:
        print(f"sharded {kinds} {share:.2f}", flush=True)
    return compute(self, model, *args, **kwargs)
AntibodyTrainer.compute_loss = tell

sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
def test_fsdp_shards_resumes_and_equals_two_whole_ranks(esm, two_ranks, tmp_path):
    script = tmp_path / "on_cpus.py"
    script.write_text(ON_CPUS)
    out = tmp_path / "run"
    saving = {"save_strategy": "steps", "save_steps": 2}
    done = start("fsdp2", [str(script), RECIPE, *esm(out, **saving)], *FSDP)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.count("sharded {'DTensor'} 0.5") == 2  # each rank holds half
    assert furthest(adapter(out), adapter(two_ranks)) < 1e-6
    assert losses(out) == pytest.approx(losses(two_ranks), abs=1e-6)
    for row, other in zip(metrics(out)["held_out"], metrics(two_ranks)["held_out"], strict=True):
        nats = other["tuned"]["nats_per_residue"]
        assert row["tuned"]["nats_per_residue"] == pytest.approx(nats, abs=1e-5)

    again = ["--resume_from_checkpoint", str(out / "checkpoint-2")]
    resumed = tmp_path / "resumed"
    done = start("fsdp2", [str(script), RECIPE, *esm(resumed, **saving), *again], *FSDP)
    assert done.returncode == 0, done.stderr[-4000:]
    assert furthest(adapter(resumed), adapter(out)) < 1e-6


@pytest.mark.slow
def test_fsdp_that_accelerate_would_leave_out_is_refused(esm, tmp_path):
    done = start("fsdp2", [RECIPE, *esm(tmp_path / "run")], *FSDP)
    assert done.returncode != 0
    assert "FSDP was asked for, which Accelerate does not do on CPUs" in done.stderr
    assert sys.executable not in done.stdout
    assert not (tmp_path / "run").exists()
