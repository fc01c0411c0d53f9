"""`hfbio space create` against the loopback Hub: what it makes, what it refuses, what faults do."""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hub import Fault, HubServer
from hub.session import Session

from hfbio.bundle import Manifest, write_manifest
from hfbio.tokens import Tags

MANIFEST = Manifest(
    base="sapiens-vh",
    base_revision=None,
    family="roberta",
    base_license="MIT",
    method="lora",
    objective={"kind": "diffusion", "min_t": 0.02},
    tags=Tags(),
    lengths={"": {"120": 1}},
    sampler={"kind": "unmask"},
    data={},
    training={},
    versions={},
)

CLIENT = """
import os, sys
from huggingface_hub import HfApi
import hfbio.hub.client
import hfbio.space_repo.create as create
import hfbio.space_repo.running as running
from hfbio.cli import main
from hfbio.errors import HfbioError

api = HfApi()
hfbio.hub.client.BACKOFF_SECONDS = 0.01
running.RESTART_SECONDS = 0.05

def run(*words):
    sys.argv = ["hfbio", "space", "create", *words]
    try:
        main()
    except SystemExit as stop:
        if stop.code:
            print("exit", stop.code)

def attempt(space, model="user/model", **options):
    try:
        made = create.create_space(space, model, poll_seconds=0.01, **options)
        print(space, made.stage, made.hardware, "public" if made.public else "private")
    except HfbioError as error:
        print(space, type(error).__name__, error)

def exists(space):
    return api.repo_exists(space, repo_type="space")
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The Hub of this file, and a client process that has imported hfbio."""
    with HubServer() as server:
        environment = server.environment(tmp_path_factory.mktemp("cache"))
        session = Session(environment | {"MAIL_TOKEN": "hush-hush-hush"})
        session(CLIENT)
        yield server, session
        session.close()


@pytest.fixture
def client(served):
    """A function that runs a script, with variables, and returns the lines it printed."""
    return lambda script, **values: served[1](script, **values).splitlines()


@pytest.fixture
def server(served):
    """The Hub with the models of these tests, each as if nobody had touched it."""

    def bundle(**changes):
        return {"hfbio.json": hfbio_json(dataclasses.replace(MANIFEST, **changes))}

    hub, _ = served
    hub.add_repo("model", "user/model", bundle())
    hub.commit("model", "user/model", bundle(training={"seed": 4}))
    hub.add_repo("model", "user/antiberty", bundle(base="antiberty", family="bert"))
    hub.add_repo("model", "user/local", bundle(base="my-folder"))
    hub.add_repo("model", "user/private", bundle(), private=True)
    hub.add_repo("model", "user/plain", {"config.json": b"{}"})
    yield hub
    hub.before_each = None
    hub.forget_plans()


def hfbio_json(manifest):
    """The bytes of the file."""
    with TemporaryDirectory() as folder:
        write_manifest(Path(folder), manifest)
        return Path(folder, "hfbio.json").read_bytes()


def first_commit(server):
    """The 40 digits of the older commit of user/model."""
    return list(server.repo("model", "user/model").history("main"))[-1].oid


def variables(space):
    return {name: item["value"] for name, item in space.variables.items()}


def writes(server, since):
    """Method and path of the requests that change something, from number ``since`` on."""
    found = server.requests[since:]
    return [(r.method, r.path) for r in found if r.method not in ("GET", "HEAD")]


