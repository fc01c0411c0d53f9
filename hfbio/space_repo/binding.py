"""Which model a Space samples from, and what must be true of it. Changes nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from huggingface_hub import HfApi
from huggingface_hub.errors import LocalEntryNotFoundError

from hfbio.bundle import MANIFEST, read_manifest
from hfbio.errors import BundleError, HubError, SettingError
from hfbio.hub.client import explaining, redact

TOKEN: Final = "HF_TOKEN"
"""Secret by which a Space reads a private model; the Hub's own clients look for this name."""


@dataclass(frozen=True)
class Binding:
    """A model at one commit, and the base it was trained on."""

    model: str  # USER/REPO
    revision: str  # 40 hexadecimal digits
    base: str  # catalogue alias or Hub id
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
    with explaining(f"cannot look at the model {model}"):
        info = api.model_info(model, revision=revision)
    if MANIFEST not in {file.rfilename for file in info.siblings or ()}:
        raise BundleError(f"{model} holds no {MANIFEST}; publish a run with `hfbio push` first")
    try:
        with explaining(f"cannot read {MANIFEST} of {model}"):
            path = Path(api.hf_hub_download(model, MANIFEST, revision=info.sha))
    except LocalEntryNotFoundError:  # no HTTP error: the client says so when it finds no way
        raise HubError(
            f"cannot read {MANIFEST} of {model}: the Hub did not send it; try again"
        ) from None
    manifest = read_manifest(path.parent)
    if manifest.base_is_local and manifest.method != "full":
        raise BundleError(
            f"{model} adapts {manifest.base!r}, a folder of one machine, which a Space cannot "
            "read; publish the whole model with `hfbio push --merge`"
        )
    return Binding(model, str(info.sha), manifest.base, bool(info.private or info.gated))


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
    """Check that the Space will be able to read its model.

    Args:
        api: the client.
        binding: the model.
        secrets: to be set: name -> value.
        there: names of secrets that the Space has already.

    Raises:
        SettingError: the model is private or gated and no token is given.
        HubError: the token that is given does not open it.
    """
    if not binding.closed:
        return
    if TOKEN in secrets:
        with explaining(f"the token for the secret {TOKEN} does not open {binding.model}"):
            api.model_info(binding.model, revision=binding.revision, token=secrets[TOKEN])
    elif TOKEN not in there:
        raise SettingError(
            f"{binding.model} is private or gated, so the Space needs a token to read it: make one "
            "that may read that model and nothing else, put it into an environment variable such "
            f"as MODEL_TOKEN, and add `--secret {TOKEN}=MODEL_TOKEN`"
        )
