"""The server of the page, with the limits that all its starters need."""

from __future__ import annotations

import importlib.util
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from page.build import CSS, THEME
from page.guard import Guard
from page.limits import LIMITS


def serve(blocks: gr.Blocks, **settings: Any) -> None:
    """Serve a page until the process ends.

    Args:
        blocks: what `page.build.page` gives.
        settings: more of `gradio.Blocks.launch`, such as a port.

    Raises:
        OSError: the port is taken.
    """
    # Without `api_open=False` a program could compute beside the queue, and all could at once.
    blocks.queue(max_size=LIMITS.waiting, api_open=False).launch(
        theme=THEME,
        css=CSS,
        ssr_mode=False,
        state_session_capacity=LIMITS.sessions,  # Gradio's own is 10,000, which would be 5 GB
        footer_links=["api"],
        run_history=False,  # nothing of what visitors ask is kept
        mcp_server=importlib.util.find_spec("mcp") is not None,
        app_kwargs={"middleware": [Middleware(Guard)]},
        **settings,
    )
