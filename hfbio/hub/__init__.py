"""Publish bundles on the Hugging Face Hub; with `space_repo` the only room that changes it.

The names below are imported when they are first used: a Space needs the client alone, and no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hfbio.hub.publish import push
    from hfbio.hub.target import Pushed, Target
    from hfbio.hub.training import Publisher

_HOMES = {
    "Publisher": "hfbio.hub.training",
    "Pushed": "hfbio.hub.target",
    "Target": "hfbio.hub.target",
    "push": "hfbio.hub.publish",
}

__all__ = ["Publisher", "Pushed", "Target", "push"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'hfbio.hub' has no attribute {name!r}")
