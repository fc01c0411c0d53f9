"""Every command in the README and the docs is run, and what they show is what it printed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def commands(page: str) -> list[tuple[str, list[str]]]:
    """``(command, shown output lines)`` of each ``$`` line in the page's console blocks."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", (ROOT / page).read_text(), re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif found[-1][1] == [] and found[-1][0].endswith("\\"):
                found[-1] = (found[-1][0][:-1] + line.strip(), [])
            elif line.strip() not in ("", "…"):
                found[-1][1].append(line)
    return found


def skeleton(line: str) -> str:
    """A line without what may differ between machines: numbers, and the spaces around them."""
    return re.sub(r"\s+", " ", re.sub(r"[-+]?\d[\d,.]*(e-?\d+)?", "#", line)).strip()


PAGES = sorted(
    page
    for page in (path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/*.md"))
    if commands(page)
)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_commands_of_a_page_run_and_print_what_it_shows(page, tmp_path, hub_server):
    """Against a Hub with nothing on it but what the page itself pushes."""
    environment = {
        **hub_server.environment(tmp_path / "cache"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    for command, shown in commands(page):
        wanted = 1 if "# exits 1" in command else 2 if "# exits 2" in command else 0
        done = subprocess.run(
            ["bash", "-c", command.split("  # exits")[0]],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280,
        )  # fmt: skip
        printed = {skeleton(line) for line in (done.stdout + done.stderr).splitlines()}
        assert done.returncode == wanted, f"{command}\n{done.stdout}\n{done.stderr}"
        missing = [line for line in shown if skeleton(line) not in printed]
        assert not missing, f"{command} did not print {missing}; it printed\n{done.stdout}"


def test_pages_hold_commands():
    """Guards the parser: a change of fences would otherwise leave nothing to run."""
    assert sum(len(commands(page)) for page in PAGES) >= 8
    assert all(shlex.split(c.split("  # exits")[0]) for page in PAGES for c, _ in commands(page))
