"""What a user installs: the wheel, its data files, its dependencies, and the cost of a start."""

from __future__ import annotations

import ast
import os
import re
import resource
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import metadata, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import hfbio

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKED = {"recipes/configs": "configs", "recipes/accelerate": "accelerate", "space": "space"}
PERMISSIVE = re.compile(r"MIT|BSD|Apache|Python Software Foundation|MPL|ISC")
# \b keeps LGPL, which a library may link to, out of this.
RESTRICTED = re.compile(
    r"\bA?GPL|Affero|GNU General Public|non.?commercial|academic|CC-BY-NC|proprietary", re.I
)


def run(*command, **kwargs):
    """Run a command to its end; one that fails shows what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, **kwargs)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files_below(folder):
    return {
        path.relative_to(ROOT / folder).as_posix()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    wanted = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(pin.name): pin for pin in wanted}


def core():
    return [Requirement(line) for line in PROJECT["dependencies"]]


def core_and_extras():
    groups = PROJECT["optional-dependencies"].values()
    extras = [Requirement(line) for group in groups for line in group]
    return [*core(), *(r for r in extras if r.name != "hfbio")]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the source archive, and the wheel made from the archive."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The wheel unpacked into a folder of its own, which goes before the developer's install."""
    folder = tmp_path_factory.mktemp("installed")
    install = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps"]
    run(*install, "--target", folder, wheel)
    return folder


def from_wheel(installed, *command, **kwargs):
    """Run ``command`` far from the checkout, with the installed wheel first on the path."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        command, cwd=installed.parent, env=environment, capture_output=True, text=True
    )


def test_the_wheel_holds_every_data_file(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, packed in PACKED.items():
        assert {f"hfbio/_data/{packed}/{file}" for file in files_below(folder)} <= names
    for folder in ("hfbio/models/weights", "hfbio/report/templates"):
        wanted = {f"{folder}/{file}" for file in files_below(folder)}
        assert wanted
        assert wanted <= names
    assert "hfbio/py.typed" in names
    assert {"hfbio/_data/space/page/build.py", "hfbio/_data/space/page/style.css"} <= names
    assert not [name for name in names if "__pycache__" in name]  # a page that ran leaves some


def test_the_wheel_holds_the_package_alone(wheel):
    folders = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert folders == {"hfbio", f"hfbio-{hfbio.__version__}.dist-info"}


def test_the_source_archive_can_be_tested_and_holds_no_runs(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"Makefile", "constraints.txt", "tests/test_packaging.py", "LICENSE"} <= names
    assert not [name for name in names if name.startswith((".venv", "runs/", "dist/", ".git/"))]


def test_the_installed_command_lists_the_bases(installed):
    done = from_wheel(installed, installed / "bin" / "hfbio", "models")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^sapiens-vh\b.*\bMIT\b", done.stdout, re.M)


def test_the_installed_command_names_the_recipes_it_ships(installed):
    done = from_wheel(installed, installed / "bin" / "hfbio", "finetune", "no-such-recipe")
    assert done.returncode == 2, done.stderr
    shipped = {Path(file).stem for file in files_below("recipes/configs")}
    assert shipped
    assert all(name in done.stderr for name in shipped)


@pytest.mark.slow  # a cold start of torch and peft from files never compiled before
def test_the_installed_package_loads_the_weights_it_ships(installed):
    script = (
        "import hfbio; from hfbio.resources import folder; print(hfbio.__file__);"
        "print(folder('accelerate'), folder('space'), sep='\\n');"
        "print(hfbio.load('sapiens-vh').base.name)"
    )
    done = from_wheel(installed, sys.executable, "-c", script)
    assert done.returncode == 0, done.stderr
    *places, name = done.stdout.splitlines()
    assert [Path(place) for place in places] == [
        installed / "hfbio" / "__init__.py",
        installed / "hfbio" / "_data" / "accelerate",
        installed / "hfbio" / "_data" / "space",
    ]
    assert name == "sapiens-vh"


def test_help_costs_little():
    def cpu_seconds():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run(sys.executable, "-c", "from hfbio.cli import main; main()", "--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # About 0.1 s; transformers alone would add 0.8 s, torch 1.8 s.
    assert min(cpu_seconds() for _ in range(3)) <= 0.3


def test_importing_hfbio_imports_nothing_heavy():
    listed = run(sys.executable, "-c", "import sys, hfbio.cli; print(*sys.modules)").split()
    assert "hfbio.cli" in listed
    assert not {"torch", "transformers", "peft", "datasets", "numpy"} & set(listed)


def test_the_table_of_bases_imports_nothing_heavy():
    script = "import sys, hfbio.models.catalogue as c; list(c.table()); print(*sys.modules)"
    listed = run(sys.executable, "-c", script).split()
    assert "hfbio.models.catalogue" in listed
    assert not {"torch", "transformers", "peft", "datasets", "numpy", "pyarrow"} & set(listed)


def test_every_import_is_a_declared_dependency():
    declared = {"hfbio", *(canonicalize_name(r.name) for r in core_and_extras())}
    owners = {"umap": ["umap-learn"], **packages_distributions()}  # 270 MB that dev goes without
    undeclared = {}
    for path in (ROOT / "hfbio").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module]
            for top in {name.split(".")[0] for name in names} - sys.stdlib_module_names:
                distributions = {canonicalize_name(name) for name in owners.get(top, [top])}
                if not distributions & declared:
                    undeclared[top] = str(path.relative_to(ROOT))
    assert not undeclared


@pytest.mark.parametrize("requirement", core_and_extras(), ids=lambda r: r.name)
def test_constraints_pin_what_pyproject_allows(requirement):
    pin = pins()[canonicalize_name(requirement.name)]
    (version,) = pin.specifier
    assert version.operator == "=="
    assert version.version in requirement.specifier


@pytest.mark.parametrize("name", [r.name for r in core()])
def test_core_dependencies_are_free_for_companies(name):
    about = metadata(name)
    classifiers = [c for c in about.get_all("Classifier", []) if c.startswith("License")]
    licence = about["License-Expression"] or " ".join(classifiers) or about["License"] or ""
    assert PERMISSIVE.search(licence), f"{name} declares the licence {licence[:80]!r}"
    assert not RESTRICTED.search(licence)


def test_the_version_is_said_once():
    assert PROJECT["version"] == hfbio.__version__
