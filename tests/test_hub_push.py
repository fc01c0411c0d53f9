"""`hfbio push`: what arrives is whole, verified, private and loadable, or nothing arrives."""

import json
import shutil
from dataclasses import replace

import pytest
from antibodies import heavy_with, random_cdr3s
from hub.faults import Fault
from hub.server import HubServer
from hub.session import ClientError, Session
from hub.store import File
from runs import N_CHAINS, flags, make_split
from safetensors.torch import load, save

PUSH = """
from hfbio.hub import Target, push
pushed = push(run, Target(repo, **target), merge=merge)
print(pushed.commit)
"""
TRAIN = """
from hfbio.train import finetune, read_config
from hfbio.report import write_report
done = finetune(read_config(None, words))
write_report(done.metrics, done.folder)
"""
OURS = {
    *("README.md", "CITATION.cff", "hfbio.json", "metrics.json", "tokenizer.json"),
    *("tokenizer_config.json", "adapter/adapter_config.json", "adapter/adapter_model.safetensors"),
    *("merged/config.json", "merged/model.safetensors", "merged/tokenizer.json"),
    *("merged/tokenizer_config.json", "novelty.safetensors", "latent.safetensors"),
}


@pytest.fixture(autouse=True)
def no_faults_from_elsewhere(pushing):
    yield
    pushing.server.forget_plans()


class Pushing:
    """A Hub, a client process that stays, and a finished run to push."""

    def __init__(self, server, session, run):
        self.server, self.session, self.run = server, session, run
        self._n = 0

    def name(self):
        self._n += 1
        return f"user/run-{self._n}"

    def __call__(self, repo, merge=False, **target):
        return self.session(PUSH, run=str(self.run), repo=repo, merge=merge, target=target).strip()

    def state(self, repo):
        """All that anybody could see of a repository, or None."""
        if not self.server.exists("model", repo):
            return None
        there = self.server.repo("model", repo)
        return dict(there.refs), there.private, self.server.files("model", repo)


