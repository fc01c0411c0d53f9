"""Base models: what there is, how to load and check it, how to adapt it."""

from hfbio.models.dropout import set_dropout
from hfbio.models.load import LoadedBase, load_base
from hfbio.models.lora import AdapterConfig, attach, merge, restore
from hfbio.models.tags import add_tags
from hfbio.models.token_dropout import for_objective, without_token_dropout

__all__ = [
    "AdapterConfig",
    "LoadedBase",
    "add_tags",
    "attach",
    "for_objective",
    "load_base",
    "merge",
    "restore",
    "set_dropout",
    "without_token_dropout",
]
