"""A Hugging Face Hub on 127.0.0.1 for tests, spoken to by the real clients.

It does not speak Xet, does not paginate, and forgets everything when it stops.
"""

from __future__ import annotations

from hub.faults import Fault, Plan
from hub.server import HubServer
from hub.store import Commit, File, Repo
from hub.wire import Request

__all__ = ["Commit", "Fault", "File", "HubServer", "Plan", "Repo", "Request"]
