"""The Hub's client, and its faults in words. Decides nothing about what is pushed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

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

T = TypeVar("T")
_REMEDIES: Final = {
    401: "log in with `hf auth login`, or set HF_TOKEN to a token that is valid",
    403: "the token may not do this; use one with write access to that namespace",
    404: "check the spelling, and that the token may see it",
    409: "somebody else is changing it; try again",
    412: "somebody else has pushed in the meantime; look at their commit, then try again",
    413: "the Hub takes no request of that size; push less at once",
    429: "the Hub asks for fewer requests; wait some minutes, then try again",
}
TRIES: Final = 4
BACKOFF_SECONDS = 1.0  # before the second try; doubled for each one after it
MAX_WAIT_SECONDS: Final = 60.0
_BUSY: Final = (429, 500, 502, 503, 504)
_BROKEN: Final = (httpx2.HTTPError, ConnectionError, TimeoutError)
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
    except (HfHubHTTPError, *_BROKEN) as error:
        raise HubError(f"{action}: {_explain(error)}") from None
    except RuntimeError as error:  # what the client makes of a failed upload of one file
        if not isinstance(error.__cause__, (HfHubHTTPError, *_BROKEN)):
            raise
        raise HubError(f"{action}: {_explain(error.__cause__)}") from None


def ask(action: str, call: Callable[[], T], *, tries: int = TRIES) -> T:
    """``call()``, again if the Hub is busy or the connection broke, as long as that may help.

    Only for calls that do no harm when made twice. Between tries it waits as long as the Hub asks
    for (Retry-After), else one second, then two, then four.

    Args:
        action: what failed, as for `explaining`.
        call: talks to the Hub.
        tries: how often at most, >= 1.

    Raises:
        HubError: as `explaining`, from the last try.
    """
    with explaining(action):
        for seconds in (BACKOFF_SECONDS * 2**i for i in range(tries - 1)):
            try:
                return call()
            except (HfHubHTTPError, *_BROKEN) as error:
                if isinstance(error, HfHubHTTPError):
                    if error.response.status_code not in _BUSY:
                        raise
                    seconds = _asked_to_wait(error, seconds)
                time.sleep(seconds)
        return call()


def redact(text: str) -> str:
    """``text`` without tokens and without the query part of addresses."""
    return _TOKEN.sub("…", text)


def _asked_to_wait(error: HfHubHTTPError, otherwise: float) -> float:
    asked = error.response.headers.get("Retry-After", "")
    return min(float(asked), MAX_WAIT_SECONDS) if asked.isdecimal() else otherwise


def _explain(error: BaseException) -> str:
    if not isinstance(error, HfHubHTTPError):
        return (
            f"the connection to the Hub failed ({type(error).__name__}: {redact(str(error))}); "
            "check the network, then try again"
        )
    status = error.response.status_code
    said = redact((error.server_message or str(error)).strip().replace("\n", " "))[:400]
    missing = isinstance(error, RepositoryNotFoundError | RevisionNotFoundError)
    remedy = _REMEDIES.get(404 if missing and status != 401 else status)
    if status >= 500:
        remedy = "the Hub is in trouble; try again later"
    elif isinstance(error, BadRequestError):
        remedy = "the Hub does not accept what was sent"
    return f"{status} {said}" + (f"; {remedy}" if remedy else "")
