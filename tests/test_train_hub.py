"""ESM-2 and an antibody data set from the Hub, two ranks, and the way back to the Hub."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
from antibodies import KAPPA, heavy_with, random_cdr3s
from runs import RECIPE, REPO, TORCHRUN, adapter, antibody_esm_files, flags, launch, metrics

RECIPE_YAML = REPO / "recipes/configs/esm2_lora.yaml"
BASE = "facebook/esm2_t12_35M_UR50D"
DATA = "bloyal/oas-paired-sequence-data"


def oas_unit(n_pairs):
    """Pairs in the columns of the data set, as public code that reads it names them."""
    rows = [
        {
            "data_unit": "SRR10358523_paired.csv.gz",
            "sequence_alignment_aa_heavy": heavy_with(heavy_cdr3),
            "cdr1_aa_heavy": "GFNIKDTY",
            "cdr2_aa_heavy": "IYPTNGYT",
            "cdr3_aa_heavy": heavy_cdr3,
            "sequence_alignment_aa_light": KAPPA.replace("QQHYTTPPT", light_cdr3),
            "cdr1_aa_light": "QDVNTA",
            "cdr2_aa_light": "SAS",
            "cdr3_aa_light": light_cdr3,
        }
        for heavy_cdr3, light_cdr3 in zip(random_cdr3s(n_pairs), random_cdr3s(n_pairs, 1, 9))
    ]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


CHECK = """
import json
import sys
import torch
from huggingface_hub import HfApi
from peft import AutoPeftModel
import hfbio
from hfbio.data import load_table

run = sys.argv[1]
model = hfbio.load(run)
tokens = model.base.token_map
ids = torch.tensor([[tokens.start_id, *tokens.residue_ids, tokens.stop_id]])
ids[0, 3:12] = tokens.mask_id

def logits(network):
    with torch.no_grad():
        found = network(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    return found[..., list(tokens.residue_ids)]

wanted = logits(model.model)
# ESM-2's token dropout is off in this model, and peft knows nothing of it.
alone = AutoPeftModel.from_pretrained(run, token_dropout=False).eval()
torch.testing.assert_close(logits(alone), wanted)
assert (logits(hfbio.load("esm2-35m", revision=sys.argv[2]).model) - wanted).abs().max() > 1e-3

# Base and tuned model are measured as they were in training, in which the base had it off too.
found = model.evaluate(load_table(run + "/data/test.parquet"), draws=1)
for row, told in zip(found["held_out"], json.load(open(run + "/metrics.json"))["held_out"]):
    for name in ("base", "tuned"):
        assert abs(row[name]["nats_per_residue"] - told[name]["nats_per_residue"]) < 1e-5, row

api = HfApi()
api.create_repo("user/run", private=True)
pushed = api.upload_folder(repo_id="user/run", folder_path=run, ignore_patterns=["checkpoint-*"])
api.upload_file(repo_id="user/run", path_in_repo="hfbio.json", path_or_fileobj=b"{}")
back = hfbio.load("user/run", revision=pushed.oid)
torch.testing.assert_close(logits(back.model), wanted, rtol=0, atol=0)
assert back.manifest == model.manifest
for wrong in ("user/run", "user/nothing", BASE := "facebook/esm2_t12_35M_UR50D"):
    try:
        hfbio.load(wrong, revision="main")
        print("loaded", wrong)
    except hfbio.errors.HfbioError as error:
        print(type(error).__name__, str(error)[-80:])
"""


def test_esm2_lora_trains_on_two_ranks_from_the_hub_and_comes_back(
    hub_server, hub_client, tmp_path
):
    files = antibody_esm_files()
    sha = hub_server.add_repo("model", BASE, files).at("main").oid
    hub_server.commit("model", BASE, {"model.safetensors": b"", "config.json": b"{}"})
    data_sha = (
        hub_server.add_repo("dataset", DATA, {"human/train_0.parquet": oas_unit(24)}).at("main").oid
    )
    hub_server.commit("dataset", DATA, {"human/train_0.parquet": b""})  # main moves on
    data = f"hf://datasets/{DATA}@{data_sha}/human/train_0.parquet"
    run = tmp_path / "run"
    words = flags(
        model_revision=sha,
        data=data,
        output_dir=run,
        max_steps=4,
        per_device_train_batch_size=4,
        save_strategy="steps",
        save_steps=2,
        eval_steps=2,
    )
    environment = hub_server.environment(tmp_path / "cache")
    arguments = [RECIPE, "--config", str(RECIPE_YAML), *words]
    done = launch(TORCHRUN, arguments, environment=environment)
    assert done.returncode == 0, done.stderr[-4000:]

    found = metrics(run)
    assert found["run"]["processes"] == 2
    assert (found["run"]["base"], found["run"]["base_revision"]) == (BASE, sha)
    assert found["split"]["n_rows"] == {"train": 40, "validation": 4, "test": 4}
    assert sum("eval_nats_per_residue_at_0.5" in row for row in found["training"]["log"]) == 2
    config = json.loads(run.joinpath("adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == (BASE, sha)
    manifest = json.loads(run.joinpath("hfbio.json").read_text())
    assert manifest["data"]["source"] == data
    assert manifest["data"]["license"] == "CC-BY-4.0"
    # Rows of <mask> beside the low-rank update, and no copy of the embedding.
    assert {name.rsplit(".", 1)[1] for name in adapter(run)} == {"weight", "trainable_tokens_delta"}
    assert not any("word_embeddings.weight" in name for name in adapter(run / "checkpoint-2"))

    weights = [r for r in hub_server.requests if "model.safetensors" in r.path]
    assert weights
    assert all(f"/resolve/{sha}/" in r.path for r in weights)
    assert any(f"/resolve/{data_sha}/human/" in r.path for r in hub_server.requests)

    out = hub_client(CHECK, run, sha).splitlines()
    assert out[0].startswith("BundleError")
    assert out[1].startswith("UnknownModel")
    assert out[2].startswith("UnknownModel")
    fetched = {r.path for r in hub_server.requests if "/user/run/resolve/" in r.path}
    assert any(path.endswith("/adapter_model.safetensors") for path in fetched)
    assert not any("/data/" in path or "/merged/" in path for path in fetched)
