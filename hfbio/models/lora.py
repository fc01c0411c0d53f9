"""Adapters on a loaded base: attach, merge, restore. Training them is `hfbio.train`'s work."""

from __future__ import annotations

import copy
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import torch
from peft import (
    LoraConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from transformers import PreTrainedModel

from hfbio.errors import AdapterMismatch, BundleError, SettingError
from hfbio.models.adapter_file import ADAPTER_CONFIG, MAX_ALPHA, MAX_RANK, read_adapter_file
from hfbio.models.full_file import CONFIG, FULL_WEIGHTS, read_full, require_same_shape
from hfbio.models.load import LoadedBase
from hfbio.models.targets import matching_layers, modules_ending
from hfbio.models.untrusted import read_header, read_tensors

ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"


@dataclass(frozen=True)
class AdapterConfig:
    """How a base is adapted."""

    method: Literal["lora", "dora", "full"] = "lora"  # full: every weight; the rest is unused
    r: int = 16  # rank, in [1, 1024]; weights trained grow in proportion
    lora_alpha: int = 32  # in [1, 1e6]; the update is scaled by alpha / r
    lora_dropout: float = 0.0  # in [0, 1); equality across batch layouts needs 0
    target: str = "all"  # every linear layer of the encoder, or a regex of whole module names
    modules_to_save: tuple[str, ...] = ()  # name endings of modules trained in full, such as norms
    use_rslora: bool = False  # scale by alpha / sqrt(r) instead (Kalajdzievski 2023)

    def __post_init__(self) -> None:
        if self.method not in ("lora", "dora", "full"):
            raise ValueError(f"method must be lora, dora or full, got {self.method!r}")
        if not 1 <= self.r <= MAX_RANK:
            raise ValueError(f"r must be in [1, {MAX_RANK}], got {self.r}")
        if not 1 <= self.lora_alpha <= MAX_ALPHA:
            raise ValueError(f"lora_alpha must be in [1, {MAX_ALPHA}], got {self.lora_alpha}")
        if not 0 <= self.lora_dropout < 1:
            raise ValueError(f"lora_dropout must be in [0, 1), got {self.lora_dropout}")


def attach(
    loaded: LoadedBase, config: AdapterConfig, *, rng: torch.Generator | None = None
) -> PeftModel | PreTrainedModel:
    """A trainable model that starts out with exactly the base's predictions.

    Low-rank updates on the target layers; the rows of tags (and of a mask token that
    `without_token_dropout` set) are trained in full, as inputs. Everything else is frozen.
    With ``method="full"`` the base itself, all weights trainable.

    The adapter names its base by alias or Hub id and pins the commit; no local path is recorded.

    Args:
        loaded: ``loaded.model`` is wrapped in place.
        config: rank, targets and so on.
        rng: source of the initial values; torch's global generator if ``None``.

    Raises:
        SettingError: ``target`` is not a regex that both Python and RE2 read, or does not match
            linear layers; or an entry of ``modules_to_save`` is the end of no module's name.
    """
    if config.method == "full":
        return loaded.model.requires_grad_(True)
    target = loaded.family.lora_targets if config.target == "all" else config.target
    _require_match(loaded, target)
    _require_modules(loaded, config.modules_to_save)
    trained_rows = list(loaded.trained_rows)
    peft_config = LoraConfig(
        task_type=None,  # peft has none for masked language models
        r=config.r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        use_dora=config.method == "dora",
        use_rslora=config.use_rslora,
        target_modules=target,
        modules_to_save=list(config.modules_to_save) or None,
        trainable_token_indices={loaded.family.word_embeddings: trained_rows}
        if trained_rows
        else None,
    )
    with torch.random.fork_rng(devices=[], enabled=rng is not None):
        if rng is not None:
            torch.manual_seed(int(torch.randint(2**62, (), generator=rng)))
        model = get_peft_model(loaded.model, peft_config, revision=loaded.revision)
    model.peft_config["default"].base_model_name_or_path = loaded.name
    _keep_output_layer(model)
    return model


def merge(model: PeftModel | PreTrainedModel) -> PreTrainedModel:
    """A plain model with the adapter folded into its weights; ``model`` is not changed.

    Every class of transformers can load it once saved. Logits of the 20 residues agree with the
    adapter's to rounding; those of the tags move, far below anything that is drawn. A model
    without an adapter is copied.
    """
    model = copy.deepcopy(model)
    return model.merge_and_unload() if isinstance(model, PeftModel) else model


def restore(
    loaded: LoadedBase, folder: str | Path, *, trainable: bool = False
) -> PeftModel | PreTrainedModel:
    """The model that `attach` made and training saved into ``folder``.

    Args:
        loaded: the same base, prepared by the same calls (`add_tags`, `without_token_dropout`).
            An adapter changes its model in place, and leaves it unusable after an error.
        folder: holds adapter_config.json and adapter_model.safetensors, or, after full
            fine-tuning, model.safetensors. Other formats are not read.
        trainable: go on training, or keep every weight frozen.

    Returns:
        The model in evaluation mode, on the device of the base.

    Nothing in ``folder`` is trusted: settings are checked one by one, and the names, shapes and
    types of all weights are compared with what the base needs before any is read.

    Raises:
        BundleError: no weights in ``folder``, or a file that hfbio would not have written.
        AdapterMismatch: trained on another base, another commit of it, or with other tags; or
            weights that do not fit the base.
        UnknownModel: after full fine-tuning, weights that are incomplete.
    """
    folder = Path(folder)
    if folder.joinpath(ADAPTER_CONFIG).is_file():
        model = _restore_adapter(loaded, folder, trainable)
    elif folder.joinpath(FULL_WEIGHTS).is_file():
        require_same_shape(folder / CONFIG, loaded)
        model = read_full(folder / FULL_WEIGHTS, loaded.model, loaded.family)
        model = model.to(loaded.model.device).requires_grad_(trainable)
    else:
        raise BundleError(
            f"{folder} holds neither {ADAPTER_CONFIG} nor {FULL_WEIGHTS}; pickled weights are not "
            "read"
        )
    return model.eval()


def _restore_adapter(loaded: LoadedBase, folder: Path, trainable: bool) -> PeftModel:
    weights = folder / ADAPTER_WEIGHTS
    if not weights.is_file():
        raise BundleError(f"{folder} holds no {ADAPTER_WEIGHTS}; pickled weights are not read")
    adapter = read_adapter_file(folder, loaded)
    header = read_header(weights)
    adapter.require_low_rank(header, loaded)
    embedding = tuple(loaded.model.get_input_embeddings().weight.shape)
    config = adapter.config(trainable=trainable)
    try:
        with torch.random.fork_rng(devices=[]):  # peft draws values that are replaced below
            model = PeftModel(loaded.model, config)
    except (ValueError, TypeError, LookupError, AttributeError, RuntimeError) as error:
        raise AdapterMismatch(f"{adapter.path} does not fit {loaded.name}: {error}") from None
    _keep_output_layer(model)
    own = {
        name: tuple(weight.shape)
        for name, weight in get_peft_model_state_dict(model, save_embedding_layers=False).items()
    }
    # Where peft can read the base's config it also saves the grown embedding, which is no news.
    frozen = {
        name
        for name, weight in model.named_parameters(remove_duplicate=False)
        if tuple(weight.shape) == embedding and not weight.requires_grad
    }
    known = own | dict.fromkeys(frozen - set(own), embedding)
    wrong = (set(own) - set(header)) | {
        name for name, entry in header.items() if known.get(name) != entry.shape
    }
    _require_none(folder, wrong)
    set_peft_model_state_dict(model, read_tensors(weights, own))
    config.target_modules = adapter.target  # so that saving it again writes the same file
    return model


def _require_none(folder: Path, wrong: Collection[str]) -> None:
    if wrong:
        raise AdapterMismatch(
            f"{folder}: {len(wrong)} weights are missing, unknown or of another shape: "
            + ", ".join(f"{name:.100}" for name in sorted(wrong)[:5])
        )


def _require_match(loaded: LoadedBase, target: str) -> None:
    try:
        found = matching_layers(loaded.model, target)
        names = [name for name, _ in loaded.model.named_modules() if re.fullmatch(target, name)]
    except (ValueError, re.error) as error:
        raise SettingError(
            f"target {target!r} cannot be used with {loaded.name}: {error}"
        ) from None
    if set(found) != set(names) - {""}:
        raise SettingError(
            f"target {target!r} means other layers to Python's re than to RE2, which reads it "
            "back; write it with plain alternatives"
        )


def _require_modules(loaded: LoadedBase, endings: Collection[str]) -> None:
    try:
        modules_ending(loaded.model, list(endings))
    except ValueError as error:
        raise SettingError(f"modules_to_save of {loaded.name}: {error}") from None


def _keep_output_layer(model: PeftModel) -> None:
    """Undo peft's second wrapper, the one on the output layer that shares the embedding.

    In peft 0.21 that wrapper forgets the layer's bias until it is merged (peft#3649), which
    moves AntiBERTy's logits by up to 9.4. Tags are never predicted, so nothing is lost.
    """
    native = model.get_base_model()
    output = native.get_output_embeddings()
    if hasattr(output, "token_adapter"):
        native.set_output_embeddings(output.original_module)
