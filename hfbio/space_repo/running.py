"""Whether a Space has come up, and what to do if it has not. Changes nothing."""

from __future__ import annotations

import time
from typing import Final

from huggingface_hub import HfApi, SpaceRuntime

from hfbio.errors import HubError
from hfbio.hub.client import explaining, may_pass, redact

_DOWN: Final = {
    "BUILD_ERROR": "the first fault in {url}?logs=build tells why; mend it, then use --update",
    "RUNTIME_ERROR": "the end of {url}?logs=container tells why; mend it, then use --update",
    "CONFIG_ERROR": "look at the header of its README and at its variables, in {url}/settings",
    "PAUSED": "restart it in {url}/settings",
    "STOPPED": "restart it in {url}/settings",
    "DELETING": "somebody deletes it",
}
_GRACE: Final = 60.0  # seconds in which the Hub may not know yet that there is an app file
RESTART_SECONDS = 30.0  # in which a Space whose settings have changed begins to restart


def wait(
    api: HfApi,
    repo_id: str,
    commit: str,
    *,
    restarting: bool,
    timeout: float,
    poll_seconds: float,
) -> SpaceRuntime:
    """Wait until the Space runs this commit.

    For a while after an upload the Hub may still tell of what was there before: the old commit
    runs, the old build failed, there is no app file. So a failure counts when it is told
    twice, and running counts for this commit alone. After a change of settings the commit is the
    same as before: a stage counts once another one was told, or `RESTART_SECONDS` have passed.

    Args:
        api: the client.
        repo_id: of the Space.
        commit: what is to run.
        restarting: its settings have changed.
        timeout: seconds, >= 0.
        poll_seconds: between two questions.

    Raises:
        HubError: it failed, or time is up; with what to do.
    """
    begun, stages = time.monotonic(), ["not known"]
    while True:
        waited = time.monotonic() - begun
        if runtime := _look(api, repo_id):
            stages.append(str(getattr(runtime.stage, "value", runtime.stage)))
            settled = (
                not restarting
                or len(set(stages[1:])) > 1
                or waited >= min(RESTART_SECONDS, timeout)
            )
            if _is_up(stages[-1], settled) and runtime.raw.get("sha") in (None, commit):
                return runtime
            if settled and stages[-1] in _DOWN and stages[-1] == stages[-2]:
                raise HubError(_fault(api, repo_id, stages[-1], runtime))
        if waited >= (min(timeout, _GRACE) if stages[-1] == "NO_APP_FILE" else timeout):
            raise HubError(
                f"{repo_id} does not run after {waited:.0f} s (stage {stages[-1]}); it may "
                f"still come up: look at {page_of(api, repo_id)}, or wait on with --update"
            )
        time.sleep(min(poll_seconds, max(0.0, timeout - waited)))


def page_of(api: HfApi, repo_id: str) -> str:
    """Address of a Space for people."""
    return f"{api.endpoint}/spaces/{repo_id}"


def _look(api: HfApi, repo_id: str) -> SpaceRuntime | None:
    """What the Hub says of it; ``None`` if it is too busy to say.

    One failed question in a quarter of an hour of asking is no reason to give up.
    """
    with explaining(f"{repo_id} is uploaded, but does not say how it is"):
        try:
            return api.get_space_runtime(repo_id)
        except Exception as error:
            if not may_pass(error):
                raise
            return None


def _is_up(stage: str, settled: bool) -> bool:
    # A sleeping Space wakes when somebody visits it, and then with its new settings.
    return stage == "SLEEPING" or (stage == "RUNNING" and settled)


def _fault(api: HfApi, repo_id: str, stage: str, runtime: SpaceRuntime) -> str:
    said = redact(str(runtime.raw.get("errorMessage") or "")).strip().replace("\n", " ")[:400]
    told = f": {said}" if said else ""
    return f"{repo_id} is in stage {stage}{told}; {_DOWN[stage].format(url=page_of(api, repo_id))}"
