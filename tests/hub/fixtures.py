"""Fixtures for tests that need a Hub; conftest.py imports them by name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hub.server import HubServer

Client = Callable[..., str]


@pytest.fixture
def hub_server() -> Iterator[HubServer]:
    """An empty Hub with the users `user` and `other`."""
    with HubServer() as server:
        yield server


@pytest.fixture
def hub_client(hub_server: HubServer, tmp_path: Path) -> Client:
    """Run a script in its own process against the Hub; returns what it prints.

    ``hub_client(script, *arguments, user="user", role="write", cache="cache")``; ``user=None``
    goes without a token. A script that fails fails the test with its standard error.
    """

    def run(script: str, *arguments: object, cache: str = "cache", **who: str | None) -> str:
        environment = hub_server.environment(tmp_path / cache, **who)
        command = [sys.executable, "-c", script, *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    return run
