"""What a new model is made of, as its config.json says. Loads no model."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hfbio.bundle import Manifest
from hfbio.models.catalogue import FAMILIES
from hfbio.models.full_file import CONFIG
from hfbio.models.untrusted import read_object

_SIZES: Final = {
    "num_hidden_layers": "layers",
    "hidden_size": "width",
    "num_attention_heads": "attention heads",
    "intermediate_size": "width of the feed-forward layers",
    "vocab_size": "tokens, tags included",
    "max_position_embeddings": "positions",
}


def architecture(folder: Path, manifest: Manifest) -> dict[str, str]:
    """Class and sizes, ready to print; the class alone where there is no config.json.

    Raises:
        BundleError: a config.json that is not a plain JSON object.
    """
    family = FAMILIES[manifest.family]
    kind = "causal" if family.causal else "masked"
    told = {"architecture": f"{family.model_type}, {kind}, of the classes of transformers"}
    path = folder / CONFIG
    raw = read_object(path) if path.is_file() else {}
    return told | {words: f"{raw[name]:,}" for name, words in _SIZES.items() if name in raw}
