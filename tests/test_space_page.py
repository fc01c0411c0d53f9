"""The page of the Space: what it gives, what it refuses, and that it starts from its own files."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from contextlib import contextmanager
from importlib.metadata import distribution, requires
from pathlib import Path

import pytest
import yaml
from bundles import TAGS
from packaging.requirements import Requirement

from hfbio.bundle import Manifest, write_manifest
from hfbio.errors import MissingExtra, SettingError
from hfbio.models import AdapterConfig, add_tags, attach, load_base
from hfbio.rng import generator
from hfbio.space_repo import launch_space
from hfbio.space_repo.binding import Binding
from hfbio.space_repo.files import requirements, write_space
from hfbio.tokens import Tags

ROOT = Path(__file__).parent.parent
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
BINDING = Binding("user/model", "0" * 40, MANIFEST, False)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Sapiens-VH with tags and an adapter that says nothing yet: one design in eight is valid."""
    folder = tmp_path_factory.mktemp("bundle")
    base = add_tags(load_base("sapiens-vh"), TAGS)
    model = attach(base, AdapterConfig(r=2), rng=generator(1))
    model.save_pretrained(folder, save_embedding_layers=False)
    base.tokenizer.save_pretrained(folder)
    manifest = Manifest(
        base=base.name,
        base_revision=None,
        family=base.family.model_type,
        base_license=base.licence,
        method="lora",
        objective={"kind": "diffusion", "min_t": 0.02},
        tags=TAGS,
        lengths={"|".join(row): {"120": 1} for row in TAGS.seen},
        sampler={"kind": "unmask", "order": "ancestral", "steps": 32, "temperature": 0.3},
        data={},
        training={},
        versions={},
    )
    write_manifest(folder, manifest)
    return folder


def test_a_space_holds_the_page_the_package_and_what_they_need(tmp_path):
    files = write_space(tmp_path / "space", BINDING)
    header = files["README.md"].read_text().split("---\n")[1]
    card = yaml.safe_load(header)
    assert card["models"] == ["user/model"]
    assert (card["sdk"], card["app_file"], card["license"]) == ("gradio", "app.py", "apache-2.0")
    pins = ROOT.joinpath("constraints.txt").read_text().splitlines()
    assert f"gradio=={card['sdk_version']}" in pins  # what the page was tried with
    assert header.isascii()  # no emoji
    assert files["app.py"].read_bytes() == (ROOT / "space" / "app.py").read_bytes()
    assert {"hfbio/__init__.py", "hfbio/models/weights/sapiens-vh/model.safetensors"} <= set(files)
    assert "hfbio/_data/configs/quickstart.yaml" in files
    assert not [name for name in files if "__pycache__" in name or name.startswith("tests")]


def test_requirements_are_those_of_hfbio_and_of_the_base(tmp_path):
    declared = [Requirement(line) for line in requires("hfbio")]
    core = {str(r) for r in declared if not r.marker}
    plain = requirements(BINDING).splitlines()
    assert {str(Requirement(line)) for line in plain} == core
    other = dataclasses.replace(MANIFEST, base="antiberty", family="bert")
    with_extra = requirements(dataclasses.replace(BINDING, manifest=other)).splitlines()
    assert set(with_extra) - set(plain) == {"antiberty==0.1.3"}
    names = {Requirement(line).name for line in plain}
    assert "gradio" not in names  # the Space's sdk_version says which


PLANTED = (  # beside hfbio's own files
    *("hfbio/patients.csv", "hfbio/data/.env", "hfbio/models/weights/sapiens-vh/patients.json"),
    *("hfbio/models/weights/mine/model.safetensors", "hfbio/card/templates/patients.txt"),
)
WRITE = """
import sys
from pathlib import Path
from hfbio.bundle import read_manifest
from hfbio.space_repo.binding import Binding
from hfbio.space_repo.files import write_space
manifest = read_manifest(Path(sys.argv[2]))
write_space(Path(sys.argv[1]), Binding("user/model", "0" * 40, manifest, False))
"""


def plant(folder, names):
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("the patients")


def write_elsewhere(install, made):
    """The files of a Space by path, made by the hfbio that lies in ``install``."""
    write_manifest(install, MANIFEST)
    environment = {**os.environ, "PYTHONPATH": str(install)}
    command = [sys.executable, "-c", WRITE, made, install]
    subprocess.run(command, cwd=install, env=environment, check=True, timeout=120)
    return {p.relative_to(made).as_posix(): p.read_bytes() for p in made.rglob("*") if p.is_file()}


def test_wheel_and_checkout_make_the_same_space_whatever_lies_beside_them(tmp_path):
    checkout, wheel = tmp_path / "checkout", tmp_path / "wheel"
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("hfbio", "recipes/configs", "recipes/accelerate", "space"):
        shutil.copytree(ROOT / name, checkout / name, ignore=ignored)
    # hfbio laid out as the wheel does it, on a path that goes before the developer's install.
    force = tomllib.loads((ROOT / "pyproject.toml").read_text())
    force = force["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    shutil.copytree(checkout / "hfbio", wheel / "hfbio")
    for source, target in force.items():
        shutil.copytree(checkout / source, wheel / target)
    record = [p.relative_to(wheel).as_posix() for p in wheel.rglob("*") if p.is_file()]
    info = wheel / "hfbio-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(distribution("hfbio").read_text("METADATA"))
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in record))

    plant(checkout, [*PLANTED, "space/patients.csv", "recipes/configs/patients.csv"])
    plant(wheel, [*PLANTED, "hfbio/patients.py", "hfbio/_data/configs/patients.yaml"])
    of_wheel = write_elsewhere(wheel, tmp_path / "made_by_wheel")
    of_checkout = write_elsewhere(checkout, tmp_path / "made_by_checkout")
    assert of_wheel == of_checkout
    assert "hfbio/_data/configs/quickstart.yaml" in of_wheel
    assert not [name for name, data in of_checkout.items() if b"the patients" in data]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the list of versioned files")
