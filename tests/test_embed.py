"""One vector for each chain, and `hfbio embed`."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from antibodies import GLOBIN, HEAVY, KAPPA, heavy_with, random_cdr3s
from runs import antibody_esm_files
from torch import nn
from toys import TOKENS, numbered, seeded
from typer.testing import CliRunner

import hfbio
from hfbio.cli import app
from hfbio.data.encode import encode
from hfbio.errors import DataError, SequenceError, SettingError
from hfbio.model import AntibodyModel
from hfbio.models import AdapterConfig, add_tags, attach, load_base
from hfbio.report.embeddings import METADATA
from hfbio.score.embed import POOLS, mean_states
from hfbio.tokens import Tags

CHAINS = [numbered(heavy_with(cdr3), f"c{i}") for i, cdr3 in enumerate(random_cdr3s(5))]
CHAINS += [numbered(heavy_with("AR" + "GYS" * 7 + "FDY"), "long")]  # pads the others


class TableModel(nn.Module):
    """Hidden state of layer k: k + 1 times a fixed row for the token; special ids get 1e6."""

    def __init__(self) -> None:
        super().__init__()
        rows = torch.randn(TOKENS.vocab_size, 4, generator=seeded())
        rows[[TOKENS.start_id, TOKENS.stop_id, TOKENS.pad_id]] = 1e6
        self.rows = nn.Parameter(rows)

    def forward(self, input_ids, attention_mask, output_hidden_states):
        assert output_hidden_states
        return SimpleNamespace(hidden_states=[(k + 1) * self.rows[input_ids] for k in range(3)])


def by_hand(record, region, layer):
    ids = TOKENS.encode("".join(record.region(name) for name in POOLS[region]))
    return (layer + 1) * TableModel().rows[ids].mean(dim=0)


# --- pooling -----------------------------------------------------------------------------------


@pytest.mark.parametrize("region", POOLS)
@pytest.mark.parametrize(("layer", "counted"), [(-1, 2), (0, 0), (1, 1), (-3, 0)])
def test_a_vector_is_the_mean_over_the_residues_of_a_region(region, layer, counted):
    # The rows of start, stop and padding are a million: one of them in a mean would show.
    examples = [encode(record, TOKENS, (0,)) for record in CHAINS]
    vectors = mean_states(TableModel(), TOKENS, examples, layer=layer, region=region)
    expected = torch.stack([by_hand(record, region, counted) for record in CHAINS])
    assert vectors.dtype == torch.float32
    torch.testing.assert_close(vectors, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layer", [3, -4, 100])
def test_a_layer_that_is_not_there_is_refused_with_those_that_are(layer):
    with pytest.raises(SettingError, match=f"within 0 and 2, or -1 and -3.*got {layer}"):
        mean_states(TableModel(), TOKENS, [encode(CHAINS[0], TOKENS, (0,))], layer=layer)


def test_a_region_that_is_none_is_refused_with_those_that_are():
    with pytest.raises(SettingError, match=r"one of all, cdrs, fwr1, .*got 'cdr4'"):
        mean_states(TableModel(), TOKENS, [encode(CHAINS[0], TOKENS, (0,))], region="cdr4")


def test_a_chain_without_residues_in_the_region_is_named(sapiens):
    short = numbered(HEAVY)
    cuts = short.regions
    no_fwr4 = type(short)("gone", HEAVY[: cuts[6]], locus="IGH", regions=(*cuts[:7], cuts[6]))
    with pytest.raises(SequenceError, match="no residue in fwr4 of 1 records: gone"):
        sapiens.embed([short, no_fwr4], region="fwr4")
    kept, (reject,) = sapiens.readable([short, no_fwr4], "file", region="fwr4")
    assert kept == [short]
    assert (reject.sequence_id, reject.detail) == ("gone", "no residue in fwr4")


@pytest.mark.parametrize("region", ["all", "cdr3"])
def test_a_vector_depends_neither_on_the_batch_nor_on_what_is_in_it(sapiens, region):
    together = sapiens.embed(CHAINS, region=region)
    alone = sapiens.embed(CHAINS, region=region, batch_size=1)
    turned = sapiens.embed(CHAINS[::-1], region=region, batch_size=4).flip(0)
    assert together.shape == (len(CHAINS), 128)
    assert (together - together[0])[1:].abs().amax(dim=1).min() > 1e-3  # and they do differ
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=0)
    torch.testing.assert_close(turned, together, atol=1e-5, rtol=0)


def test_the_last_layer_is_what_the_head_of_sapiens_reads(sapiens):
    record = numbered(HEAVY)
    ids = encode(record, sapiens.base.token_map, sapiens.prompt.ids({})).input_ids[None]
    with torch.inference_mode():
        states = sapiens.model.roberta(ids, torch.ones_like(ids)).last_hidden_state
        embedded = sapiens.model.roberta.embeddings(ids)
    (last,), (first,) = sapiens.embed([record]), sapiens.embed([record], layer=0)
    torch.testing.assert_close(last, states[0, 1:-1].mean(dim=0), atol=1e-5, rtol=0)
    torch.testing.assert_close(first, embedded[0, 1:-1].mean(dim=0), atol=1e-5, rtol=0)


def test_nothing_to_embed_is_a_fault(sapiens):
    with pytest.raises(DataError, match="no chain to embed"):
        sapiens.embed([])


# --- condition tags ----------------------------------------------------------------------------

TAGS = {"isotype": ("IGHG", "IGHM")}


@pytest.fixture(scope="module", params=["sapiens-vh", "esm"])
def tagged(request, tmp_path_factory):
    """A base with isotype tags behind an adapter: composite tags (Sapiens) and prefix (ESM)."""
    name = request.param
    if name == "esm":
        folder = tmp_path_factory.mktemp("model") / "esm"
        folder.mkdir()
        for file, content in antibody_esm_files().items():
            (folder / file).write_bytes(content)
        name = str(folder)
    base = load_base(name)
    tags = Tags(base.tag_style, TAGS, seen=(("IGHG",), ("IGHM",)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        base = add_tags(base, tags)
        network = attach(base, AdapterConfig())
        for tensor in network.parameters():  # a fresh adapter does nothing, and tags start alike
            if tensor.requires_grad:
                tensor.data += 0.2 * torch.randn_like(tensor)
    manifest = SimpleNamespace(tags=tags)
    return AntibodyModel(base, network, manifest)


def test_tags_are_left_open_unless_asked_for(tagged):
    as_g, as_m = numbered(HEAVY, isotype="IGHG"), numbered(HEAVY, isotype="IGHM")
    open_g, open_m = tagged.embed([as_g, as_m])
    own_g, own_m, unknown = tagged.embed([as_g, as_m, numbered(HEAVY)], own_tags=True)
    assert open_g.equal(open_m)
    assert (own_g - own_m).abs().max() > 1e-3
    torch.testing.assert_close(unknown, open_g, atol=1e-5, rtol=0)


def test_tags_are_never_averaged(tagged):
    record = numbered(HEAVY, isotype="IGHG")
    prefix = tagged.prompt.ids({"isotype": "IGHG"})
    ids = encode(record, tagged.base.token_map, prefix).input_ids[None]
    with torch.inference_mode():
        states = tagged.model(
            input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True
        ).hidden_states[-1]
    (vector,) = tagged.embed([record], own_tags=True)
    expected = states[0, len(prefix) : -1].mean(dim=0)
    torch.testing.assert_close(vector, expected, atol=1e-5, rtol=0)


# --- the command -------------------------------------------------------------------------------


def embed(*arguments):
    return CliRunner().invoke(app, ["embed", *map(str, arguments)])


@pytest.fixture
def given(tmp_path, monkeypatch, sapiens):
    """An empty folder to work in, with four chains that can be embedded and two that cannot."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("hfbio.model.load", lambda *_, **__: sapiens)
    rows = [(f"c{i}", heavy_with(cdr3), "IGHG1") for i, cdr3 in enumerate(random_cdr3s(4))]
    rows += [("globin", GLOBIN, ""), ("kappa", KAPPA, "")]
    text = "".join(f"{name},{sequence},human,IGHV3-66*01,{c}\n" for name, sequence, c in rows)
    (tmp_path / "given.csv").write_text("sequence_id,sequence_aa,species,v_call,c_call\n" + text)
    return tmp_path


