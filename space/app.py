"""A page on which antibodies are sampled from one model, the one that HFBIO_MODEL names.

Started by `hfbio space launch` and, on the Hub, by the Space that `hfbio space create` makes. Loads
one model when it starts; trains nothing and keeps nothing of what visitors ask.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

# Before torch comes: threads that wait sleep, so that page and model do not stall each other.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
if os.environ.get("SPACES_ZERO_GPU"):
    import spaces  # noqa: F401, before torch: it puts its own CUDA in torch's place

import torch

import hfbio
from hfbio.errors import HfbioError, MissingExtra
from hfbio.model.fetch import fetch_metrics
from hfbio.score.humanness import oasis_identity
from page.build import page
from page.serve import serve
from page.studio import Studio


def main() -> None:
    """Load the model, then serve the page; a fault of the settings ends it with one line."""
    name = os.environ.get("HFBIO_MODEL", "")
    if not name:
        sys.exit("hfbio: set HFBIO_MODEL to a Hub id, a run folder or a catalogue alias")
    revision = os.environ.get("HFBIO_REVISION") or None
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        studio = Studio(hfbio.load(name, revision=revision, device=device), _shown(name))
        blocks = page(studio, revision=revision or "", metrics=fetch_metrics(name, revision))
    except HfbioError as error:
        sys.exit(f"hfbio: {error}")
    # The list of human 9-mers takes seconds to read: the first visitor should not wait for it. A
    # Space that lends GPUs forks, and a fork inherits a lock that is held at that moment: there it
    # is read at once. Elsewhere once the page is up, because Gradio does not start when its own
    # server answers too slowly.
    lends = bool(os.environ.get("SPACES_ZERO_GPU"))
    if lends:
        _read_list()
    try:
        # Not quiet, gradio would offer to show the page to the whole world.
        serve(blocks, quiet=True, prevent_thread_lock=True)
    except OSError as error:  # the port is taken
        sys.exit(f"hfbio: {error}")
    print(f"hfbio: the page of {studio.name} is at {blocks.local_url}; Ctrl-C ends it", flush=True)
    if not lends:
        _read_list()
    blocks.block_thread()
    sys.stdout.flush()
    os._exit(0)  # Python would take 20 s to take torch and the list of 9-mers apart


def _shown(name: str) -> str:
    """What visitors are told: no folders of this machine."""
    return Path(name).resolve().name if Path(name).is_dir() else name


def _read_list() -> None:
    with suppress(MissingExtra):  # then designs are shown without their humanness
        oasis_identity([])


if __name__ == "__main__":
    main()
