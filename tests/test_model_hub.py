"""What `hfbio.load` makes of a repository when the Hub answers badly, not at all, or too much.

The real client asks, in processes that stay: one with the network, one without, one whose network
is broken. They share a cache.
"""

import json

import pytest
from bundles import edited, local_base, make_bundle, merged
from hub import Fault
from hub.server import HubServer
from hub.session import Session

from hfbio.model.fetch import fetch_metrics

LOAD = """
try:
    print("base" if hfbio.load(name, revision=revision).manifest is None else "bundle")
except Exception as error:
    print(type(error).__name__, error)
"""
START = """
import os, time
import hfbio
time.sleep = lambda seconds: None  # the client waits half a minute for a Hub that is busy
"""
OLDER = """
from huggingface_hub import snapshot_download
snapshot_download(name, ignore_patterns="hfbio.json")  # as transformers alone would
"""


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="session")
def full(tmp_path_factory):
    """Files of a merged bundle, which transformers alone takes for a plain model."""
    home = tmp_path_factory.mktemp("full")
    make_bundle(home / "lora", strength=0.2)
    return content(merged(home / "lora", home / "full"))


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """Files of a base that is in no catalogue."""
    return content(local_base(tmp_path_factory.mktemp("base") / "tiny"))


class Clients:
    """A Hub and its clients; ``clients(name)`` tells what `hfbio.load` gives or says."""

    def __init__(self, server, cache):
        self.server, self._cache, self._sessions, self._n = server, cache, {}, 0

    def add(self, files, name=""):
        """A new repository, and its commit."""
        self._n += 1
        name = name or f"user/repo-{self._n}"
        return name, self.server.add_repo("model", name, files).at("main").oid

    def session(self, network="online"):
        if network not in self._sessions:
            environment = self.server.environment(self._cache)
            environment |= {
                "online": {},
                "offline": {"HF_HUB_OFFLINE": "1"},
                "broken": {"HF_ENDPOINT": "http://127.0.0.1:9"},  # nobody listens there
            }[network]
            self._sessions[network] = Session(environment)
            self._sessions[network](START)
        return self._sessions[network]

    def __call__(self, name, revision=None, network="online"):
        return self.session(network)(LOAD, name=name, revision=revision).strip()

    def fetched(self, part):
        return [r for r in self.server.requests if r.method == "GET" and part in r.path]

    def close(self):
        for session in self._sessions.values():
            session.close()


@pytest.fixture(scope="module")
def all_clients(tmp_path_factory):
    with HubServer() as server:
        clients = Clients(server, tmp_path_factory.mktemp("cache"))
        yield clients
        clients.close()


@pytest.fixture
def clients(all_clients):
    yield all_clients
    all_clients.server.forget_plans()


# --- a bundle is never taken for a base --------------------------------------------------------


@pytest.mark.parametrize(
    "faults",
    [[Fault(403)], [Fault(403, code="GatedRepo")], [Fault(401)], [Fault(503)] * 99],
    ids=["403", "gated", "401", "503 for good"],
)
def test_a_refusal_is_not_taken_for_the_absence_of_hfbio_json(clients, full, faults):
    name, _ = clients.add(full)
    clients.server.plan("HEAD", r"/hfbio\.json", faults)
    told = clients(name)
    assert told.startswith(f"HubError the Hub does not tell whether {name} holds hfbio.json")
    assert str(faults[0].status) in told
    assert not clients.fetched(f"{name}/resolve")


def test_a_busy_hub_is_asked_again(clients, full):
    name, _ = clients.add(full)
    plan = clients.server.plan("HEAD", r"/hfbio\.json", [Fault(503)] * 2)
    assert clients(name) == "bundle"
    assert plan.left == 0


def test_a_cached_bundle_without_its_hfbio_json_is_no_base(clients, full):
    name, commit = clients.add(full)
    clients.session()(OLDER, name=name)
    for revision in (None, commit):
        for network in ("offline", "broken"):
            assert clients(name, revision, network).startswith("HubError the Hub does not tell")
    clients.server.repo("model", name).private = True
    assert clients(name) == "bundle"
    name, _ = clients.add(full)
    clients.session()(OLDER, name=name)
    clients.server.plan("HEAD", r"/hfbio\.json", [Fault(404, code="RepoNotFound")])
    assert clients(name).startswith("HubError the Hub does not tell")  # as if it were gone


