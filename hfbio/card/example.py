"""The lines of Python that a card shows, and what they print. Runs them; writes no card."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hfbio.bundle import Manifest, read_manifest
from hfbio.tokens import WILDCARD

_NUM: Final = 4
_SEED: Final = 0


@dataclass(frozen=True)
class Example:
    """Code as readers copy it, and what it printed when it was run."""

    code: str
    output: str


def run_example(folder: Path, repo_id: str) -> Example:
    """Run the example of a bundle on the local folder, and show it with the repository's name.

    It asks for the combination of tags with the most training chains.

    Args:
        folder: the bundle.
        repo_id: what readers load instead of ``folder``.

    Raises:
        HfbioError: the bundle cannot be loaded, or serves no such request.
    """
    conditions = common_conditions(read_manifest(folder))
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(_code(str(folder), conditions), {"__name__": "__main__"})
    return Example(_code(repo_id, conditions), printed.getvalue())


def common_conditions(manifest: Manifest) -> dict[str, str]:
    """The combination of tags with the most training chains, without its unknown tags."""
    n_chains = {row: sum(counts.values()) for row, counts in manifest.lengths.items()}
    row = min(n_chains, key=lambda row: (-n_chains[row], row))
    pairs = zip(manifest.tags.fields, row.split("|"))
    return {name: value for name, value in pairs if value != WILDCARD}


def command(repo_id: str, conditions: Mapping[str, str]) -> str:
    """The `hfbio sample` that makes the designs of the example."""
    words = ["hfbio", "sample", repo_id, "--num", str(_NUM), "--seed", str(_SEED)]
    for name, value in conditions.items():
        words += [f"--{name}", value]
    return shlex.join([*words, "--output", "designs.fasta"])


def _code(location: str, conditions: Mapping[str, str]) -> str:
    # The JSON of texts is also Python, whatever a tag's value holds.
    asked = f"num={_NUM}, seed={_SEED}"
    if conditions:
        asked = f"\n    {asked}, conditions={json.dumps(conditions, ensure_ascii=False)}\n"
    return (
        "import hfbio\n\n"
        f"model = hfbio.load({json.dumps(location, ensure_ascii=False)})\n"
        f"request = hfbio.Request({asked})\n"
        "designs = model.sample(request)\n"
        "for design in designs.kept:\n"
        "    print(design.sequence_id, design.sequence_aa)\n"
        "print(designs.report)\n"
    )
