"""The page of the Space, served to a test by the process that runs it."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
from antibodies import heavy_with, random_cdr3s
from bundles import make_bundle
from gradio_client import Client
from toys import numbered

import hfbio
from hfbio.score.assess import Contender
from hfbio.train.traces import save_map, save_sketch
from page.build import page
from page.serve import serve
from page.studio import Studio

NAME = "user/model"


@dataclass(frozen=True)
class Page:
    """A page that answers."""

    url: str
    studio: Studio
    blocks: gr.Blocks

    def client(self) -> Client:
        """A program."""
        return Client(self.url, verbose=False, analytics_enabled=False)

    def handlers(self) -> dict[int, Any]:
        """What buttons and fields call, by the number that a browser sends; no endpoints."""
        every = self.blocks.fns.items()
        return {i: fn for i, fn in every if fn.api_visibility == "private" and fn.fn}

    def send(self, number: int, data: Any, **more: Any) -> list[dict[str, Any]]:
        """What a handler answers to anything at all, message by message; the last one ends it."""
        session = uuid.uuid4().hex
        body = {"fn_index": number, "data": data, "session_hash": session, **more}
        text = json.dumps(body)  # NaN and infinity as well, which httpx would not send
        with httpx.Client(base_url=f"{self.url}/gradio_api", timeout=60) as http:
            kind = {"content-type": "application/json"}
            joined = http.post("/queue/join", content=text, headers=kind)
            if joined.status_code != 200:
                return [{"status": joined.status_code, "text": joined.text}]
            messages = []
            with http.stream("GET", "/queue/data", params={"session_hash": session}) as events:
                for line in events.iter_lines():
                    if line.startswith("data:"):
                        messages.append(json.loads(line.removeprefix("data:")))
                        if messages[-1]["msg"] in ("process_completed", "unexpected_error"):
                            break
        return messages


@contextmanager
def served(studio: Studio) -> Iterator[Page]:
    """A page, closed afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    blocks = page(studio)
    serve(blocks, prevent_thread_lock=True, server_port=port, quiet=True)
    try:
        yield Page(f"http://127.0.0.1:{port}", studio, blocks)
    finally:
        blocks.close(verbose=False)


def bundle_with_map(folder: Path) -> Path:
    """A tuned Sapiens-VH with tags, the sketch and the map of 20 chains."""
    make_bundle(folder, strength=0.05)  # near its base: one design in eight is valid
    model = hfbio.load(folder)
    chains = [numbered(heavy_with(cdr3), f"t{i}") for i, cdr3 in enumerate(random_cdr3s(20))]
    save_sketch(folder, chains)
    tuned = Contender(model.model, model.base.token_map, model.prompt)
    save_map(folder, chains, tuned, 8)
    return folder


def texts(messages: Sequence[Any]) -> str:
    """All that was answered, to be searched."""
    return json.dumps(messages, ensure_ascii=False)
