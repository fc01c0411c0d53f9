"""The code of a card runs as it stands, and prints what the card says; on real weights."""

import contextlib
import dataclasses
import html
import io
import json
import re
import shlex
import shutil

import pytest
from carded import MANIFEST, REPO, metrics, write_weights
from toys import numbered
from typer.testing import CliRunner

import hfbio
from hfbio.bundle import write_json
from hfbio.card import measure_designs, run_example, write_card
from hfbio.card.example import command, common_conditions
from hfbio.cli import app
from hfbio.sample import build
from hfbio.tokens import Tags


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def example(folder):
    return run_example(folder, REPO)


@pytest.fixture(scope="module")
def card(folder, example):
    write_card(folder, REPO, example=example)
    return (folder / "README.md").read_text(encoding="utf-8")


def blocks(card, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", card, flags=re.MULTILINE | re.DOTALL)


def run(code):
    printed = io.StringIO()
    space = {}
    with contextlib.redirect_stdout(printed):
        exec(code, space)
    return space, printed.getvalue()


def test_the_example_of_a_card_prints_what_the_card_shows(card, folder, example):
    code, *_ = blocks(card, "python")
    (shown,) = blocks(card, "text")
    assert f'hfbio.load("{REPO}")' in code
    assert str(folder) not in card
    space, printed = run(code.replace(REPO, str(folder)))
    assert printed == shown == example.output
    chains = [line.split()[1] for line in shown.splitlines()[:-1]]
    assert chains == [design.sequence_aa for design in space["designs"].kept]
    assert len(chains) == 4
    assert shown.splitlines()[-1].startswith("DesignReport(asked=4, ")


def test_the_command_of_a_card_makes_the_same_designs(card, folder, example, tmp_path):
    (line,) = blocks(card, "bash")
    words = shlex.split(line)
    assert words[:3] == ["hfbio", "sample", REPO]
    assert words[-2:] == ["--output", "designs.fasta"]
    output = tmp_path / "designs.fasta"
    done = CliRunner().invoke(app, ["sample", str(folder), *words[3:-1], str(output)])
    assert done.exit_code == 0, done.output
    chains = output.read_text().splitlines()[1::2]
    assert chains == [line.split()[1] for line in example.output.splitlines()[:-1]]


def test_the_code_without_hfbio_loads_the_same_model(card, folder, tmp_path):
    # A push puts the adapter into a folder of its own: transformers would follow it to a base.
    shutil.copytree(folder, tmp_path / "repo", ignore=shutil.ignore_patterns("adapter_*"))
    _, code = blocks(card, "python")
    assert "hfbio" not in code
    space, _ = run(code.replace(REPO, str(tmp_path / "repo")))
    tuned = hfbio.load(folder)
    model, tokenizer = space["model"].eval(), space["tokenizer"]
    tag = html.unescape(re.search(r"such as <code>(.*?)</code>, in place of", card)[1])
    tag_id = tokenizer.convert_tokens_to_ids(tag)
    chosen = tuned.tags.choose(common_conditions(MANIFEST))
    assert tuned.prompt.ids(chosen) == (tag_id,)
    ids = tokenizer("EVQLVESGG", return_tensors="pt").input_ids
    ids[0, 0] = tag_id
    known = list(tuned.base.token_map.residue_ids)
    difference = model(input_ids=ids).logits - tuned.model(input_ids=ids).logits
    assert difference[..., known].abs().max() < 1e-4


def test_the_example_asks_for_what_training_saw_most():
    assert common_conditions(MANIFEST) == {"locus": "IGH", "species": "human", "isotype": "IGHG"}
    rare = {**MANIFEST.lengths, "IGH|human|*": {"119": 9999}}
    manifest = dataclasses.replace(MANIFEST, lengths=rare)
    assert common_conditions(manifest) == {"locus": "IGH", "species": "human"}
    untagged = dataclasses.replace(MANIFEST, tags=Tags(), lengths={"": {"120": 3}})
    assert common_conditions(untagged) == {}


def test_a_tag_with_odd_letters_stays_one_word_of_a_command():
    odd = {"isotype": "a b (c)'; rm -rf $HOME `d`"}
    assert shlex.split(command(REPO, odd))[7:9] == ["--isotype", odd["isotype"]]


def test_the_panel_counts_every_draw(folder):
    model = hfbio.load(folder)
    alone = measure_designs(model, num=6, seed=2)
    assert alone["asked"] == alone["drawn"] == 6
    assert alone["valid"] + sum(alone["faults"].values()) == 6
    assert alone["novel"] is alone["median_nearest_identity"] is None
    assert alone["sampler"] == dataclasses.asdict(build(MANIFEST.sampler))
    assert json.loads(json.dumps(alone)) == alone
    drawn = model.sample(hfbio.Request(num=6, seed=2, keep="all"))
    assert alone["valid"] == sum(design.valid for design in drawn.drawn) > 0
    train = [numbered(design.sequence_aa) for design in drawn.drawn if design.valid]
    beside = measure_designs(model, train, num=6, seed=2)
    assert beside["novel"] == 0  # each was just put into the training chains
    assert beside["median_nearest_identity"] == 1
    write_json(folder / "metrics.json", metrics(designs=alone))
    write_card(folder, REPO, example=None)
    assert "| not measured | not measured |" in (folder / "README.md").read_text()