def test_what_was_loaded_once_loads_without_network(clients, full, base):
    bundle, commit = clients.add(full)
    plain, _ = clients.add(base)
    assert (clients(bundle, commit), clients(plain)) == ("bundle", "base")
    for network in ("offline", "broken"):
        assert clients(bundle, commit, network) == "bundle"
        assert clients(plain, None, network) == "base"
    clients.server.plan("HEAD", bundle, [Fault(403)] * 99)  # of a cached commit nothing is asked
    assert clients(bundle, commit) == "bundle"


def test_a_base_that_was_downloaded_as_a_whole_loads_without_network(clients, base):
    name, _ = clients.add(base)
    clients.session()(OLDER, name=name)
    for network in ("offline", "broken"):
        assert clients(name, None, network) == "base"


@pytest.mark.parametrize("network", ["online", "offline", "broken"])
def test_what_is_nowhere_is_unknown(clients, base, network):
    name, _ = clients.add(base)
    for wanted in (("user/nothing",), (name, "nothing"), ("user/a--b",)):
        told = clients(*wanted, network=network)
        assert told.startswith(f"UnknownModel {wanted[0]!r} cannot be read from the Hub; check")


# --- a base may be a stranger's ----------------------------------------------------------------


def test_a_base_with_an_adapter_is_refused_however_the_hub_answers(clients, base):
    both, _ = clients.add({**base, "adapter_config.json": b"{}"})
    clients.server.plan("HEAD", "adapter_config", [Fault(403)] * 9)
    assert clients(both).startswith(f"UnknownModel {both} holds adapter_config.json beside")
    clients.server.forget_plans()
    plain, _ = clients.add(base)
    clients.server.plan("GET", f"{plain}/tree/", [Fault(403)])
    assert clients(plain).startswith(f"UnknownModel {plain!r} cannot be read from the Hub")
    assert not clients.fetched(f"{plain}/resolve/main/model")
    assert clients(plain) == "base"
    clients.server.plan("GET", f"{plain}/tree/", [Fault(403)])  # what is cached was looked at
    assert clients(plain) == "base"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"config.json": b" " * 16_000_001}, "config.json is of 16,000,001 bytes"),
        ({"tokenizer.json": b" " * 16_000_001}, "tokenizer.json is of 16,000,001 bytes"),
        ({"vocab.txt": b" " * 16_000_001}, "vocab.txt is of 16,000,001 bytes"),
        ({"model.safetensors": bytes(70_000_000)}, "model.safetensors is of 70,000,000 bytes"),
        ({"model.safetensors": b"{}"}, "have 2 bytes; config.json describes a network of"),
    ],
    ids=["config", "tokenizer", "vocabulary", "weights", "too few weights"],
)
def test_absurd_files_of_a_base_are_refused_before_they_are_fetched(clients, base, files, said):
    name, _ = clients.add({**base, **files, "notes.json": b" " * 16_000_001})
    told = clients(name)
    assert told.startswith("UnknownModel")
    assert said in told
    got = {request.path.rpartition("/")[2] for request in clients.fetched(f"{name}/resolve")}
    assert not got & {*files, "notes.json"}


@pytest.mark.parametrize(
    ("name", "most"), [("novelty.safetensors", 1_000_000), ("latent.safetensors", 4_000_000)]
)
def test_what_is_told_of_training_chains_is_small_or_not_fetched(clients, full, name, most):
    repo, _ = clients.add({**full, name: b" " * (most + 1)})
    told = clients(repo)
    assert told.startswith("BundleError")
    assert f"{name} is of {most + 1:,} bytes" in told
    assert not any(request.path.endswith(name) for request in clients.fetched(f"{repo}/resolve"))


METRICS = """
from hfbio.model.fetch import fetch_metrics
try:
    print(fetch_metrics(name, revision))
except Exception as error:
    print(type(error).__name__, error)
"""


