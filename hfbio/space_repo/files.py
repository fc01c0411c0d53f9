"""The files of a Space: the page, its README, hfbio itself, what to install. Sends nothing.

hfbio is not on the public index, and a Space of the gradio SDK installs requirements.txt before
the repository's files are there, so that a wheel beside it could not be named. Python looks for
modules in the folder of app.py first: the package lies there as a plain folder, and
requirements.txt lists what library and page need. No torch pin: the machines of a Space bring
their own.
"""

from __future__ import annotations

import re
import shutil
from fnmatch import fnmatchcase
from importlib.metadata import PackageNotFoundError, requires
from importlib.metadata import files as files_of_wheel
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
# An allow-list, as for a model: anything may lie beside the code of a checkout, such as a table of
# somebody's sequences. A test holds it against the files that are under version control.
_PAGE: Final = (APP, README, REQUIREMENTS, "page/*.py", "page/*.css", "page/*.js")
_WEIGHTS: Final = (
    *("NOTICE", "README.md", "config.json", "model.safetensors"),
    *("tokenizer.json", "tokenizer_config.json", "vocab.txt", "added_tokens.json"),
    *("generation_config.json", "hfbio.json", "metrics.json"),
)
_CODE: Final = ("*.py", "py.typed", "card/templates/*.md", "report/templates/*.html")
_RECIPES: Final = ("*.yaml",)
_INSTALLED: Final = Path(resources.__file__).parent


def write_space(folder: Path, binding: Binding) -> dict[str, Path]:
    """Write every file of a Space into an empty folder; returns them by path in the repository.

    The same from a wheel and from a checkout. A file that is not hfbio's, by name or by the wheel's
    own record, stays out.

    Raises:
        SettingError: hfbio is not installed, or a file of its is larger than it can be.
    """
    _copy(resources.folder("space"), folder, _PAGE)
    readme = folder / README
    readme.write_text(bind_readme(readme.read_text(encoding="utf-8"), binding), encoding="utf-8")
    (folder / REQUIREMENTS).write_text(requirements(binding), encoding="utf-8")
    own = sorted(files_of(folder))
    package = folder / PACKAGE
    _copy(_INSTALLED, package, (*_CODE, *_weights(binding)))
    for name in ("configs", "accelerate"):
        _copy(resources.folder(name), package / "_data" / name, _RECIPES)
    (folder / LISTING).write_text("".join(f"{name}\n" for name in own), encoding="utf-8")
    files = files_of(folder)
    if (size := sum(path.stat().st_size for path in files.values())) > MAX_BYTES:
        largest = max(files, key=lambda name: files[name].stat().st_size)
        raise SettingError(
            f"a Space would hold {size:,} bytes, more than {MAX_BYTES:,}; {largest} is the "
            "largest file: does it belong to hfbio?"
        )
    return files


def _weights(binding: Binding) -> list[str]:
    """Of the bundled bases the one that the model needs, if it needs one."""
    base = find(binding.manifest.base) if binding.manifest.has_base else None
    if base is None or base.source != "bundled":
        return []
    return [f"models/weights/{base.location}/{name}" for name in _WEIGHTS]


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
    """requirements.txt: what hfbio, the page and, if it has an extra of hfbio, the base need.

    Raises:
        SettingError: hfbio is not installed, so that nobody knows what it needs.
    """
    manifest = binding.manifest
    base = find(manifest.base) if manifest.has_base else None
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
    of_page = (resources.folder("space") / REQUIREMENTS).read_text(encoding="utf-8")
    lines += [line for line in of_page.splitlines() if line and not line.startswith("#")]
    return "".join(f"{line}\n" for line in lines)


def add_requirements(text: str, binding: Binding) -> str:
    """A requirements.txt with the lines added that this model needs and it does not have."""
    there = {_name(line) for line in text.splitlines()}
    missing = [line for line in requirements(binding).splitlines() if _name(line) not in there]
    return "".join(f"{line}\n" for line in [*text.splitlines(), *missing])


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement.strip(), maxsplit=1)[0].lower().replace("_", "-")


def _copy(source: Path, target: Path, allowed: tuple[str, ...]) -> None:
    recorded = _recorded()
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source).as_posix()
        hidden = any(part.startswith((".", "__pycache__")) for part in name.split("/"))
        if hidden or not path.is_file() or not any(fnmatchcase(name, p) for p in allowed):
            continue
        if name.startswith("_data/") or (recorded is not None and path.resolve() not in recorded):
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / name)


def _recorded() -> frozenset[Path] | None:
    """The files that a wheel brought; ``None`` where hfbio runs from a checkout."""
    try:
        found = frozenset(Path(str(f.locate())).resolve() for f in files_of_wheel("hfbio") or ())
    except PackageNotFoundError:
        return None
    return found if (_INSTALLED / "__init__.py").resolve() in found else None