def test_a_space_is_made_bound_updated_and_shown(server, client):
    visible = []

    def watch(call):
        if call.method == "GET" and call.path == "/api/spaces/user/page/runtime":
            visible.append(server.repo("space", "user/page").private)

    server.before_each = watch
    first, since = first_commit(server), len(server.requests)
    out = client(
        """
base = ["user/page", "--model", "user/model"]
run(*base, "--revision", first, "--hardware", "t4-small", "--secret", "MAIL_TOKEN")
run(*base)
made = api.space_info("user/page").sha
run(*base, "--update", "--revision", first)
print("same commit", made == api.space_info("user/page").sha)
api.upload_file(path_or_fileobj=b"mine", path_in_repo="notes.txt", repo_id="user/page",
    repo_type="space")
api.upload_file(path_or_fileobj=b"print()", path_in_repo="app.py", repo_id="user/page",
    repo_type="space")
api.upload_file(path_or_fileobj=b"old", path_in_repo="hfbio/old.py", repo_id="user/page",
    repo_type="space")
run(*base, "--update", "--public", "--hardware", "cpu-upgrade")
""",
        first=first,
    )
    newest = server.sha("model", "user/model")
    space = server.repo("space", "user/page")
    assert out[0] == "space     user/page is RUNNING on t4-small, private"
    assert out[1] == f"model     user/model at {first}"
    assert out[3] == f"page      {server.url}/spaces/user/page"
    assert out[4] == "exit 2"  # it exists
    assert "same commit True" in out
    assert out[-4] == "space     user/page is RUNNING on cpu-upgrade, public"
    assert out[-3] == f"model     user/model at {newest}"
    # 1: the Hub's own. 2: ours. 3 to 5: by hand. 6: the update with something to mend.
    commits = list(space.history("main"))
    assert len(commits) == 6
    made = commits[-2].files
    files = server.files("space", "user/page")
    assert set(files) == {*made, "notes.txt"}
    assert files["app.py"] == made["app.py"].data != b"print()"
    assert variables(space) == {"HFBIO_MODEL": "user/model", "HFBIO_REVISION": newest}
    assert space.secrets["MAIL_TOKEN"]["value"] == "hush-hush-hush"
    for secret in (b"hush-hush", server.token().encode()):
        assert not any(secret in data for data in files.values())
        assert secret.decode() not in "".join(out)
    # What was right already is not set again: each setting restarts a Space.
    settings = [p.rsplit("/", 1)[1] for m, p in writes(server, since) if m == "POST"]
    assert settings.count("variables") == 1  # HFBIO_REVISION, once; the rest comes with creation
    assert settings.count("hardware") == 1
    assert not settings.count("secrets")
    assert visible
    assert all(visible)  # nobody saw it before it ran
    assert 501 not in {r.status for r in server.requests}


REFUSALS = """
attempt("user/none", "user/missing")
attempt("user/none", "user/model", revision="v9")
attempt("user/none", "user/plain")
attempt("user/none", "user/local")
attempt("page", "user/model")
attempt("user/none", "user/model", secrets=["NOT_SET"])
attempt("user/none", "user/model", secrets=["hf_" + "a1b2c3" * 6])
attempt("user/none", "user/model", secrets=["HF_TOKEN=hf_" + "a1b2c3" * 6])
attempt("user/none", "user/model", secrets=["sk-a1b2c3"])
attempt("user/none", "user/private")
attempt("user/theirs", "user/model", update=True)
attempt("user/static", "user/model", update=True)
attempt("user/shown", "user/model", update=True)
attempt("user/none", "user/model", duplicate="user/theirs")
attempt("user/none", "user/model", duplicate="user/missing")
attempt("user/none", "user/model", duplicate="user/theirs", update=True)
attempt("other/page", "user/model")
"""


def test_what_cannot_work_is_refused_before_anything_is_there(server, client):
    server.add_repo("space", "user/theirs", {"app.py": b"print()", "README.md": b""})
    server.repo("space", "user/theirs").sdk = "gradio"
    server.add_repo("space", "user/static", {"index.html": b""})
    server.add_repo("space", "user/shown", {"hfbio/__init__.py": b""})
    server.repo("space", "user/shown").sdk = "gradio"
    since = len(server.requests)
    out = client(REFUSALS)
    wanted = [
        "HubError cannot look at the model user/missing",
        "HubError cannot look at the model user/model",
        "BundleError user/plain holds no hfbio.json",
        "BundleError user/local adapts 'my-folder'",
        "SettingError 'page' must be USER/REPO",
        "SettingError secret NOT_SET: the environment variable to take its value from",
        "SettingError secret …: the environment variable to take its value from",
        "SettingError secret HF_TOKEN: the environment variable to take its value from",
        "SettingError a secret is given as NAME or NAME=VARIABLE",
        "SettingError user/private is private or gated",
        "SettingError user/theirs is a Space, but not one that",
        "SettingError user/static is a Space, but not one that",
        "SettingError the Space user/shown is public: everybody would sample from this model at "
        "once; add --public",
        "SettingError user/theirs is a Space, but not one that",
        "SettingError there is no Space user/missing",
        "SettingError --duplicate makes a new Space",
        "HubError cannot create the Space other/page: 403",
    ]
    assert [line.split(" ", 1)[1][: len(want)] for line, want in zip(out, wanted)] == wanted
    assert len(out) == len(wanted)
    assert "a1b2c3" not in "".join(out)
    assert writes(server, since) == [("POST", "/api/repos/create")]  # the one that was forbidden


