"""HTTP on a socket: bodies, faults, ranges and the request log. Knows nothing about repos."""

from __future__ import annotations

import json
import re
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

from hub.faults import Fault, Plans
from hub.store import HubError

CHUNK = 64 * 1024


@dataclass(frozen=True)
class Request:
    """One line of the log. Tokens, signatures and bodies are never kept."""

    method: str
    path: str  # percent-encoded as it came, without the query
    status: int | None  # None when the connection was cut before an answer was complete
    user: str | None  # whose token came with it
    range: str | None  # the Range header


@dataclass(frozen=True)
class Call:
    """A request taken off the socket."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict:
        """The body as JSON, empty if there is no body."""
        return json.loads(self.body or b"{}")

    def flag(self, name: str) -> bool:
        """Whether a boolean query parameter is set; clients write 1, true and True."""
        return self.query.get(name, [""])[-1].lower() in ("1", "true")


@dataclass(frozen=True)
class Reply:
    """An answer about to be sent."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, value: object, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """JSON of ``value``."""
        body = json.dumps(value).encode()
        return cls(body, status, {"Content-Type": "application/json", **(headers or {})})

    @classmethod
    def error(cls, error: HubError) -> Reply:
        """The Hub's form of a refusal."""
        # Clients take "repo not found" from a bare 401 only for https:// addresses. On http, as
        # here, nothing but X-Error-Code tells them what is missing.
        codes = {"X-Error-Code": error.code} if error.code else {}
        message = " ".join(error.message.encode("ascii", "backslashreplace").decode().split())
        headers = {"X-Error-Message": message, **codes, **error.headers}
        return cls.of({"error": error.message, **error.extra}, error.status, headers)

    def part(self, wanted: str | None) -> Reply:
        """The bytes that a Range header asks for: 206, or 416 beyond the end."""
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted or "")
        if not match or not any(match.groups()):
            return self
        size = len(self.body)
        first, last = match.groups()
        start = int(first) if first else max(0, size - int(last))
        stop = min(size, int(last) + 1) if first and last else size
        if start >= stop:
            return Reply(b"", 416, {**self.headers, "Content-Range": f"bytes */{size}"})
        span = {"Content-Range": f"bytes {start}-{stop - 1}/{size}"}
        return Reply(self.body[start:stop], 206, {**self.headers, **span})


class Listener(ThreadingHTTPServer):
    """Socket, plans and log, shared by the threads that serve connections."""

    request_queue_size = 128  # the default of 5 refuses connections when ranks start together

    def __init__(
        self, answer: Callable[[Call], Reply], user_of: Callable[[str | None], str | None]
    ) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer, self.user_of = answer, user_of
        self.plans = Plans()
        self.log: list[Request] = []
        self.crashes: list[str] = []  # tracebacks of our own mistakes


class Handler(BaseHTTPRequestHandler):
    """One connection, kept open between requests as the clients expect."""

    server: Listener
    protocol_version = "HTTP/1.1"
    # Headers and body in separate small packets cost 40 ms each time (Nagle and delayed ACK).
    wbufsize = -1
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        fault = self.server.plans.take(self.command, self.path)
        reply = None
        with suppress(_Cut, ConnectionError):
            reply = self._reply(fault)
        whole = reply is not None and fault.cut_download is None
        # Before the last byte leaves: the client may be gone, and the test reading, right after.
        bearer, wanted = self.headers.get("Authorization"), self.headers.get("Range")
        user, status = self.server.user_of(bearer), reply.status if whole else None
        path = self.path.partition("?")[0]
        self.server.log.append(Request(self.command, path, status, user, wanted))
        if reply is not None:
            with suppress(ConnectionError):
                self._send(reply, fault)
        self.close_connection |= not whole

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_CONNECT = _serve

    def _reply(self, fault: Fault) -> Reply:
        body = self._body(fault.cut_upload)
        path, _, query = self.path.partition("?")
        if fault.status:
            return Reply.error(
                HubError(fault.status, fault.message, fault.code, headers=fault.headers)
            )
        try:
            reply = self.server.answer(
                Call(self.command, path, parse_qs(query), self.headers, body)
            )
        except HubError as error:
            reply = Reply.error(error)
        except Exception:
            # Not 500: clients would retry it for half a minute before the test could fail.
            self.server.crashes.append(traceback.format_exc())
            reply = Reply.error(HubError(501, "the test server crashed"))
        if fault.lose_reply:
            raise _Cut
        return reply

    def _body(self, limit: int | None) -> bytes:
        if limit is not None:
            # Bytes left unread make the kernel reset the connection, as a failing network does.
            self.rfile.read(limit)
            raise _Cut
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        if len(body) < size:
            raise _Cut  # the client went away in the middle
        return body

    def _send(self, reply: Reply, fault: Fault) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        # A cut is an orderly close (FIN): clients resume after it, and give up after a reset.
        body = b"" if self.command == "HEAD" else reply.body[: fault.cut_download]
        for start in range(0, len(body), CHUNK):
            if fault.pause:
                self.wfile.flush()
                time.sleep(fault.pause)
            self.wfile.write(body[start : start + CHUNK])
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing; the log is `Listener.log`."""


class _Cut(Exception):
    """Hang up without another byte."""