def test_the_space_holds_every_versioned_file_of_the_package(tmp_path):
    listed = subprocess.run(
        ["git", "ls-files", "hfbio"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    versioned = {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}
    weights = "hfbio/models/weights/"
    ours = f"{weights}{BINDING.manifest.base}/"  # the other bases stay behind
    needed = {name for name in versioned if not name.startswith(weights) or name.startswith(ours)}
    written = set(write_space(tmp_path / "space", BINDING))
    assert len(needed) > 100
    assert needed <= written
    assert {name for name in written if name.startswith(weights)} == {
        name for name in needed if name.startswith(weights)
    }


def test_launch_says_what_is_missing(monkeypatch):
    with pytest.raises(SettingError, match="port must be from 1 to 65535, got 0"):
        launch_space("sapiens-vh", port=0)
    monkeypatch.setattr("hfbio.space_repo.launch.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"hfbio\[space\]"):
        launch_space("sapiens-vh")


MAIN = "from hfbio.cli import main; main()"
ASK = """
import json, sys
from gradio_client import Client
page = Client(sys.argv[1], verbose=False)
rows, fasta, account = page.predict(
    num=1, length=0, seed=0, temperature=0.3, locus="IGH", species="human", isotype="IGHG",
    api_name="/generate")
print(json.dumps([rows["data"], open(fasta).read()]))
"""


@contextmanager
def serving(command, environment, port, cwd, seconds=150):
    """A page that answers, ended afterwards."""
    url = f"http://127.0.0.1:{port}"
    with (cwd / "page.log").open("w+") as log:
        process = subprocess.Popen(command, env=environment, cwd=cwd, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + seconds
            while True:
                try:
                    urllib.request.urlopen(url, timeout=5).close()
                    break
                except OSError:
                    log.seek(0)
                    assert process.poll() is None, log.read()
                    assert time.monotonic() < deadline, log.read()
                    time.sleep(0.2)
            yield url
        finally:
            process.terminate()  # the command alone: the page must not outlive it
            process.wait(timeout=30)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(python, url, environment):
    done = subprocess.run(
        [python, "-c", ASK, url], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_launch_serves_a_run_to_other_programs(bundle, tmp_path, hub_server):
    environment = hub_server.environment(tmp_path / "cache", user=None)
    port = free_port()
    command = [sys.executable, "-c", MAIN, "space", "launch", bundle, "--port", str(port)]
    with serving(command, environment, port, tmp_path) as url:
        (row,), fasta = ask(sys.executable, url, environment)
        html = urllib.request.urlopen(url).read().decode()
    assert row[1] in fasta
    assert "fonts.googleapis.com" not in html
    assert not hub_server.requests  # nothing was asked of anybody
    with pytest.raises(OSError, match="refused"):  # the page ends with the command
        urllib.request.urlopen(url)


@pytest.mark.slow
@pytest.mark.timeout(1500)  # it installs torch and gradio
def test_the_uploaded_files_start_in_a_clean_environment(bundle, tmp_path, hub_server):
    files = {path.name: path.read_bytes() for path in bundle.iterdir()}
    first = hub_server.add_repo("model", "user/model", files).at("main").oid
    hub_server.commit("model", "user/model", {"hfbio.json": b"{}"})  # the Space is bound to `first`
    words = ["space", "create", "user/page", "--model", "user/model", "--revision", first]
    environment = hub_server.environment(tmp_path / "cache")
    subprocess.run([sys.executable, "-c", MAIN, *words], env=environment, check=True, timeout=120)
    space = tmp_path / "app"
    for name, data in hub_server.files("space", "user/page").items():
        (space / name).parent.mkdir(parents=True, exist_ok=True)
        (space / name).write_bytes(data)

    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    sdk = yaml.safe_load((space / "README.md").read_text().split("---\n")[1])["sdk_version"]
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    install += ["--constraint", ROOT / "constraints.txt", "-r", space / "requirements.txt"]
    subprocess.run([*install, f"gradio=={sdk}"], check=True, timeout=1200)

    port = free_port()
    variables = {n: v["value"] for n, v in hub_server.repo("space", "user/page").variables.items()}
    clean = hub_server.environment(tmp_path / "new_cache", user=None) | variables
    clean |= {"GRADIO_SERVER_PORT": str(port)}
    clean.pop("PYTHONPATH", None)
    since = len(hub_server.requests)
    with serving([python, "app.py"], clean, port, space) as url:
        (row,), fasta = ask(python, url, clean)
    assert len(row[1]) == 120
    assert row[2:] == ["IGH", True]
    assert row[1] in fasta
    asked = hub_server.requests[since:]
    assert all("/user/model/" in r.path for r in asked)  # no other server was asked anything
    assert any(f"/resolve/{first}/adapter_model.safetensors" in r.path for r in asked)
