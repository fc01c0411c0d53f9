"""A tuned model that needs no base: config, weights, tokenizer and tags in one folder.

For bundles of a base that nobody else has. What lies there may come from a stranger: the config
is rebuilt from fields that are known and in range, and the tokenizer must be a plain one.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase

from hfbio.errors import BundleError, SettingError, UnknownModel
from hfbio.models.base_files import in_words
from hfbio.models.catalogue import FAMILIES, Family
from hfbio.models.full_file import CONFIG, FULL_WEIGHTS, read_full
from hfbio.models.load import LoadedBase, assemble
from hfbio.models.sizes import MAX_COUNTS, count_in_range, shapes_alone
from hfbio.models.tags import recognise_tags
from hfbio.models.tokenizer_file import require_tame
from hfbio.models.untrusted import read_json, read_object, require_defaults, require_small
from hfbio.tokens import Tags

_TOKENIZER_CLASSES: Final = (
    *("EsmTokenizer", "BertTokenizer", "BertTokenizerFast", "RobertaTokenizer"),
    *("RobertaTokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend"),
)
_TOKENIZER_FILES: Final = (
    *("tokenizer.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.txt", "vocab.json", "merges.txt"),
)
_TOKEN_IDS: Final = ("bos_token_id", "eos_token_id", "mask_token_id", "pad_token_id")
_SHARES: Final = (
    *("attention_probs_dropout_prob", "hidden_dropout_prob", "classifier_dropout"),
    *("attention_dropout", "hidden_dropout", "initializer_range", "layer_norm_eps", "rms_norm_eps"),
)
_FLAGS: Final = ("emb_layer_norm_before", "tie_word_embeddings", "token_dropout", "use_cache")
_CHOICES: Final = {
    "hidden_act": ("gelu", "gelu_new", "relu", "silu"),
    "position_embedding_type": ("absolute", "rotary"),
}
_UNUSED: Final = (
    *("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version"),
    *("id2label", "label2id", "model_type"),
)


def load_standalone(
    folder: Path, *, name: str, family: str, licence: str, tags: Tags
) -> LoadedBase:
    """The model in ``folder``, with all checks of `load_base`, tags and all.

    Args:
        folder: holds config.json, model.safetensors and the files of a tokenizer.
        name: what the base was called.
        family: its ``model_type``.
        licence: of the base, SPDX.
        tags: whose tokens its tokenizer has.

    Returns:
        As `load_base`, with ``tag_ids``; ``model`` is the tuned model, and there is no untuned one.

    Raises:
        BundleError: a file that is missing, or holds what hfbio would not have written.
        AdapterMismatch: weights that do not fit config.json, or a tokenizer without the tags.
        UnknownModel: it predicts no better than a guess.
    """
    fields = _read_config(folder / CONFIG, FAMILIES[family])
    try:
        config = AutoConfig.for_model(family, **fields)
        like = shapes_alone(FAMILIES[family], config)
    except Exception as error:  # each config class of transformers has checks of its own
        raise BundleError(f"{folder / CONFIG} describes no model: {in_words(error)}") from None
    model = read_full(folder / FULL_WEIGHTS, like, FAMILIES[family])
    tokenizer = _read_tokenizer(folder)
    try:
        loaded = assemble(
            model, tokenizer, FAMILIES[family], name=name, revision=None, licence=licence
        )
        return recognise_tags(loaded, tags)
    except (UnknownModel, SettingError) as error:
        raise BundleError(f"{folder}: {error}") from None


def _read_config(path: Path, family: Family) -> dict[str, Any]:
    """The fields that hfbio knows, each in its range; all others are as transformers has them."""
    raw = read_object(path)
    if raw.get("model_type") != family.model_type:
        raise BundleError(
            f"{path}: model_type is {raw.get('model_type')!r:.80}, not {family.model_type!r}"
        )
    free = (*MAX_COUNTS, *_TOKEN_IDS, *_SHARES, *_FLAGS, *_CHOICES)
    defaults = AutoConfig.for_model(family.model_type).to_dict()
    require_defaults(path, raw, defaults, (*free, *_UNUSED))
    fields = {name: raw[name] for name in free if raw.get(name) is not None}
    if odd := [name for name, value in fields.items() if not _in_range(name, value)]:
        raise BundleError(f"{path}: {odd[0]} is {fields[odd[0]]!r:.80}, which no such model has")
    if missing := sorted({"hidden_size", "num_hidden_layers", "vocab_size"} - set(fields)):
        raise BundleError(f"{path} does not say {missing[0]}")
    return fields


def _in_range(name: str, value: Any) -> bool:
    if name in MAX_COUNTS:
        return count_in_range(name, value)
    if name in _TOKEN_IDS:
        return type(value) is int and 0 <= value < MAX_COUNTS["vocab_size"]
    if name in _SHARES:
        return type(value) in (int, float) and 0 <= value < math.inf
    return isinstance(value, bool) if name in _FLAGS else value in _CHOICES[name]


def _read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    path = folder / "tokenizer_config.json"
    settings = read_json(path)  # with a number of 1e30 where no length is the longest
    kind = settings.get("tokenizer_class") if isinstance(settings, dict) else None
    if kind not in _TOKENIZER_CLASSES or "auto_map" in settings:
        raise BundleError(
            f"{path}: tokenizer_class is {kind!r:.80}, or it brings code; hfbio reads "
            + ", ".join(_TOKENIZER_CLASSES)
        )
    for path in filter(Path.exists, (folder / name for name in _TOKENIZER_FILES)):
        require_small(path)
        if path.suffix == ".json":
            require_tame(path, read_json(path))
    try:
        return AutoTokenizer.from_pretrained(folder)
    except Exception as error:  # the tokenizers library raises nothing more exact
        raise BundleError(f"{folder}: its tokenizer cannot be read: {error!s:.200}") from None
