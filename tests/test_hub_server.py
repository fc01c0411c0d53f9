"""The loopback Hub, asked and attacked by the real clients in processes of their own."""

from __future__ import annotations

import io
import random
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub import Fault
from tiny import tiny_esm_files

MIB = 1024**2
CARD = b"---\nlicense: mit\ntags: [antibody]\n---\n# Card\n"


def noise(size: int) -> bytes:
    """Bytes that compress to nothing smaller, so that no layer can shorten them."""
    return random.Random(size).randbytes(size)


def write_folder(folder, files):
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def read_folder(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".cache" not in path.parts
    }


def statuses(server, method, part):
    return [r.status for r in server.requests if r.method == method and part in r.path]


UPLOAD_FOLDER = """
import sys
from huggingface_hub import HfApi
api = HfApi()
api.create_repo("user/run", private=True, exist_ok=True)
print(api.upload_folder(repo_id="user/run", folder_path=sys.argv[1]).oid)
"""
DOWNLOAD = """
import sys
from huggingface_hub import snapshot_download
snapshot_download("user/run", local_dir=sys.argv[1])
"""


def test_a_pushed_folder_comes_back_byte_for_byte(hub_server, hub_client, tmp_path):
    files = {
        "README.md": CARD,
        "config.json": b"{}",
        "empty.txt": b"",
        "model.safetensors": noise(3 * MIB),
        "deep/er/log äöü.csv": b"step,loss\n1,2.5\n",
    }
    write_folder(tmp_path / "run", files)
    hub_client(UPLOAD_FOLDER, tmp_path / "run")
    hub_client(DOWNLOAD, tmp_path / "back", cache="another")
    back = read_folder(tmp_path / "back")
    assert back.pop(".gitattributes")  # the Hub's own
    assert back == files
    assert statuses(hub_server, "PUT", "/lfs/") == [200]  # the weights, and nothing else


def test_pushing_an_unchanged_folder_makes_no_commit(hub_server, hub_client, tmp_path):
    write_folder(tmp_path / "run", {"README.md": CARD, "model.safetensors": noise(1000)})
    first, second = (hub_client(UPLOAD_FOLDER, tmp_path / "run").strip() for _ in range(2))
    assert first == second == hub_server.sha("model", "user/run")
    assert len(list(hub_server.repo("model", "user/run").history("main"))) == 2


def test_every_commit_tag_and_branch_can_be_asked_for_again(hub_server, hub_client):
    out = hub_client("""
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
api = HfApi()
repo = api.create_repo("user/run").repo_id
def push(text, **where):
    return api.upload_file(
        repo_id=repo, path_in_repo="a/step.txt", path_or_fileobj=text, **where).oid
one = push(b"one")
api.create_tag(repo, tag="v1")
api.create_branch(repo, branch="trial/x")
two = push(b"two")
push(b"three", revision="trial/x")
for revision in (one, "v1", "main", two, "trial/x"):
    print(open(hf_hub_download(repo, "a/step.txt", revision=revision)).read())
print(open(snapshot_download(repo, revision="v1") + "/a/step.txt").read())
print(sorted(api.list_repo_files(repo)), [c.title for c in api.list_repo_commits(repo)])
print(api.model_info(repo, revision="v1").sha == one, api.file_exists(repo, "nothing.txt"))
print([info.size for info in api.get_paths_info(repo, ["a/step.txt", "nothing.txt"])])
""").splitlines()
    assert out[:6] == ["one", "one", "two", "two", "three", "one"]
    title = "Upload a/step.txt with huggingface_hub"
    assert out[6] == f"['.gitattributes', 'a/step.txt'] ['{title}', '{title}', 'initial commit']"
    assert out[7:] == ["True False", "[3]"]
    assert hub_server.files("model", "user/run", "trial/x")["a/step.txt"] == b"three"


