"""`hfbio.load`: base, tags and weights put together as hfbio.json says. Trusts none of them."""

from __future__ import annotations

import dataclasses
import warnings
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from hfbio.bundle import ADAPTER_FOLDER, MANIFEST, Manifest
from hfbio.errors import AdapterMismatch, BundleError, SettingError
from hfbio.licences import is_non_commercial
from hfbio.model.antibody import AntibodyModel
from hfbio.model.fetch import Found, find_bundle
from hfbio.models import (
    LoadedBase,
    add_tags,
    for_objective,
    load_base,
    load_standalone,
    restore,
)
from hfbio.models.adapter_file import ADAPTER_CONFIG
from hfbio.models.catalogue import find
from hfbio.sample import build

MAX_PASSES: Final = 100_000  # of a saved sampler; more than any chain has residues
MAX_STANDALONE_BYTES: Final = 16_000_000_000  # ESM-2 3B takes 11e9
_BYTES_PER_PARAMETER: Final = 16  # four copies in float32: room for adapters of rank 1,024
_SPARE_BYTES: Final = 64_000_000


def load(
    name: str | Path,
    *,
    revision: str | None = None,
    base: str | None = None,
    trust_remote_code: bool = False,
    device: str | torch.device = "cpu",
) -> AntibodyModel:
    """A model from a run folder, a Hub repository, a catalogue alias or a plain model folder.

    Of a repository with hfbio.json only the files of a bundle are fetched, by name, all from one
    commit, none larger than it can need to be. All of them are checked, and nothing in them is
    run. The base is found by its alias or on the Hub, never in a folder that lies about.

    A whole model whose base was a local folder needs no base, and has none to be compared with;
    nor does one that was trained from nothing.

    Args:
        name: what to load.
        revision: branch, tag or commit, for Hub repositories.
        base: where the base lies, for bundles made on a local folder; it must have the name that
            hfbio.json records.
        trust_remote_code: run model code from the repository of a base that you name yourself, by
            ``name`` or ``base``, or of a base and commit in the catalogue. Never the bundle's, nor
            that of another base that a bundle names: its code is as much a stranger's.
        device: where to put the weights.

    Raises:
        UnknownModel: nothing of that name, or a base that cannot be loaded.
        HubError: the Hub cannot be asked, or refuses.
        BundleError: a file is missing, too large, or does not hold what hfbio writes; or the base
            was a local folder and ``base`` is not given.
        AdapterMismatch: ``base`` is not the base the adapter was trained on, or the weights do not
            fit it.
        SettingError: a revision for what is not on the Hub, or a device that is not there.
    """
    found = find_bundle(str(name), revision)
    if found is None:
        bare = load_base(str(name), revision=revision, trust_remote_code=trust_remote_code)
        return AntibodyModel(bare, _put(bare.model, device), None)
    manifest = found.manifest
    if is_non_commercial(manifest.base_license):
        warnings.warn(
            f"{found.name}: the licence of its base, {manifest.base_license}, forbids commercial "
            "use",
            stacklevel=2,
        )
    _require_sampler(found)
    if not manifest.has_base and base is not None:
        raise SettingError(f"{found.name} was trained from nothing and has no base {base!r:.80}")
    local = manifest.is_whole and manifest.base_is_local and base is None
    if local or not manifest.has_base:
        folder = found.fetch(MAX_STANDALONE_BYTES)
        tuned = load_standalone(
            folder,
            name=manifest.base,
            family=manifest.family,
            licence=manifest.base_license,
            tags=manifest.tags,
        )
        tuned = for_objective(tuned, manifest.objective["kind"])
        _require_lengths(found, tuned)
        return AntibodyModel(tuned, _put(tuned.model, device), manifest, folder=folder)
    load_untuned = partial(_load_untuned, found.name, manifest, base, trust_remote_code)
    plain = load_untuned()
    _require_lengths(found, plain)
    n_parameters = sum(weight.numel() for weight in plain.model.parameters())
    folder = found.fetch(_BYTES_PER_PARAMETER * n_parameters + _SPARE_BYTES)
    try:
        tagged = add_tags(plain, manifest.tags)
    except SettingError as error:
        raise BundleError(f"{found.name}: {error}") from None
    model = restore(tagged, _weights_folder(folder, manifest))
    return AntibodyModel(tagged, _put(model, device), manifest, load_untuned, folder)


