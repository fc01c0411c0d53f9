"""Settings of a run: the fields hfbio adds to TrainingArguments, and how a recipe is read.

Trains nothing. Field names follow TRL (`ModelConfig`) and transformers where they have one.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import HfArgumentParser, TrainingArguments
from transformers.trainer_utils import HubStrategy

from hfbio.bundle import LAYOUTS, public_settings
from hfbio.errors import SettingError
from hfbio.models.tags_file import TAG_FIELDS

_NO_TOKEN = (
    "hub_token must not be set: every user of this machine can read a command line, and recipes "
    "are copied and committed; log in with `hf auth login`, or set the environment variable "
    "HF_TOKEN"
)
_TOKEN = re.compile(r"(hf|api_org)_\w{6,}")


@dataclass
class FinetuneConfig(TrainingArguments):
    """All settings of one fine-tuning run; every TrainingArguments field is one too.

    Defaults differ from TrainingArguments only where its own cannot work here:
    ``remove_unused_columns`` is off, since the collator makes the model's inputs, and ``use_cpu``
    is on where there is no accelerator or the launcher was told to use none.
    """

    output_dir: str | None = field(default="runs/finetune", metadata={"help": "the run folder"})
    model: str = field(default="", metadata={"help": "alias, folder or Hub id of the base"})
    model_revision: str | None = field(
        default=None, metadata={"help": "branch, tag or commit of a Hub base"}
    )
    trust_remote_code: bool = field(
        default=False, metadata={"help": "run model code from the Hub; off unless you trust it"}
    )
    data: str = field(
        default="",
        metadata={"help": "a split folder, a table, or anything `hfbio data import` reads"},
    )
    architecture: str = field(
        default="",
        metadata={"help": "pretrain a new model of this kind in place of `model`: esm or llama"},
    )
    architecture_kwargs: dict | str | None = field(
        default=None, metadata={"help": "sizes of the new model, JSON"}
    )
    attn_implementation: str | None = field(
        default=None,
        metadata={"help": "sdpa, eager, …; eager is the faster one for small models on a CPU"},
    )
    sources: dict | str | None = field(
        default=None,
        metadata={
            "help": "source -> how often it is drawn, in place of `data`, JSON; a source "
            "may also be simulate:SPECIES:LOCUS:NUM or proteins:FILE"
        },
    )
    max_residues: int = field(
        default=0, metadata={"help": "longest window of a protein; 0: what the model reads"}
    )
    data_license: str = field(default="unknown", metadata={"help": "licence of the data, SPDX"})
    layout: str = field(
        default="single",
        metadata={"help": "single: each chain alone; paired: heavy and light chain of one cell_id"},
    )
    objective: str = field(
        default="diffusion", metadata={"help": "mlm, diffusion, germline, clm or infill"}
    )
    # `dict | str | None` is the one spelling that HfArgumentParser reads as JSON text.
    objective_kwargs: dict | str | None = field(
        default=None, metadata={"help": "settings of the objective, JSON"}
    )
    tags: list[str] = field(
        default_factory=list, metadata={"help": f"condition tags: {', '.join(TAG_FIELDS)}"}
    )
    balance: str = field(
        default="none",
        metadata={"help": "none, or clone: draw every clone equally often, whatever its size"},
    )
    dropout: float = field(
        default=0.0, metadata={"help": "of the base, in [0, 1), in place of its config's"}
    )
    tag_dropout: float = field(
        default=0.1, metadata={"help": "how often a tag is hidden in training, in [0, 1)"}
    )
    method: str = field(default="lora", metadata={"help": "lora, dora or full"})
    lora_r: int = field(default=16, metadata={"help": "rank"})
    lora_alpha: int = field(default=32, metadata={"help": "scale: alpha / r"})
    lora_dropout: float = field(default=0.0, metadata={"help": "in [0, 1)"})
    use_rslora: bool = field(default=False, metadata={"help": "scale by alpha / sqrt(r) instead"})
    lora_target_modules: str = field(
        default="all", metadata={"help": "every linear layer of the encoder, or a regex"}
    )
    lora_modules_to_save: list[str] = field(
        default_factory=list,
        metadata={"help": "name endings of modules trained in full beside LoRA, such as LayerNorm"},
    )
    eval_mask_draws: int = field(default=4, metadata={"help": "masks per held-out chain"})
    sampler_kwargs: dict | str | None = field(
        default=None, metadata={"help": "settings that sampling starts from, JSON"}
    )
    training_traces: bool = field(
        default=True,
        metadata={"help": "bundle a hashed sketch of the training chains, and a map naming some"},
    )
    remove_unused_columns: bool = field(default=False, metadata={"help": "must stay off"})

    # TrainingArguments parses these from JSON when they come from the command line.
    _VALID_DICT_FIELDS = [  # noqa: RUF012 - the parent's name and type
        *TrainingArguments._VALID_DICT_FIELDS,
        "architecture_kwargs",
        "objective_kwargs",
        "sampler_kwargs",
        "sources",
    ]

    __repr__ = TrainingArguments.__repr__  # hides hub_token; that of a dataclass would show it

    def __post_init__(self) -> None:
        self._require_hub_settings()
        # TrainingArguments rewrites some fields; and another one to compare with would reset the
        # state of Accelerate under a running Trainer.
        self._asked = {
            f.name: getattr(self, f.name)
            for f in dataclasses.fields(self)
            if f.init and getattr(self, f.name) != _default(f)
        }
        # Without the switch, processes on CPUs do not find each other: each trains for itself.
        self.use_cpu |= not torch.accelerator.is_available() or _launched_on_cpu()
        super().__post_init__()
        if bool(self.model) == bool(self.architecture):
            raise SettingError(
                "model is not set; name an alias (see `hfbio models`) or a Hub id"
                if not self.model
                else "model and architecture exclude each other: tune a model, or train a new one"
            )
        if bool(self.data) == bool(self.sources):
            raise SettingError(
                "data is not set; name a table, a split folder or a source"
                if not self.data
                else "data and sources exclude each other"
            )
        if self.architecture and self.method != "full":
            raise SettingError(
                f"a new model is trained whole: set method to full, not {self.method}"
            )
        if self.sources and not self.architecture:
            raise SettingError("sources are for pretraining; to tune a model, name one `data`")
        if self.layout not in LAYOUTS:
            raise SettingError(f"layout must be {' or '.join(LAYOUTS)}, got {self.layout!r}")
        if unknown := sorted(set(self.tags) - set(TAG_FIELDS)):
            raise SettingError(f"tags {unknown} are not among {', '.join(TAG_FIELDS)}")
        if not 0 <= self.tag_dropout < 1:
            raise SettingError(f"tag_dropout must be in [0, 1), got {self.tag_dropout}")
        if not 0 <= self.dropout < 1:
            raise SettingError(f"dropout must be in [0, 1), got {self.dropout}")
        if self.balance not in ("none", "clone"):
            raise SettingError(f"balance must be none or clone, got {self.balance!r}")
        if self.eval_mask_draws < 1:
            raise SettingError(f"eval_mask_draws must be >= 1, got {self.eval_mask_draws}")
        if self.remove_unused_columns:
            raise SettingError("remove_unused_columns must stay off: the collator makes the inputs")

    def _require_hub_settings(self) -> None:
        """Refuse here what would otherwise be found out at the first push, or be given away."""
        if self.hub_token is not None:
            raise SettingError(_NO_TOKEN)
        if self.hub_model_id is not None and not re.fullmatch(r"[^/]+/[^/]+", self.hub_model_id):
            raise SettingError(
                f"hub_model_id must be USER/REPO: your user name or organisation, a slash, a name; "
                f"got {self.hub_model_id!r}"
            )
        if self.push_to_hub and self.hub_model_id is None:
            raise SettingError(
                "push_to_hub needs a place to push to; name it with hub_model_id, as in "
                "--hub_model_id USER/REPO"
            )
        if self.hub_strategy not in (known := [strategy.value for strategy in HubStrategy]):
            raise SettingError(
                f"hub_strategy must be one of {', '.join(known)}, got {self.hub_strategy!r}"
            )

    def source_weights(self) -> dict[str, float]:
        """``sources`` as numbers.

        Raises:
            SettingError: not a mapping of names to numbers.
        """
        if not isinstance(self.sources, dict):
            raise SettingError(f"sources must map names to numbers, got {self.sources!r:.80}")
        try:
            return {str(name): float(weight) for name, weight in self.sources.items()}
        except (TypeError, ValueError) as error:
            raise SettingError(f"sources must map names to numbers: {error}") from None


def read_config(recipe: Path | None, flags: Sequence[str] = ()) -> FinetuneConfig:
    """Settings from a YAML file and command-line flags; flags win.

    Args:
        recipe: a YAML mapping of setting -> value, or ``None``. ``output_dir`` is its name under
            runs/ unless it says otherwise.
        flags: ``["--learning_rate", "3e-4", "--max_steps=10", ...]``.

    Raises:
        SettingError: a key or flag that is no setting (the nearest one is named), a value of
            the wrong type or range, or a YAML file that is not a mapping.
    """
    try:
        return _read(recipe, flags)
    except SettingError as error:  # its words may be those of a parser that quotes what it read
        raise SettingError(_TOKEN.sub("hf_…", str(error))) from None


def changed_settings(config: FinetuneConfig) -> dict[str, Any]:
    """The settings that were given and differ from their defaults, for cards and hfbio.json.

    Of folders, accounts and tokens nothing is told, see `hfbio.bundle.public_settings`. ``model``
    and ``data``, which may be folders, are left out too; hfbio.json names base and source.
    """
    return public_settings(
        {
            name: value if isinstance(value, int | float | list | dict) else str(value)
            for name, value in config._asked.items()
        }
    )


def _read(recipe: Path | None, flags: Sequence[str]) -> FinetuneConfig:
    settings = _read_yaml(recipe) if recipe else {}
    known = {f.name for f in dataclasses.fields(FinetuneConfig) if f.init}
    names = [flag[2:].split("=")[0] for flag in flags if flag.startswith("--")]
    given = [name.replace("-", "_") for name in names]
    if settings.get("hub_token") is not None or "hub_token" in given:
        raise SettingError(_NO_TOKEN)
    for key in settings:
        _require_known(str(key), known, place=str(recipe))
    for name in names:
        _require_known(name, known, place="the command line")
    # Numbers go in as text: the parser checks the type of texts alone, and refuses `lora_r: 1.5`.
    numbers = {key: str(value) for key, value in settings.items() if type(value) in (int, float)}
    parser = HfArgumentParser(FinetuneConfig)
    if recipe:
        parser.set_defaults(output_dir=f"runs/{recipe.stem}")
    parser.set_defaults(**{**settings, **numbers})
    parser.error = _raise_setting_error
    try:
        (config,) = parser.parse_args_into_dataclasses(list(flags), look_for_args_file=False)
    except SettingError:
        raise
    except (ImportError, OSError, TypeError, ValueError) as error:
        raise SettingError(f"{recipe or 'flags'}: {error}") from None
    # The parser spells two defaults of TrainingArguments in another way: nobody asked for those.
    config._asked = {k: v for k, v in config._asked.items() if k in settings or k in names}
    return config


def _default(setting: dataclasses.Field) -> Any:
    factory = setting.default_factory
    return setting.default if factory is dataclasses.MISSING else factory()


def _launched_on_cpu() -> bool:
    return os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")


def _read_yaml(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:  # as text it shows the line, and what is secret there
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise SettingError(f"cannot read the recipe {path}{line}: {error.problem}") from None
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingError(f"cannot read the recipe {path}: {error}") from None
    if not isinstance(content, dict):
        raise SettingError(f"{path} must hold `setting: value` lines")
    return content


def _require_known(key: str, known: set[str], place: str) -> None:
    if key in known:
        return
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise SettingError(f"{place}: {key!r} is not a setting{hint}")


def _raise_setting_error(message: str) -> None:
    raise SettingError(message)
