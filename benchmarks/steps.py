"""Training steps of a new small model: float32 with sdpa beside bfloat16 with eager attention.

    OMP_NUM_THREADS=1 python benchmarks/steps.py [--architecture esm]

Prints seconds a step of each, of one process and thread, and their ratio. The two take turns, so
that whatever else the machine does slows both.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import torch

from hfbio.models.scratch import ARCHITECTURES, fresh
from hfbio.objectives import weighted_nats
from hfbio.rng import generator

ROWS, TOKENS = 32, 122  # as the recipes of the minis: chains a step, with start, tags and stop


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architecture", default="esm", choices=ARCHITECTURES)
    parser.add_argument("--steps", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = fresh(options.architecture, {}, name="new", rng=generator(0)).model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    ids = torch.randint(4, 24, (ROWS, TOKENS), generator=generator(1))
    seconds: dict[str, list[float]] = {"sdpa": [], "eager": []}
    for _ in range(options.steps + 1):
        for attention, times in seconds.items():
            model.set_attn_implementation(attention)
            started = time.perf_counter()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=attention == "eager"):
                logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
            (weighted_nats(logits, ids, torch.ones(ids.shape)) / ids.numel()).backward()
            optimizer.step()
            optimizer.zero_grad()
            times.append(time.perf_counter() - started)
    slow, fast = (median(times[1:]) for times in seconds.values())  # the first warms up
    print(f"float32, sdpa {slow:.3f} s; bfloat16, eager {fast:.3f} s; ratio {slow / fast:.2f}")


if __name__ == "__main__":
    main()
