"""A client process that stays, so that many tests pay once for importing torch and peft."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping

_LOOP = """
import contextlib, io, json, sys, traceback
replies, sys.stdout = sys.stdout, sys.stderr
names = {}
for line in sys.stdin:
    printed = io.StringIO()
    reply = {}
    try:
        with contextlib.redirect_stdout(printed):
            exec(json.loads(line), names)
    except BaseException as error:
        reply = {"kind": type(error).__name__, "message": str(error)}
        reply["trace"] = traceback.format_exc()
    replies.write(json.dumps(reply | {"out": printed.getvalue()}) + "\\n")
    replies.flush()
"""


class ClientError(Exception):
    """What a piece of code raised in the client process."""

    def __init__(self, kind: str, message: str, trace: str) -> None:
        super().__init__(f"{kind}: {message}\n{trace}")
        self.kind, self.message, self.trace = kind, message, trace


class Session:
    """Runs code in one process with one environment; names stay from call to call."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LOOP],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, code: str, **values: object) -> str:
        """Run ``code``, with ``values`` as variables, and return what it prints.

        Raises:
            ClientError: the code raised.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        given = "".join(f"{name} = {value!r}\n" for name, value in values.items())
        self._process.stdin.write(json.dumps(given + code) + "\n")
        self._process.stdin.flush()
        reply = json.loads(self._process.stdout.readline() or '{"kind": "Died"}')
        if "kind" in reply:
            raise ClientError(reply["kind"], reply.get("message", ""), reply.get("trace", ""))
        return reply["out"]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