def test_a_private_model_needs_a_token_of_its_own(server, client):
    stranger, reader = server.token("other", "read"), server.token("user", "read")
    out = client(
        """
for os.environ["MODEL_TOKEN"] in (stranger, reader):
    attempt("user/closed", "user/private", secrets=["HF_TOKEN=MODEL_TOKEN"])
attempt("user/closed", "user/private", update=True)
""",
        stranger=stranger,
        reader=reader,
    )
    assert "HubError the token for the secret HF_TOKEN does not open user/private" in out[0]
    assert out[1:] == ["user/closed RUNNING cpu-basic private"] * 2
    kept = server.repo("space", "user/closed").secrets["HF_TOKEN"]["value"]
    assert kept == reader
    assert kept not in "".join(out)
    assert kept.encode() not in b"".join(server.files("space", "user/closed").values())


def test_a_base_that_the_space_cannot_read_is_refused_before_anything_is_there(server, client):
    base = server.add_repo("model", "user/base", {"config.json": b"{}"}, private=True)
    sha = base.at("main").oid
    for name in ("adapted", "gated", "lost"):
        told = dataclasses.replace(MANIFEST, base="user/base", base_revision=sha)
        if name == "lost":
            told = dataclasses.replace(told, base_revision="0" * 40)
        server.add_repo("model", f"user/{name}", {"hfbio.json": hfbio_json(told)})
    stranger, reader = server.token("other", "read"), server.token("user", "read")
    since = len(server.requests)
    out = client(
        """
attempt("user/none", "user/adapted")
for os.environ["MODEL_TOKEN"] in (stranger, reader):
    attempt("user/none", "user/lost", secrets=["HF_TOKEN=MODEL_TOKEN"])
""",
        stranger=stranger,
        reader=reader,
    )
    base.private = False
    server.plan("HEAD", "/user/base/resolve/", [Fault(403, code="GatedRepo")])
    out += client('attempt("user/none", "user/gated")')
    assert not writes(server, since)
    wanted = [
        "SettingError the base user/base is private, gated or gone: it cannot be read without a "
        "token",
        "SettingError the base user/base is private, gated or gone: it cannot be read with the "
        "token that is given",
        "HubError cannot look at the base user/base: 404",
        "SettingError the base user/base is private, gated or gone: it cannot be read without",
    ]
    assert [line.split(" ", 1)[1][: len(want)] for line, want in zip(out, wanted)] == wanted
    base.private = True
    out = client(
        """
os.environ["MODEL_TOKEN"] = reader
attempt("user/based", "user/adapted", secrets=["HF_TOKEN=MODEL_TOKEN"])
attempt("user/based", "user/adapted", update=True)  # the secret is there: nobody can know it
""",
        reader=reader,
    )
    assert out == ["user/based RUNNING cpu-basic private"] * 2


def test_a_copy_keeps_the_page_and_speaks_of_its_own_model(server, client):
    page = {
        "app.py": b"print('changed by its owner')",
        "hfbio/__init__.py": b"",
        "README.md": b"---\ntitle: Theirs\nsdk: gradio\nmodels: [other/model]\n---\nHello\n",
        "requirements.txt": b"Torch>=2.8\nplotly\n",
    }
    source = server.add_repo("space", "other/page", page)
    source.variables = {"HFBIO_MODEL": {"key": "HFBIO_MODEL", "value": "other/model"}}
    source.secrets = {"HF_TOKEN": {"key": "HF_TOKEN", "value": "theirs"}}
    server.plan("POST", "/duplicate", [Fault(403), Fault(lose_reply=True)])
    server.plan("POST", "/user/third/commit/", [Fault(500)])
    out = client(
        """
attempt("user/copy", "user/antiberty", duplicate="other/page")
print(exists("user/copy"))
attempt("user/copy", "user/antiberty", duplicate="other/page")
attempt("user/third", "user/antiberty", duplicate="other/page")
print(exists("user/third"))
"""
    )
    assert out[0].startswith("user/copy HubError cannot create the Space user/copy: 403")
    assert out[1:3] == ["False", "user/copy RUNNING cpu-basic private"]
    assert out[3].endswith("user/third, created a moment ago, was removed again")
    assert out[4] == "False"
    copy, files = server.repo("space", "user/copy"), server.files("space", "user/copy")
    revision = server.sha("model", "user/antiberty")
    assert variables(copy) == {"HFBIO_MODEL": "user/antiberty", "HFBIO_REVISION": revision}
    assert copy.private
    assert not copy.secrets
    assert set(files) == set(page)
    assert files["app.py"] == page["app.py"]
    readme = files["README.md"].decode()
    assert "title: Theirs" in readme
    assert "models:\n- user/antiberty\n" in readme
    assert readme.endswith("Hello\n")
    wanted = files["requirements.txt"].decode().splitlines()
    assert wanted[:2] == ["Torch>=2.8", "plotly"]
    assert "antiberty==0.1.3" in wanted
    assert not any(line.startswith("torch") for line in wanted)


