"""hfbio.json: written whole, read back as it was, and nothing taken on trust."""

import dataclasses
import json
import os

import pytest

from hfbio.bundle import (
    FORMAT,
    MANIFEST,
    Manifest,
    read_manifest,
    write_manifest,
)
from hfbio.errors import BundleError
from hfbio.models.untrusted import MAX_JSON_BYTES
from hfbio.tokens import Tags

TAGS = Tags.from_rows("composite", {"locus": ["IGH"] * 3, "isotype": ["IGHG", "IGHM", ""]})
MANIFEST_OF_A_RUN = Manifest(
    base="sapiens-vh",
    base_revision=None,
    family="roberta",
    base_license="MIT",
    method="lora",
    objective={"kind": "diffusion", "min_t": 0.02},
    tags=TAGS,
    lengths={"IGH|*": {"118": 1}, "IGH|IGHG": {"120": 2, "121": 1}, "IGH|IGHM": {"99": 5}},
    sampler={"kind": "unmask", "steps": 8},
    data={"source": "example:ExampleDb", "train": 9},
    training={"seed": 0, "settings": {"learning_rate": 0.003}},
    versions={"torch": "2.13.0"},
)


@pytest.fixture
def raw():
    """The content of a valid hfbio.json, to be spoilt."""
    return json.loads(json.dumps(dataclasses.asdict(MANIFEST_OF_A_RUN)))


def refusal(folder, content):
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / MANIFEST).write_text(text)
    with pytest.raises(BundleError) as caught:
        read_manifest(folder)
    message = str(caught.value)
    assert MANIFEST in message
    assert len(message) < 700 + len(str(folder))  # a hostile value is not printed at length
    return message


def test_a_manifest_survives_writing_and_reading(tmp_path):
    write_manifest(tmp_path, MANIFEST_OF_A_RUN)
    assert read_manifest(tmp_path) == MANIFEST_OF_A_RUN
    assert os.listdir(tmp_path) == [MANIFEST]


def test_a_manifest_without_tags_survives_too(tmp_path):
    plain = dataclasses.replace(MANIFEST_OF_A_RUN, tags=Tags(), lengths={"": {"120": 1}})
    write_manifest(tmp_path, plain)
    assert read_manifest(tmp_path) == plain


def test_a_manifest_that_cannot_be_written_leaves_the_old_one_as_it_was(tmp_path, monkeypatch):
    write_manifest(tmp_path, MANIFEST_OF_A_RUN)
    before = (tmp_path / MANIFEST).read_bytes()
    odd = dataclasses.replace(MANIFEST_OF_A_RUN, data={"source": object()})
    with pytest.raises(TypeError):
        write_manifest(tmp_path, odd)
    assert (tmp_path / MANIFEST).read_bytes() == before

    def stop(*_):
        raise OSError("the machine stops here")

    monkeypatch.setattr("hfbio.bundle.os.replace", stop)
    with pytest.raises(OSError, match="stops here"):
        write_manifest(tmp_path, dataclasses.replace(MANIFEST_OF_A_RUN, method="full"))
    assert (tmp_path / MANIFEST).read_bytes() == before


def test_a_folder_without_one_says_what_to_give(tmp_path):
    with pytest.raises(BundleError, match=r"holds no hfbio.json; give a folder that `hfbio fine"):
        read_manifest(tmp_path)
    (tmp_path / MANIFEST).mkdir()
    with pytest.raises(BundleError, match=r"holds no hfbio.json"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[" * 100_000, '{"format": ' + "1" * 5000 + "}"],
    ids=["empty", "cut", "deep", "number"],
)
def test_what_is_not_json_is_refused(tmp_path, text):
    assert "is not JSON" in refusal(tmp_path, text)


def test_what_is_not_utf8_or_too_large_is_refused(tmp_path):
    (tmp_path / MANIFEST).write_bytes(b'{"format": "\xff\xfe"}')
    with pytest.raises(BundleError, match="is not JSON"):
        read_manifest(tmp_path)
    with (tmp_path / MANIFEST).open("wb") as file:
        file.truncate(MAX_JSON_BYTES + 1)
    with pytest.raises(BundleError, match="larger than"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("content", [[], "text", 5, None, True])
def test_what_is_not_an_object_is_refused(tmp_path, content):
    assert "must hold an object" in refusal(tmp_path, json.dumps(content))


@pytest.mark.parametrize("version", [FORMAT + 1, 0, "1", None, [1] * 1000])
def test_another_format_is_refused(tmp_path, raw, version):
    assert f"reads format {FORMAT}" in refusal(tmp_path, {**raw, "format": version})


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Manifest)])
def test_every_field_must_be_there(tmp_path, raw, name):
    del raw[name]
    assert name in refusal(tmp_path, raw)


