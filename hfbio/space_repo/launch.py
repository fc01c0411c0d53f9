"""`hfbio space launch`: the page of the Space on this machine. Sends nothing anywhere."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from hfbio.errors import MissingExtra, SettingError
from hfbio.resources import folder

HOST: Final = "127.0.0.1"


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
        SettingError: a port that there is not, or that another program has.
    """
    try:
        version("gradio")  # an uninstall may leave folders behind that could still be imported
    except PackageNotFoundError:
        raise MissingExtra("space") from None
    _require_free(port)
    environment = {
        **os.environ,
        "HFBIO_MODEL": model,
        "HFBIO_REVISION": revision or "",
        "GRADIO_SERVER_NAME": HOST,  # nobody else's machine reaches it
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_NUM_PORTS": "1",  # this port or none: gradio would take the next one that is free
        "GRADIO_ANALYTICS_ENABLED": "False",
    }
    # Python looks beside app.py first, unless it is told not to: the page's own modules lie there.
    environment.pop("PYTHONSAFEPATH", None)
    page = subprocess.Popen([sys.executable, folder("space") / "app.py"], env=environment)
    try:
        return page.wait()
    except KeyboardInterrupt:  # the page gets it too, and ends by itself
        page.wait()
        return 0
    finally:
        page.terminate()


def _require_free(port: int) -> None:
    """The page would find out by itself, but only after it has loaded the model."""
    if not 1 <= port <= 65535:
        raise SettingError(f"port must be from 1 to 65535, got {port}")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the page's server does
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise SettingError(
                f"port {port} of {HOST} cannot be used ({error.strerror}); "
                f"give another one, such as --port {port % 65535 + 1}"
            ) from None