def test_faults_end_in_success_or_leave_the_hub_as_it_was(server, client):
    refusals = [401, 403, 409]
    lost = Fault(lose_reply=True)
    busy = [Fault(503), Fault(429, {"Retry-After": "0"}), lost]  # asked again, and made once
    server.plan("GET", "^/api/spaces/user/shaky", [Fault(503)])
    server.plan("POST", "/api/repos/create", [*map(Fault, refusals), *busy])
    for status in (*refusals, 500):
        server.plan("POST", f"/user/new{status}/commit/", [Fault(status)])
    server.plan("DELETE", "/api/repos/delete", busy)
    server.plan("POST", "/user/newlost/commit/", [lost])
    server.plan("POST", "/user/old/commit/", [*map(Fault, (*refusals, 500)), lost])
    server.plan("POST", "/user/shaky/variables", [*map(Fault, refusals), *busy])
    server.plan("GET", "/user/shaky/runtime", [Fault(500), Fault(429), lost])
    listed = b"app.py\npage/old.py\ntab.py\n"
    old = {"app.py": b"old", "hfbio/__init__.py": b"", "hfbio/_data/space_files.txt": listed}
    old |= {"tab.py": b"old", "page/old.py": b"old"}
    mine = {"notes.txt": b"mine", "page/mine.py": b"mine"}
    server.add_repo("space", "user/old", old | mine)
    server.repo("space", "user/old").sdk = "gradio"
    server.repo("space", "user/old").stage = "RUNNING"
    before = server.sha("space", "user/old")
    first = first_commit(server)
    out = client(
        """
for _ in range(3):  # create
    attempt("user/shaky", revision=first)
    print(exists("user/shaky"))
attempt("user/shaky", revision=first)  # the reply to create is lost, so are three polls
for name in ("new401", "new403", "new409", "new500"):  # commit of a new one
    attempt("user/" + name)
    print(exists("user/" + name))
attempt("user/newlost")
for _ in range(4):  # commit of an update
    attempt("user/old", update=True, public=True)
    print(api.space_info("user/old").sha, api.get_space_variables("user/old"))
attempt("user/old", update=True, public=True)
for _ in range(3):  # variables of an update, the reply lost at last
    attempt("user/shaky", update=True)
    print(api.get_space_variables("user/shaky")["HFBIO_REVISION"].value == first)
attempt("user/shaky", update=True)
""",
        first=first,
    )
    steps = iter(out)
    for status in refusals:
        assert next(steps).startswith(
            f"user/shaky HubError cannot create the Space user/shaky: {status}"
        )
        assert next(steps) == "False"
    assert next(steps) == "user/shaky RUNNING cpu-basic private"
    for status in (*refusals, 500):
        said, space = next(steps), f"user/new{status}"
        assert said.startswith(f"{space} HubError cannot push to the Space {space}: {status}")
        assert said.endswith(f"; {space}, created a moment ago, was removed again")
        assert next(steps) == "False"
    assert next(steps) == "user/newlost RUNNING cpu-basic private"
    for status in (*refusals, 500):
        assert next(steps).startswith(
            f"user/old HubError cannot push to the Space user/old: {status}"
        )
        assert next(steps) == f"{before} {{}}"
    assert next(steps) == "user/old RUNNING cpu-basic public"
    for said in refusals:
        assert re.match(rf"user/shaky HubError .* settings are not changed: {said}", next(steps))
        assert next(steps) == "True"
    assert next(steps) == "user/shaky RUNNING cpu-basic private"
    assert next(steps, None) is None
    updated = server.files("space", "user/old")
    assert not {"tab.py", "page/old.py"} & set(updated)  # an earlier page had them
    assert {"page/__init__.py", "page/style.css"} <= set(updated)
    assert {name: updated[name] for name in mine} == mine
    assert updated["app.py"] != b"old"
    assert variables(server.repo("space", "user/shaky"))["HFBIO_REVISION"] != first


