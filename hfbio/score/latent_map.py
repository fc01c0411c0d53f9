"""A map of the training chains that travels with a model. Holds no sequence and embeds nothing.

Of each chain it holds two coordinates, its name and four labels; of the model the plane that they
lie on. Two numbers are no embedding: chains by the thousand share a point's neighbourhood. Names
and labels are as the table has them, and whoever gets the file reads them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file
from torch import Tensor

from hfbio.data.encode import record_tag
from hfbio.errors import BundleError, DataError
from hfbio.models.untrusted import Entry, read_header, read_note, read_tensors, require_bytes
from hfbio.record import Antibody
from hfbio.score.latent import Axes, principal_axes

MAX_POINTS: Final = 2_000
MIN_POINTS: Final = 20  # of three chains the plane and two coordinates are the whole vectors
MAX_BYTES: Final = 4_000_000  # of the file; 2,000 points of a model 2,560 wide take some 200,000
LABELS: Final = ("v_family", "isotype", "locus", "species")
_ID_LETTERS: Final = 100
_LABEL_LETTERS: Final = 64
_FORMAT: Final = "1"


@dataclass(frozen=True)
class LatentMap:
    """Training chains, or pairs, by the last layer of their model, on the plane of a PCA."""

    points: Tensor  # (n, 2) float32
    ids: tuple[str, ...]  # sequence_id of each; of a pair its cell_id
    labels: Mapping[str, tuple[str, ...]]  # each of `LABELS`, of each point; empty where not known
    explained: tuple[float, float]  # shares of the variance, each in [0, 1]
    axes: Axes

    @classmethod
    def of(cls, records: Sequence[Antibody], vectors: Tensor) -> LatentMap:
        """The map of numbered chains or pairs.

        Names longer than 100 letters and labels longer than 64 are cut; letters that cannot be
        seen become ``?``.

        Args:
            records: at most 2,000; see `hfbio.data.thin`.
            vectors: ``(n, H)`` of each, as `hfbio.AntibodyModel.embed` makes them by default.

        Raises:
            DataError: fewer than 20 chains, or all vectors are equal.
            ValueError: more than 2,000, or another number of vectors.
        """
        if not len(records) == len(vectors) <= MAX_POINTS:
            raise ValueError(
                f"a map takes a vector for each of at most {MAX_POINTS} chains, got {len(records)} "
                f"chains and {len(vectors)} vectors"
            )
        if len(records) < MIN_POINTS:
            raise DataError(
                f"a map that travels shows at least {MIN_POINTS} chains, got {len(records)}"
            )
        axes, explained = principal_axes(vectors)
        return cls(
            axes.place(vectors),
            tuple(_shown(record.sequence_id, _ID_LETTERS) for record in records),
            {
                name: tuple(_shown(record_tag(record, name), _LABEL_LETTERS) for record in records)
                for name in LABELS
            },
            explained,
            Axes(axes.mean.float(), axes.directions.float()),
        )

    def project(self, vectors: Tensor) -> Tensor:
        """``(m, 2)`` float32 coordinates of the ``(m, H)`` vectors of other chains.

        Raises:
            ValueError: vectors of another size, as another model has them.
        """
        return self.axes.place(vectors)

    def save(self, path: Path) -> None:
        """Write a safetensors file, names and labels in its header; equal maps give equal bytes."""
        tensors = {
            "points": self.points,
            "mean": self.axes.mean,
            "directions": self.axes.directions,
            "explained": torch.tensor(self.explained),
        }
        note = {"format": _FORMAT, "ids": self.ids, "labels": self.labels}
        save_file(
            {name: tensor.contiguous() for name, tensor in tensors.items()},
            path,
            metadata={"map": json.dumps(note, ensure_ascii=False)},
        )

    @classmethod
    def read(cls, path: Path, width: int | None = None) -> LatentMap:
        """Read what `save` wrote, or a stranger says that it did.

        Args:
            path: the file.
            width: ``H`` of the model's vectors; any if ``None``.

        Raises:
            BundleError: no such file, too large, no safetensors; other tensors than these, of
                another type or shape; a number that is not finite or no share; names or labels
                that are too long, not one for each point, or hold what cannot be seen.
        """
        require_bytes(path, MAX_BYTES)
        entries = read_header(path, ("F32",))
        n, found_width = (_length(entries.get(name)) for name in ("points", "mean"))
        wide = found_width if width is None else width
        shapes = {"points": (n, 2), "mean": (wide,), "directions": (wide, 2), "explained": (2,)}
        if entries != {name: Entry(shape, "F32") for name, shape in shapes.items()} or not (
            MIN_POINTS <= n <= MAX_POINTS
        ):
            raise BundleError(
                f"{path} is no map of training chains, or not that of a model whose vectors have "
                f"{wide} numbers"
            )
        note = read_note(path, "map")
        labels = note.get("labels")
        if (
            note.get("format") != _FORMAT
            or not isinstance(labels, dict)
            or set(labels) != {*LABELS}
        ):
            raise BundleError(f"{path} is no map that this hfbio reads")
        ids = _texts(path, "ids", note.get("ids"), n, _ID_LETTERS)
        tensors = read_tensors(path, shapes)
        one, two = tensors["explained"].tolist()
        if not (0 <= one <= 1 and 0 <= two <= 1):
            raise BundleError(f"{path}: shares of the variance are {one} and {two}")
        return cls(
            tensors["points"],
            ids,
            {name: _texts(path, name, labels[name], n, _LABEL_LETTERS) for name in LABELS},
            (one, two),
            Axes(tensors["mean"], tensors["directions"]),
        )


def _length(entry: Entry | None) -> int:
    return entry.shape[0] if entry and entry.shape else 0


def _texts(path: Path, name: str, found: object, n: int, most: int) -> tuple[str, ...]:
    fits = isinstance(found, list) and len(found) == n
    if not fits or any(not isinstance(text, str) or len(text) > most for text in found):  # type: ignore[attr-defined]
        raise BundleError(
            f"{path}: {name} must be {n} texts of at most {most} letters, one for each point"
        )
    return tuple(found)  # type: ignore[arg-type]


def _shown(text: str, most: int) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:most]
