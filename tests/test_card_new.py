"""Cards of models trained from nothing, and of causal models: nothing is said that is not so."""

import dataclasses
import json
import shutil

import pytest
import yaml
from bundles import edited, new_model
from carded import MANIFEST, REPO, metrics, write_bundle
from huggingface_hub import ModelCard

from hfbio.bundle import read_manifest, write_json, write_manifest
from hfbio.card import Example, licences, write_card
from hfbio.licences import terms_of
from hfbio.tokens import Tags

EXAMPLE = Example('print("hello")\n', "hello\n")
CAUSAL = dataclasses.replace(
    MANIFEST,
    base="lab/antibody-llama",
    family="llama",
    objective={"kind": "clm", "direction": "forward"},
    tags=Tags(),
    lengths={"": {"120": 1096}},
)


def causal_metrics(task="next"):
    """Metrics of a causal run: one block of rows, and no calibrated base."""
    content = metrics()
    rows = [{**row, "masked": 1.0} for row in content["held_out"] if row["masked"] == 0.5]
    content["held_out"] = [
        {k: v for k, v in row.items() if k not in ("base_calibrated", "model")} for row in rows
    ]
    content["training"]["log"][-1] = {"step": 20, "eval_nats_per_residue_at_1": 0.7}
    return {**content, "task": task}


def card(folder, manifest, content):
    write_bundle(folder, manifest, content)
    write_card(folder, REPO, example=EXAMPLE)
    return (folder / "README.md").read_text(encoding="utf-8")


def prose(text):
    return " ".join(text.replace("\xa0", " ").split("---\n", 2)[2].split())


@pytest.fixture(scope="module", params=["llama", "esm"])
def new(request, tmp_path_factory):
    """A finished pretraining run with its card."""
    folder = new_model(tmp_path_factory.mktemp("new"), request.param).folder
    write_card(folder, REPO, example=EXAMPLE)
    return folder


def page(folder):
    return (folder / "README.md").read_text(encoding="utf-8")


# --- trained from nothing ----------------------------------------------------------------------


def test_a_new_model_has_no_base_anywhere_on_its_card(new):
    text = prose(page(new))
    assert "## Architecture" in text
    assert "There is no base: the weights began at random and are all here." in text
    for wrong in ("## Base", "tuned", "its base", "alibrated", "merged/", "hfbio.load(…, base"):
        assert wrong not in text
    data = ModelCard(page(new)).data
    assert data.get("base_model") is None
    assert data.library_name == "transformers"
    cff = yaml.safe_load((new / "CITATION.cff").read_text())
    assert [found["title"] for found in cff["references"]] == ["hfbio"]
    assert cff["title"] == "my_model: a language model of antibodies, trained from nothing"


def test_what_it_learnt_of_each_source_stands_beside_letters_and_counting(new):
    text, content = prose(page(new)), json.loads((new / "metrics.json").read_text())
    masks = content["task"] == "masked"
    for name, source in content["sources"].items():
        nats = [*source["nats_per_residue"].values(), source["unigram_nats"]]
        row = " | ".join(f"{value:.3f}" for value in nats)
        share = "75.0 %" if source["weight"] == 0.75 else "25.0 %"
        assert f"| <code>{name}</code> | {share} | {source['test_chains']} | {row} |" in text
    for row in content["held_out"]:
        if row["region"] == row["status"] == "all":
            counted = min(row[n]["nats_per_residue"] for n in ("position", "position_family"))
            asked = f"{100 * row['masked']:g} %" if masks else "each region from all others"
            own = row["model"]["nats_per_residue"]
            assert f"| {asked} | **{own:.3f}** | {counted:.3f} |" in text
    # Sixty steps do not beat counting on chains that share their framework, and the card says so.
    assert "**Something simpler is better** in places: counting by position on all residues" in text


def test_sizes_hardware_and_time_of_a_new_model_are_told(new):
    text, content = prose(page(new)), json.loads((new / "metrics.json").read_text())
    family = read_manifest(new).family
    kind = "causal" if family == "llama" else "masked"
    assert f"| architecture | {family}, {kind}, of the classes of transformers |" in text
    assert "| layers | 1 | | width | 32 | | attention heads | 2 |" in text
    assert f"| parameters | {content['run']['trainable_parameters']:,} |" in text
    assert f"60 steps in {content['training']['seconds']:,.0f} s on " in text
    content["training"]["seconds"] = 12_345
    again = shutil.copytree(new, new.parent / "long", dirs_exist_ok=True)
    write_json(again / "metrics.json", content)
    write_card(again, REPO, example=EXAMPLE)
    assert "60 steps in 3.4 hours on " in prose(page(again))


def test_results_of_a_new_model_are_its_own_on_its_own_task(new):
    content = json.loads((new / "metrics.json").read_text())
    data = ModelCard(page(new)).data
    causal = content["task"] == "span"
    assert data.pipeline_tag == ("text-generation" if causal else "fill-mask")
    rows = [r for r in content["held_out"] if r["region"] == r["status"] == "all"]
    assert len(data.eval_results) == 2 * len(rows)
    for found in data.eval_results:
        assert found.task_type == data.pipeline_tag
        assert found.dataset_name.endswith("held-out antibody chains")
        assert ("each region from all others" in found.metric_name) == causal
        assert ("masked" in found.metric_name) != causal
    nats = [f.metric_value for f in data.eval_results if f.metric_type == "nats_per_residue"]
    assert nats == [round(row["model"]["nats_per_residue"], 4) for row in rows]


