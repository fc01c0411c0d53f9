"""Adapters on a loaded base: attach, merge, restore. Training them is `hfbio.train`'s work."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from hfbio.errors import AdapterMismatch, BundleError, SettingError
from hfbio.models.load import LoadedBase
from hfbio.models.verify import check_weights

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
FULL_WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class AdapterConfig:
    """How a base is adapted."""

    method: Literal["lora", "dora", "full"] = "lora"  # full: every weight; the rest is unused
    r: int = 16  # rank, >= 1; weights trained grow in proportion
    lora_alpha: int = 32  # > 0; the update is scaled by alpha / r
    lora_dropout: float = 0.0  # in [0, 1); equality across batch layouts needs 0
    target: str = "all"  # every linear layer of the encoder, or a regex of whole module names
    modules_to_save: tuple[str, ...] = ()  # name endings of modules trained in full, such as norms
    use_rslora: bool = False  # scale by alpha / sqrt(r) instead (Kalajdzievski 2023)

    def __post_init__(self) -> None:
        if self.method not in ("lora", "dora", "full"):
            raise ValueError(f"method must be lora, dora or full, got {self.method!r}")
        if self.r < 1:
            raise ValueError(f"r must be at least 1, got {self.r}")
        if self.lora_alpha <= 0:
            raise ValueError(f"lora_alpha must be positive, got {self.lora_alpha}")
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
        SettingError: ``target`` is not a regex or matches no linear layer, or an entry of
            ``modules_to_save`` is the end of no module's name.
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

    Raises:
        BundleError: no weights in ``folder``.
        AdapterMismatch: trained on another base, another commit of it, or with other tags.
        UnknownModel: after full fine-tuning, weights that are incomplete.
    """
    folder = Path(folder)
    if folder.joinpath(ADAPTER_CONFIG).is_file():
        model = _restore_adapter(loaded, folder, trainable)
    elif folder.joinpath(FULL_WEIGHTS).is_file():
        model = _restore_full(loaded, folder)
        model.requires_grad_(trainable)
    else:
        raise BundleError(f"{folder} holds neither {ADAPTER_CONFIG} nor {FULL_WEIGHTS}")
    return model.eval()


def _restore_adapter(loaded: LoadedBase, folder: Path, trainable: bool) -> PeftModel:
    weights = folder / ADAPTER_WEIGHTS
    if not weights.is_file():
        raise BundleError(f"{folder} holds no {ADAPTER_WEIGHTS}; pickled weights are not read")
    recorded = json.loads(folder.joinpath(ADAPTER_CONFIG).read_text(encoding="utf-8"))
    _require_base(loaded, folder, recorded)
    saved = load_file(weights)
    try:
        model = PeftModel.from_pretrained(loaded.model, str(folder), is_trainable=trainable)
    except RuntimeError as error:  # peft reports other shapes so
        raise AdapterMismatch(f"{folder} does not fit {loaded.name}: {error}") from error
    _keep_output_layer(model)
    # Where peft can read the base's config it also saves the grown embedding, which is no news.
    own = get_peft_model_state_dict(model, save_embedding_layers=False)
    shape = loaded.model.get_input_embeddings().weight.shape
    frozen = {
        name
        for name, weight in model.named_parameters(remove_duplicate=False)
        if weight.shape == shape and not weight.requires_grad
    }
    news = {k: v for k, v in saved.items() if k in own or k not in frozen}
    _require_keys(folder, news, own)
    return model


def _restore_full(loaded: LoadedBase, folder: Path) -> PreTrainedModel:
    # By transformers, not by load_state_dict: it writes some names (ESM's) other than it has them.
    model, report = type(loaded.model).from_pretrained(
        folder, dtype=loaded.model.dtype, use_safetensors=True, output_loading_info=True
    )
    _require_keys(folder, model.state_dict(), loaded.model.state_dict())
    check_weights(
        str(folder), report["missing_keys"], report["unexpected_keys"], family=loaded.family
    )
    return model.to(loaded.model.device)


def _require_base(loaded: LoadedBase, folder: Path, recorded: dict[str, Any]) -> None:
    name, commit = recorded.get("base_model_name_or_path"), recorded.get("revision")
    if name != loaded.name:
        raise AdapterMismatch(f"{folder} was trained on {name}, not on {loaded.name}")
    if commit and loaded.revision and commit != loaded.revision:
        raise AdapterMismatch(
            f"{folder} was trained on {name} at {commit}, this is {loaded.revision}; "
            "load the base with that revision"
        )
    rows = (recorded.get("trainable_token_indices") or {}).values()
    if sorted(i for ids in rows for i in ids) != sorted(loaded.trained_rows):
        raise AdapterMismatch(
            f"{folder} was trained with other tags than the {len(loaded.tag_ids)} of this base"
        )


def _require_keys(folder: Path, saved: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    wrong = sorted(
        set(saved) ^ set(own) | {k for k in saved if k in own and saved[k].shape != own[k].shape}
    )
    if wrong:
        raise AdapterMismatch(
            f"{folder}: {len(wrong)} weights are missing, unknown or of another shape: "
            + ", ".join(wrong[:20])
        )


def _require_match(loaded: LoadedBase, target: str) -> None:
    try:
        pattern = re.compile(target)
    except re.error as error:
        raise SettingError(f"target {target!r} is not a regular expression: {error}") from error
    layers = [n for n, m in loaded.model.named_modules() if isinstance(m, nn.Linear)]
    if not any(pattern.fullmatch(name) for name in layers):
        raise SettingError(
            f"target {target!r} matches no linear layer of {loaded.name}; layers are called "
            f"{layers[0]}, ..., {layers[-1]}"
        )


def _require_modules(loaded: LoadedBase, endings: Sequence[str]) -> None:
    names = [name for name, _ in loaded.model.named_modules()]
    for ending in endings:
        if not any(name.endswith(ending) for name in names):
            raise SettingError(
                f"modules_to_save: no module of {loaded.name} has a name that ends in {ending!r}; "
                f"the last ones are called {', '.join(names[-5:])}"
            )


def _keep_output_layer(model: PeftModel) -> None:
    """Undo peft's second wrapper, the one on the output layer that shares the embedding.

    In peft 0.21 that wrapper forgets the layer's bias until it is merged (peft#3649), which
    moves AntiBERTy's logits by up to 9.4. Tags are never predicted, so nothing is lost.
    """
    native = model.get_base_model()
    output = native.get_output_embeddings()
    if hasattr(output, "token_adapter"):
        native.set_output_embeddings(output.original_module)
