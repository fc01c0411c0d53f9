"""256 designs of a run against two judges and against nature.

    python benchmarks/designs.py runs/quickstart [--isotype IGHG] [--seed 0]

Prints one line: validity by the library's rule and by anarcism, uniqueness, and identity to the
nearest training chain beside the same of held-out natural chains.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import hfbio
from hfbio.data import load_table, nearest_identity
from hfbio.numbering import is_domain

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("run", type=Path)
parser.add_argument("--num", type=int, default=256)
parser.add_argument("--isotype", default="IGHG")
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

train = load_table(options.run / "data" / "train.parquet")
test = load_table(options.run / "data" / "test.parquet")
model = hfbio.load(options.run)
started = time.perf_counter()
designs = model.sample(
    hfbio.Request(
        num=options.num, seed=options.seed, conditions={"isotype": options.isotype}, keep="all"
    ),
    reference=train,
)
seconds = time.perf_counter() - started
judged = is_domain([design.sequence_aa for design in designs.kept])
both = sum(design.valid and whole for design, whole in zip(designs.kept, judged))
natural = nearest_identity([r.sequence_aa for r in test], [r.sequence_aa for r in train]).identity
low, middle, high = np.quantile(natural, [0.05, 0.5, 0.75])
print(
    f"{designs.report.drawn} designs in {seconds:.0f} s: valid {designs.report.valid}, "
    f"by anarcism {sum(judged)}, by both {both}, unique {designs.report.unique}; "
    f"nearest training chain, median {designs.report.median_nearest_identity:.3f} "
    f"(held-out natural chains 5 / 50 / 75 %: {low:.3f} / {middle:.3f} / {high:.3f})"
)
