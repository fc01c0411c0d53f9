"""`hfbio space launch`: the page of the Space on this machine. Sends nothing anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

from hfbio.errors import MissingExtra, SettingError
from hfbio.resources import folder


def launch_space(model: str, *, revision: str | None = None, port: int = 7860) -> int:
    """Serve the page of a model on http://127.0.0.1:PORT until it is stopped.

    The page runs in a process of its own, as it does on the Hub.

    Args:
        model: Hub id, run folder or catalogue alias.
        revision: of a Hub id.
        port: in [1, 65535].

    Returns:
        Exit status of the page: not 0 if it did not come up; 0 after Ctrl-C.

    Raises:
        MissingExtra: gradio is not installed.
        SettingError: a port that there is not.
    """
    if find_spec("gradio") is None:
        raise MissingExtra("space")
    if not 1 <= port <= 65535:
        raise SettingError(f"port must be from 1 to 65535, got {port}")
    environment = {
        **os.environ,
        "HFBIO_MODEL": model,
        "HFBIO_REVISION": revision or "",
        "GRADIO_SERVER_NAME": "127.0.0.1",  # nobody else's machine reaches it
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_NUM_PORTS": "1",  # this port or none: gradio would take the next one that is free
        "GRADIO_ANALYTICS_ENABLED": "False",
    }
    page = subprocess.Popen([sys.executable, folder("space") / "app.py"], env=environment)
    try:
        return page.wait()
    except KeyboardInterrupt:  # the page gets it too, and ends by itself
        page.wait()
        return 0
    finally:
        page.terminate()
