"""How the page of the Space travels, and that it starts where nothing but its files is."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path
from unittest.mock import Mock

import pytest
import yaml
from packaging.requirements import Requirement
from runs import flags, make_split

import hfbio
from hfbio.bundle import Manifest, write_manifest
from hfbio.errors import MissingExtra, SettingError
from hfbio.model.describe import Described, DescribedChain
from hfbio.space_repo import launch_space
from hfbio.space_repo.binding import Binding
from hfbio.space_repo.files import requirements, write_space
from hfbio.tokens import Tags
from page.results import lacking

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


def test_a_space_holds_the_page_the_package_and_what_they_need(tmp_path):
    files = write_space(tmp_path / "space", BINDING)
    header = files["README.md"].read_text().split("---\n")[1]
    card = yaml.safe_load(header)
    assert card["models"] == ["user/model"]
    assert (card["sdk"], card["app_file"], card["license"]) == ("gradio", "app.py", "apache-2.0")
    pins = ROOT.joinpath("constraints.txt").read_text().splitlines()
    assert f"gradio=={card['sdk_version']}" in pins  # what the page was tried with
    assert header.isascii()  # no emoji
    for name in ("app.py", "page/build.py", "page/style.css", "page/editor.js"):
        assert files[name].read_bytes() == (ROOT / "space" / name).read_bytes()
    own = files["hfbio/_data/space_files.txt"].read_text().splitlines()
    assert set(own) == {name for name in files if not name.startswith("hfbio/")}
    assert {"hfbio/__init__.py", "hfbio/models/weights/sapiens-vh/model.safetensors"} <= set(files)
    assert "hfbio/_data/configs/quickstart.yaml" in files
    assert not [name for name in files if "__pycache__" in name or name.startswith("tests")]


def test_requirements_are_those_of_hfbio_of_the_page_and_of_the_base():
    declared = [Requirement(line) for line in requires("hfbio")]
    core = {str(r) for r in declared if "extra" not in str(r.marker or "")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    page = {str(Requirement(line)) for line in project["optional-dependencies"]["space"]}
    plain = requirements(BINDING).splitlines()
    assert {str(Requirement(line)) for line in plain} == core | page
    other = dataclasses.replace(MANIFEST, base="antiberty", family="bert")
    with_extra = requirements(dataclasses.replace(BINDING, manifest=other)).splitlines()
    assert set(with_extra) - set(plain) == {"antiberty==0.1.3"}
    (torch,) = (r.specifier for line in plain if (r := Requirement(line)).name == "torch")
    assert {one.operator for one in torch} == {">="}  # the machines of a Space bring their own


def test_the_requirements_of_the_folder_are_those_of_the_extra():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = {str(Requirement(line)) for line in project["optional-dependencies"]["space"]}
    lines = (ROOT / "space" / "requirements.txt").read_text().splitlines()
    assert {str(Requirement(line)) for line in lines if not line.startswith("#")} == extra


PLANTED = (  # beside hfbio's own files
    *("hfbio/patients.csv", "hfbio/data/.env", "hfbio/models/weights/sapiens-vh/patients.json"),
    *("hfbio/models/weights/mine/model.safetensors", "hfbio/card/templates/patients.txt"),
)
IN_PAGE = ("space/patients.csv", "space/page/patients.json", "space/page/.notes.py")
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
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
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

    plant(checkout, [*PLANTED, *IN_PAGE, "recipes/configs/patients.csv"])
    in_wheel = ("hfbio/patients.py", "hfbio/_data/configs/patients.yaml")
    plant(wheel, [*PLANTED, *in_wheel, "hfbio/_data/space/page/patients.py"])
    of_wheel = write_elsewhere(wheel, tmp_path / "made_by_wheel")
    of_checkout = write_elsewhere(checkout, tmp_path / "made_by_checkout")
    assert of_wheel == of_checkout
    assert {"hfbio/_data/configs/quickstart.yaml", "page/build.py"} <= set(of_wheel)
    assert not [name for name, data in of_checkout.items() if b"the patients" in data]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the list of versioned files")
def test_the_space_holds_every_versioned_file_of_package_and_page(tmp_path):
    listed = subprocess.run(
        ["git", "ls-files", "hfbio", "space"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    there = {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}
    versioned = {name.removeprefix("space/") for name in there}
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
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SettingError, match=f"port {port} .* in use.*another one, such as --po"):
            launch_space("sapiens-vh", port=port)
    monkeypatch.setattr("hfbio.space_repo.launch.version", Mock(side_effect=PackageNotFoundError))
    with pytest.raises(MissingExtra, match=r"hfbio\[space\]"):
        launch_space("sapiens-vh")


def test_the_page_says_which_numbers_it_cannot_give():
    chain = DescribedChain("EVQL", fault="not an antibody variable domain")
    assert lacking([]) == lacking([Described((chain,))]) == ""
    told = lacking([Described((chain,), missing=("numbering", "humanness"))])
    assert "without germline and OASis humanness" in told
    assert "pip install 'hfbio[numbering,humanness]'" in told


MAIN = "from hfbio.cli import main; main()"
RECIPE = """
model: sapiens-vh
data: {split}
data_license: CC-BY-4.0
tags: [locus, species, isotype]
sampler_kwargs: {{order: ancestral, steps: 32, temperature: 0.3}}
"""
ASK = """
import json, sys
from gradio_client import Client
page = Client(sys.argv[1], verbose=False)
print(json.dumps(page.predict(num=1, seed=3, tags={"isotype": "IGHG"}, api_name="/generate")))
"""
ASK_BY_MCP = """
import asyncio, json, sys
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
async def ask():
    async with (
        streamablehttp_client(sys.argv[1] + "/gradio_api/mcp/") as (read, write, _),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        tools = [tool.name for tool in (await session.list_tools()).tools]
        asked = {"num": 1, "seed": 3, "tags": {"isotype": "IGHG"}}
        answer = await session.call_tool("generate", asked)
        print(json.dumps([tools, answer.content[0].text]))
asyncio.run(ask())
"""


def hfbio_command(*words, environment, cwd):
    """`hfbio` with some words; one that fails shows what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", MAIN, *map(str, words)],
        env=environment, cwd=cwd, capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on 30 heavy chains, long enough that most of its designs are antibodies."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "recipe.yaml").write_text(RECIPE.format(split=make_split(folder)))
    words = flags(output_dir=folder / "tuned", max_steps=20)
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    hfbio_command("finetune", folder / "recipe.yaml", *words, environment=offline, cwd=folder)
    return folder / "tuned"


@contextmanager
def serving(command, environment, port, cwd, seconds=250):
    """A page that answers, ended afterwards; gives its address and the process."""
    url = f"http://127.0.0.1:{port}"
    log = cwd / "page.log"
    with log.open("w") as out:
        place = {"env": environment, "cwd": cwd, "start_new_session": True}
        process = subprocess.Popen(command, stdout=out, stderr=out, **place)
        try:
            deadline = time.monotonic() + seconds
            while f"is at {url}/; Ctrl-C ends it" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            yield url, process
        finally:
            process.terminate()  # the command alone: the page must not outlive it
            process.wait(timeout=30)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answer(python, script, url, environment):
    """What a program prints that asks a page."""
    done = subprocess.run(
        [python, "-c", script, url], env=environment, capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ask(python, url, environment):
    """The one design that a page gives to a program, with its isotype asked for."""
    (design,) = answer(python, ASK, url, environment)["designs"]
    return design


def wanted(run):
    """The design that the library gives to the same question."""
    request = hfbio.Request(num=1, seed=3, conditions={"isotype": "IGHG"}, block_size=8)
    (design,) = hfbio.load(run).sample(request).kept
    return design.sequence_aa


@pytest.mark.slow
def test_launch_serves_a_run_to_the_programs_of_the_docs(run, tmp_path, hub_server):
    stray = tmp_path / "stray"
    plant(stray, ["page/__init__.py"])  # another package of that name
    environment = hub_server.environment(tmp_path / "cache", user=None)
    here = os.pathsep.join([str(stray), str(ROOT)])
    environment |= {"PYTHONPATH": here, "PYTHONSAFEPATH": "1"}
    port = free_port()
    command = [sys.executable, "-c", MAIN, "space", "launch", run, "--port", str(port)]
    with serving(command, environment, port, tmp_path) as (url, process):
        assert ask(sys.executable, url, environment)["sequence_aa"] == wanted(run)
        blocks = re.findall("```python\n(.*?)```", (ROOT / "docs/space.md").read_text(), re.DOTALL)
        script = "\n".join(blocks).replace("http://127.0.0.1:7860", url)
        for name in ("about", "generate", "redesign", "optimize", "score", "map"):
            assert f'api_name="/{name}"' in script
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=environment, capture_output=True, text=True, timeout=250,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("design-0000") == 4
        html = urllib.request.urlopen(url).read().decode()
        os.killpg(process.pid, signal.SIGINT)  # Ctrl-C, to command and page as a terminal does
        assert process.wait(timeout=15) == 0
    assert "fonts.googleapis.com" not in html
    assert not hub_server.requests  # nothing was asked of anybody
    with pytest.raises(OSError, match="refused"):  # the page ends with the command
        urllib.request.urlopen(url)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # it installs torch and gradio
def test_from_a_run_to_a_page_in_a_clean_environment(run, tmp_path, hub_server):
    environment = hub_server.environment(tmp_path / "cache")
    hfbio_command("push", run, "user/model", environment=environment, cwd=tmp_path)
    first = hub_server.sha("model", "user/model")
    bound = ["--revision", first, "--secret", "HF_TOKEN"]
    words = ["space", "create", "user/page", "--model", "user/model", *bound]
    hub_server.commit("model", "user/model", {"hfbio.json": b"{}"})  # the page is bound to `first`
    hfbio_command(*words, environment=environment, cwd=tmp_path)
    space = tmp_path / "app"
    for name, data in hub_server.files("space", "user/page").items():
        (space / name).parent.mkdir(parents=True, exist_ok=True)
        (space / name).write_bytes(data)

    # The Space holds hfbio itself as a folder; requirements.txt brings all the rest.
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pinned = ["--constraint", ROOT / "constraints.txt"]
    sdk = yaml.safe_load((space / "README.md").read_text().split("---\n")[1])["sdk_version"]
    needed = ["-r", space / "requirements.txt", f"gradio=={sdk}"]
    subprocess.run([*install, *pinned, *needed], check=True, timeout=1200)
    port = free_port()
    variables = {n: v["value"] for n, v in hub_server.repo("space", "user/page").variables.items()}
    clean = hub_server.environment(tmp_path / "new_cache") | variables
    clean |= {"GRADIO_SERVER_PORT": str(port)}
    clean.pop("PYTHONPATH", None)
    since = len(hub_server.requests)
    with serving([python, "app.py"], clean, port, space) as (url, _):
        design = ask(python, url, clean)
    assert design["sequence_aa"] == wanted(run)
    assert design["locus"] == "IGH"
    assert 0 < design["oasis_identity"] <= 1  # what the extras bring is there too
    assert 0 < design["v_identity"] <= 1
    assert design["perplexity_estimate"] > 1
    assert 0 < design["training_identity"] <= 1
    asked = hub_server.requests[since:]
    assert all("/user/model/" in r.path for r in asked)  # no other server was asked anything
    for name in ("adapter_model.safetensors", "metrics.json"):
        assert any(f"/resolve/{first}/" in r.path and r.path.endswith(name) for r in asked)

    # The folder of the checkout as it stands, beside the wheel; with its extra, tools of MCP too.
    make = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT]
    subprocess.run(make, check=True, timeout=250, stdout=subprocess.DEVNULL)
    (wheel,) = tmp_path.glob("*.whl")
    ours = ["-r", ROOT / "space" / "requirements.txt", f"{wheel}[mcp]"]
    subprocess.run([*install, *pinned, *ours], check=True, timeout=250)
    subprocess.run([python, "-m", "pip", "check"], check=True, timeout=250)
    alone = tmp_path / "alone"
    shutil.copytree(ROOT / "space", alone, ignore=shutil.ignore_patterns("__pycache__"))
    clean["HFBIO_MODEL"], clean["HFBIO_REVISION"] = str(run), ""
    with serving([python, "app.py"], clean, port, alone) as (url, _):
        assert ask(python, url, clean)["sequence_aa"] == design["sequence_aa"]
        tools, told = answer(python, ASK_BY_MCP, url, clean)
    assert set(tools) == {"about", "generate", "redesign", "optimize", "score", "map"}
    assert design["sequence_aa"] in told