def test_an_unknown_field_is_named(tmp_path, raw):
    assert "unknown fields ['pickle']" in refusal(tmp_path, {**raw, "pickle": "x"})
    refusal(tmp_path, {**raw, **{f"x{i}": 1 for i in range(10_000)}})


@pytest.mark.parametrize(
    "name", [f.name for f in dataclasses.fields(Manifest) if f.name != "format"]
)
@pytest.mark.parametrize("value", [7, ["x" * 5000], True, 1.5])
def test_a_field_of_another_type_is_named(tmp_path, raw, name, value):
    assert name in refusal(tmp_path, {**raw, name: value})


@pytest.mark.parametrize(
    "base",
    ["", "/etc/passwd", "../other", "..", "a/../b", "a//b", "/", "a/", "a/b/c", ".\\x", "~/x/y"],
)
def test_a_base_that_is_a_path_is_refused(tmp_path, raw, base):
    assert "base must be" in refusal(tmp_path, {**raw, "base": base})


@pytest.mark.parametrize("base", ["sapiens-vh", "facebook/esm2_t6_8M_UR50D", "my model (2)"])
def test_an_alias_a_hub_id_and_a_folders_name_are_bases(tmp_path, raw, base):
    family = "esm" if "esm2" in base else "roberta"
    (tmp_path / MANIFEST).write_text(json.dumps({**raw, "base": base, "family": family}))
    assert read_manifest(tmp_path).base == base


@pytest.mark.parametrize("objective", [{}, {"kind": 3}, {"kind": ["mlm"]}, {"kind": "guess"}])
def test_an_objective_must_name_a_known_kind(tmp_path, raw, objective):
    message = refusal(tmp_path, {**raw, "objective": objective})
    assert "kind of objective must be one of mlm, diffusion" in message


@pytest.mark.parametrize(
    "spoil",
    [
        {"style": "infix"},
        {"style": None},
        {"values": []},
        {"values": {"locus": "IGH", "isotype": ["IGHG", "IGHM"]}},  # a text is no list of texts
        {"values": {"locus": [1], "isotype": ["IGHG", "IGHM"]}},
        {"values": {"locus": ["IGH|x"], "isotype": ["IGHG", "IGHM"]}},
        {"values": {"locus": ["*"], "isotype": ["IGHG", "IGHM"]}},
        {"seen": []},
        {"seen": [["IGH"]]},
        {"seen": [["IGH", "IGHE"]]},
        {"seen": ["ab"]},
        {"seen": 3},
    ],
    ids=str,
)
def test_tags_that_do_not_hold_together_are_refused(tmp_path, raw, spoil):
    raw["tags"] |= spoil
    assert "tags cannot be read" in refusal(tmp_path, raw)


@pytest.mark.parametrize("missing", ["style", "values", "seen"])
def test_tags_must_be_whole(tmp_path, raw, missing):
    del raw["tags"][missing]
    assert "tags cannot be read" in refusal(tmp_path, raw)


@pytest.mark.parametrize(
    "lengths",
    [
        {},
        {"": {"120": 1}},
        {"IGH|*": {"118": 1}},  # rows are missing
        {"IGH|*": {}, "IGH|IGHG": {"120": 2}, "IGH|IGHM": {"99": 5}},
        {"IGH|*": 3, "IGH|IGHG": {"120": 2}, "IGH|IGHM": {"99": 5}},
        {"IGH|*": {"-1": 1}, "IGH|IGHG": {"120": 2}, "IGH|IGHM": {"99": 5}},
        {"IGH|*": {"9" * 5000: 1}, "IGH|IGHG": {"120": 2}, "IGH|IGHM": {"99": 5}},
        {"IGH|*": {"x": 1}, "IGH|IGHG": {"120": 2}, "IGH|IGHM": {"99": 5}},
        {"IGH|*": {"9": "1"}, "IGH|IGHG": {"120": 2}, "IGH|IGHM": {"99": 5}},
        {"IGH|*": {"9": 0}, "IGH|IGHG": {"120": 2}, "IGH|IGHM": {"99": 5}},
        {"IGH|*": {"9": True}, "IGH|IGHG": {"120": 2}, "IGH|IGHM": {"99": 5}},
    ],
    ids=range(11),
)
def test_lengths_that_no_chain_can_be_drawn_from_are_refused(tmp_path, raw, lengths):
    assert "lengths" in refusal(tmp_path, {**raw, "lengths": lengths})


def test_tags_of_every_kind_that_training_knows_are_read(tmp_path, raw):
    values = {"locus": ["IGH"], "species": ["rhesus monkey"], "v_family": ["IGHV3"]}
    row = [vs[0] for vs in values.values()]
    raw |= {"tags": {"style": "composite", "values": values, "seen": [row]}}
    (tmp_path / MANIFEST).write_text(json.dumps({**raw, "lengths": {"|".join(row): {"120": 1}}}))
    assert read_manifest(tmp_path).tags.tokens() == ["[IGH|rhesus monkey|IGHV3]"]
