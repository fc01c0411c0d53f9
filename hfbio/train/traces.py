"""What a bundle tells of its training chains: a hashed sketch and a map. Holds no sequence."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from hfbio.bundle import LATENT_MAP, SKETCH
from hfbio.data.thin import thin
from hfbio.errors import DataError
from hfbio.record import Antibody
from hfbio.score.assess import Contender
from hfbio.score.embed import mean_states, untagged
from hfbio.score.latent_map import MAX_POINTS, LatentMap
from hfbio.score.sketch import Sketch


def save_sketch(folder: Path, train: Sequence[Antibody]) -> None:
    """Write novelty.safetensors: by it a page tells how new a design is."""
    Sketch.of(train).save(folder / SKETCH)


def save_map(folder: Path, train: Sequence[Antibody], tuned: Contender, batch_size: int) -> None:
    """Write latent.safetensors; too few chains, or all alike, leave none and a warning.

    Args:
        folder: where to.
        train: chains or pairs; at most 2,000 are shown, one of each clone first.
        tuned: whole in this process: a model that is spread over ranks computes in step with them.
        batch_size: chains per network pass.
    """
    shown = [train[i] for i in thin(train, MAX_POINTS)]
    examples = untagged(shown, tuned.tokens, tuned.prompt)
    vectors = mean_states(tuned.model, tuned.tokens, examples, batch_size=batch_size)
    try:
        LatentMap.of(shown, vectors).save(folder / LATENT_MAP)
    except DataError as error:
        warnings.warn(f"the bundle has no {LATENT_MAP}: {error}", stacklevel=2)
