"""What a run tells of its training chains: written at its end, read back, left out when asked."""

import shutil

import pytest
import torch
from runs import flags, make_split

import hfbio
from hfbio.bundle import LATENT_MAP, SKETCH
from hfbio.data import load_table
from hfbio.errors import BundleError
from hfbio.train import finetune, read_config


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_split(tmp_path_factory.mktemp("data"))


def words(data, folder, **settings):
    base = {"model": "sapiens-vh", "data": data, "output_dir": folder, "max_steps": 1}
    return flags(**base, tags=["isotype", "locus"], **settings)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    finetune(read_config(None, words(data, folder)))
    return folder


def test_a_run_knows_its_training_chains_and_no_others(run, data):
    sketch = hfbio.load(run).sketch
    train, test = (load_table(data / f"{part}.parquet") for part in ("train", "test"))
    assert (sketch.n_chains, sketch.out_of) == (30, 30)
    assert sketch.copies([record.sequence_aa for record in train]).all()
    assert not sketch.copies([record.sequence_aa for record in test]).any()


def test_the_map_of_a_run_lies_where_its_model_puts_the_chains(run, data):
    model = hfbio.load(run)
    train = load_table(data / "train.parquet")
    latent = model.latent
    assert latent.ids == tuple(record.sequence_id for record in train)
    assert latent.labels["isotype"] == tuple(record.isotype for record in train)
    placed = latent.project(model.embed(train))
    torch.testing.assert_close(placed, latent.points, atol=1e-3, rtol=1e-3)


def test_nothing_is_told_where_that_was_asked_for_and_what_was_told_goes(run, data, tmp_path):
    folder = shutil.copytree(run, tmp_path / "run")
    finetune(read_config(None, words(data, folder, training_traces="false")))
    assert not (folder / SKETCH).exists()
    assert not (folder / LATENT_MAP).exists()
    model = hfbio.load(folder)
    assert model.sketch is None
    assert model.latent is None


def test_too_few_chains_for_a_map_cost_the_map_and_not_the_run(tmp_path):
    few = make_split(tmp_path, n_chains=20)
    with pytest.warns(UserWarning, match=r"no latent\.safetensors: .* at least 20 chains, got 16"):
        finetune(read_config(None, words(few, tmp_path / "run")))
    model = hfbio.load(tmp_path / "run")
    assert model.latent is None
    assert model.sketch.n_chains == 16


@pytest.mark.parametrize("name", [SKETCH, LATENT_MAP])
def test_a_file_that_a_stranger_spoilt_costs_nothing_until_it_is_asked_for(run, tmp_path, name):
    folder = shutil.copytree(run, tmp_path / "run")
    (folder / name).write_bytes(b"\xff" * 5_000_000)
    model = hfbio.load(folder)
    asked = {SKETCH: lambda: model.sketch, LATENT_MAP: lambda: model.latent}[name]
    for _ in range(2):
        with pytest.raises(BundleError, match="larger than"):
            asked()


def test_a_map_of_another_model_is_refused(run, tmp_path):
    model = hfbio.load(run)
    folder = shutil.copytree(run, tmp_path / "run")
    latent = model.latent
    narrow = type(latent.axes)(latent.axes.mean[:64], latent.axes.directions[:64])
    type(latent)(latent.points, latent.ids, latent.labels, latent.explained, narrow).save(
        folder / LATENT_MAP
    )
    with pytest.raises(BundleError, match="not that of a model whose vectors have 128 numbers"):
        hfbio.load(folder).latent


def test_a_base_tells_nothing():
    base = hfbio.load("sapiens-vh")
    assert base.sketch is None
    assert base.latent is None
