"""What a bundle tells of the chains it was trained on, read when it is asked for."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from hfbio.bundle import LATENT_MAP, SKETCH
from hfbio.score.latent_map import LatentMap
from hfbio.score.sketch import Sketch


class Traces:
    """Two files of a bundle, each of which it may lack; a stranger's are checked as they are read.

    Raises:
        BundleError: on access, where a file does not hold what `hfbio finetune` writes.
    """

    def __init__(self, folder: Path | None, model: Any) -> None:
        """Read nothing yet.

        Args:
            folder: the bundle; ``None`` for a bare base.
            model: whose vectors the map shows.
        """
        self._folder = folder
        self._model = model

    @cached_property
    def sketch(self) -> Sketch | None:
        """By which a design's novelty is estimated."""
        path = self._path(SKETCH)
        return Sketch.read(path) if path else None

    @cached_property
    def latent(self) -> LatentMap | None:
        """Points of training chains, and the plane to place others on."""
        path = self._path(LATENT_MAP)
        return LatentMap.read(path, int(self._model.config.hidden_size)) if path else None

    def _path(self, name: str) -> Path | None:
        path = self._folder / name if self._folder else None
        return path if path and path.exists() else None