def test_a_pull_request_leaves_main_alone(hub_server, hub_client):
    hub_server.add_repo("model", "user/run", {"old.txt": b"old", "logs/a.txt": b"a"})
    before = hub_server.sha("model", "user/run")
    script = """
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
operations = [
    CommitOperationAdd("new.safetensors", b"new"),
    CommitOperationDelete("old.txt"),
    CommitOperationDelete("logs/"),
]
commit = HfApi().create_commit(
    "user/run", operations, commit_message="Propose", create_pr=True)
print(commit.pr_revision, commit.pr_num)
"""
    assert hub_client(script, user="other") == "refs/pr/1 1\n"
    assert hub_server.sha("model", "user/run") == before
    assert hub_server.files("model", "user/run", "refs/pr/1") == {"new.safetensors": b"new"}


REFUSALS = """
import sys
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError
def attempt(name, *arguments, token=None, **options):
    try:
        getattr(HfApi(token=token), name)(*arguments, **options)
        print("allowed")
    except HfHubHTTPError as error:
        print(type(error).__name__, error.response.status_code)
"""


def test_a_private_repo_is_hidden_from_all_but_its_owner(hub_server, hub_client):
    hub_server.add_repo("model", "user/secret", {"a.txt": b"a"}, private=True)
    tokens = [hub_server.token("other"), hub_server.token("user", "read")]
    # The owner comes last: from then on the file is in the cache, which asks nobody's leave.
    out = hub_client(
        REFUSALS
        + """
for token in (False, "hf_unknown", *sys.argv[1:]):
    attempt("model_info", "user/secret", token=token)
    attempt("list_repo_files", "user/secret", token=token)
    attempt("hf_hub_download", "user/secret", "a.txt", token=token)
for token in (False, *sys.argv[1:]):
    attempt("model_info", "user/missing", token=token)
""",
        *tokens,
        user=None,
    ).splitlines()
    anonymous, stranger = "RepositoryNotFoundError 401", "RepositoryNotFoundError 404"
    assert out[0:3] == [anonymous] * 3
    assert out[3:6] == ["HfHubHTTPError 401"] * 3
    assert out[6:9] == [stranger] * 3
    assert out[9:12] == ["allowed"] * 3
    assert out[12:] == [anonymous, stranger, stranger]  # a missing repo looks no different
    assert {r.user for r in hub_server.requests} == {None, "user", "other"}
    assert not any(token in repr(hub_server.requests) for token in tokens)


def test_only_the_owner_with_a_write_token_changes_a_repo(hub_server, hub_client):
    hub_server.add_repo("model", "user/run", {"a.txt": b"a"})
    before = hub_server.sha("model", "user/run")
    out = hub_client(
        REFUSALS
        + """
for token in (False, *sys.argv[1:]):
    upload = dict(path_or_fileobj=b"b", path_in_repo="a.txt", repo_id="user/run")
    attempt("upload_file", **upload, token=token)
    attempt("create_tag", "user/run", tag="v1", token=token)
    attempt("create_repo", "user/new", token=token)
    attempt("delete_repo", "user/run", token=token)
""",
        hub_server.token("user", "read"),
        hub_server.token("other"),
        user=None,
    ).splitlines()
    assert out == ["RepositoryNotFoundError 401"] * 4 + ["HfHubHTTPError 403"] * 8
    assert hub_server.sha("model", "user/run") == before
    assert not hub_server.exists("model", "user/new")


def test_what_is_missing_or_there_already_is_said_by_name(hub_server, hub_client):
    hub_server.add_repo("model", "user/run", {"a.txt": b"a"})
    hub_server.plan("HEAD", "gated.txt", [Fault(403, code="GatedRepo")])
    out = hub_client(
        REFUSALS
        + """
attempt("hf_hub_download", "user/run", "b.txt")
attempt("hf_hub_download", "user/run", "a.txt", revision="v9")
attempt("hf_hub_download", "user/run", "gated.txt")
attempt("model_info", "user/run", revision="v9")
attempt("create_repo", "user/run")
attempt("create_repo", "user/run", exist_ok=True)
attempt("create_branch", "user/run", branch="main")
attempt("delete_file", "b.txt", "user/run")
attempt("delete_repo", "user/run")
attempt("model_info", "user/run")
attempt("delete_repo", "user/run", missing_ok=True)
"""
    ).splitlines()
    assert out == [
        "RemoteEntryNotFoundError 404",
        "RevisionNotFoundError 404",
        "GatedRepoError 403",
        "RevisionNotFoundError 404",
        "HfHubHTTPError 409",
        "allowed",
        "HfHubHTTPError 409",
        "RemoteEntryNotFoundError 404",
        "allowed",
        "RepositoryNotFoundError 404",
        "allowed",
    ]


