"""The files of a Space: the page, its README, hfbio itself, what to install. Sends nothing.

hfbio is not on the public index, and a Space of the gradio SDK installs requirements.txt before
the repository's files are there, so that a wheel beside it could not be named. Python looks for
modules in the folder of app.py first: the package lies there as a plain folder, and
requirements.txt lists what it needs. No torch pin: the machines of a Space bring their own.
"""

from __future__ import annotations

import re
import shutil
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Final

from huggingface_hub import RepoCard

from hfbio import resources
from hfbio.errors import SettingError
from hfbio.models.catalogue import find
from hfbio.space_repo.binding import Binding

README: Final = "README.md"
REQUIREMENTS: Final = "requirements.txt"
APP: Final = "app.py"
PACKAGE: Final = "hfbio/"
LISTING: Final = "hfbio/_data/space_files.txt"
"""Names, one a line, of the files outside hfbio/ that an upload wrote."""
MAX_BYTES: Final = 10_000_000


def write_space(folder: Path, binding: Binding) -> dict[str, Path]:
    """Write every file of a Space into an empty folder; returns them by path in the repository.

    The same from a wheel and from a checkout.

    Raises:
        SettingError: hfbio is not installed, or its folder holds more than hfbio does.
    """
    _copy(resources.folder("space"), folder)
    readme = folder / README
    readme.write_text(bind_readme(readme.read_text(encoding="utf-8"), binding), encoding="utf-8")
    (folder / REQUIREMENTS).write_text(requirements(binding), encoding="utf-8")
    own = sorted(files_of(folder))
    package = folder / PACKAGE
    _copy(Path(resources.__file__).parent, package, without="_data")
    for name in ("configs", "accelerate"):
        _copy(resources.folder(name), package / "_data" / name)
    (folder / LISTING).write_text("".join(f"{name}\n" for name in own), encoding="utf-8")
    files = files_of(folder)
    if (size := sum(path.stat().st_size for path in files.values())) > MAX_BYTES:
        largest = max(files, key=lambda name: files[name].stat().st_size)
        raise SettingError(
            f"a Space would hold {size:,} bytes, more than {MAX_BYTES:,}; {largest} is the "
            "largest file: does it belong to hfbio?"
        )
    return files


def files_of(folder: Path) -> dict[str, Path]:
    """Files below a folder by their path in the repository, in order."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in paths}


def bind_readme(text: str, binding: Binding) -> str:
    """A Space's README whose header names this model as the only one."""
    card = RepoCard(text)
    card.data["models"] = [binding.model]
    return str(card)


def requirements(binding: Binding) -> str:
    """requirements.txt: what hfbio needs, and the extra of the base if there is one.

    Raises:
        SettingError: hfbio is not installed, so that nobody knows what it needs.
    """
    base = find(binding.base)
    extra = base.location if base is not None and base.source == "package" else None
    try:
        declared = requires("hfbio") or []
    except PackageNotFoundError:
        raise SettingError("hfbio is not installed; pip install it, then try again") from None
    lines = []
    for line in declared:
        wanted, _, marker = line.partition(";")
        of_extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", marker)
        if of_extra is None:
            lines.append(line.strip())
        elif of_extra[1] == extra:
            lines.append(wanted.strip())
    return "".join(f"{line}\n" for line in lines)


def add_requirements(text: str, binding: Binding) -> str:
    """A requirements.txt with the lines added that this model needs and it does not have."""
    there = {_name(line) for line in text.splitlines()}
    missing = [line for line in requirements(binding).splitlines() if _name(line) not in there]
    return "".join(f"{line}\n" for line in [*text.splitlines(), *missing])


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement.strip(), maxsplit=1)[0].lower().replace("_", "-")


def _copy(source: Path, target: Path, without: str | None = None) -> None:
    def left_out(folder: str, names: list[str]) -> list[str]:
        return [
            name
            for name in names
            if name.startswith(".")
            or name == "__pycache__"
            or name.endswith((".pyc", ".pyo"))
            or (name == without and Path(folder) == source)
        ]

    shutil.copytree(source, target, ignore=left_out, dirs_exist_ok=True)
