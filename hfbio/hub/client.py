"""The Hub's client, and its faults in words. Decides nothing about what is pushed."""

from __future__ import annotations

import json
import re
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import httpx2
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    BadRequestError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
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
# Of the ValueErrors by which huggingface_hub 2.4 says that the Hub's answer is of no use to it
# (_commit_api, lfs, utils._xet); a ValueError with other words is about an argument.
_USELESS_ANSWERS: Final = re.compile(
    "LFS batch API returned errors|Malformed response|Invalid server response|Invalid etag"
    "|improperly formatted|Xet headers have not been correctly set"
)
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
    """Turn any fault of the Hub, the network or this machine's disk into a HubError.

    What is a fault of the calling code passes through as it is.

    Args:
        action: what failed, such as ``"cannot create user/repo"``.

    Raises:
        HubError: says what was tried, the Hub's status and own words, and what to do. Tokens, and
            the query of an address, which may hold a signature, are cut out.
    """
    try:
        yield
    except (httpx2.HTTPError, OSError, ValueError, RuntimeError) as error:
        if (fault := _explain(error)) is None:
            raise
        raise HubError(f"{action}: {fault}") from None


def ask(action: str, call: Callable[[], T], *, tries: int = TRIES) -> T:
    """``call()``, again if the Hub is busy or the connection broke, as long as that may help.

    Only for calls that do no harm when made twice, by themselves or by `once`, and not for
    downloads, which the client repeats by itself. Between tries it
    waits as long as the Hub asks for (Retry-After), else one second, then two, then four.

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
            except Exception as error:
                if not may_pass(error):
                    raise
                time.sleep(_asked_to_wait(error, seconds))
        return call()


def once(call: Callable[[], object], done: int) -> Callable[[], None]:
    """``call`` for `ask`, if it creates or deletes.

    The reply to the first try may have been lost and the thing be done. So from the second try on
    the status ``done`` is no fault: 409 (it is there) of what creates, 404 (it is gone) of what
    deletes. At the first try it is one.
    """
    n_tried = 0

    def attempt() -> None:
        nonlocal n_tried
        n_tried += 1
        try:
            call()
        except HfHubHTTPError as error:
            if n_tried == 1 or error.response.status_code != done:
                raise

    return attempt


def may_pass(error: BaseException) -> bool:
    """Whether the Hub is busy or the connection broke, so that another try may succeed."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in _BUSY
    return isinstance(error, _BROKEN) and not isinstance(error, OfflineModeIsEnabled)


def redact(text: str) -> str:
    """``text`` without tokens and without the query part of addresses."""
    return _TOKEN.sub("…", text)


def _asked_to_wait(error: Exception, otherwise: float) -> float:
    if not isinstance(error, HfHubHTTPError):
        return otherwise
    asked = error.response.headers.get("Retry-After", "")
    return min(float(asked), MAX_WAIT_SECONDS) if asked.isdecimal() else otherwise


def _explain(error: BaseException) -> str | None:
    """What went wrong and what to do; ``None`` for a fault of the calling code."""
    said = f"{type(error).__name__}: {_words(str(error))}"
    match error:
        case HfHubHTTPError():
            return _refusal(error)
        case LocalTokenNotFoundError():
            return f"there is no token; {_REMEDIES[401]}"
        case OfflineModeIsEnabled():
            return "HF_HUB_OFFLINE forbids to ask the Hub; unset it, then try again"
        case LocalEntryNotFoundError():
            told = _explain(error.__cause__) if error.__cause__ else None
            return told or "the Hub did not send it; try again"
        case httpx2.HTTPError() | ConnectionError() | TimeoutError():
            return f"the connection to the Hub failed ({said}); check the network, then try again"
        case OSError() if type(error).__module__ == "hf_xet":
            return f"the Hub's storage refuses ({said}); {_REMEDIES[401]}, then try again"
        case OSError() if error.errno is not None:
            return f"this machine does not let us ({said}); mend that, then try again"
        case OSError():
            return f"the Hub did not send what it should ({said}); try again"
        case ValueError() if isinstance(error, json.JSONDecodeError) or _USELESS_ANSWERS.search(
            str(error)
        ):
            return f"the Hub's answer is of no use ({said}); try again later"
        case RuntimeError() if _raised_by_client(error):  # it gave up on the upload of one file
            return _explain(error.__cause__) if error.__cause__ else f"{said}; try again"
    return None


def _refusal(error: HfHubHTTPError) -> str:
    status = error.response.status_code
    missing = isinstance(error, RepositoryNotFoundError | RevisionNotFoundError)
    remedy = _REMEDIES.get(404 if missing and status != 401 else status)
    if status >= 500:
        remedy = "the Hub is in trouble; try again later"
    elif isinstance(error, BadRequestError):
        remedy = "the Hub does not accept what was sent"
    return f"{status} {_words(error.server_message or str(error))}" + (
        f"; {remedy}" if remedy else ""
    )


def _words(text: str) -> str:
    return redact(text.strip().replace("\n", " "))[:400]


def _raised_by_client(error: BaseException) -> bool:
    """Whether the innermost frame is the Hub's client's; hf_xet is compiled and has no frames."""
    module = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        module = frame.f_globals.get("__name__", "")
    return module.split(".")[0] == "huggingface_hub"