def test_a_space_that_cannot_be_removed_again_is_named(server, client):
    server.plan("POST", "/user/newgone/commit/", [Fault(403)])
    server.plan("DELETE", "/api/repos/delete", [Fault(403)])
    (said,) = client('attempt("user/newgone")')
    assert "user/newgone is there now, private and incomplete (it cannot be removed: 403" in said


def test_a_space_is_waited_for_until_it_runs_this_commit_or_fails(server, client):
    stages = {
        "slow": ["NO_APP_FILE", "BUILDING", "APP_STARTING", "RUNNING"],
        "build": ["BUILDING", "BUILD_ERROR", "BUILD_ERROR"],
        "mended": ["BUILD_ERROR", "BUILDING", "RUNNING"],  # the first is about the old commit
        "late": ["BUILDING"],
        "stopped": ["PAUSED"],
        "asleep": ["SLEEPING"],
        "behind": ["RUNNING"],  # the old commit, until it is asked for the third time
    }
    asked = defaultdict(int)

    def next_stage(call):
        match = re.fullmatch("/api/spaces/user/([a-z]+)/runtime", call.path)
        if match and match[1] in stages:
            told = stages[match[1]]
            space = server.repo("space", f"user/{match[1]}")
            space.stage = told[min(asked[match[1]], len(told) - 1)]
            space.built = "0" * 40 if match[1] == "behind" and asked["behind"] < 2 else None
            asked[match[1]] += 1

    server.before_each = next_stage
    out = client(
        """
for name in names:
    attempt("user/" + name, public=True, timeout=0.5)
    print(api.space_info("user/" + name).private)
""",
        names=list(stages),
    )
    page = f"{server.url}/spaces/user"
    assert out[0::2] == [
        "user/slow RUNNING cpu-basic public",
        f"user/build HubError user/build is in stage BUILD_ERROR; the first fault in {page}/build"
        "?logs=build tells why; mend it, then use --update",
        "user/mended RUNNING cpu-basic public",
        "user/late HubError user/late does not run after 1 s (stage BUILDING); it may still come "
        f"up: look at {page}/late, or wait on with --update",
        f"user/stopped HubError user/stopped is in stage PAUSED; restart it in {page}/stopped"
        "/settings",
        "user/asleep SLEEPING cpu-basic public",
        "user/behind RUNNING cpu-basic public",
    ]
    assert asked["behind"] == 3
    assert out[1::2] == ["False", "True", "False", "True", "True", "False", "False"]


def test_after_a_change_of_settings_the_stage_of_before_does_not_count(server, client):
    stages = {
        "runs": ["RUNNING", "RUNNING", "APP_STARTING", "RUNNING"],
        "mends": ["RUNTIME_ERROR", "RUNTIME_ERROR", "APP_STARTING", "RUNNING"],
        "breaks": ["RUNNING", "APP_STARTING", "RUNTIME_ERROR", "RUNTIME_ERROR"],
    }
    client(
        """
for name in names:
    attempt("user/" + name, revision=first)
""",
        names=list(stages),
        first=first_commit(server),
    )
    told = {name: iter(row) for name, row in stages.items()}

    def next_stage(call):
        if match := re.fullmatch("/api/spaces/user/([a-z]+)/runtime", call.path):
            server.repo("space", f"user/{match[1]}").stage = next(told[match[1]])

    server.before_each = next_stage
    out = client(
        """
running.RESTART_SECONDS = 60.0
for name in names:
    attempt("user/" + name, update=True)
running.RESTART_SECONDS = 0.05
""",
        names=list(stages),
    )
    assert out[:2] == [
        "user/runs RUNNING cpu-basic private",
        "user/mends RUNNING cpu-basic private",
    ]
    assert out[2].startswith("user/breaks HubError user/breaks is in stage RUNTIME_ERROR")
    assert not [stage for row in told.values() for stage in row]  # each was asked to the end