def _load_untuned(
    bundle: str, manifest: Manifest, given: str | None, trust_remote_code: bool
) -> LoadedBase:
    """The base of a bundle as its objective wants it, found where the user or hfbio.json says."""
    if given is None:
        _require_unmistakable(bundle, manifest)
    loaded = load_base(
        given or manifest.base,
        revision=None if given else manifest.base_revision,
        trust_remote_code=trust_remote_code and (given is not None or _in_catalogue(manifest)),
    )
    if loaded.name != manifest.base:
        raise AdapterMismatch(f"{bundle} was trained on {manifest.base}, not on {loaded.name}")
    if loaded.family.model_type != manifest.family:
        raise AdapterMismatch(
            f"{bundle} was trained on a model of family {manifest.family!r}; {loaded.name} is of "
            f"{loaded.family.model_type!r}"
        )
    return for_objective(loaded, manifest.objective["kind"])


def _in_catalogue(manifest: Manifest) -> bool:
    """The catalogue names base and commit; anybody may propose a commit to a repository."""
    known = find(manifest.base)
    return known is not None and manifest.base_revision in (None, known.revision)


def _require_unmistakable(bundle: str, manifest: Manifest) -> None:
    """The base's name means one model, wherever the command is run."""
    if manifest.base_is_local:
        raise BundleError(
            f"{bundle} was trained on a local folder called {manifest.base!r:.80}; say where it "
            f"lies: hfbio.load(..., base='PATH/{manifest.base:.80}')"
        )
    known = find(manifest.base)
    on_hub = manifest.base if known is None else known.location
    if (known is None or known.source == "hub") and Path(on_hub).exists():
        # transformers reads such a folder in place of the repository.
        raise BundleError(
            f"{bundle} was trained on {on_hub} of the Hub, and {Path(on_hub).absolute()} has the "
            "same name; work in another directory, or name a base by base=..."
        )


def _require_sampler(found: Found) -> None:
    """The saved sampler's settings are of the right type and in range."""
    settings = dict(found.manifest.sampler)
    where = f"{found.name}: the sampler in {MANIFEST}"
    try:
        sampler = build(settings)
    except (SettingError, TypeError) as error:
        raise BundleError(f"{where} cannot be used: {error!s:.200}") from None
    for setting in dataclasses.fields(sampler):
        value: Any = settings.get(setting.name, setting.default)
        wanted = (int, float) if isinstance(setting.default, float) else (type(setting.default),)
        if type(value) not in wanted:
            raise BundleError(
                f"{where} has {setting.name} {value!r:.80}, not a {wanted[-1].__name__}"
            )
    if (passes := sampler.passes(found.manifest.longest)) > MAX_PASSES:
        raise BundleError(f"{where} takes {passes:,} steps, more than {MAX_PASSES:,}")


def _require_lengths(found: Found, loaded: LoadedBase) -> None:
    manifest = found.manifest
    what = "pairs" if manifest.layout == "paired" else "chains"
    try:
        most = loaded.max_residues_of(manifest.layout)
    except SettingError as error:
        raise BundleError(f"{found.name}: {MANIFEST} says layout 'paired'; {error}") from None
    if manifest.longest > most:
        raise BundleError(
            f"{found.name}: {MANIFEST} tells of training {what} of {manifest.longest:,} residues; "
            f"{loaded.name} reads at most {most:,}"
        )


def _weights_folder(folder: Path, manifest: Manifest) -> Path:
    """The folder itself, or the one inside that keeps the adapter apart from ``merged/``."""
    places = (folder, folder / ADAPTER_FOLDER)
    adapters = [place for place in places if (place / ADAPTER_CONFIG).is_file()]
    if len(adapters) != (not manifest.is_whole):
        raise BundleError(
            f"{folder / MANIFEST} says method {manifest.method!r}, but the folder holds "
            f"{len(adapters)} {ADAPTER_CONFIG}; remove what another run left there, or train again"
        )
    return adapters[0] if adapters else folder


def _put(model: nn.Module, device: str | torch.device) -> nn.Module:
    try:
        return model.to(device)
    except (AssertionError, RuntimeError) as error:  # torch built without it, none there, full
        reason = str(error).partition("\n")[0]
        raise SettingError(f"device {str(device)!r} cannot be used: {reason}") from None
