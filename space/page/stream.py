"""Work that tells how far it is, as an iterator. Knows nothing of models or pages."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from hfbio.errors import SettingError

_TURN: Final = threading.Lock()  # held by the one work that computes


class _Stopped(BaseException):
    """Nobody waits for the work any more; ends it at the next step, past every `except`."""


def stream(work: Callable[[Callable[[Any], None]], Any], *, seconds: float) -> Iterator[Any]:
    """What ``work`` tells, then what it returns.

    ``work(tell)`` runs in a thread of its own and calls ``tell`` at each step. If the reader is
    slower than the work, steps are left out, never the result. When the reader goes away, the work
    ends at its next step. Closing the iterator does not wait for that, because servers close on the
    thread that serves everybody; the next work does, so that two of them never compute at once.

    Args:
        work: raises what it will; the reader gets it.
        seconds: of computing, before it is told to ask for less.

    Raises:
        SettingError: it took too long.
    """
    changed, gone = threading.Condition(), threading.Event()
    said: list[Any] = []
    ended: list[tuple[bool, Any]] = []

    def run() -> None:
        try:
            with _TURN:
                deadline = time.monotonic() + seconds

                def tell(step: Any) -> None:
                    if gone.is_set():
                        raise _Stopped
                    if time.monotonic() > deadline:
                        raise SettingError(
                            f"this took more than {seconds:.0f} s; ask for fewer or shorter"
                        )
                    with changed:
                        said[:] = [step]
                        changed.notify()

                outcome = True, work(tell)
        except BaseException as error:  # the reader's thread raises it again
            outcome = False, error
        with changed:
            ended.append(outcome)
            changed.notify()

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True)
    thread.start()
    try:
        while True:
            with changed:
                changed.wait_for(lambda: said or ended)
                steps, over = list(said), list(ended)
                said.clear()
            yield from steps
            if over:
                good, result = over[0]
                if not good:
                    raise result
                yield result
                return
    finally:
        gone.set()
