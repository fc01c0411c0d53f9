"""A Python function of the user's own, by the name the user gives. Takes none from a bundle."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from hfbio.errors import SettingError


def named_function(name: str, flag: str) -> Callable[..., Any]:
    """The function that ``module:function`` names: its module is imported, and so run.

    Installed packages come before modules of the current directory, so that no file lying about
    stands in for a library.

    Args:
        name: such as ``scores:hydrophobicity`` or ``package.module:function``.
        flag: where the user gave it, for messages.

    Raises:
        SettingError: not of that form, no such module, a module that cannot be imported, no such
            function in it, or something that cannot be called.
    """
    module_name, colon, function_name = name.partition(":")
    if not colon or not all(
        part.isidentifier() for part in (*module_name.split("."), function_name)
    ):
        raise SettingError(f"{flag} must be module:function, such as scores:charge; got {name!r}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise SettingError(f"{flag}: {module_name} cannot be imported: {error}") from error
        raise SettingError(
            f"{flag}: there is no module {module_name!r}, neither installed nor in {here}"
        ) from None
    except Exception as error:  # a user's module may fail in any way
        raise SettingError(
            f"{flag}: {module_name} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    function = getattr(module, function_name, None)
    if function is None:
        where = getattr(module, "__file__", None) or "Python itself"
        raise SettingError(f"{flag}: {module_name} ({where}) has no function {function_name!r}")
    if not callable(function):
        raise SettingError(
            f"{flag}: {name} is a {type(function).__name__} and cannot be called; name a function "
            "that takes a list of sequences and gives a number for each"
        )
    return function