UPLOAD_FILE = """
from huggingface_hub import HfApi
HfApi().upload_file(
    path_or_fileobj=bytes(100_000), path_in_repo="a.safetensors", repo_id="user/run")
"""


def test_planned_503s_are_retried_by_the_real_client(hub_server, hub_client):
    hub_server.add_repo("model", "user/run")
    busy = Fault(429, {"Retry-After": "0"})
    plan = hub_server.plan("POST", "/preupload/", [Fault(503), busy])
    hub_client(UPLOAD_FILE)
    assert plan.left == 0
    assert statuses(hub_server, "POST", "/preupload/") == [503, 429, 200]
    assert hub_server.files("model", "user/run") == {"a.safetensors": bytes(100_000)}


def test_an_upload_cut_in_the_middle_is_sent_again(hub_server, hub_client):
    hub_server.add_repo("model", "user/run")
    hub_server.plan("PUT", "^/lfs/", [Fault(cut_upload=1000)])
    hub_client(UPLOAD_FILE)
    assert statuses(hub_server, "PUT", "/lfs/") == [None, 200]
    assert hub_server.files("model", "user/run") == {"a.safetensors": bytes(100_000)}


def test_ranges_resume_a_cut_download(hub_server, hub_client, tmp_path):
    # The client writes pieces of 10 MiB: what was cut within a piece is asked for again.
    weights = noise(12 * MIB)
    hub_server.add_repo("model", "user/run", {"model.safetensors": weights})
    hub_server.plan("GET", "/resolve/", [Fault(cut_download=11 * MIB), Fault(pause=0.001)])
    hub_client(DOWNLOAD, tmp_path / "back")
    assert read_folder(tmp_path / "back") == {"model.safetensors": weights}
    gets = [r for r in hub_server.requests if r.method == "GET" and "/resolve/" in r.path]
    assert [(r.status, r.range) for r in gets] == [(None, None), (206, f"bytes={10 * MIB}-")]


@pytest.mark.parametrize("status", [401, 403, 404, 409, 412, 413, 500])
def test_a_failed_commit_leaves_the_remote_unchanged(hub_server, hub_client, status):
    hub_server.add_repo("model", "user/run", {"a.safetensors": b"old"})
    before = hub_server.sha("model", "user/run")
    hub_server.plan("POST", "/commit/main", [Fault(status)])
    out = hub_client(
        REFUSALS
        + """
attempt("upload_file", path_or_fileobj=b"new", path_in_repo="a.safetensors", repo_id="user/run")
"""
    )
    assert out == f"HfHubHTTPError {status}\n"
    assert statuses(hub_server, "POST", "/commit/") == [status]  # commits are not retried
    assert hub_server.sha("model", "user/run") == before
    assert hub_server.files("model", "user/run") == {"a.safetensors": b"old"}


def test_the_hub_refuses_a_stale_parent_and_a_bad_card(hub_server, hub_client):
    stale = hub_server.add_repo("model", "user/run", {"a.txt": b"old"}).at("main").oid
    hub_server.commit("model", "user/run", {"a.txt": b"theirs"})
    before = hub_server.sha("model", "user/run")
    out = hub_client(
        REFUSALS
        + """
mine = dict(path_or_fileobj=b"mine", path_in_repo="a.txt", repo_id="user/run")
attempt("upload_file", **mine, parent_commit=sys.argv[1])
card = b"---\\nlicense: free for all\\n---\\n"
try:
    HfApi().upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id="user/run")
except ValueError as error:
    print(str(error).splitlines()[1][:27])
""",
        stale,
    ).splitlines()
    assert out == ["HfHubHTTPError 412", '- "license" must be one of ']
    assert hub_server.sha("model", "user/run") == before


