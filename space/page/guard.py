"""Refuses what no field of the page sends: large requests and files. Looks at no content."""

from __future__ import annotations

from typing import Final

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from page.limits import LIMITS

_UPLOAD: Final = "/gradio_api/upload"


class Guard:
    """An ASGI application around the page's own.

    Gradio reads a request whole, and keeps it while it waits in the queue: a hundred of 10 MB
    would be a gigabyte. Its limit on files holds for each of them, not for their number.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Stand before ``app``."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is small; answer the rest with status 413, and uploads with 403."""
        if scope["type"] != "http" or scope["method"] not in ("POST", "PUT", "PATCH"):
            await self.app(scope, receive, send)
            return
        if scope["path"].startswith(_UPLOAD):
            await _refuse(403, "this page takes no files")(scope, receive, send)
            return
        body = await _body(receive)
        if body is None:
            told = f"a request may have {LIMITS.request:,} bytes"
            await _refuse(413, told)(scope, receive, send)
            return
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return whole.pop() if whole else await receive()

        await self.app(scope, again, send)


async def _body(receive: Receive) -> bytes | None:
    """All that was sent, whatever its headers say of its size; ``None`` if that is too much.

    Too much is read to its end, a piece at a time: a browser shows an answer only after that.
    """
    kept, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            break
        piece = message.get("body", b"")
        size += len(piece)
        kept = [*kept, piece] if size <= LIMITS.request else []
        more = message.get("more_body", False)
    return b"".join(kept) if size <= LIMITS.request else None


def _refuse(status: int, told: str) -> JSONResponse:
    return JSONResponse({"detail": told}, status_code=status)