@pytest.fixture(scope="module")
def pushing(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pushing")
    with HubServer() as server:
        session = Session(server.environment(folder / "cache"))
        words = flags(
            model="sapiens-vh",
            data=make_split(folder),
            data_license="CC-BY-4.0",
            output_dir=folder / "run",
            tags=["locus", "isotype"],
            max_steps=2,
            sampler_kwargs=json.dumps({"steps": 2}),
        )
        session(
            "import hfbio.hub.client, hfbio.hub.verify as v\n"
            "hfbio.hub.client.BACKOFF_SECONDS = v.BACKOFF_SECONDS = 0.01"
        )
        session(TRAIN, words=words)
        # What a run on a source of its own also holds, and must keep to itself.
        shutil.copytree(folder / "split", folder / "run" / "data")
        shutil.copy(folder / "table.parquet", folder / "run")
        (folder / "run" / ".env").write_text(f"HF_TOKEN={server.token()}\n")
        yield Pushing(server, session, folder / "run")
        session.close()


# --- what arrives --------------------------------------------------------------------------------


def test_a_push_is_private_one_commit_and_holds_nothing_but_the_list(pushing):
    repo = pushing.name()
    commit = pushing(repo)
    there = pushing.server.repo("model", repo)
    assert there.private
    assert there.refs == {"refs/heads/main": commit}
    titles = [c.title for c in there.history("main")]
    assert titles == [f"Push {repo[5:]} with hfbio", "initial commit"]
    files = set(pushing.server.files("model", repo)) - {".gitattributes"}
    assert {name for name in files if not name.startswith("figures/")} == OURS
    assert any(name.startswith("figures/") for name in files)


def test_whoever_pushes_names_of_chains_is_told_and_can_leave_them_out(pushing, tmp_path):
    say = """
from hfbio.hub import push
push(run, repo, say=print)
"""
    repo = pushing.name()
    said = pushing.session(say, run=str(pushing.run), repo=repo)
    assert "latent.safetensors tells the names of 30 training chains" in said
    card = pushing.server.files("model", repo)["README.md"].decode()
    assert "30 chains on a plane" in card
    assert "a hashed sketch of 30 chains" in card
    run = tmp_path / "run"
    shutil.copytree(pushing.run, run)
    for name in ("novelty.safetensors", "latent.safetensors"):
        (run / name).unlink()
    assert "names of" not in pushing.session(say, run=str(run), repo=repo)
    files = pushing.server.files("model", repo)  # what the first push left is gone
    assert not {"novelty.safetensors", "latent.safetensors"} & set(files)
    assert "is told of the training chains" in card
    assert "is told of the training chains" not in files["README.md"].decode()
    traces = "import hfbio; m = hfbio.load(repo); print(m.sketch, m.latent)"
    assert pushing.session(traces, repo=repo).split() == ["None", "None"]


def test_pushing_again_changes_nothing_and_a_new_run_replaces_what_was_ours(pushing):
    repo = pushing.name()
    first = pushing(repo)
    requests = len(pushing.server.requests)
    assert pushing(repo) == first
    assert not any(
        r.method != "GET" and r.method != "HEAD" for r in pushing.server.requests[requests:]
    )
    pushing.server.commit("model", repo, {"notes.txt": b"mine", "model.safetensors": b"old"})
    second = pushing(repo)
    files = pushing.server.files("model", repo)
    assert second != first
    assert files["notes.txt"] == b"mine"  # a user's own file stays
    assert "model.safetensors" not in files  # an earlier push's goes


def test_a_stranger_draws_the_same_designs_in_a_fresh_process(pushing, tmp_path):
    repo = pushing.name()
    commit = pushing(repo)
    draw = """
import hfbio, sys
model = hfbio.load(name, revision=revision)
found = model.sample(hfbio.Request(num=6, seed=3, keep="all", conditions={"isotype": "IGHG"}))
print(*(design.sequence_aa for design in found.drawn))
"""
    tell = """
print(model.sketch.copies(chains).tolist(), model.sketch.nearest(chains).round(2).tolist())
print(model.latent.ids, model.latent.points.tolist())
"""
    chains = [heavy_with(cdr3) for cdr3 in random_cdr3s(N_CHAINS)]
    fresh = Session(pushing.server.environment(tmp_path / "other"))
    from_hub = fresh(draw, name=repo, revision=commit)
    told = fresh(tell, chains=chains)
    fresh.close()
    assert from_hub == pushing.session(draw, name=str(pushing.run), revision=None)
    assert len(set(from_hub.split())) == 6
    # How new a design is, and where it lies, likewise.
    assert told == pushing.session(tell, chains=chains)
    assert told.splitlines()[0].count("True") == 30  # of 36, those that were trained on


def test_the_merged_folder_loads_by_transformers_alone(pushing):
    repo = pushing.name()
    pushing(repo)
    out = pushing.session(
        """
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer
import hfbio
plain = AutoModelForMaskedLM.from_pretrained(repo, subfolder="merged").eval()
tokenizer = AutoTokenizer.from_pretrained(repo, subfolder="merged")
model = hfbio.load(repo)
ids = torch.tensor([tokenizer.convert_tokens_to_ids(["[IGH|IGHG]", *"EVQLVESGGG"])])
with torch.no_grad():
    known = list(model.base.token_map.residue_ids)
    gap = (plain(input_ids=ids).logits - model.model(input_ids=ids).logits)[..., known].abs().max()
print(tokenizer.unk_token_id not in ids, gap.item() < 1e-4)
""",
        repo=repo,
    )
    assert out.split() == ["True", "True"]


def test_merge_publishes_full_weights_that_write_the_same_designs(pushing):
    adapter, whole = pushing.name(), pushing.name()
    pushing(adapter)
    pushing(whole, merge=True)
    files = pushing.server.files("model", whole)
    assert "model.safetensors" in files
    assert not any(name.startswith(("adapter", "merged/")) for name in files)
    assert {"novelty.safetensors", "latent.safetensors"} <= set(files)
    assert json.loads(files["hfbio.json"])["method"] == "full"
    out = pushing.session(
        """
import hfbio
designs = [hfbio.load(r).sample(hfbio.Request(num=4, seed=1, keep="all")).drawn for r in repos]
print(*([d.sequence_aa for d in drawn] == [d.sequence_aa for d in designs[0]] for drawn in designs))
""",
        repos=[adapter, whole],
    )
    assert out.split() == ["True", "True"]


def test_a_tag_a_branch_and_a_collection_are_as_asked(pushing):
    repo = pushing.name()
    main = pushing(repo, tag="v1", collection="My antibodies")
    refs = pushing.server.repo("model", repo).refs
    assert refs == {"refs/heads/main": main, "refs/tags/v1": main}
    (collection,) = pushing.server.collections.values()
    assert [item["id"] for item in collection["items"]] == [repo]
    assert collection["private"]
    assert pushing(repo, tag="v1", collection=collection["slug"]) == main  # again: as it was
    assert len(collection["items"]) == 1
    pushing.server.commit("model", repo, {"metrics.json": b"{}"}, "main")
    with pytest.raises(ClientError, match="tag 'v1' already"):
        pushing(repo, tag="v1")
    as_it_is = pushing(repo, revision="as-it-is")  # nothing to upload, and yet a branch
    assert pushing.server.sha("model", repo, "as-it-is") == as_it_is
    other = pushing(repo, revision="trial")
    assert pushing.server.sha("model", repo, "trial") == other
    assert pushing.server.files("model", repo)["metrics.json"] == b"{}"


def test_a_pull_request_leaves_main_alone(pushing):
    repo = pushing.name()
    with pytest.raises(ClientError, match="does not exist"):
        pushing(repo, create_pr=True)
    pushing.server.add_repo("model", repo, {"README.md": b"mine"}, private=True)
    before = pushing.server.sha("model", repo)
    commit = pushing(repo, create_pr=True)
    assert pushing.server.sha("model", repo) == before
    assert pushing.server.sha("model", repo, "refs/pr/1") == commit
    assert set(pushing.server.files("model", repo, "refs/pr/1")) >= OURS


def test_a_pull_request_whose_reply_is_lost_is_closed(pushing):
    repo = pushing.name()
    pushing.server.add_repo("model", repo, {"README.md": b"mine"}, private=True)
    pushing.server.plan("POST", "/commit/main", [Fault(lose_reply=True)])
    with pytest.raises(ClientError, match="cannot open a pull request"):
        pushing(repo, create_pr=True)
    assert pushing.server.repo("model", repo).closed == {1}


def test_a_pull_request_makes_nothing_public(pushing):
    repo = pushing.name()
    pushing.server.add_repo("model", repo, {"README.md": b"mine"}, private=True)
    pushing(repo, create_pr=True, public=True)
    assert pushing.server.repo("model", repo).private


def test_a_model_that_hfbio_did_not_push_is_not_replaced(pushing):
    repo = pushing.name()
    files = {"README.md": b"mine", "config.json": b"{}", "pytorch_model.bin": b"weights"}
    pushing.server.add_repo("model", repo, files, private=True)
    with pytest.raises(ClientError, match=r"did not push \(config.json, pytorch_model.bin\)"):
        pushing(repo)
    assert pushing.server.files("model", repo) == files


def test_another_namespace_is_refused_before_the_work(pushing):
    with pytest.raises(ClientError, match="the token is that of user, who may write to user"):
        pushing("other/run")
    assert not any("repos/create" in r.path for r in pushing.server.requests[-3:])


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("metrics.json", '{"held_out": [', "is not JSON"),
        ("metrics.json", "{}", "holds no held-out numbers"),
        ("adapter_config.json", None, "links are not"),
    ],
)
def test_a_run_that_is_not_whole_is_refused_in_words(pushing, tmp_path, name, content, told):
    run = tmp_path / "run"
    shutil.copytree(pushing.run, run)
    if content is None:
        (run / name).rename(tmp_path / name)
        (run / name).symlink_to(tmp_path / name)
    else:
        (run / name).write_text(content)
    with pytest.raises(ClientError, match=told) as caught:
        pushing.session(PUSH, run=str(run), repo=pushing.name(), merge=False, target={})
    assert caught.value.kind == "BundleError"


