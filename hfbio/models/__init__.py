"""Base models: what there is, how to load and check it, how to adapt it.

The names below are imported when they are first used: `hfbio.models.catalogue` is a plain table,
and reading it should not cost an import of torch and peft.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hfbio.models.dropout import set_dropout
    from hfbio.models.load import LoadedBase, load_base
    from hfbio.models.lora import AdapterConfig, attach, merge, restore
    from hfbio.models.standalone import load_standalone
    from hfbio.models.tags import add_tags, recognise_tags
    from hfbio.models.token_dropout import for_objective, without_token_dropout

_HOMES = {
    "AdapterConfig": "lora",
    "LoadedBase": "load",
    "add_tags": "tags",
    "attach": "lora",
    "for_objective": "token_dropout",
    "load_base": "load",
    "load_standalone": "standalone",
    "merge": "lora",
    "recognise_tags": "tags",
    "restore": "lora",
    "set_dropout": "dropout",
    "without_token_dropout": "token_dropout",
}

__all__ = [
    "AdapterConfig",
    "LoadedBase",
    "add_tags",
    "attach",
    "for_objective",
    "load_base",
    "load_standalone",
    "merge",
    "recognise_tags",
    "restore",
    "set_dropout",
    "without_token_dropout",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"hfbio.models.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'hfbio.models' has no attribute {name!r}")