def test_the_file_holds_ids_labels_and_the_vectors(given, sapiens):
    done = embed("sapiens-vh", "given.csv", "--output", "out/e.parquet", "--region", "cdr3")
    assert done.exit_code == 0, done.output
    assert "embedded 4, 128 numbers each, rejected 2" in done.output
    table = pq.read_table("out/e.parquet")
    text = pa.string()
    assert table.schema.names == [
        "sequence_id", "locus", "v_family", "isotype", "species", "embedding",
    ]  # fmt: skip
    assert table.schema.types == [*[text] * 5, pa.list_(pa.float32(), 128)]
    assert table["sequence_id"].to_pylist() == ["c0", "c1", "c2", "c3"]
    row = table.slice(0, 1).drop(["sequence_id", "embedding"]).to_pylist()[0]
    assert row == {"locus": "IGH", "v_family": "IGHV3", "isotype": "IGHG", "species": "human"}
    records = [numbered(heavy_with(cdr3)) for cdr3 in random_cdr3s(4)]
    vectors = np.stack(table["embedding"].to_numpy())
    np.testing.assert_array_equal(vectors, sapiens.embed(records, region="cdr3").numpy())
    assert json.loads(table.schema.metadata[METADATA]) == {
        "base": "sapiens-vh",
        "base_revision": None,
        "tuned": False,
        "layer": -1,
        "region": "cdr3",
        "own_tags": False,
    }
    rejects = (given / "out" / "e.rejects.tsv").read_text()
    assert "globin\tnot an antibody" in rejects
    assert "kappa\tnot a chain this model reads" in rejects


