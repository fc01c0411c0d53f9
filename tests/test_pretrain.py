"""Pretraining: several sources by weight, a bundle without a base, an honest account."""

import collections
import json
import random

import pytest
import torch
from antibodies import HEAVY, heavy_with, random_cdr3s
from runs import flags, make_split

import hfbio
from hfbio.data.encode import encode_protein
from hfbio.data.proteins import read_proteins
from hfbio.errors import DataError, SettingError
from hfbio.models.scratch import fresh
from hfbio.record import ProteinRecord
from hfbio.report import write_report
from hfbio.rng import generator
from hfbio.train import pretrain, read_config
from hfbio.train.mixture import Source, chain_weights, unigram_nats

TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}


def protein_fasta(path, n=40):
    draw = random.Random(0)
    chains = ("".join(draw.choices("ACDEFGHIKLMNPQRSTVWY", k=90)) for _ in range(n))
    path.write_text("".join(f">p{i} a protein\n{chain}\n" for i, chain in enumerate(chains)))
    return path


def words(folder, split, **settings):
    sources = {str(split): 0.75, f"proteins:{protein_fasta(folder / 'some.fasta')}": 0.25}
    return flags(
        **{
            "architecture": "esm",
            "architecture_kwargs": json.dumps(TINY),
            "method": "full",
            "sources": json.dumps(sources),
            "tags": ["locus", "isotype"],
            "max_residues": 40,
            "max_steps": 4,
            "output_dir": folder / "mini",
            "sampler_kwargs": json.dumps({"steps": 2}),
        }
        | settings
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrain")
    split = make_split(folder)
    # A rate so high that the model beats a guess after a handful of steps: what is loaded must.
    config = read_config(
        None, words(folder, split, max_steps=30, learning_rate=2e-2, save_strategy="no")
    )
    return folder, split, pretrain(config)


def test_a_new_model_is_a_bundle_that_samples_by_tag_and_has_no_base(made):
    _, _, done = made
    model = hfbio.load(done.folder)
    assert model.manifest.base == "mini"
    assert model.tags.values["isotype"] == ("IGHG", "IGHM")
    designs = model.sample(hfbio.Request(num=2, keep="all", conditions={"isotype": "IGHG"}))
    assert len(designs.drawn) == 2
    assert not model.model.config.token_dropout


def test_each_source_is_told_beside_the_letters_it_is_made_of(made):
    _, split, done = made
    sources = done.metrics["sources"]
    assert list(sources) == [split.name, "proteins:some.fasta"]
    assert sources[split.name]["weight"] == 0.75
    # Random letters cannot be predicted: their unigram entropy is that of a uniform guess.
    assert sources["proteins:some.fasta"]["unigram_nats"] == pytest.approx(2.996, abs=0.05)
    learnt = sources[split.name]["nats_per_residue"]["0.15"]
    assert learnt < sources[split.name]["unigram_nats"]  # these chains differ in CDR3 alone
    page = write_report(done.metrics, done.folder).page.read_text()
    assert "model" in page  # and a column for no base
    assert "base, calibrated</th>" not in page
    assert "base" not in done.metrics["held_out"][0]
    assert "difference" not in done.metrics["held_out"][0]
    assert json.loads((done.folder / "metrics.json").read_text()) == json.loads(
        json.dumps(done.metrics)
    )


def test_stopped_and_resumed_it_ends_as_it_would_have(tmp_path):
    split = make_split(tmp_path)
    saving = {"save_strategy": "steps", "save_steps": 2}
    whole = pretrain(read_config(None, words(tmp_path, split, **saving)))
    part = tmp_path / "part"
    given = words(tmp_path, split, **saving, output_dir=part)
    pretrain(read_config(None, given))
    (part / "hfbio.json").unlink()  # as if it had been stopped after its second step
    resumed = pretrain(
        read_config(None, [*given, "--resume_from_checkpoint", str(part / "checkpoint-2")])
    )
    from safetensors.torch import load_file

    one, other = (load_file(run.folder / "model.safetensors") for run in (whole, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_sources_are_drawn_by_weight_whatever_their_size():
    few = tuple(ProteinRecord(f"a{i}", "ACD") for i in range(3))
    many = tuple(ProteinRecord(f"b{i}", "ACD") for i in range(300))
    weights = chain_weights(
        [Source("few", 3.0, few, (), few, {}), Source("many", 1.0, many, (), many, {})]
    )
    drawn = torch.multinomial(weights, 20_000, replacement=True, generator=generator(0))
    assert (drawn < 3).float().mean().item() == pytest.approx(0.75, abs=0.02)


def test_unigram_nats_are_those_of_counted_letters():
    train = [ProteinRecord("t", "A" * 50 + "C" * 50)]
    nats = unigram_nats(train, [ProteinRecord("x", "AAAC")])
    counts = collections.Counter("A" * 51 + "C" * 51 + "DEFGHIKLMNPQRSTVWY")
    expected = -torch.tensor([counts["A"] / 120]).log().item()
    assert nats == pytest.approx(expected)


def test_a_new_model_is_the_same_for_the_same_seed_and_touches_no_global_generator():
    before = torch.get_rng_state()
    one, same, other = (
        fresh("esm", TINY, name="x", rng=generator(seed)).model.get_input_embeddings().weight
        for seed in (0, 0, 1)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(before, torch.get_rng_state())


def test_a_protein_has_residues_and_no_regions():
    base = fresh("esm", TINY, name="x", rng=generator(0))
    example = encode_protein(ProteinRecord("p", "MKVX"), base.token_map, (0,))
    assert example.residues.tolist() == [1, 2, 3, 4]
    assert example.germline_ids.unique().tolist() == [-1]


def test_letters_that_are_no_residue_are_read_as_unknown(tmp_path):
    path = tmp_path / "p.fasta"
    path.write_text(">a\nMKU*V-\n>b\nACD\n")
    assert [record.sequence_aa for record in read_proteins(str(path))] == ["MKUXVX", "ACD"]
    with pytest.raises(DataError, match="no file"):
        next(read_proteins(str(tmp_path / "none.fasta")))


def test_the_human_proteins_of_promb_are_there():
    chains = list(read_proteins("example:HumanSwissProt"))
    assert len(chains) == 20_417


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"model": "sapiens-vh"}, "exclude each other"),
        ({"data": "x.parquet"}, "exclude each other"),
        ({"method": "lora"}, "set method to full"),
        ({"architecture": "gpt9"}, "is not one of: esm"),
        ({"architecture_kwargs": '{"depth": 3}'}, "no size 'depth'"),
        ({"sources": '{"a.parquet": 0}'}, "must be above 0"),
        ({"sources": '{"a.parquet": "much"}'}, "must map names to numbers"),
        ({"sources": '{"simulate:human:IGH": 1}'}, "must be simulate:SPECIES:LOCUS:NUM"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(tmp_path, settings, told):
    with pytest.raises(SettingError, match=told):
        pretrain(read_config(None, words(tmp_path, tmp_path / "none.parquet", **settings)))


def test_sources_without_antibodies_are_refused(tmp_path):
    fasta = protein_fasta(tmp_path / "p.fasta")
    given = words(tmp_path, fasta, sources=json.dumps({f"proteins:{fasta}": 1}), tags=None)
    with pytest.raises(DataError, match="none of the sources holds antibodies"):
        pretrain(read_config(None, given))


def test_heavy_chains_of_a_file_can_be_a_source(tmp_path):
    fasta = tmp_path / "heavy.fasta"
    chains = [heavy_with(cdr3) for cdr3 in random_cdr3s(300)] + [HEAVY]
    fasta.write_text("".join(f">h{i}\n{chain}\n" for i, chain in enumerate(chains)))
    given = words(tmp_path, fasta, sources=json.dumps({str(fasta): 1}), tags=None, max_steps=1)
    done = pretrain(read_config(None, given))
    assert done.metrics["sources"]["heavy.fasta"]["train_chains"] > 250
