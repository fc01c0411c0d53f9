"""A model card says what was measured, as the Hub reads it, and the same at every push."""

import dataclasses
import json

import pytest
import yaml
from carded import MANIFEST, REPO, SPLIT, TAGS, metrics, write_bundle
from huggingface_hub import ModelCard

from hfbio.bundle import write_manifest
from hfbio.card import Example, write_card
from hfbio.card.findings import find
from hfbio.errors import BundleError
from hfbio.tokens import Tags

EXAMPLE = Example('print("hello")\n', "hello\n")
ESM = dataclasses.replace(
    MANIFEST,
    base="facebook/esm2_t6_8M_UR50D",
    base_revision="c731040fcd8d73dceaa04b0a8e6329b345b0f5df",
    family="esm",
    tags=Tags(),
    lengths={"": {"120": 1096}},
    data={**MANIFEST.data, "source": "hf://datasets/lab/heavy_chains", "license": "cc-by-4.0"},
)


def card(folder, manifest=MANIFEST, content=None, **options):
    write_bundle(folder, manifest, content)
    write_card(folder, REPO, **{"example": EXAMPLE, **options})
    return (folder / "README.md").read_text(encoding="utf-8")


def front(text):
    return ModelCard(text).data


def prose(text):
    """The body on one line, so that line breaks do not matter."""
    return " ".join(text.split("---\n", 2)[2].split())


# --- front matter ------------------------------------------------------------------------------


def test_the_hub_accepts_the_front_matter_of_every_card(tmp_path, hub_client):
    hostile = dataclasses.replace(
        MANIFEST, data={**MANIFEST.data, "source": "x\n---\nlicense: mit\n---\n"}
    )
    card(tmp_path / "adapter")
    card(tmp_path / "full", dataclasses.replace(MANIFEST, method="full"))
    card(tmp_path / "esm", ESM)
    card(tmp_path / "hostile", hostile)
    write_manifest(tmp_path / "adapter", MANIFEST)
    card(tmp_path / "interim", step=(500, 1200), example=None)
    said = hub_client(
        """
import sys
from huggingface_hub import ModelCard, ModelCardData
for path in sys.argv[1:]:
    found = ModelCard.load(path)
    found.validate()  # asks the Hub
    again = ModelCardData(**found.data.__dict__)
    assert again.to_yaml() == found.data.to_yaml(), path
    print(found.data.license)
try:
    ModelCard("---\\nlicense: my own\\n---\\n").validate()
except ValueError:
    print("refused")
""",
        *(tmp_path / name / "README.md" for name in ("adapter", "full", "esm", "hostile")),
        tmp_path / "interim" / "README.md",
    )
    assert said.split() == ["other"] * 5 + ["refused"]


def test_the_results_of_the_front_matter_are_those_of_the_metrics(tmp_path):
    data = front(card(tmp_path))
    rows = [r for r in metrics()["held_out"] if r["region"] == r["status"] == "all"]
    expected = {
        (f"{label}, {100 * row['masked']:g} % of residues masked", round(row["tuned"][key], 4))
        for row in rows
        for key, label in (("nats_per_residue", "Nats per residue"), ("perplexity", "Perplexity"))
    }
    assert {(r.metric_name, r.metric_value) for r in data.eval_results} == expected
    assert len(data.eval_results) == 6
    assert {r.dataset_name for r in data.eval_results} == {
        "example:ExampleDb, test part of a split by clone"
    }
    assert {r.dataset_split for r in data.eval_results} == {"test"}


def test_an_adapter_on_a_hub_base_is_found_beside_its_base_and_data(tmp_path):
    data = front(card(tmp_path, ESM))
    assert (data.base_model, data.base_model_relation) == (ESM.base, "adapter")
    assert data.datasets == ["lab/heavy_chains"]
    assert (data.library_name, data.pipeline_tag) == ("peft", "fill-mask")
    assert data.tags == ["hfbio", "antibody", "protein", "lora", "diffusion"]
    full = front(card(tmp_path, dataclasses.replace(ESM, method="full")))
    assert (full.library_name, full.base_model_relation) == ("transformers", "finetune")
    assert "lora" not in full.tags


