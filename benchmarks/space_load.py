"""Many visitors of a page at once: who waits how long, who gets what, what stays in memory.

    HFBIO_MODEL=hfbio-mini-clm python space/app.py &
    python benchmarks/space_load.py http://127.0.0.1:7860 --clients 50 --pid $!

Each client asks for designs with a seed of its own. All of it is done twice: the same seed must
give the same designs, whoever else is there, and the second time must not cost memory again.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from gradio_client import Client


@dataclass
class Load:
    """What the clients saw."""

    seconds: list[float] = field(default_factory=list)  # from the click to the answer
    designs: dict[int, list[str]] = field(default_factory=dict)  # of each seed
    errors: list[str] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)  # in the queue, as they were told


def load(url: str, *, clients: int, num: int) -> Load:
    """Ask for ``num`` designs from each of ``clients``, all at the same time.

    Args:
        url: of a page.
        clients: programs with seeds 0, 1, 2, ...
        num: designs for each.
    """
    found, start = Load(), threading.Barrier(clients)

    def visit(seed: int) -> None:
        try:
            client = Client(url, verbose=False, analytics_enabled=False)
            start.wait()
            began = time.monotonic()
            job = client.submit(num=num, seed=seed, api_name="/generate")
            seen = set()
            while not job.done():
                rank = job.status().rank
                if rank is not None:
                    seen.add(rank)
                time.sleep(0.05)
            answer = job.result()
        except Exception as error:
            start.abort()
            found.errors.append(f"seed {seed}: {error!r}")
            return
        found.seconds.append(time.monotonic() - began)
        found.positions += sorted(seen)
        found.designs[seed] = [design["sequence_aa"] for design in answer["designs"]]

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(visit, range(clients)))
    return found


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
    parser.add_argument("--pid", type=int, help="of the page, for its memory")
    asked = parser.parse_args(argv)
    # One visitor before all: what is read once, such as the list of human 9-mers, is no leak.
    load(asked.url, clients=1, num=asked.designs)
    rounds, sizes = [], []
    for name in ("first round", "second round"):
        sizes += [memory(asked.pid)] if asked.pid else []
        rounds.append(load(asked.url, clients=asked.clients, num=asked.designs))
        print(told(name, rounds[-1]))
    sizes += [memory(asked.pid)] if asked.pid else []
    if sizes:
        print("memory in MB before, between, after:", ", ".join(f"{size:.0f}" for size in sizes))
    for error in [error for one in rounds for error in one.errors][:20]:
        print(error)
    same = rounds[0].designs == rounds[1].designs
    print("the same seed gave", "the same designs" if same else "OTHER DESIGNS")
    sys.exit(0 if same and not any(one.errors for one in rounds) else 1)


if __name__ == "__main__":
    main()
