"""Where the files beside the code lie: in the wheel, or in the checkout of a developer."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from hfbio.errors import SettingError

_PACKAGE = Path(__file__).parent
_CHECKOUT = {"configs": "recipes/configs", "accelerate": "recipes/accelerate", "space": "space"}


def folder(name: str) -> Path:
    """The folder of recipes (``configs``), launcher files (``accelerate``) or the Space.

    The wheel carries them under ``hfbio/_data``; an editable install reads the checkout.
    """
    packed = _PACKAGE / "_data" / name
    return packed if packed.is_dir() else _PACKAGE.parent / _CHECKOUT[name]


def recipe(name: str) -> Path:
    """A YAML file by path, or by the stem of a recipe that hfbio ships.

    Raises:
        SettingError: neither; the message names the recipes there are.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise SettingError(f"no recipe file {name}")
        return path
    shipped = {file.stem: file for file in sorted(folder("configs").glob("*.yaml"))}
    if name not in shipped:
        near = get_close_matches(name, shipped, n=1)
        raise SettingError(
            f"no recipe {name!r}"
            + (f"; did you mean {near[0]!r}?" if near else "")
            + f"; hfbio ships {', '.join(shipped)}, or give a path that ends in .yaml"
        )
    return shipped[name]
