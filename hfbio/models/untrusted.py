"""Files that a stranger wrote: sizes, shapes and plain JSON first, contents later. Runs nothing.

Only JSON and safetensors are read. A symbolic link is followed (the Hub's cache consists of
them), but it must end in a regular file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from hfbio.errors import BundleError

MAX_JSON_BYTES: Final = (
    16_000_000  # hfbio.json of real runs has some 10,000, tokenizers 10 times that
)
MAX_HEADER_BYTES: Final = 4_000_000  # of a safetensors file; ESM-2 650M has some 80,000
MAX_TEXT: Final = 4_000  # letters of one string
_MAX_DEPTH: Final = 16
_MAX_INTEGER: Final = 10**18
_FLOATS: Final = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True)
class Entry:
    """What a safetensors header says of one tensor."""

    shape: tuple[int, ...]
    dtype: str  # as safetensors spells it: F32, BF16, I64 …


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file of moderate size, with plain values only.

    Raises:
        BundleError: no regular file, too large, not JSON, no object, a name twice in an object;
            NaN, an infinite or a huge number; a very long string or one with control characters;
            nesting beyond 16 levels.
    """
    raw = read_json(path)
    if not isinstance(raw, dict):
        raise BundleError(f"{path} must hold an object, got {type(raw).__name__}")
    _require_plain(path, raw)
    return raw


def read_json(path: Path) -> Any:
    """Whatever a JSON file of at most 16 MB holds, NaN and all.

    Raises:
        BundleError: no regular file, too large, not JSON, or a name twice in an object.
    """
    require_small(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:  # also bad UTF-8, numbers or lists without end
        raise BundleError(f"{path} is not JSON: {error!s:.200}") from None


def require_small(path: Path) -> None:
    """Raise BundleError unless ``path`` is a regular file of at most 16 MB."""
    require_bytes(path, MAX_JSON_BYTES)


def require_bytes(path: Path, most: int) -> None:
    """Raise BundleError unless ``path`` is a regular file of at most ``most`` bytes."""
    _require_file(path)
    require_size(path, path.stat().st_size, most)


def require_size(name: object, n_bytes: int | None, most: int) -> None:
    """Raise BundleError if the file ``name`` is larger than such a file can need, or unmeasured."""
    if n_bytes is None or n_bytes > most:
        size = "unknown size" if n_bytes is None else f"{n_bytes:,} bytes"
        raise BundleError(
            f"{name} is of {size}, larger than the {most:,} bytes such a file can need; "
            "do not use it"
        )


def read_header(path: Path, dtypes: Collection[str] = _FLOATS) -> dict[str, Entry]:
    """Names, shapes and types of the tensors in a safetensors file; none is read.

    The file's length agrees with them, and every type is one of ``dtypes``.

    Raises:
        BundleError: anything else.
    """
    _require_file(path)
    with path.open("rb") as file:
        n_bytes = int.from_bytes(file.read(8), "little")
    if n_bytes > MAX_HEADER_BYTES:
        raise BundleError(f"{path} is no safetensors file: its header would have {n_bytes:,} bytes")
    try:
        with safe_open(path, "pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            entries = {
                name: Entry(tuple(part.get_shape()), part.get_dtype())
                for name, part in slices.items()
            }
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path} is no safetensors file: {error!s:.200}") from None
    if odd := sorted(name for name, entry in entries.items() if entry.dtype not in dtypes):
        raise BundleError(
            f"{path}: {odd[0]!r:.80} is of type {entries[odd[0]].dtype}; what it should hold is of "
            + ", ".join(dtypes)
        )
    return entries


def read_note(path: Path, name: str) -> dict[str, Any]:
    """The JSON object that a safetensors file has under ``name`` beside its tensors.

    Call it after `read_header`, which bounds what is read here.

    Raises:
        BundleError: there is none, or it is not such an object as `read_object` takes.
    """
    with safe_open(path, "pt") as file:
        text = (file.metadata() or {}).get(name, "")
    try:
        raw = json.loads(text, object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: its note {name!r} is not JSON: {error!s:.200}") from None
    if not isinstance(raw, dict):
        raise BundleError(f"{path}: its note {name!r} must be an object, got {raw!r:.80}")
    _require_plain(path, raw)
    return raw


def read_tensors(path: Path, names: Iterable[str]) -> dict[str, Tensor]:
    """The tensors called ``names``, on the CPU; check them by `read_header` first.

    Raises:
        BundleError: a value that is not finite.
    """
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in sorted(names)}
    if odd := [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]:
        raise BundleError(f"{path}: {odd[0]} holds values that are not finite; train it again")
    return tensors


def require_defaults(
    path: Path, found: Mapping[str, Any], defaults: Mapping[str, Any], free: Iterable[str]
) -> None:
    """All fields but the ``free`` ones are as a library sets them by default.

    A field the library does not know, such as one of a later version, must be null, false, empty
    or zero: off.

    Raises:
        BundleError: naming the first field that is set to something.
    """
    for name in sorted(set(found) - set(free)):
        value = found[name]
        if value != defaults.get(name) and (name in defaults or value):
            raise BundleError(
                f"{path}: {name!r:.80} is {value!r:.80}, which hfbio does not write and does not "
                "read; use a bundle made by hfbio, or update hfbio"
            )


def _require_file(path: Path) -> None:
    if not path.is_file():  # nor a device or a pipe, which has no end
        raise BundleError(f"{path.parent} holds no file {path.name}")


def _require_plain(path: Path, value: Any) -> None:
    waiting: list[tuple[Any, tuple[object, ...]]] = [(value, ())]
    while waiting:
        item, place = waiting.pop()
        if isinstance(item, dict):
            waiting += [(name, (*place, "a name")) for name in item]
            waiting += [(part, (*place, name)) for name, part in item.items()]
        elif isinstance(item, list):
            waiting += [(part, (*place, i)) for i, part in enumerate(item)]
        if fault := _fault(item, len(place)):
            where = ".".join(map(str, place[:4]))
            raise BundleError(f"{path}: {where:.80} {fault}")


def _fault(item: Any, depth: int) -> str:
    if depth > _MAX_DEPTH:
        return f"is nested more than {_MAX_DEPTH} levels deep"
    if isinstance(item, str) and len(item) > MAX_TEXT:
        return f"is a text of {len(item):,} letters: {item!r:.80}"
    if isinstance(item, str) and not item.replace("\n", "").replace("\t", "").isprintable():
        return f"holds invisible characters: {item!a:.80}"
    if isinstance(item, float) and not math.isfinite(item):
        return f"is {item}; numbers must be finite"
    if isinstance(item, int) and abs(item) > _MAX_INTEGER:
        return f"is a number beyond 1e18: {item!r:.80}"
    return ""


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return content
