"""Faults that a test plans for coming requests, and the queue that hands them out."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request; several may be combined.

    ``Fault(503)`` answers without doing anything; ``Fault(429, {"Retry-After": "0"})`` adds a
    header. ``Fault(lose_reply=True)`` does what was asked and then drops the connection, which
    a client cannot tell from a request that never arrived.
    """

    status: int | None = None  # answer this instead of serving the request
    headers: Mapping[str, str] = field(default_factory=dict)  # of that answer
    message: str = "planned fault"  # the `error` of that answer
    code: str | None = None  # its X-Error-Code, such as GatedRepo
    cut_upload: int | None = None  # hang up after this many bytes of the request body
    cut_download: int | None = None  # hang up after this many bytes of the reply body
    pause: float = 0.0  # seconds before each 64 KiB of the reply body
    lose_reply: bool = False  # serve the request, then hang up without an answer


class Plan:
    """Faults waiting for requests of one method whose path and query match a pattern."""

    def __init__(self, method: str, pattern: str, faults: Iterable[Fault]) -> None:
        self.method, self.pattern = method, re.compile(pattern)
        self._waiting = deque(faults)

    @property
    def left(self) -> int:
        """Faults that no request has met yet; a test usually asserts that this is zero."""
        return len(self._waiting)

    def take(self, method: str, target: str) -> Fault | None:
        """The next fault, if this plan is about such a request and has one left."""
        if self._waiting and method == self.method and self.pattern.search(target):
            return self._waiting.popleft()
        return None


class Plans:
    """Every plan of a server. Each fault is met by exactly one request."""

    def __init__(self) -> None:
        self._plans: list[Plan] = []
        self._lock = threading.Lock()

    def add(self, method: str, pattern: str, faults: Iterable[Fault]) -> Plan:
        """Queue faults; when several plans match a request the oldest goes first."""
        plan = Plan(method, pattern, faults)
        with self._lock:
            self._plans.append(plan)
        return plan

    def clear(self) -> None:
        """Drop every plan."""
        with self._lock:
            self._plans.clear()

    def take(self, method: str, target: str) -> Fault:
        """The fault for this request, or one that does nothing."""
        with self._lock:
            for plan in self._plans:
                if fault := plan.take(method, target):
                    return fault
        return Fault()
