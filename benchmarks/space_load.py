"""Many visitors of a page at once: who waits how long, who gets what, what stays in memory.

    HFBIO_MODEL=hfbio-mini-clm python space/app.py &
    python benchmarks/space_load.py http://127.0.0.1:7860 --clients 50 --pid $!

Each client asks for designs with a seed of its own. All of it is done more than once: the same
seed must give the same designs, whoever else is there, and memory must stop growing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

SECONDS: Final = 600.0  # that a visitor waits for a word of the page


@dataclass
class Load:
    """What the clients saw."""

    seconds: list[float] = field(default_factory=list)  # from the click to the answer
    designs: dict[int, list[str]] = field(default_factory=dict)  # of each seed
    errors: list[str] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)  # in the queue, as they were told


def load(url: str, *, clients: int, num: int) -> Load:
    """Ask for ``num`` designs from each of ``clients``, all at the same time.

    They speak Gradio's protocol as a browser does. Threads of `gradio_client` would ask for their
    place twenty times a second, and measure themselves.

    Args:
        url: of a page.
        clients: visitors with seeds 0, 1, 2, ...
        num: designs for each.
    """
    found, start = Load(), threading.Barrier(clients)
    config = httpx.get(f"{url}/config", timeout=SECONDS).json()
    (number,) = [d["id"] for d in config["dependencies"] if d["api_name"] == "generate"]

    def visit(seed: int) -> None:
        start.wait()
        began = time.monotonic()
        try:
            answer = _asked(url, number, [num, seed, None, None, "", 1, 0, False, None], found)
            found.designs[seed] = [design["sequence_aa"] for design in answer["designs"]]
        except (httpx.HTTPError, KeyError, TypeError, ValueError) as error:
            found.errors.append(f"seed {seed}: {error!r}")
            return
        found.seconds.append(time.monotonic() - began)

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(visit, range(clients)))
    return found


def _asked(url: str, number: int, data: list[Any], found: Load) -> dict[str, Any]:
    session = uuid.uuid4().hex
    body = {"data": data, "fn_index": number, "session_hash": session}
    with httpx.Client(base_url=f"{url}/gradio_api", timeout=SECONDS) as http:
        http.post("/queue/join", json=body).raise_for_status()
        with http.stream("GET", "/queue/data", params={"session_hash": session}) as events:
            for line in events.iter_lines():
                told = json.loads(line.removeprefix("data:")) if line else {}
                if told.get("msg") == "estimation":
                    found.positions.append(told["rank"])
                if told.get("msg") == "process_completed":
                    if not told["success"]:
                        raise ValueError(told["output"])
                    answer: dict[str, Any] = told["output"]["data"][0]
                    return answer
    raise ValueError("the page ended without an answer")


def memory(pid: int) -> float:
    """Resident memory of a process in MB, from Linux's /proc."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"process {pid} has no resident memory")


def told(name: str, found: Load) -> str:
    """One line of what was seen."""
    times = sorted(found.seconds) or [float("nan")]
    late = times[min(len(times) - 1, round(0.95 * len(times)))]
    return (
        f"{name}: {len(found.seconds)} answers, {len(found.errors)} errors; seconds: median "
        f"{statistics.median(times):.1f}, 95 % {late:.1f}, most {times[-1]:.1f}; "
        f"furthest place in the queue {max(found.positions, default=0)}"
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Ask twice, compare, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--designs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--pid", type=int, help="of the page, for its memory")
    asked = parser.parse_args(argv)
    # One visitor before all: what is read once, such as the list of human 9-mers, is no leak.
    load(asked.url, clients=1, num=asked.designs)
    sizes = [memory(asked.pid)] if asked.pid else []
    rounds = []
    for i in range(asked.rounds):
        rounds.append(load(asked.url, clients=asked.clients, num=asked.designs))
        sizes += [memory(asked.pid)] if asked.pid else []
        print(told(f"round {i + 1}", rounds[-1]), flush=True)
    if sizes:
        print(
            "memory in MB, before and after each round:", ", ".join(f"{size:.0f}" for size in sizes)
        )
    for error in [error for one in rounds for error in one.errors][:20]:
        print(error)
    same = all(one.designs == rounds[0].designs for one in rounds)
    print("the same seed gave", "the same designs" if same else "OTHER DESIGNS")
    sys.exit(0 if same and not any(one.errors for one in rounds) else 1)


if __name__ == "__main__":
    main()
