"""Load a base model by name, folder or Hub id, and check it. Adapters are `hfbio.models.lora`'s."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from hfbio.errors import HfbioError, SettingError, UnknownModel
from hfbio.models import antiberty, verify
from hfbio.models.base_files import family_of, in_words, read_config, require_files
from hfbio.models.catalogue import BASES, Base, Family, find
from hfbio.models.tags_file import ids_of_tags, read_tags
from hfbio.models.untrusted import read_object
from hfbio.record import Antibody, Locus
from hfbio.tokens import Prompt, Tags, TokenMap


@dataclass(frozen=True)
class LoadedBase:
    """A base model that passed its checks, with what hfbio needs to know about it."""

    model: PreTrainedModel  # in evaluation mode
    tokenizer: PreTrainedTokenizerBase
    token_map: TokenMap
    family: Family
    name: str  # catalogue alias or Hub id; for a folder its name, never its path
    revision: str | None  # commit on the Hub; None for what is not on the Hub
    licence: str  # SPDX identifier; empty if unknown
    loci: tuple[Locus, ...]  # chains seen in training; empty if unknown or all proteins
    max_residues: int  # longest chain, without start and stop
    tag_ids: tuple[int, ...] = ()  # ids given by `hfbio.models.tags.add_tags`
    own_tags: Tags = field(default_factory=Tags)  # of a base that `hfbio pretrain` made
    owns_mask_row: bool = False  # set by `hfbio.models.token_dropout.without_token_dropout`

    @property
    def trained_rows(self) -> tuple[int, ...]:
        """Token ids whose embeddings differ from the published base: adapters carry them."""
        return (
            (self.token_map.require_mask(), *self.tag_ids) if self.owns_mask_row else self.tag_ids
        )

    def prompt(self, tags: Tags) -> Prompt:
        """How ``tags``, which `add_tags` gave this base, become ids in front of a chain."""
        return Prompt(tags, dict(zip(tags.tokens(), self.tag_ids)), self.token_map.start_id)

    @property
    def own_prompt(self) -> Prompt:
        """How the tags that the base itself was trained with become ids; often there are none."""
        ids = self.tokenizer.convert_tokens_to_ids(self.own_tags.tokens())
        return Prompt(
            self.own_tags, dict(zip(self.own_tags.tokens(), ids)), self.token_map.start_id
        )

    def require_separator(self) -> tuple[int, ...]:
        """The ids between heavy and light chain of a pair; empty where one follows the other.

        Raises:
            SettingError: no pair has been given to models of this kind, or the tokenizer lacks
                the separator.
        """
        separator = self.family.separator
        if separator is None:
            raise SettingError(
                f"{self.name} is of family {self.family.model_type!r}, which reads one chain at a "
                "time; set layout to single, or tune esm2-35m or igbert"
            )
        if self.token_map.between_chains is None:
            raise SettingError(
                f"the tokenizer of {self.name} lacks {separator[0]!r}, which stands between the "
                f"chains of a pair in models of family {self.family.model_type!r}; set layout to "
                "single, or add the token to the tokenizer and the model"
            )
        return self.token_map.between_chains

    def max_residues_of(self, layout: str) -> int:
        """The longest chain, or the longest pair: a separator takes the place of residues.

        Raises:
            SettingError: ``paired``, for a base that takes no pairs.
        """
        return self.max_residues - (len(self.require_separator()) if layout == "paired" else 0)

    def unreadable(self, record: Antibody) -> str:
        """Why this model cannot take a chain or a pair; empty if it can.

        Raises:
            SettingError: a pair, and a model that reads chains alone.
        """
        for chain in record.chains:
            if self.loci and chain.locus not in self.loci:
                return f"{chain.locus} chain; {self.name} knows {', '.join(self.loci)}"
        longest = self.max_residues_of("single" if len(record.chains) == 1 else "paired")
        if sum(len(chain.sequence_aa) for chain in record.chains) > longest:
            return f"longer than the {longest} residues of {self.name}"
        return ""

    @property
    def tag_style(self) -> Literal["composite", "prefix"]:
        """The style of `hfbio.tokens.Tags` that moves no residue in this model."""
        rotary = self.family.position_of(self.model.config) == "rotary"
        return "prefix" if rotary else "composite"


def load_base(
    name: str,
    *,
    revision: str | None = None,
    trust_remote_code: bool = False,
    dtype: torch.dtype = torch.float32,
    check_loss: bool = True,
) -> LoadedBase:
    """A model with its language-model head, its tokenizer, and proof that the two belong together.

    Three checks follow every load: no weight was left at its random initial value; a known
    antibody reads as one id per residue; hidden residues of that antibody cost less than a
    guess (see `hfbio.models.verify`).

    Weights are read as safetensors, or from a published ``.bin`` by ``torch.load`` with
    ``weights_only=True`` (transformers does so); nothing is unpickled.

    Args:
        name: catalogue alias, folder, or Hub id, looked up in this order.
        revision: branch, tag or commit of a Hub id; the catalogue's commit, else the newest,
            if ``None``.
        trust_remote_code: run model code from the Hub repository.
        dtype: of the weights.
        check_loss: do the third check. Off only for weights that are meant to be random.

    Returns:
        The base, in evaluation mode, on the CPU. ``revision`` is the resolved commit.

    Raises:
        UnknownModel: no such alias, folder, Hub id or architecture; or a check failed.
        MissingExtra: the base ships in an optional package.
        SettingError: a revision for a model that has none.
    """
    base = find(name)
    location = _locate(name, base)
    on_hub = not Path(location).is_dir()
    if revision is not None and not on_hub:
        raise SettingError(f"{name} is not loaded from the Hub and has no revision {revision!r}")
    revision = revision or (base.revision if base else None)

    config, folder = read_config(name, location, revision)
    commit = folder.name if on_hub else None
    family = family_of(name, config)
    looked_through = base and revision == base.revision and (on_hub or base.source != "hub")
    if not looked_through:  # as the commits of the catalogue were
        own_code = trust_remote_code and "auto_map" in config
        require_files(name, location, folder, config, own_code=own_code)
    what = "tokenizer"
    try:
        if base and base.source == "package":
            tokenizer = antiberty.build_tokenizer()
            what = "weights"
            model, report = antiberty.read_model(dtype)
        else:
            remote: dict[str, Any] = {"revision": commit, "trust_remote_code": trust_remote_code}
            tokenizer = AutoTokenizer.from_pretrained(location, **remote)
            what = "config.json or weights"
            model, report = getattr(transformers, family.auto_class).from_pretrained(
                location, dtype=dtype, output_loading_info=True, **remote
            )
    except HfbioError:
        raise
    except Exception as error:  # what the files hold can break transformers anywhere
        raise UnknownModel(f"{name}: its {what} cannot be loaded: {in_words(error)}") from error
    missing, unexpected = report["missing_keys"], report["unexpected_keys"]
    verify.check_weights(name, missing, unexpected, family=family)
    loaded = assemble(
        model,
        tokenizer,
        family,
        name=base.reference if base else (name if on_hub else Path(location).resolve().name),
        revision=commit if on_hub else None,
        licence=base.licence if base else "",
        loci=base.loci if base else (),
        check_loss=check_loss,
    )
    return loaded if on_hub else _with_own_tags(loaded, folder)


def assemble(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    family: Family,
    *,
    name: str,
    revision: str | None,
    licence: str,
    loci: tuple[Locus, ...] = (),
    check_loss: bool = True,
) -> LoadedBase:
    """A model whose weights are complete, and its tokenizer, as a base that passed its checks.

    Raises:
        UnknownModel: they do not belong together.
    """
    model.eval()
    model.config._name_or_path = name  # else a local path would travel with what is saved
    try:
        vocab_size = model.get_output_embeddings().out_features
        token_map = verify.read_tokens(name, tokenizer, vocab_size, family.separator)
        max_residues = family.max_residues(model.config)
        if check_loss:
            verify.check_loss(name, model, token_map, loci, causal=family.causal)
    except HfbioError:
        raise
    except Exception as error:  # ids, positions or types beyond the tables that the weights have
        raise UnknownModel(
            f"{name}: its config.json, tokenizer and weights do not fit each other: "
            f"{in_words(error)}"
        ) from error
    return LoadedBase(
        model=model,
        tokenizer=tokenizer,
        token_map=token_map,
        family=family,
        name=name,
        revision=revision,
        licence=licence,
        loci=loci,
        max_residues=max_residues,
    )


def bundled_folder(base: Base) -> Path:
    """Where the weights of a bundled base lie."""
    return Path(str(files("hfbio.models").joinpath("weights", base.location)))


def _with_own_tags(loaded: LoadedBase, folder: Path) -> LoadedBase:
    """The base with the tags it was trained with, where hfbio.json beside it tells of some.

    Raises:
        UnknownModel: tags that cannot be read, or that its tokenizer does not have.
    """
    path = folder / "hfbio.json"
    if not path.is_file():
        return loaded
    try:
        tags = read_tags(read_object(path).get("tags"))
        ids_of_tags(loaded.tokenizer, loaded.token_map, tags)
    except ValueError as error:  # BundleError and SettingError are kinds of it
        raise UnknownModel(f"{path}: its tags cannot be used: {in_words(error)}") from None
    if tags.values and tags.style != loaded.tag_style:
        raise UnknownModel(
            f"{path}: its tags are of style {tags.style!r}; a {loaded.family.model_type} like this "
            f"takes {loaded.tag_style!r}"
        )
    return dataclasses.replace(loaded, own_tags=tags)


def _locate(name: str, base: Base | None) -> str:
    """The folder or Hub id that transformers is given."""
    if base is not None:
        if base.source == "bundled":
            return str(bundled_folder(base))
        return base.location if base.source == "hub" else str(antiberty.model_folder())
    folder = Path(name)
    if folder.joinpath("config.json").is_file():
        return name
    if folder.is_dir():
        raise UnknownModel(
            f"the folder {name} holds no config.json"
            + ("; it is an adapter, which hfbio.load reads" if _is_adapter(folder) else "")
        )
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return name
    near = get_close_matches(name, [*BASES, *(b.location for b in BASES.values())])
    raise UnknownModel(
        f"{name!r} is no catalogue alias, no folder with a config.json and no Hub id; "
        + (f"did you mean {' or '.join(dict.fromkeys(near))}? " if near else "")
        + "`hfbio models` lists the aliases"
    )


def _is_adapter(folder: Path) -> bool:
    return folder.joinpath("adapter_config.json").is_file()
