"""Which layers of a model a pattern means. Adapts none of them.

Patterns may come from a stranger's adapter_config.json, and one such as ``(a*)*b`` keeps Python's
`re` busy for years. RE2, which pyarrow brings, takes time linear in the text. It knows the same
patterns but for those that look around or back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from torch import nn

MAX_PATTERN: Final = 1_000  # letters
MAX_ENDINGS: Final = 64

_ENDING: Final = re.compile(r"[A-Za-z0-9_.]{1,200}")


def matching_layers(model: nn.Module, pattern: str) -> list[str]:
    """Names of the linear layers whose whole name ``pattern`` matches, in the model's order.

    Raises:
        ValueError: not a pattern that RE2 reads, or longer than 1,000 letters; or it matches
            none, or also a module that is no linear layer.
    """
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"it is longer than {MAX_PATTERN:,} letters")
    modules = {name: module for name, module in model.named_modules() if name}
    try:
        pc.match_substring_regex(pa.array([""]), pattern)  # else `a)|(b` would pass below
        found = pc.match_substring_regex(pa.array(list(modules)), rf"\A(?:{pattern})\z")
    except (pa.ArrowInvalid, UnicodeEncodeError) as error:
        raise ValueError(f"it is not a regular expression that RE2 reads: {error!s:.200}") from None
    names = [name for name, hit in zip(modules, found.to_pylist()) if hit]
    layers = [name for name, module in modules.items() if isinstance(module, nn.Linear)]
    if not names:
        raise ValueError(
            f"it matches no linear layer; layers are called {layers[0]}, ..., {layers[-1]}"
        )
    if others := [name for name in names if not isinstance(modules[name], nn.Linear)]:
        raise ValueError(f"it matches {others[0]}, which is no linear layer")
    return names


def modules_ending(model: nn.Module, endings: Sequence[str]) -> list[str]:
    """Names of the modules that end in one of ``endings``, as peft's ``modules_to_save`` has it.

    Raises:
        ValueError: an ending that is empty, odd or the end of no name; more than 64 of them; or a
            module that lies in another, which peft would copy twice.
    """
    names = [name for name, _ in model.named_modules(remove_duplicate=False) if name]
    if len(endings) > MAX_ENDINGS:
        raise ValueError(f"names {len(endings):,} endings; at most {MAX_ENDINGS} are read")
    for ending in endings:
        if not _ENDING.fullmatch(ending):
            raise ValueError(f"{ending!r:.80} is not the end of a module's name")
        if not any(name.endswith(ending) for name in names):
            raise ValueError(
                f"no module has a name that ends in {ending!r:.80}; the last ones are called "
                + ", ".join(names[-5:])
            )
    found = [name for name in names if name.endswith(tuple(endings))]
    chosen = set(found)
    for name in found:
        parts = name.split(".")
        outer = {".".join(parts[:depth]) for depth in range(1, len(parts))} & chosen
        if outer:
            raise ValueError(f"{name} lies in {outer.pop()}, which is trained in full as well")
    return found
