"""adapter_config.json of a stranger: checked, and rebuilt by hand. Loads no weights.

peft would honour all of it: fields that import modules, copy layers, start other methods or ask
for any amount of memory. What `hfbio.models.attach` sets is read here, each field with its type
and range; all others must be as peft sets them by default.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from peft import LoraConfig

from hfbio.errors import AdapterMismatch, BundleError
from hfbio.models.load import LoadedBase
from hfbio.models.targets import matching_layers, modules_ending
from hfbio.models.untrusted import Entry, read_object, require_defaults

ADAPTER_CONFIG: Final = "adapter_config.json"
MAX_RANK: Final = 1024
MAX_ALPHA: Final = 1_000_000

_FREE: Final = (
    *("r", "lora_alpha", "lora_dropout", "use_dora", "use_rslora", "target_modules"),
    *("modules_to_save", "trainable_token_indices", "base_model_name_or_path", "revision"),
    *("auto_mapping", "inference_mode", "peft_version", "peft_type"),
)


@dataclass(frozen=True)
class AdapterFile:
    """An adapter's settings, every one checked."""

    path: Path
    target: str  # the regex it was made with
    layers: tuple[str, ...]  # names of the adapted linear layers
    fields: Mapping[str, Any]  # of LoraConfig

    def config(self, *, trainable: bool) -> LoraConfig:
        """What peft is given: the layers by their names, whatever pattern chose them."""
        names = "|".join(map(re.escape, self.layers))
        return LoraConfig(**{**self.fields, "target_modules": names}, inference_mode=not trainable)

    def require_low_rank(self, header: Mapping[str, Entry], loaded: LoadedBase) -> None:
        """The two matrices of each layer are in the file, so that peft allocates no more than that.

        Raises:
            AdapterMismatch: one is not, or has another shape.
        """
        r, odd = self.fields["r"], []
        for name in self.layers:
            layer = loaded.model.get_submodule(name)
            shapes = {"lora_A": (r, layer.in_features), "lora_B": (layer.out_features, r)}
            for part, shape in shapes.items():
                key = f"base_model.model.{name}.{part}.weight"
                if key not in header or header[key].shape != shape:
                    odd.append(key)
        if odd:
            raise AdapterMismatch(
                f"{self.path.parent}: {len(odd)} weights are missing or of another shape than "
                f"{self.path.name} and {loaded.name} say: {', '.join(odd[:5])}"
            )


def read_adapter_file(folder: Path, loaded: LoadedBase) -> AdapterFile:
    """Read and check adapter_config.json against the base it shall adapt.

    Args:
        folder: holds it.
        loaded: the base, with its tags and not yet adapted.

    Raises:
        BundleError: not JSON, or a field that `attach` would not have written.
        AdapterMismatch: trained on another base, another commit of it, or with other tags; or it
            names layers that the base does not have.
    """
    path = folder / ADAPTER_CONFIG
    raw = read_object(path)
    if raw.get("peft_type") != "LORA":
        raise BundleError(f"{path}: peft_type is {raw.get('peft_type')!r:.80}; hfbio reads LORA")
    _require_base(loaded, path, raw)
    fields = {
        "r": _number(path, raw, "r", int, 1, MAX_RANK),
        "lora_alpha": _number(path, raw, "lora_alpha", int, 1, MAX_ALPHA),
        "lora_dropout": _number(path, raw, "lora_dropout", float, 0, math.nextafter(1, 0)),
        "use_dora": _flag(path, raw, "use_dora"),
        "use_rslora": _flag(path, raw, "use_rslora"),
        "trainable_token_indices": _rows(loaded),
        "modules_to_save": raw.get("modules_to_save"),
        "base_model_name_or_path": loaded.name,
        "revision": raw.get("revision"),
    }
    _flag(path, raw, "inference_mode")
    _require_text(path, raw, "peft_version", r"[\w.+@!-]{1,64}")
    mapping = raw.get("auto_mapping")  # peft writes it for itself; it is not used
    if mapping is not None:
        if not isinstance(mapping, dict) or set(mapping) != {"base_model_class", "parent_library"}:
            raise BundleError(
                f"{path}: auto_mapping is {mapping!r:.80}, not a class and its library"
            )
        for name in mapping:
            _require_text(path, mapping, name, r"[\w.]{1,200}")
    # As JSON has it: peft's default of `target_modules` and such are None in both.
    require_defaults(path, raw, LoraConfig().to_dict(), _FREE)

    target, endings = raw.get("target_modules"), raw.get("modules_to_save")
    if not isinstance(target, str):
        raise BundleError(f"{path}: target_modules must be one regex, got {target!r:.80}")
    if endings is not None and not (
        isinstance(endings, list) and endings and all(isinstance(e, str) for e in endings)
    ):
        raise BundleError(f"{path}: modules_to_save must be null or names, got {endings!r:.80}")
    try:
        layers = matching_layers(loaded.model, target)
    except ValueError as error:
        raise AdapterMismatch(f"{path}: target_modules {target!r:.80}: {error}") from None
    try:
        modules_ending(loaded.model, endings or ())
    except ValueError as error:
        raise AdapterMismatch(f"{path}: modules_to_save: {error}") from None
    return AdapterFile(path, target, tuple(layers), fields)


def _require_base(loaded: LoadedBase, path: Path, raw: Mapping[str, Any]) -> None:
    name, commit = raw.get("base_model_name_or_path"), raw.get("revision")
    if name != loaded.name:
        raise AdapterMismatch(f"{path.parent} was trained on {name!s:.80}, not on {loaded.name}")
    if commit is not None and not (
        isinstance(commit, str) and re.fullmatch("[0-9a-f]{40}", commit)
    ):
        raise BundleError(f"{path}: revision must be a commit or null, got {commit!r:.80}")
    if commit and loaded.revision and commit != loaded.revision:
        raise AdapterMismatch(
            f"{path.parent} was trained on {name} at {commit}, this is {loaded.revision}; "
            "load the base with that revision"
        )
    if raw.get("trainable_token_indices") != _rows(loaded):
        raise AdapterMismatch(
            f"{path.parent} was trained with other tags than the {len(loaded.tag_ids)} of this base"
        )


def _rows(loaded: LoadedBase) -> dict[str, list[int]] | None:
    rows = list(loaded.trained_rows)
    return {loaded.family.word_embeddings: rows} if rows else None


def _number(
    path: Path, raw: Mapping[str, Any], name: str, kind: type, least: float, most: float
) -> float:
    value: Any = raw.get(name)
    known = (int, float) if kind is float else (int,)
    if type(value) not in known or not least <= value <= most:
        raise BundleError(
            f"{path}: {name} must be a number from {least:g} to {most:g}, got {value!r:.80}"
        )
    return value


def _flag(path: Path, raw: Mapping[str, Any], name: str) -> bool:
    value = raw.get(name, False)
    if not isinstance(value, bool):
        raise BundleError(f"{path}: {name} must be true or false, got {value!r:.80}")
    return value


def _require_text(path: Path, raw: Mapping[str, Any], name: str, pattern: str) -> None:
    value = raw.get(name)
    if value is not None and not (isinstance(value, str) and re.fullmatch(pattern, value)):
        raise BundleError(f"{path}: {name} must be short plain text, got {value!r:.80}")
