"""hfbio: fine-tune protein language models on antibodies, publish them, sample from them.

The names below are imported when they are first used, so that ``import hfbio`` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hfbio.data import read
    from hfbio.model import AntibodyModel, load
    from hfbio.sample import Request
    from hfbio.train import FinetuneConfig, finetune

__version__ = "0.1.0"

_HOMES = {
    "AntibodyModel": "hfbio.model",
    "FinetuneConfig": "hfbio.train",
    "Request": "hfbio.sample",
    "finetune": "hfbio.train",
    "load": "hfbio.model",
    "read": "hfbio.data",
}

__all__ = ["AntibodyModel", "FinetuneConfig", "Request", "__version__", "finetune", "load", "read"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'hfbio' has no attribute {name!r}")
