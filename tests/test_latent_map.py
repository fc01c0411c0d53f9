"""The map of vectors: its coordinates, and the picture."""

import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toys import seeded

from hfbio.errors import DataError, MissingExtra, SettingError
from hfbio.report.latent import Map, map_figure, write_map
from hfbio.score.latent import pca, projector


def test_pca_finds_the_directions_of_most_variance_and_their_shares():
    turn, _ = torch.linalg.qr(torch.randn(6, 6, generator=seeded(), dtype=torch.float64))
    spread = torch.tensor([5.0, 3.0, 1.0, 0.5, 0.1, 0.0], dtype=torch.float64)
    flat = torch.randn(400, 6, generator=seeded(1), dtype=torch.float64) * spread
    found = pca((flat @ turn.T + 7).float())
    singular = np.linalg.svd((flat - flat.mean(0)).numpy(), compute_uv=False)
    shares = singular**2 / (singular**2).sum()
    assert found.explained == pytest.approx(shares[:2], abs=1e-4)
    assert found.points.mean(dim=0).abs().max() < 1e-4
    assert found.points.square().sum(dim=0).sqrt().tolist() == pytest.approx(singular[:2], rel=1e-4)


def test_the_map_does_not_turn_with_the_order_of_the_chains():
    vectors = torch.randn(50, 8, generator=seeded())
    there, back = pca(vectors).points, pca(vectors.flip(0)).points.flip(0)
    torch.testing.assert_close(there, back, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("vectors", "message"), [(torch.eye(2), "at least 3"), (torch.ones(9, 4), "all vectors")]
)
def test_a_map_of_nothing_is_refused(vectors, message):
    with pytest.raises(DataError, match=message):
        pca(vectors)


def test_another_kind_of_map_is_refused():
    with pytest.raises(SettingError, match="pca or umap, got 'tsne'"):
        projector("tsne")


def test_umap_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)  # as if it were not installed
    with pytest.raises(MissingExtra, match=r"hfbio\[umap\]"):
        projector("umap")


def test_umap_is_given_the_seed_and_enough_chains(monkeypatch):
    # A stand-in: umap-learn and what it needs take 270 MB and a minute to compile.
    class UMAP:
        def __init__(self, **settings):
            assert settings == {"n_neighbors": 15, "random_state": 3, "n_jobs": 1}

        def fit_transform(self, vectors):
            return vectors[:, :2].astype(np.float32)

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=UMAP))
    vectors = torch.randn(16, 5, generator=seeded())
    found = projector("umap", seed=3)(vectors)
    assert found.points.equal(vectors[:, :2])
    assert found.explained is None
    (axes,) = map_figure(Map(found, "locus", ["IGH"] * 16, "model")).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("UMAP 1", "UMAP 2")
    with pytest.raises(DataError, match="more than 15 chains, got 15"):
        projector("umap", seed=3)(vectors[:15])


def drawn(values, caption="model"):
    points = torch.randn(len(values), 6, generator=seeded())
    return Map(pca(points), "v_family", values, caption)


def test_classes_differ_in_shape_too_and_the_legend_counts_all_chains():
    values = [f"IGHV{i}" for i in range(1, 13) for _ in range(i)] + ["", ""]
    (axes,) = map_figure(drawn(values)).axes
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts[0] == "IGHV5  5"  # the eight largest, by name; the four smaller ones are others
    assert texts[7:] == ["IGHV12  12", "others  10", "not known  2"]
    assert sum(int(text.split()[-1]) for text in texts) == len(values)
    points = [c for c in axes.collections if not c.get_label().startswith(("others", "not"))]
    shapes = {c.get_paths()[0].vertices.tobytes() for c in points}
    colours = {tuple(c.get_facecolor()[0]) for c in points}
    assert len(shapes) == len(colours) == 8
    assert re.fullmatch(r"principal component 1, \d+\.\d% of the variance", axes.get_xlabel())


@pytest.mark.parametrize("suffix", [".svg", ".png", ".html"])
def test_the_same_map_gives_the_same_bytes(tmp_path, suffix):
    values = ["IGHV1", "IGHV3", "", "IGHV3"]
    for name in ("one", "two"):
        write_map(drawn(values, "a <b>$x$ & model"), tmp_path / f"{name}{suffix}")
    one = (tmp_path / f"one{suffix}").read_bytes()
    assert one == (tmp_path / f"two{suffix}").read_bytes()
    if suffix == ".html":
        assert b"<td>IGHV3</td><td>2</td>" in one
        assert b"<b>" not in one
        assert b"http" not in re.sub(rb'xmlns[:\w]*="[^"]*"|rdf:resource="[^"]*"', b"", one)
