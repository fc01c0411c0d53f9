"""The Hub's client, and its faults in words. Decides nothing about what is pushed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpx2
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    BadRequestError,
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from hfbio import __version__
from hfbio.errors import HubError, SettingError

_REMEDIES: Final = {
    401: "log in with `hf auth login`, or set HF_TOKEN to a token that is valid",
    403: "the token may not do this; use one with write access to that namespace",
    404: "check the spelling, and that the token may see it",
    409: "somebody else is changing it; try again",
    412: "somebody else has pushed in the meantime; look at their commit, then try again",
    413: "the Hub takes no request of that size; push less at once",
    429: "the Hub asks for fewer requests; wait some minutes, then try again",
}
_TOKEN: Final = re.compile(r"\bhf_\w{8,}|(?<=Bearer )\S+|(?<=[?&])[^\s=&]+=[^\s&)'\"]+")


def client() -> HfApi:
    """The Hub's client, with the token of `hf auth login` or HF_TOKEN. No command takes one."""
    return HfApi(library_name="hfbio", library_version=__version__)


def require_repo_id(name: str) -> None:
    """Raise SettingError unless ``name`` is ``USER/REPO``."""
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise SettingError(f"{error}") from None
    if name.count("/") != 1:
        raise SettingError(
            f"{name!r} must be USER/REPO: your user name or organisation, a slash, a name"
        )


@contextmanager
def explaining(action: str) -> Iterator[None]:
    """Turn any fault of the Hub or the network into a HubError that says what was tried.

    Args:
        action: what failed, such as ``"cannot create user/repo"``.

    Raises:
        HubError: with the Hub's status and own words, and what to do. Tokens, and the query of an
            address, which may hold a signature, are cut out.
    """
    try:
        yield
    except LocalTokenNotFoundError:
        raise HubError(f"{action}: there is no token; {_REMEDIES[401]}") from None
    except HfHubHTTPError as error:
        raise HubError(f"{action}: {_explain(error)}") from None
    except (httpx2.HTTPError, ConnectionError, TimeoutError) as error:
        raise HubError(
            f"{action}: the connection to the Hub failed ({type(error).__name__}: "
            f"{redact(str(error))}); check the network, then try again"
        ) from None


def redact(text: str) -> str:
    """``text`` without tokens and without the query part of addresses."""
    return _TOKEN.sub("…", text)


def _explain(error: HfHubHTTPError) -> str:
    status = getattr(error.response, "status_code", None)
    said = redact((error.server_message or str(error)).strip().replace("\n", " "))[:400]
    missing = isinstance(error, RepositoryNotFoundError | RevisionNotFoundError)
    remedy = _REMEDIES.get(404 if missing and status != 401 else status or 0)
    if status is not None and status >= 500:
        remedy = "the Hub is in trouble; try again later"
    if isinstance(error, BadRequestError):
        remedy = "the Hub does not accept what was sent"
    return f"{status} {said}" + (f"; {remedy}" if remedy else "")