def test_a_map_is_drawn_and_nothing_else_is_touched(given):
    before = (given / "given.csv").read_bytes()
    arguments = ["--map", "m.svg", "--colour", "isotype"]
    done = embed("sapiens-vh", "given.csv", "--output", "e.parquet", *arguments)
    assert done.exit_code == 0, done.output
    assert "map         m.svg" in done.output
    written = {path.name for path in given.iterdir()}
    assert written == {"given.csv", "e.parquet", "e.rejects.tsv", "m.svg"}
    assert (given / "given.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "e.csv"], "written as .parquet"),
        (["--region", "cdr4"], "region must be one of"),
        (["--layer", "9"], "layer must be within 0 and 4"),
        (["--map", "m.pdf"], "a map is written as"),
        (["--map", "m.svg", "--colour", "sequence_aa"], "coloured by one of"),
        (["--map", "m.svg", "--map_by", "tsne"], "pca or umap"),
        (["--probe", "--own_tags"], "read the labels off the tags"),
        (["--probe"], "nothing to probe: v_family: .*IGHV3 4.*locus"),
        (["--batch_size", "0"], "batch_size must be >= 1"),
    ],
)
def test_a_fault_is_told_and_leaves_nothing_behind(given, arguments, message):
    done = embed("sapiens-vh", "given.csv", "--output", "e.parquet", *arguments)
    assert isinstance(done.exception, hfbio.errors.HfbioError)
    assert re.search(message, str(done.exception))
    assert [path.name for path in given.iterdir()] == ["given.csv"]


def test_a_file_without_chains_for_the_model_is_a_fault(given):
    (given / "kappa.fasta").write_text(f">k\n{KAPPA}\n")
    done = embed("sapiens-vh", "kappa.fasta", "--output", "e.parquet")
    assert "none of 1 chains can be embedded" in str(done.exception)


def test_the_input_is_not_overwritten(given):
    (given / "given.csv").rename(given / "given.parquet")
    done = embed("sapiens-vh", "given.parquet", "--output", "../" + given.name + "/given.parquet")
    assert "is what is read" in str(done.exception)
