"""Whether a Space has come up, and what to do if it has not. Changes nothing."""

from __future__ import annotations

import time
from typing import Final

import httpx2
from huggingface_hub import HfApi, SpaceRuntime
from huggingface_hub.errors import HfHubHTTPError

from hfbio.errors import HubError
from hfbio.hub.client import explaining, redact

_UP: Final = ("RUNNING", "SLEEPING")  # a sleeping Space wakes when somebody visits it
_DOWN: Final = {
    "BUILD_ERROR": "the first fault in {url}?logs=build tells why; mend it, then use --update",
    "RUNTIME_ERROR": "the end of {url}?logs=container tells why; mend it, then use --update",
    "CONFIG_ERROR": "look at the header of its README and at its variables, in {url}/settings",
    "PAUSED": "restart it in {url}/settings",
    "STOPPED": "restart it in {url}/settings",
    "DELETING": "somebody deletes it",
}
_GRACE: Final = 60.0  # seconds in which the Hub may not know yet that there is an app file


def wait(
    api: HfApi, repo_id: str, commit: str, *, timeout: float, poll_seconds: float
) -> SpaceRuntime:
    """Wait until the Space runs this commit.

    For a while after an upload the Hub may still tell of what was there before: the old commit
    runs, the old build failed, there is no app file. So a failure counts when it is told
    twice, and running counts for this commit alone.

    Args:
        api: the client.
        repo_id: of the Space.
        commit: what is to run.
        timeout: seconds, >= 0.
        poll_seconds: between two questions.

    Raises:
        HubError: it failed, or time is up; with what to do.
    """
    begun, stage = time.monotonic(), "not known"
    while True:
        told_before = stage
        try:
            runtime = api.get_space_runtime(repo_id)
            stage = str(getattr(runtime.stage, "value", runtime.stage))
            current = runtime.raw.get("sha") in (None, commit)
            if stage in _UP and current:
                return runtime
            if stage in _DOWN and stage == told_before:
                raise HubError(_fault(api, repo_id, stage, runtime))
        except (HfHubHTTPError, httpx2.TransportError) as error:
            # One failed question in a quarter of an hour of asking is no reason to give up.
            if not may_pass(error):
                with explaining(f"{repo_id} is uploaded, but does not say how it is"):
                    raise
        waited = time.monotonic() - begun
        if waited >= (min(timeout, _GRACE) if stage == "NO_APP_FILE" else timeout):
            raise HubError(
                f"{repo_id} does not run after {waited:.0f} s (stage {stage}); it may "
                f"still come up: look at {page_of(api, repo_id)}, or wait on with --update"
            )
        time.sleep(min(poll_seconds, max(0.0, timeout - waited)))


def page_of(api: HfApi, repo_id: str) -> str:
    """Address of a Space for people."""
    return f"{api.endpoint}/spaces/{repo_id}"


def may_pass(error: Exception) -> bool:
    """Whether it is the network's fault or the Hub's own, or haste, and not a refusal."""
    status = getattr(getattr(error, "response", None), "status_code", 0)
    return isinstance(error, httpx2.TransportError) or status == 429 or status >= 500


def _fault(api: HfApi, repo_id: str, stage: str, runtime: SpaceRuntime) -> str:
    said = redact(str(runtime.raw.get("errorMessage") or "")).strip().replace("\n", " ")[:400]
    told = f": {said}" if said else ""
    return f"{repo_id} is in stage {stage}{told}; {_DOWN[stage].format(url=page_of(api, repo_id))}"