def test_each_source_has_its_licence_and_simulated_chains_tell_of_imgt(new, tmp_path):
    names = ["simulate:human:IGH:30000", "proteins:example:HumanSwissProt", "mine.parquet"]
    content = json.loads((new / "metrics.json").read_text())
    told = list(content["sources"].values())
    content["sources"] = dict(zip(names, (told[0], told[1], told[0])))
    data = {**read_manifest(new).data, "source": "; ".join(names), "license": "CC-BY-4.0"}
    folder = edited(new, tmp_path / "named", data=data)
    write_json(folder / "metrics.json", content)
    write_card(folder, REPO, example=EXAMPLE)
    text = prose(page(folder))
    rows = {
        line.split(" | ")[0]: line
        for line in page(folder).splitlines()
        if " | clone | " in line or " | random | " in line
    }
    assert rows["| <code>mine.parquet</code>"].endswith("| cc-by-4.0 |")
    assert (
        "IMGT, CC BY-NC-ND 4.0 for academic use" in rows["| <code>simulate:human:IGH:30000</code>"]
    )
    assert rows["| <code>proteins:example:HumanSwissProt</code>"].endswith("| CC BY 4.0 |")
    assert "by the private sector, needs an arrangement with the CNRS" in text
    assert "hfbio does not judge" in text
    assert "https://www.imgt.org/about/termsofuse.php" in text
    assert "Simulated chains draw alleles evenly" in text
    assert "many of them simulated" in text
    plain = prose(page(new))
    assert "IMGT's germline" not in plain
    assert "simulated" not in plain.lower()


def test_terms_are_known_of_sources_that_hfbio_names_and_of_no_others():
    assert "CC BY-NC-ND 4.0" in terms_of("simulate:mouse:IGK:10").words
    assert terms_of("proteins:example:HumanSwissProt").licence == "CC BY 4.0"
    for source in ("proteins:mine.fasta", "example:ExampleDb", "hf://datasets/lab/simulate:x", ""):
        assert terms_of(source) is None


def test_licences_of_a_new_model_are_those_of_weights_and_data():
    new = dataclasses.replace(MANIFEST, method="scratch", base="mini", base_license="Apache-2.0")
    found = licences(new)
    assert found.card_name == "weights-apache-2.0-data-agpl-3.0"
    research = dataclasses.replace(new, data={**new.data, "license": "CC-BY-NC-4.0"})
    assert licences(research).non_commercial == ("data",)
    assert licences(dataclasses.replace(new, base_license="CC-BY-NC-4.0")).non_commercial == (
        "weights",
    )


@pytest.mark.parametrize("name", ["sapiens-vh", "facebook/esm2_t6_8M_UR50D"])
def test_a_new_model_that_is_called_like_a_base_is_not_taken_for_it(new, tmp_path, name):
    folder = edited(new, tmp_path / "x", base=name)
    write_card(folder, REPO, example=EXAMPLE)
    assert ModelCard(page(folder)).data.get("base_model") is None
    assert "Prihoda" not in page(folder)
    assert "Lin et al" not in page(folder)


def test_an_interim_card_of_a_new_model_speaks_of_no_base(new, tmp_path):
    write_manifest(tmp_path, read_manifest(new))
    write_card(tmp_path, REPO, example=None, step=(5, 60))
    text = prose(page(tmp_path))
    assert "an unfinished run: a new model, in training on" in text
    assert "## Base" not in text


# --- causal and tuned --------------------------------------------------------------------------

TASKS = {
    "next": ("Shown the residues before each one, it predicts", "each residue after those before"),
    "next_reverse": ("Shown the residues behind each one", "each residue before those after it"),
    "span": ("Shown all other regions, and of its own", "each region from all others"),
}


@pytest.mark.parametrize("task", TASKS)
def test_a_tuned_causal_model_is_told_as_one(tmp_path, task):
    kind = {"kind": "infill"} if task == "span" else {"kind": "clm"}
    text = card(tmp_path, dataclasses.replace(CAUSAL, objective=kind), causal_metrics(task))
    body, data = prose(text), ModelCard(text).data
    for said in TASKS[task]:
        assert said in body
    for wrong in ("masked", "hidden", "alibrated", "100 %"):
        assert wrong not in body.partition("Settings that differ")[0]
    assert ("fills gaps of any length" in body) == (task == "span")
    assert (data.pipeline_tag, data.base_model_relation) == ("text-generation", "adapter")
    assert {result.task_type for result in data.eval_results} == {"text-generation"}
    assert len(data.eval_results) == 2
    assert "**Better** than the base in" in body


def test_a_whole_causal_model_is_loaded_by_the_class_of_causal_models(tmp_path):
    whole = dataclasses.replace(CAUSAL, method="full")
    text = prose(card(tmp_path / "full", whole, causal_metrics()))
    assert f'AutoModelForCausalLM.from_pretrained("{REPO}")' in text
    assert "MaskedLM" not in text
    adapter = prose(card(tmp_path / "lora", CAUSAL, causal_metrics()))
    assert f'AutoPeftModel.from_pretrained("{REPO}")' in adapter


def test_the_hub_accepts_the_cards_of_new_and_causal_models(new, tmp_path, hub_client):
    card(tmp_path, CAUSAL, causal_metrics())
    said = hub_client(
        """
import sys
from huggingface_hub import ModelCard, ModelCardData
for path in sys.argv[1:]:
    found = ModelCard.load(path)
    found.validate()  # asks the Hub
    assert ModelCardData(**found.data.__dict__).to_yaml() == found.data.to_yaml()
    print(found.data.pipeline_tag)
""",
        *(folder / "README.md" for folder in (new, tmp_path)),
    )
    assert said.split()[1] == "text-generation"
