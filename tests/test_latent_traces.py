"""The map of training chains that travels with a model."""

import json

import pytest
import torch
from antibodies import heavy_with, random_cdr3s
from safetensors.torch import load_file, save_file
from toys import numbered, seeded

from hfbio.errors import BundleError, DataError, SecretError
from hfbio.hub.secrets import require_no_secrets
from hfbio.score.latent_map import LABELS, MAX_BYTES, MAX_POINTS, LatentMap

RECORDS = [
    numbered(heavy_with(cdr3), f"c{i}", v_call="IGHV3-66*01", isotype="IGHG" if i % 2 else "")
    for i, cdr3 in enumerate(random_cdr3s(30))
]
VECTORS = torch.randn(30, 6, generator=seeded()) * torch.tensor([5.0, 3, 1, 0.5, 0.1, 0]) + 7


@pytest.fixture
def path(tmp_path):
    LatentMap.of(RECORDS, VECTORS).save(tmp_path / "m")
    return tmp_path / "m"


def test_a_map_comes_back_from_its_file_with_names_and_labels(path):
    found = LatentMap.read(path, 6)
    assert found.points.shape == (30, 2)
    assert found.ids == tuple(f"c{i}" for i in range(30))
    assert set(found.labels) == {"v_family", "isotype", "locus", "species"}
    assert found.labels["v_family"] == ("IGHV3",) * 30
    assert found.labels["isotype"][:2] == ("", "IGHG")
    assert sum(found.explained) > 0.9
    made = LatentMap.of(RECORDS, VECTORS)
    assert found.points.equal(made.points)
    assert found.explained == pytest.approx(made.explained)


def test_chains_lie_where_their_points_are_and_new_ones_beside_their_like(path):
    found = LatentMap.read(path, 6)
    torch.testing.assert_close(found.project(VECTORS), found.points, atol=1e-4, rtol=1e-5)
    moved = found.project(VECTORS[:1] + 0.01) - found.points[:1]
    assert 0 < moved.norm() < 0.03
    with pytest.raises(ValueError, match=r"must be \(S, 6\), got \(1, 5\)"):
        found.project(torch.zeros(1, 5))


def test_a_map_tells_two_numbers_of_a_chain_and_none_of_its_residues(path):
    content = path.read_bytes()
    shapes = {name: tuple(tensor.shape) for name, tensor in load_file(path).items()}
    assert shapes == {"points": (30, 2), "mean": (6,), "directions": (6, 2), "explained": (2,)}
    pieces = {r.sequence_aa[i : i + 5].encode() for r in RECORDS for i in range(100)}
    assert not any(piece in content for piece in pieces)


def test_names_that_cannot_be_shown_are_mended_so_that_they_can_be_read(tmp_path):
    odd = numbered(heavy_with("ARGYSSGYSDY"), "x\ty\u202e" + "z" * 200, species="s" * 80)
    LatentMap.of([odd, *RECORDS[1:]], VECTORS).save(tmp_path / "m")
    found = LatentMap.read(tmp_path / "m")
    assert found.ids[0] == "x?y?" + "z" * 96
    assert found.labels["species"][0] == "s" * 64


def test_a_name_that_is_a_path_of_this_machine_stops_a_push(tmp_path):
    from_home = numbered(heavy_with("ARGYSSGYSDY"), "/home/ada/donor7.fasta:3")
    LatentMap.of([from_home, *RECORDS[1:]], VECTORS).save(tmp_path / "latent.safetensors")
    with pytest.raises(SecretError, match=r"latent\.safetensors.* a path of somebody's home"):
        require_no_secrets({"latent.safetensors": tmp_path / "latent.safetensors"}, {})


def test_few_chains_alike_ones_and_too_many_are_refused():
    # Of three chains, plane and coordinates together would be the vectors.
    with pytest.raises(DataError, match="at least 20 chains, got 19"):
        LatentMap.of(RECORDS[:19], VECTORS[:19])
    with pytest.raises(DataError, match="all vectors are equal"):
        LatentMap.of(RECORDS, torch.ones(30, 6))
    n = MAX_POINTS + 1
    with pytest.raises(ValueError, match="at most 2000 chains, got 2001"):
        LatentMap.of([RECORDS[0]] * n, torch.zeros(n, 6))


def spoilt(path, note=None, **tensors):
    """The file with other tensors (``None`` removes one) or another note."""
    told = {
        "format": "1",
        "ids": [r.sequence_id for r in RECORDS],
        "labels": {name: [""] * 30 for name in LABELS},
    }
    text = note if isinstance(note, str) else json.dumps(told | (note or {}))
    kept = {name: t for name, t in (load_file(path) | tensors).items() if t is not None}
    path.unlink()
    save_file(kept, path, metadata={"map": text})


def test_what_the_next_test_spoils_can_be_read(path):
    spoilt(path)
    assert LatentMap.read(path, 6).labels["locus"] == ("",) * 30


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"points": None}, "no map of training chains"),
        ({"more": torch.zeros(1)}, "no map of training chains"),
        ({"points": torch.zeros(30, 3)}, "no map of training chains"),
        ({"points": torch.zeros(())}, "no map of training chains"),
        ({"points": torch.zeros(MAX_POINTS + 1, 2)}, "no map of training chains"),
        ({"mean": torch.zeros(7)}, "vectors have 6 numbers"),
        ({"directions": torch.zeros(6, 2, dtype=torch.float64)}, "is of type F64"),
        ({"points": torch.full((30, 2), torch.nan)}, "not finite"),
        ({"mean": torch.full((6,), torch.inf)}, "not finite"),
        ({"explained": torch.tensor([2.0, 0.0])}, "shares of the variance are 2.0"),
        ({"note": ""}, "is not JSON"),
        ({"note": "[1]"}, "must be an object"),
        ({"note": {"format": "9"}}, "no map that this hfbio reads"),
        ({"note": {"labels": {"locus": [""] * 30}}}, "no map that this hfbio reads"),
        ({"note": {"labels": []}}, "no map that this hfbio reads"),
        ({"note": {"ids": ["a"] * 29}}, "ids must be 30 texts"),
        ({"note": {"ids": [1] * 30}}, "ids must be 30 texts"),
        ({"note": {"ids": "a" * 30}}, "ids must be 30 texts"),
        ({"note": {"ids": ["a" * 101] * 30}}, "at most 100 letters"),
        ({"note": {"ids": ["\u202ea"] * 30}}, "invisible"),
        ({"note": {"labels": {n: ["x" * 65] * 30 for n in LABELS}}}, "at most 64 letters"),
    ],
    ids=range(21),
)
def test_a_file_that_is_no_map_is_refused(path, change, named):
    spoilt(path, **change)
    with pytest.raises(BundleError, match=named) as caught:
        LatentMap.read(path, 6)
    assert str(caught.value).isprintable()


def test_a_file_that_is_too_large_is_refused(path):
    with path.open("r+b") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(BundleError, match="larger than"):
        LatentMap.read(path, 6)