def test_a_bundled_base_is_explained_and_not_linked_to(tmp_path):
    text = card(tmp_path)
    data = front(text)
    assert data.get("base_model") is None
    assert data.get("base_model_relation") is None
    assert data.get("datasets") is None
    assert data.tags[-2:] == ["diffusion", "IGH"]
    assert "`sapiens-vh`" not in data.to_yaml()
    assert "has no page on the Hub: it ships in the hfbio package" in prose(text)
    assert "Prihoda et al. 2022" in text
    antiberty = dataclasses.replace(MANIFEST, base="antiberty", family="bert")
    assert "pip install 'hfbio[antiberty]'" in prose(card(tmp_path, antiberty))


# --- the body ----------------------------------------------------------------------------------


def row(masked, region="all", status="all", gap=None, **nats):
    made = {"masked": masked, "region": region, "status": status}
    made |= {name: {"nats_per_residue": value} for name, value in nats.items()}
    if gap:
        made["difference"] = dict(zip(("nats_per_residue", "low", "high"), gap))
    return made


def test_gains_and_losses_are_called_by_their_names():
    found = find(
        {
            "held_out": [
                row(0.5, gap=(-0.2, -0.3, -0.1), base=1, base_calibrated=0.8, tuned=0.7),
                row(0.5, "cdr3", gap=(-0.1, -0.2, 0.0), base=1, base_calibrated=2, tuned=0.9),
                row(0.5, "fwr1", gap=(0.2, 0.1, 0.3), base=1, position=1.1, tuned=1.2),
                row(0.5, status="non_germline", base=1, tuned=1.5, position=9),
                row(0.5, status="germline", base=1, tuned=1.0),
                row(0.9, status="non_germline", base=2, tuned=2.5),
                row(0.9, gap=(-1, -1.5, -0.5), base=2, base_calibrated=1.9, tuned=1),
            ]
        }
    )
    assert (found.better, found.compared) == (2, 4)
    text = [t.replace("\xa0", " ") for t in (found.unclear, found.worse, found.simpler)]
    assert text[0] == "CDR3 (−0.100 [−0.200, +0.000] at 50 %)"
    assert text[1] == (
        "FWR1 (1.000 → 1.200 at 50 %) and "
        "non-germline residues (1.000 → 1.500 at 50 %, 2.000 → 2.500 at 90 %)"
    )
    assert text[2] == "counting by position on FWR1 (1.100 against 1.200 at 50 %)"
    assert found.confidence.replace("\xa0", " ") == "0.800 against 0.700 at 50 %"


def test_a_model_that_lost_says_so(tmp_path):
    content = metrics()
    for found in content["held_out"]:
        if gap := found.get("difference"):
            gap |= {"low": 0.1, "high": 0.2}
    text = prose(card(tmp_path, content=content))
    assert "**Better** than the base in 0 of 24 comparisons" in text
    assert "**Worse** than the base: all residues (" in text


def test_a_run_without_validation_or_panel_has_a_card(tmp_path):
    content = metrics()
    del content["designs"], content["run"]["hardware"]
    for found in content["held_out"]:
        del found["base_calibrated"]
    text = prose(card(tmp_path, content=content))
    assert "| – |" in text
    assert "chains it wrote" not in text
    assert "base, calibrated |" in text  # the column of the first table stays


def test_a_random_split_is_called_what_it_is(tmp_path):
    assert "flatter" not in prose(card(tmp_path))
    text = prose(card(tmp_path, content=metrics(split={**SPLIT, "by": "random"})))
    assert "A random split puts relatives on both sides" in text


def test_a_bundle_that_was_not_finished_or_is_spoilt_gets_no_card(tmp_path):
    write_manifest(tmp_path, MANIFEST)
    with pytest.raises(BundleError, match=r"no metrics.json; give a run that has finished"):
        write_card(tmp_path, REPO, example=None)
    rows = metrics()["held_out"]
    for content in ({"held_out": []}, {"held_out": rows}, {**metrics(), "training": "<b>"}):
        with pytest.raises(BundleError):
            card(tmp_path, content=content)
    assert [path.name for path in tmp_path.glob("*.md")] == []


