"""A page on which antibodies are sampled from one model, the one that HFBIO_MODEL names.

Started by `hfbio space launch` and, on the Hub, by the Space that `hfbio space create` makes. Loads
one model when it starts; trains nothing and keeps nothing of what visitors ask.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

# Before torch comes: threads that wait sleep, so that page and model do not stall each other.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
if os.environ.get("SPACES_ZERO_GPU"):
    import spaces  # noqa: F401, before torch: it puts its own CUDA in torch's place

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

import hfbio
from hfbio.errors import BundleError, HfbioError, MissingExtra
from hfbio.models.untrusted import read_object
from hfbio.score.humanness import oasis_identity
from page.build import page
from page.serve import serve
from page.studio import Studio

METRICS = "metrics.json"


def main() -> None:
    """Load the model, then serve the page; a fault of the settings ends it with one line."""
    name = os.environ.get("HFBIO_MODEL", "")
    if not name:
        sys.exit("hfbio: set HFBIO_MODEL to a Hub id, a run folder or a catalogue alias")
    revision = os.environ.get("HFBIO_REVISION") or None
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        studio = Studio(hfbio.load(name, revision=revision, device=device), _shown(name))
        blocks = page(studio, revision=revision or "", metrics=_metrics(name, revision))
    except HfbioError as error:
        sys.exit(f"hfbio: {error}")
    try:
        serve(blocks, prevent_thread_lock=True)
    except OSError as error:  # the port is taken
        sys.exit(f"hfbio: {error}")
    # The list of human 9-mers takes seconds to read: the first visitor should not wait for it. Only
    # now, because Gradio does not start when its own server answers too slowly.
    _read_list()
    blocks.block_thread()


def _shown(name: str) -> str:
    """What visitors are told: no folders of this machine."""
    return Path(name).resolve().name if Path(name).is_dir() else name


def _read_list() -> None:
    with suppress(MissingExtra):  # then designs are shown without their humanness
        oasis_identity([])


def _metrics(name: str, revision: str | None) -> Mapping[str, Any]:
    """What the model was measured to do; nothing where it was not measured."""
    path = Path(name) / METRICS
    if not Path(name).is_dir():
        if "/" not in name:
            return {}
        try:
            path = Path(hf_hub_download(name, METRICS, revision=revision))
        except (HfHubHTTPError, LocalEntryNotFoundError):
            return {}
    try:
        return read_object(path) if path.is_file() else {}
    except BundleError as error:
        sys.exit(f"hfbio: {error}")


if __name__ == "__main__":
    main()
