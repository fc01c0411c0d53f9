"""Two coordinates for each vector, to be drawn as a map. Draws nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor

from hfbio.errors import DataError, MissingExtra, SettingError

Method = Literal["pca", "umap"]
_NEIGHBOURS: Final = 15  # of UMAP; the default of umap-learn


@dataclass(frozen=True)
class Axes:
    """Where a plane lies among vectors, to place others on it."""

    mean: Tensor  # (H,)
    directions: Tensor  # (H, 2), orthonormal

    def place(self, vectors: Tensor) -> Tensor:
        """``(S, 2)`` float32 coordinates of ``(S, H)`` vectors, computed in float64.

        Raises:
            ValueError: vectors of another size.
        """
        if vectors.dim() != 2 or vectors.shape[1] != len(self.mean):
            raise ValueError(
                f"vectors must be (S, {len(self.mean)}), got {tuple(vectors.shape)}; the map is "
                "that of another model"
            )
        return ((vectors.double() - self.mean.double()) @ self.directions.double()).float()


@dataclass(frozen=True)
class Projection:
    """Points of a map."""

    method: Method
    points: Tensor  # (S, 2) float32
    explained: tuple[float, float] | None  # shares of the variance, each in [0, 1]; PCA only


def projector(method: str, *, seed: int = 0) -> Callable[[Tensor], Projection]:
    """A function from ``(S, H)`` vectors to their `Projection`.

    What is missing shows here, before the vectors are computed.

    Args:
        method: ``pca``, or ``umap`` by the extra of that name.
        seed: of UMAP; PCA draws nothing.

    Raises:
        SettingError: another method.
        MissingExtra: ``umap`` without its extra.
    """
    if method == "pca":
        return pca
    if method != "umap":
        raise SettingError(f"a map is made by pca or umap, got {method!r}")
    try:
        import umap
    except ImportError as error:
        raise MissingExtra("umap") from error

    def project(vectors: Tensor) -> Projection:
        if len(vectors) <= _NEIGHBOURS:
            raise DataError(f"umap needs more than {_NEIGHBOURS} chains, got {len(vectors)}")
        fit = umap.UMAP(n_neighbors=_NEIGHBOURS, random_state=seed, n_jobs=1)
        points = fit.fit_transform(vectors.numpy())
        return Projection("umap", torch.from_numpy(points).float(), None)

    return project


def pca(vectors: Tensor) -> Projection:
    """Coordinates along the two directions in which ``(S, H)`` vectors vary most.

    Raises:
        DataError: see `principal_axes`.
    """
    axes, explained = principal_axes(vectors)
    return Projection("pca", axes.place(vectors), explained)


def principal_axes(vectors: Tensor) -> tuple[Axes, tuple[float, float]]:
    """The two directions in which ``(S, H)`` vectors vary most, and their shares of the variance.

    Computed in float64 from the covariance. Each direction points to where its largest component
    is positive, so that equal vectors give equal maps.

    Raises:
        DataError: fewer than three vectors, or all of them are equal.

    Source:
        Pearson 1901; Jolliffe 2002, "Principal component analysis", section 1.1.
    """
    if len(vectors) < 3:
        raise DataError(f"a map needs at least 3 chains, got {len(vectors)}")
    mean = vectors.double().mean(dim=0)
    centred = vectors.double() - mean
    values, directions = torch.linalg.eigh(centred.T @ centred)  # ascending
    total = values.clamp_min(0).sum()
    if total <= 1e-12 * vectors.double().square().sum():
        raise DataError("a map needs chains that differ; all vectors are equal")
    first_two = directions[:, [-1, -2]]  # (H, 2)
    largest = first_two.gather(0, first_two.abs().argmax(dim=0, keepdim=True))
    first_two = first_two * largest.sign()
    one, two = (values[[-1, -2]].clamp_min(0) / total).tolist()
    return Axes(mean, first_two), (one, two)