@pytest.mark.parametrize(
    ("changes", "merged", "expected", "refused"),
    [
        ({}, True, 'MaskedLM.from_pretrained("user/my_model", subfolder="merged")', "AutoPeft"),
        ({}, False, "Only `hfbio.load` puts base and adapter together", "from_pretrained"),
        ({"method": "full"}, False, 'MaskedLM.from_pretrained("user/my_model")', "AutoPeft"),
        ({"base": "my base"}, False, 'hfbio.load(…, base="FOLDER")', "from_pretrained"),
        ({"base": "my base", "method": "full"}, False, "the weights here are whole", "FOLDER"),
    ],
)
def test_a_bundle_of_a_bundled_base_says_how_to_load_it(
    tmp_path, changes, merged, expected, refused
):
    if merged:
        (tmp_path / "merged").mkdir()
        (tmp_path / "merged" / "config.json").write_text("{}")
    text = prose(card(tmp_path, dataclasses.replace(MANIFEST, **changes)))
    assert expected in text
    assert refused not in text


@pytest.mark.parametrize(
    ("changes", "expected", "refused"),
    [
        ({}, f'AutoPeftModel.from_pretrained("{REPO}", token_dropout=False)', "peft#3649"),
        ({"objective": {"kind": "mlm"}}, f'AutoPeftModel.from_pretrained("{REPO}")', "dropout=F"),
        (
            {"base": "lab/bert", "family": "bert"},
            f'AutoPeftModel.from_pretrained("{REPO}")',
            "dropout=F",
        ),
        ({"tags": TAGS, "lengths": MANIFEST.lengths}, "peft#3649", "AutoPeftModel"),
        ({"method": "full"}, f'MaskedLM.from_pretrained("{REPO}")', "AutoPeftModel"),
    ],
)
def test_a_bundle_of_a_hub_base_says_how_to_load_it(tmp_path, changes, expected, refused):
    text = prose(card(tmp_path, dataclasses.replace(ESM, **changes)))
    assert expected in text
    assert refused not in text


# --- files -------------------------------------------------------------------------------------


def test_the_same_run_gives_the_same_bytes(tmp_path):
    for name in ("one", "other"):
        card(tmp_path / name)
        card(tmp_path / name)  # over an earlier one
    made = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert [str(p) for p in made] == [
        *("CITATION.cff", "README.md", "figures/loss.png", "figures/regions.png"),
        *("hfbio.json", "metrics.json"),
    ]
    for path in made:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "other" / path).read_bytes()
        if path.suffix == ".png":
            png = (tmp_path / "one" / path).read_bytes()
            assert png.startswith(b"\x89PNG")
            assert b"tEXt" not in png  # neither a date nor a version of matplotlib
            assert f"({path})" in (tmp_path / "one" / "README.md").read_text()


def test_an_interim_card_claims_nothing(tmp_path):
    write_manifest(tmp_path, dataclasses.replace(MANIFEST, training={"seed": 3, "settings": {}}))
    write_card(tmp_path, REPO, example=None, step=(500, 1200))
    text = (tmp_path / "README.md").read_text()
    assert "step 500 of 1,200; nothing has been measured yet" in text
    assert front(text).eval_results is None
    assert "nats" not in text
    assert "figures" not in text
    assert "None" not in text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["CITATION.cff", "README.md", "hfbio.json"]


def test_a_citation_file_has_what_the_format_asks_for(tmp_path):
    for manifest in (MANIFEST, ESM, dataclasses.replace(MANIFEST, base="my base: v2")):
        card(tmp_path, manifest)
        found = yaml.safe_load((tmp_path / "CITATION.cff").read_text())
        # Citation File Format 1.2.0, schema.json: required keys, and one author at least.
        assert found["cff-version"] == "1.2.0"
        assert found["type"] == "software"
        for part in (found, *found["references"]):
            assert part["title"]
            assert part["authors"][0]["name"]
        assert all(part["type"] in ("article", "software") for part in found["references"])
        assert manifest.base.split("/")[-1] in json.dumps(found)
    assert "https://huggingface.co/user/my_model" in (tmp_path / "README.md").read_text()
