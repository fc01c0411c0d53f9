"""Replies that are lost, calls that must not be made twice, and faults in words."""

import errno
import json
import re

import httpx2
import pytest
from hf_xet import XetAuthenticationError, XetObjectNotFoundError
from hub.faults import Fault
from hub.server import HubServer
from hub.session import ClientError, Session
from huggingface_hub import CommitOperationAdd
from huggingface_hub._commit_api import _upload_lfs_files
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

from hfbio.errors import HubError
from hfbio.hub.client import explaining

SETUP = """
from pathlib import Path
import hfbio.hub.client
from hfbio.errors import HubError
from hfbio.hub.client import client
from hfbio.hub.remote import MAIN, Remote
hfbio.hub.client.BACKOFF_SECONDS = 0.01

def push(repo, files):
    remote = Remote(client(), repo)
    if not remote.exists:
        remote.create()
    parent = remote.head(MAIN)
    commit = remote.plan({name: Path(path) for name, path in files.items()}, parent, "a push")
    return remote.commit(commit, MAIN, parent)
"""
LOST = Fault(lose_reply=True)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with HubServer() as server:
        session = Session(server.environment(tmp_path_factory.mktemp("cache")))
        session(SETUP)
        yield server, session
        session.close()


@pytest.fixture
def server(served):
    yield served[0]
    served[0].forget_plans()


@pytest.fixture
def client(served):
    return lambda script, **values: served[1](script, **values).strip()


@pytest.fixture
def files(tmp_path):
    """Two files that a push owns, by path in the repository."""
    for name in ("README.md", "metrics.json"):
        (tmp_path / name).write_text("{}")
    return {name: str(tmp_path / name) for name in ("README.md", "metrics.json")}


# --- lost replies --------------------------------------------------------------------------------


def test_a_lost_reply_to_a_commit_of_one_changed_file_is_found_out(server, client, files, tmp_path):
    client("push('user/twice', files)", files=files)
    (tmp_path / "metrics.json").write_text('{"better": 1}')
    plan = server.plan("POST", "/user/twice/commit/main", [LOST])
    commit = client("print(push('user/twice', files))", files=files)
    assert plan.left == 0
    assert commit == server.sha("model", "user/twice")
    assert server.files("model", "user/twice")["metrics.json"] == b'{"better": 1}'
    assert len(list(server.repo("model", "user/twice").history("main"))) == 3  # the Hub's, and two


def test_a_commit_that_did_not_arrive_is_not_taken_for_one_that_did(
    server, client, files, tmp_path
):
    client("push('user/never', files)", files=files)
    before = server.sha("model", "user/never")
    (tmp_path / "metrics.json").write_text('{"better": 2}')

    def somebody(call):
        if call.path.endswith("/user/never/commit/main"):
            server.commit("model", "user/never", {"notes.txt": b"theirs"})

    server.before_each = somebody
    try:
        with pytest.raises(ClientError, match="cannot push to user/never: 412") as caught:
            client("push('user/never', files)", files=files)
    finally:
        server.before_each = None
    assert caught.value.kind == "HubError"
    theirs, ours, _ = server.repo("model", "user/never").history("main")
    assert (theirs.files["notes.txt"].data, ours.oid) == (b"theirs", before)


@pytest.mark.parametrize("kind", ["model", "space", "dataset"])
def test_what_is_created_or_deleted_once_is_no_fault_when_its_reply_is_lost(server, client, kind):
    repo = f"user/{kind}-once"
    plans = [
        server.plan("POST", "/api/repos/create", [LOST]),
        server.plan("DELETE", "/branch/", [LOST]),
        server.plan("DELETE", "/api/repos/delete", [LOST]),
    ]
    out = client(
        """
remote = Remote(client(), repo, repo_type=kind)
if kind == "space":
    made = dict(repo_type=kind, private=True, space_sdk="gradio")
    remote.create(lambda: remote.api.create_repo(repo, **made))
else:
    remote.create()
print(remote.created, remote.api.repo_exists(repo, repo_type=kind))
with remote.staging_branch("staged", remote.head(MAIN)):
    print(remote.head("staged") == remote.head(MAIN))
print(remote.head("staged"), remote.remove_if_new())
print(remote.created, remote.exists, remote.api.repo_exists(repo, repo_type=kind))
""",
        repo=repo,
        kind=kind,
    )
    assert out.splitlines() == [
        "True True",
        "True",
        f"None ; {repo}, created a moment ago, was removed again",
        "False False False",
    ]
    assert not any(plan.left for plan in plans)


