"""A guide named on the command line: a function that scores sequences. Calls it never."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence

from hfbio.errors import SettingError


def load_guide(spec: str) -> Callable[[Sequence[str]], Sequence[float]]:
    """The function ``module:function``, from an installed module or one in the working directory.

    Importing runs the module: name only code that you trust.

    Raises:
        SettingError: another form, no such module, a module that fails, or no such function.
    """
    module_name, _, name = spec.partition(":")
    if not all(part.isidentifier() for part in [*module_name.split("."), name]):
        raise SettingError(f"guide {spec!r:.80}: write module:function, such as scores:humanness")
    sys.path.insert(0, "")  # a console script does not look in the working directory
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever a user's module does wrong, it is the guide's fault
        raise SettingError(
            f"guide {spec!r:.80}: importing {module_name} failed: {error}"
        ) from error
    finally:
        sys.path.remove("")
    guide = getattr(module, name, None)
    if not callable(guide):
        raise SettingError(f"guide {spec!r:.80}: {module_name} has no function {name}")
    return guide