def test_metrics_are_those_of_the_commit_and_empty_where_there_are_none(clients, full, base):
    measured, first = clients.add({**full, "metrics.json": b'{"held_out": []}'})
    clients.server.commit("model", measured, {"metrics.json": b'{"held_out": [1]}'})
    plain, commit = clients.add(full)
    alone, _ = clients.add({**base, "metrics.json": b'{"of": "somebody else"}'})
    ask = clients.session()
    assert ask(METRICS, name=measured, revision=None) == "{'held_out': [1]}\n"
    assert ask(METRICS, name=measured, revision=first) == "{'held_out': []}\n"
    for name in (plain, alone):
        assert ask(METRICS, name=name, revision=None) == "{}\n"
    for network in ("offline", "broken"):
        ask = clients.session(network)
        assert ask(METRICS, name=measured, revision=first) == "{'held_out': []}\n"  # cached
        assert ask(METRICS, name=plain, revision=commit) == "{}\n"


def test_the_hub_refusing_metrics_is_not_taken_for_their_absence(clients, full):
    name, _ = clients.add({**full, "metrics.json": b"{}"})
    clients.server.plan("HEAD", r"/metrics\.json", [Fault(403)])
    assert clients.session()(METRICS, name=name, revision=None).startswith(f"HubError {name} at ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b" " * 16_000_001, "is of 16,000,001 bytes, larger than the 16,000,000 bytes"),
        (b"[]", "must hold an object, got list"),
        (b'{"held_out": NaN}', "is nan; numbers must be finite"),
        (b'{"held_out": "' + b"x" * 4001 + b'"}', "is a text of 4,001 letters"),
    ],
    ids=["too large", "list", "NaN", "long text"],
)
def test_absurd_metrics_are_refused_and_large_ones_never_fetched(clients, full, content, said):
    name, _ = clients.add({**full, "metrics.json": content})
    told = clients.session()(METRICS, name=name, revision=None)
    assert told.startswith("BundleError ")
    assert said in told
    fetched = clients.fetched(f"{name}/resolve")
    assert any("metrics.json" in r.path for r in fetched) == (len(content) <= 16_000_000)


def test_metrics_of_a_folder_and_of_a_bundled_base_are_read_where_they_lie(full, tmp_path):
    for name, data in full.items():
        (tmp_path / name).write_bytes(data)
    assert fetch_metrics(str(tmp_path)) == {}
    (tmp_path / "metrics.json").write_text('{"held_out": []}')
    assert fetch_metrics(str(tmp_path)) == {"held_out": []}
    assert fetch_metrics("hfbio-mini")["held_out"]
    assert fetch_metrics("sapiens-vh") == {}


NETWORK = b"""
from transformers import EsmForMaskedLM
class Network(EsmForMaskedLM):
    print("its code was run")
"""
TRUST = """
print(hfbio.load(bundle, trust_remote_code=True, base=base).base.name)
"""


@pytest.mark.parametrize("name", ["user/base", "facebook/esm2_t6_8M_UR50D"])
def test_code_of_a_base_that_a_bundle_names_is_not_run(clients, base, tmp_path, name):
    config = json.loads(base["config.json"])
    config["auto_map"] = {"AutoModelForMaskedLM": "network.Network"}
    files = {**base, "config.json": json.dumps(config).encode(), "network.py": NETWORK}
    _, commit = clients.add(files, name)
    local_base(tmp_path / "tiny")
    make_bundle(tmp_path / "lora", str(tmp_path / "tiny"))
    bundle = edited(tmp_path / "lora", tmp_path / "bundle", base=name, base_revision=commit)
    adapter = json.loads((bundle / "adapter_config.json").read_text())
    adapter |= {"base_model_name_or_path": name, "revision": commit}
    (bundle / "adapter_config.json").write_text(json.dumps(adapter))
    assert clients.session()(TRUST, bundle=str(bundle), base=None) == f"{name}\n"
    if name == "user/base":  # named by the user, it is the user's choice
        told = clients.session()(TRUST, bundle=str(bundle), base=name)
        assert told.splitlines() == ["its code was run", name]