def test_a_commit_whose_reply_is_lost_has_happened(hub_server, hub_client):
    hub_server.add_repo("model", "user/run")
    hub_server.plan("POST", "/commit/", [Fault(lose_reply=True)])
    out = hub_client("""
from huggingface_hub import HfApi
try:
    HfApi().upload_file(path_or_fileobj=b"a", path_in_repo="a.txt", repo_id="user/run")
except Exception as error:
    print(type(error).__name__)
""")
    assert out == "RemoteProtocolError\n"
    assert hub_server.files("model", "user/run") == {"a.txt": b"a"}


def test_commits_that_arrive_together_are_all_kept(hub_server, hub_client):
    hub_server.add_repo("model", "user/run")
    hub_client("""
from concurrent.futures import ThreadPoolExecutor
from huggingface_hub import HfApi
api = HfApi()
def push(i):
    name = f"{i}.bin" if i % 2 else f"{i}.txt"
    api.upload_file(path_or_fileobj=b"%d" % i, path_in_repo=name, repo_id="user/run")
with ThreadPoolExecutor(8) as pool:
    list(pool.map(push, range(24)))
""")
    names = {f"{i}.bin" if i % 2 else f"{i}.txt": b"%d" % i for i in range(24)}
    assert hub_server.files("model", "user/run") == names
    assert len(list(hub_server.repo("model", "user/run").history("main"))) == 25


def test_a_space_keeps_its_settings_and_hides_its_secrets(hub_server, hub_client):
    out = hub_client("""
from huggingface_hub import HfApi
api = HfApi()
api.create_repo("user/demo", repo_type="space", space_sdk="gradio", private=True,
                space_secrets=[{"key": "FIRST", "value": "hush"}])
print(api.get_space_runtime("user/demo").stage)
api.add_space_secret("user/demo", "HF_TOKEN", "hush")
api.add_space_variable("user/demo", "MODEL", "user/run")
api.add_space_variable("user/demo", "SPARE", "1")
api.delete_space_variable("user/demo", "SPARE")
api.request_space_hardware("user/demo", "t4-small", sleep_time=3600)
api.upload_file(
    path_or_fileobj=b"import gradio", path_in_repo="app.py", repo_id="user/demo",
    repo_type="space")
runtime = api.get_space_runtime("user/demo")
print(runtime.stage, runtime.hardware, runtime.sleep_time, api.space_info("user/demo").sdk)
print(api.get_space_secrets("user/demo"))
api.update_repo_settings("user/demo", repo_type="space", private=False)
""").splitlines()
    assert out[:2] == ["NO_APP_FILE", "RUNNING t4-small 3600 gradio"]
    assert "HF_TOKEN" in out[2]
    assert "FIRST" in out[2]
    assert "hush" not in out[2]
    space = hub_server.repo("space", "user/demo")
    assert space.secrets["HF_TOKEN"]["value"] == space.secrets["FIRST"]["value"] == "hush"
    assert {name: v["value"] for name, v in space.variables.items()} == {"MODEL": "user/run"}
    assert not space.private
    assert set(space.at("main").files) == {".gitattributes", "README.md", "app.py"}


def test_the_command_line_uploads_and_downloads(hub_server, tmp_path):
    write_folder(tmp_path / "data", {"train.csv": b"sequence\nEVQL\n", "x.parquet": noise(99)})
    hf = [sys.executable, "-m", "huggingface_hub.cli.hf"]
    environment = hub_server.environment(tmp_path / "cache")
    for command in (
        ["upload", "user/data", tmp_path / "data", "--repo-type", "dataset"],
        ["download", "user/data", "--repo-type", "dataset", "--local-dir", tmp_path / "back"],
    ):
        subprocess.run(hf + command, env=environment, check=True, capture_output=True, timeout=60)
    back = read_folder(tmp_path / "back")
    assert back.pop(".gitattributes")
    assert back == read_folder(tmp_path / "data")
    assert all(r.path.startswith("/") and r.status != 501 for r in hub_server.requests)


