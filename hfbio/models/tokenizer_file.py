"""tokenizer.json of a stranger: what may not be handed to the tokenizers library. Loads nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from hfbio.errors import BundleError

_MAX_WILD: Final = 3  # repetitions in a regex of a tokenizer; more can take forever on 119 residues


def require_tame(path: Path, content: Any) -> None:
    """No regex in a tokenizer that a backtracking engine could spend years on.

    Raises:
        BundleError: there is one in ``content``, which was read from ``path``.
    """
    waiting = [content]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Mapping):
            pattern = item.get("Regex", "")
            wild = re.findall(r"[*+?{]", re.sub(r"\[[^\]]*\]|\\.", "", str(pattern)))
            if len(wild) > _MAX_WILD or (wild and "(" in str(pattern)) or len(str(pattern)) > 200:
                raise BundleError(f"{path} holds the regex {pattern!r:.80}, which may never end")
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
