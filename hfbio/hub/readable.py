"""Whether a file on the Hub can be read, and with which token. Downloads nothing."""

from __future__ import annotations

from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import RepositoryNotFoundError

from hfbio.bundle import Manifest
from hfbio.errors import SettingError
from hfbio.hub.client import ask, client
from hfbio.models.catalogue import find


def require_base_readable(manifest: Manifest, token: str | bool) -> None:
    """Check that whoever loads a bundle can read the base that it names.

    Nothing is asked about a base that comes with hfbio, with a package or from a folder.

    Args:
        manifest: of the bundle.
        token: what the base will be read with; ``False`` for none, as a stranger does.

    Raises:
        SettingError: the base is private, gated or gone for that token.
        HubError: the Hub cannot be asked, or does not know the token or the commit.
    """
    base, known = manifest.base, find(manifest.base)
    if not manifest.has_base or (known.source != "hub" if known else manifest.base_is_local):
        return

    def readable() -> bool:
        try:
            require_file(client(), base, "config.json", manifest.base_revision, token)
        except RepositoryNotFoundError:  # or a gate, which is one of its kinds
            return False
        return True

    if not ask(f"cannot look at the base {base}", readable):
        raise SettingError(
            f"the base {base} is private, gated or gone: it cannot be read "
            f"{'with the token that is given' if token else 'without a token'}, and a model cannot "
            "be loaded without its base; a Space can be given a token that opens both, with "
            "`--secret HF_TOKEN=VARIABLE`, a public model needs a base that is open"
        )


def require_file(
    api: HfApi, repo_id: str, name: str, revision: str | None, token: str | bool
) -> None:
    """Ask for a file as a download begins to, and raise what the client makes of a refusal.

    Only this tells of a gate: everybody may look at the page of a gated repository.
    """
    url = hf_hub_url(repo_id, name, revision=revision, endpoint=api.endpoint)
    api.get_hf_file_metadata(url=url, token=token)