def test_nothing_leaves_the_machine(hub_server, hub_client):
    out = hub_client("""
from huggingface_hub.utils import get_session
for url in ("https://huggingface.co/api/models/gpt2", "http://example.org/"):
    try:
        print(get_session().get(url).status_code)
    except Exception as error:
        print(type(error).__name__)
""")
    assert out == "ProxyError\n403\n"
    seen = [(r.method, r.path) for r in hub_server.requests]
    assert seen == [("CONNECT", "huggingface.co:443"), ("GET", "http://example.org/")]


def parquet(rows: dict[str, list]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(rows), buffer)
    return buffer.getvalue()


LOAD = """
import sys
from datasets import load_dataset
from transformers import AutoModelForMaskedLM, AutoTokenizer
sha = sys.argv[1]
model, report = AutoModelForMaskedLM.from_pretrained(
    "user/tiny-esm", revision=sha, output_loading_info=True)
assert not any(report.values()), report
tokens = AutoTokenizer.from_pretrained("user/tiny-esm", revision=sha)
print(tokens("EVQL<mask>")["input_ids"], len(tokens), tokens.pad_token_id, tokens.mask_token_id)
print(load_dataset("user/parquet", split="train")["sequence"][:])
print({name: part["sequence"][:] for name, part in load_dataset("user/csv").items()})
"""


def test_two_processes_load_model_and_data_at_the_same_time(hub_server, tmp_path):
    sha = hub_server.add_repo("model", "user/tiny-esm", tiny_esm_files()).at("main").oid
    hub_server.commit("model", "user/tiny-esm", {"model.safetensors": None, "config.json": None})
    rows = {"sequence": ["EVQL", "QVQL"], "locus": ["IGH", "IGH"]}
    hub_server.add_repo(
        "dataset", "user/parquet", {"data/train-00000-of-00001.parquet": parquet(rows)}
    )
    hub_server.add_repo(
        "dataset",
        "user/csv",
        {"train.csv": b"sequence\nEVQL\n", "validation.csv": b"sequence\nQVQL\n"},
    )
    environment = hub_server.environment(tmp_path / "cache")  # one cache, as two ranks share it
    command = [sys.executable, "-c", LOAD, sha]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    ranks = [subprocess.Popen(command, env=environment, **pipes) for _ in range(2)]
    for rank in ranks:
        out, errors = rank.communicate(timeout=200)
        assert rank.returncode == 0, errors[-4000:]
        assert out.splitlines() == [
            "[0, 9, 7, 16, 4, 32, 2] 33 1 32",  # ids in the ESM-2 alphabet
            "['EVQL', 'QVQL']",
            "{'train': ['EVQL'], 'validation': ['QVQL']}",
        ]
    assert 501 not in {r.status for r in hub_server.requests}


def test_a_pushed_adapter_gives_the_same_logits_when_loaded(hub_server, hub_client):
    hub_server.add_repo("model", "user/tiny-esm", tiny_esm_files())
    hub_client("""
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForMaskedLM
def base():
    return AutoModelForMaskedLM.from_pretrained("user/tiny-esm")
torch.manual_seed(0)
tuned = get_peft_model(
    base(), LoraConfig(target_modules=["query", "value"], init_lora_weights=False)).eval()
tuned.push_to_hub("user/adapter", private=True)
ids = torch.arange(4, 24)[None]
wanted = tuned(input_ids=ids).logits
found = PeftModel.from_pretrained(base().eval(), "user/adapter")(input_ids=ids).logits
plain = base().eval()(input_ids=ids).logits
torch.testing.assert_close(found, wanted)
assert (found - plain).abs().max() > 1e-3  # without the adapter they would differ
""")
    assert hub_server.repo("model", "user/adapter").private
    assert {"adapter_config.json", "adapter_model.safetensors"} <= set(
        hub_server.files("model", "user/adapter")
    )
    assert 501 not in {r.status for r in hub_server.requests}