def test_xet_on_and_regular_uploads(pushing, tmp_path):
    repo = pushing.name()
    client = Session(pushing.server.environment(tmp_path / "cache", xet=True))
    pushing.server.regular_only = True
    try:
        client(PUSH, run=str(pushing.run), repo=repo, merge=False, target={})
    finally:
        pushing.server.regular_only = False
        client.close()
    assert set(pushing.server.files("model", repo)) >= OURS


# --- who may see it ------------------------------------------------------------------------------


def test_a_repo_turns_public_only_when_asked_and_only_after_its_check(pushing):
    repo = pushing.name()
    settings = pushing.server.plan("PUT", "/settings$", [Fault(403)])
    with pytest.raises(ClientError, match="pushed and verified, but cannot be made public"):
        pushing(repo, public=True)
    assert settings.left == 0
    assert pushing.server.repo("model", repo).private
    pushing(repo, public=True)
    assert not pushing.server.repo("model", repo).private
    with pytest.raises(ClientError, match=r"is public.*--public"):
        pushing(repo)


def test_non_commercial_parts_are_refused_in_public_and_named_in_private(pushing, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(pushing.run, run)
    manifest = json.loads((run / "hfbio.json").read_text())
    manifest["data"]["license"] = "CC-BY-NC-4.0"
    (run / "hfbio.json").write_text(json.dumps(manifest))
    repo, asked = pushing.name(), len(pushing.server.requests)
    with pytest.raises(ClientError, match="--allow_non_commercial") as caught:
        pushing.session(PUSH, run=str(run), repo=repo, merge=False, target={"public": True})
    assert caught.value.kind == "SettingError"
    assert len(pushing.server.requests) == asked
    said = pushing.session(
        """
from hfbio.hub import Target, push
push(run, repo, say=print)
push(run, Target(repo, public=True, allow_non_commercial=True))
""",
        run=str(run),
        repo=repo,
    )
    assert "may not be used commercially" in said
    card = pushing.server.files("model", repo)["README.md"].decode().lower()
    assert "cc-by-nc-4.0" in card


# --- secrets -------------------------------------------------------------------------------------

PLANTED = {
    "a Hugging Face token": "hf_abcdefghijklmnopqrstuvwxyzABCDEF12",
    "a path of somebody's home": "/home/ada/antibodies/secret.fasta",
    "an AWS key": "AKIAIOSFODNN7EXAMPLE",
    "a private key": "-----BEGIN RSA PRIVATE KEY-----",
    "a password in an address": "https://ada:hunter22@tracker.example.org",
    "a line of an .env file": "WANDB_API_KEY=0123456789abcdef",
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_secret_in_the_run_stops_the_push_before_any_request(pushing, tmp_path, what):
    run, repo = tmp_path / "run", pushing.name()
    shutil.copytree(pushing.run, run, ignore=shutil.ignore_patterns("data"))
    config = json.loads((run / "tokenizer_config.json").read_text())
    (run / "tokenizer_config.json").write_text(json.dumps(config | {"note": PLANTED[what]}))
    if what == "a line of an .env file":
        (run / "tokenizer_config.json").write_text(
            json.dumps(config, indent=1)[:-1] + f'\n,"note": "\n{PLANTED[what]}\n"' + "}"
        )
    asked = len(pushing.server.requests)
    with pytest.raises(ClientError) as caught:
        pushing.session(
            """
from pathlib import Path
from hfbio.hub.payload import files_of, payload
from hfbio.hub.secrets import require_no_secrets
with payload(Path(run)) as folder:
    require_no_secrets(files_of(folder))
""",
            run=str(run),
        )
    assert caught.value.kind == "SecretError"
    assert f"holds {what}" in caught.value.message
    assert "tokenizer_config.json, line" in caught.value.message
    assert PLANTED[what] not in caught.value.message
    assert len(pushing.server.requests) == asked
    assert not pushing.server.exists("model", repo)


def test_the_token_in_use_is_found_in_weights_too_and_never_printed(pushing, tmp_path):
    token = pushing.server.token()
    weights = tmp_path / "adapter_model.safetensors"
    header = b'{"__metadata__":{}}'
    # Over the edge of two chunks of 4 MiB, where a careless search misses it.
    body = b"\0" * (4 * 2**20 - 15) + token.encode() + b"\0" * 9
    weights.write_bytes(len(header).to_bytes(8, "little") + header + body)
    with pytest.raises(ClientError) as caught:
        pushing.session(
            """
from pathlib import Path
from hfbio.hub.secrets import require_no_secrets
require_no_secrets({"adapter_model.safetensors": Path(weights)})
""",
            weights=str(weights),
        )
    assert "the Hugging Face token in use" in caught.value.message
    assert token not in caught.value.trace


def test_no_command_takes_a_token_and_no_refusal_shows_one(pushing):
    token = pushing.server.token()
    pushing.server.plan(
        "POST", "/api/repos/create", [Fault(403, message=f"bad {token} ?a={token}")]
    )
    with pytest.raises(ClientError) as caught:
        pushing(pushing.name())
    assert caught.value.kind == "HubError"
    assert token not in caught.value.message


# --- faults --------------------------------------------------------------------------------------

SOON = {"Retry-After": "0"}
STAGED, FINAL = r"/commit/hfbio-push-", r"/commit/main$"
MENDED = {
    "create: 500 twice": ("POST", "/api/repos/create", [Fault(500)] * 2),
    "look: 503 twice": ("GET", "^/api/models/user/[^/]*$", [Fault(503)] * 2),
    "create: 429": ("POST", "/api/repos/create", [Fault(429, SOON)]),
    "preupload: 503 twice": ("POST", "/preupload/", [Fault(503)] * 2),
    "preupload: 429": ("POST", "/preupload/", [Fault(429, SOON)]),
    "LFS batch: 500 twice": ("POST", "/objects/batch", [Fault(500)] * 2),
    "LFS upload: 503 twice": ("PUT", "^/lfs/", [Fault(503)] * 2),
    "LFS upload: cut in the middle": ("PUT", "^/lfs/", [Fault(cut_upload=1000)]),
    "staged commit: lost reply": ("POST", STAGED, [Fault(lose_reply=True)]),
    "final commit: lost reply": ("POST", FINAL, [Fault(lose_reply=True)]),
    "check: 503 twice": ("GET", r"/resolve/\w+/adapter/adapter_model", [Fault(503)] * 2),
    "check: 429": ("HEAD", r"/resolve/\w+/adapter/adapter_model", [Fault(429, SOON)]),
    "check: cut in the middle": (
        "GET",
        r"/resolve/\w+/adapter/adapter_m",
        [Fault(cut_download=5000)],
    ),
    "check: slow bodies": ("GET", r"/resolve/\w+/adapter/adapter_model", [Fault(pause=0.2)]),
    "branch stays behind": ("DELETE", "/branch/", [Fault(403)]),
}
REFUSED = {
    "create: 401": ("POST", "/api/repos/create", [Fault(401)], "hf auth login"),
    "create: 403": ("POST", "/api/repos/create", [Fault(403)], "write access"),
    "look: 401": ("GET", "^/api/models/user/[^/]*$", [Fault(401)], "hf auth login"),
    "branch: 403": ("POST", "/branch/", [Fault(403)], "write access"),
    "branch: 500 for good": ("POST", "/branch/", [Fault(500)] * 9, "in trouble"),
    "preupload: 401": ("POST", "/preupload/", [Fault(401)], "hf auth login"),
    "LFS batch: 403": ("POST", "/objects/batch", [Fault(403)], "write access"),
    "LFS upload: 413": ("PUT", "^/lfs/", [Fault(413)] * 9, "that size"),
    "staged commit: 409": ("POST", STAGED, [Fault(409)], "somebody else"),
    "staged commit: 413": ("POST", STAGED, [Fault(413)], "that size"),
    "staged commit: cut": ("POST", STAGED, [Fault(cut_upload=500)], "connection"),
    "check: 404": ("GET", r"/resolve/\w+/hfbio", [Fault(404)] * 9, "cannot be loaded back"),
    "final commit: 412": ("POST", FINAL, [Fault(412)], "pushed in the meantime"),
    "final commit: 500": ("POST", FINAL, [Fault(500)], "in trouble"),
}


@pytest.mark.parametrize("fault", MENDED)
def test_a_fault_that_passes_ends_in_success(pushing, fault):
    repo = pushing.name()
    method, pattern, faults = MENDED[fault]
    plan = pushing.server.plan(method, pattern, faults)
    pushing(repo)
    assert plan.left == 0
    there = pushing.server.repo("model", repo)
    assert set(pushing.server.files("model", repo)) >= OURS
    assert [commit.title for commit in there.history("main")][1:] == ["initial commit"]
    assert len(there.refs) == 1 + (fault == "branch stays behind")


TARGETS = [("new", fault) for fault in REFUSED] + [
    ("existing", fault) for fault in REFUSED if not fault.startswith(("look", "create", "branch"))
]


@pytest.mark.parametrize(("kind", "fault"), TARGETS)
def test_a_fault_that_stays_is_refused_and_changes_nothing(pushing, kind, fault):
    target = pushing.name()
    if kind == "existing":
        files = {"README.md": b"mine\n", "model.safetensors": b"old", "hfbio.json": b"{}"}
        pushing.server.add_repo("model", target, files, private=True)
    before = pushing.state(target)
    method, pattern, faults, told = REFUSED[fault]
    pushing.server.plan(method, pattern, faults)
    with pytest.raises(ClientError, match=told) as caught:
        pushing(target)
    assert caught.value.kind == "HubError"
    assert pushing.state(target) == before


def test_a_commit_from_elsewhere_during_the_push_wins(pushing):
    repo = pushing.name()
    pushing.server.add_repo("model", repo, {"README.md": b"mine\n"}, private=True)

    def somebody(call):
        if call.method == "POST" and call.path.endswith("/commit/main"):
            pushing.server.commit("model", repo, {"README.md": b"theirs\n"})

    pushing.server.before_each = somebody
    try:
        with pytest.raises(ClientError, match="pushed in the meantime"):
            pushing(repo)
    finally:
        pushing.server.before_each = None
    assert pushing.server.files("model", repo) == {"README.md": b"theirs\n"}
    assert list(pushing.server.repo("model", repo).refs) == ["refs/heads/main"]


@pytest.mark.parametrize("spoilt", ["adapter/adapter_model.safetensors", "hfbio.json"])
def test_what_comes_back_different_is_refused(pushing, spoilt):
    repo = pushing.name()

    def spoil(call):
        if "/resolve/" in call.path and pushing.server.exists("model", repo):
            there = pushing.server.repo("model", repo)
            for oid, commit in there.commits.items():
                if file := commit.files.get(spoilt):
                    other = File(spoil_bytes(spoilt, file.data), file.lfs)
                    there.commits[oid] = replace(commit, files=commit.files | {spoilt: other})

    pushing.server.before_each = spoil
    try:
        with pytest.raises(ClientError, match=r"differ by up to|cannot be loaded back") as caught:
            pushing(repo)
    finally:
        pushing.server.before_each = None
    assert caught.value.kind == "HubError"
    assert not pushing.server.exists("model", repo)


def spoil_bytes(name, data):
    if name.endswith(".json"):
        return data.replace(b'"sapiens-vh"', b'"sapiens-vl"')
    tensors = load(data)
    return save({name: tensor + 0.05 for name, tensor in tensors.items()}, {"format": "pt"})


def test_ctrl_c_leaves_nothing_behind(pushing):
    repo = pushing.name()
    with pytest.raises(ClientError) as caught:
        pushing.session(
            """
from hfbio.hub import push
def interrupted(stage):
    if stage == "loading it back":
        raise KeyboardInterrupt
push(run, repo, say=interrupted)
""",
            run=str(pushing.run),
            repo=repo,
        )
    assert caught.value.kind == "KeyboardInterrupt"
    assert not pushing.server.exists("model", repo)
