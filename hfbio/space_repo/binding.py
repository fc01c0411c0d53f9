"""Which model a Space samples from, and what must be true of it. Changes nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from huggingface_hub import HfApi

from hfbio.bundle import MANIFEST, Manifest, read_manifest
from hfbio.errors import BundleError, SettingError
from hfbio.hub.client import ask, explaining, redact
from hfbio.hub.readable import require_base_readable, require_file

TOKEN: Final = "HF_TOKEN"
"""Secret by which a Space reads a private model; the Hub's own clients look for this name."""


@dataclass(frozen=True)
class Binding:
    """A model at one commit, and what its hfbio.json says."""

    model: str  # USER/REPO
    revision: str  # 40 hexadecimal digits
    manifest: Manifest
    closed: bool  # private or gated: a Space needs a token to read it

    @property
    def variables(self) -> Mapping[str, str]:
        """Environment of the page; everybody who sees the Space sees them."""
        return {"HFBIO_MODEL": self.model, "HFBIO_REVISION": self.revision}


def bind(api: HfApi, model: str, revision: str | None) -> Binding:
    """Look at the model's repository and pin its commit.

    Raises:
        HubError: there is no such repository or revision, or it cannot be read.
        BundleError: it holds no hfbio.json, one that cannot be read, or a model on a base that a
            Space cannot find.
    """
    info = ask(
        f"cannot look at the model {model}", lambda: api.model_info(model, revision=revision)
    )
    if MANIFEST not in {file.rfilename for file in info.siblings or ()}:
        raise BundleError(f"{model} holds no {MANIFEST}; publish a run with `hfbio push` first")
    with explaining(f"cannot read {MANIFEST} of {model}"):
        path = Path(api.hf_hub_download(model, MANIFEST, revision=info.sha))
    manifest = read_manifest(path.parent)
    if manifest.base_is_local and not manifest.is_whole:
        raise BundleError(
            f"{model} adapts {manifest.base!r}, a folder of one machine, which a Space cannot "
            "read; publish the whole model with `hfbio push --merge`"
        )
    return Binding(model, str(info.sha), manifest, bool(info.private or info.gated))


def read_secrets(
    wanted: Iterable[str], environment: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Values of secrets by name, taken from environment variables.

    Args:
        wanted: ``NAME``, from the variable of that name, or ``NAME=VARIABLE``: the Space's token
            can so be another one than the token that creates the Space.
        environment: where to look.

    Raises:
        SettingError: a name that a Space cannot have, or a variable that is not set. What was
            given is not shown, since it may be a token in place of a name.
    """
    found = {}
    for given in wanted:
        name, _, variable = given.partition("=")
        variable = variable or name
        if not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name) or name.startswith("HFBIO_"):
            raise SettingError(
                "a secret is given as NAME or NAME=VARIABLE, two names of letters, digits and _, "
                f"such as {TOKEN}; names that start with HFBIO_ are taken"
            )
        if not environment.get(variable):
            raise SettingError(
                f"secret {redact(name)}: the environment variable to take its value from is not "
                "set; give its name, never the value"
            )
        found[name] = environment[variable]
    return found


def require_readable(
    api: HfApi, binding: Binding, secrets: Mapping[str, str], there: Iterable[str]
) -> None:
    """Check that the Space will be able to read its model, and the base of that.

    What a secret opens that the Space has already cannot be known; such a one is trusted.

    Args:
        api: the client.
        binding: the model.
        secrets: to be set: name -> value.
        there: names of secrets that the Space has already.

    Raises:
        SettingError: model or base is private or gated and no token is given, or the base does
            not open with it.
        HubError: the token that is given does not open the model.
    """
    if TOKEN not in secrets and TOKEN in there:
        return
    if binding.closed and TOKEN not in secrets:
        raise SettingError(
            f"{binding.model} is private or gated, so the Space needs a token to read it: make one "
            "that may read that model and nothing else, put it into an environment variable such "
            f"as MODEL_TOKEN, and add `--secret {TOKEN}=MODEL_TOKEN`"
        )
    token = secrets.get(TOKEN, False)
    if token:
        ask(
            f"the token for the secret {TOKEN} does not open {binding.model}",
            lambda: require_file(api, binding.model, MANIFEST, binding.revision, token),
        )
    require_base_readable(binding.manifest, token)