def test_a_name_that_is_taken_at_the_first_try_is_refused_and_stays(server, client):
    said = client(
        """
remote = Remote(client(), "user/taken")
client().create_repo("user/taken")
try:
    remote.create()
except HubError as error:
    print(error)
print(remote.created, remote.remove_if_new() == "")
"""
    )
    assert said.startswith("cannot create user/taken: 409")
    assert said.endswith("\nFalse True")
    assert server.exists("model", "user/taken")


# --- faults in words -----------------------------------------------------------------------------


FAULTS = {
    "xet token": (XetAuthenticationError("no write token"), "storage refuses.*hf auth login"),
    "xet object": (XetObjectNotFoundError("gone"), "storage refuses"),
    "quota": (ValueError("LFS batch API returned errors:\nquota exceeded"), "quota exceeded"),
    "not the Hub": (json.JSONDecodeError("Expecting value", "<html>", 0), "answer is of no use"),
    "disk": (OSError(errno.ENOSPC, "No space left on device", "/cache"), "No space left.*/cache"),
    "rights": (PermissionError(errno.EACCES, "Permission denied", "/cache"), "Permission denied"),
    "cut short": (OSError("Consistency check failed: 5 bytes"), "Consistency check failed"),
    "no download": (LocalEntryNotFoundError("x"), "the Hub did not send it; try again"),
    "no network": (httpx2.ConnectError("refused"), "connection to the Hub failed"),
    "offline": (OfflineModeIsEnabled("x"), "HF_HUB_OFFLINE"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_on_the_way_is_a_hub_error_that_says_what_to_do(kind):
    fault, told = FAULTS[kind]
    with pytest.raises(HubError, match=rf"^cannot push: .*{told}"), explaining("cannot push"):
        raise fault


@pytest.mark.parametrize("kind", FAULTS)
def test_a_download_tells_of_the_fault_that_stopped_it(kind):
    fault, told = FAULTS[kind]
    with pytest.raises(HubError, match=told), explaining("cannot read"):
        raise LocalEntryNotFoundError("look at your connection") from fault


@pytest.mark.parametrize("kind", ["cut short", "no network", "code"])
def test_an_upload_that_the_client_gave_up_is_a_hub_error_unless_its_code_failed(kind, monkeypatch):
    fault, told = FAULTS.get(kind, (TypeError("two arguments"), ""))

    def upload(**_):
        raise fault

    monkeypatch.setattr("huggingface_hub._commit_api.lfs_upload", upload)
    addition = CommitOperationAdd("a.bin", b"weights")
    with pytest.raises((HubError, RuntimeError)) as caught, explaining("cannot push"):
        _upload_lfs_files(
            actions=[{"oid": "0", "actions": {}}],
            oid2addop={"0": addition},
            headers={},
        )
    assert caught.type is (RuntimeError if kind == "code" else HubError)
    assert re.search(told, str(caught.value))


@pytest.mark.parametrize(
    "fault",
    [ValueError("invalid literal for int()"), RuntimeError("not ours"), KeyError("x"), TypeError()],
    ids=repr,
)
def test_a_fault_of_the_code_is_not_taken_for_one_of_the_hub(fault):
    with pytest.raises(type(fault)) as caught, explaining("cannot push"):
        raise fault
    assert caught.value is fault
