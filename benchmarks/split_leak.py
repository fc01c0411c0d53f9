"""What each way of splitting lets through, and what splitting costs as tables grow.

    OMP_NUM_THREADS=1 python benchmarks/split_leak.py TABLE.parquet … [--rows 100000]

The first part splits each table of heavy chains and prints, of its test chains, how many have their
CDRH3 in train and how many a train chain at 95 % identity. `hfbio data simulate` makes such a
table (`--locus IGH --num 10000 --clone_size 5 --seed 0`), `hfbio data import` one of real chains.

The second part splits tables of so many mutants (see `import_scale`) in the default way, each in a
process of its own. Seconds are of the clock, MMseqs2 on all cores; memory is the most that each of
them held.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from tempfile import TemporaryDirectory

import import_scale

WAYS = ("clone+cluster", "clone", "cluster", "random")


def main() -> None:
    """Print one line for each split."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", type=Path, nargs="*")
    parser.add_argument("--rows", type=int, nargs="*", default=[])
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)  # a process of its own
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    for table in options.tables:
        for by in WAYS:
            print(f"{table.stem:<24} {by:<14} {leak(table, by)}", flush=True)
    for n_rows in options.rows:
        print(f"{n_rows:>9,} rows {cost(n_rows)}", flush=True)


def leak(table: Path, by: str) -> str:
    """The line of one split of a table."""
    from hfbio.data import split_table

    with TemporaryDirectory() as folder:
        report = split_table(table, Path(folder) / "s", by=by)
    found = report.leak
    return (
        f"{sum(report.n_rows.values()):>7,} rows, largest group {report.largest_group:>6,}; "
        f"of {found.n_test:,} test chains, CDRH3 in train {found.identical_cdr3:.2%}, "
        f"train chain at 95 % {found.near_sequence:.2%} (of {found.n_compared:,})"
    )


def cost(n_rows: int) -> str:
    """The line of one size."""
    from hfbio.data import import_table

    with TemporaryDirectory() as name:
        folder = Path(name)
        import_scale.write_airr(folder / "t.tsv", n_rows)
        import_table([folder / "t.tsv"], folder / "t.parquet", num_proc=2, progress=False)
        command = [sys.executable, __file__, "--measure", str(folder / "t.parquet")]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found = json.loads(done.stdout)
    return (
        f"split in {found['seconds']:.0f} s, {found['cpu']:.0f} CPU s; "
        f"{found['mb']:,.0f} MB, MMseqs2 {found['mb_others']:,.0f} MB"
    )


def measure(table: Path) -> dict[str, float]:
    """Split in the default way, and say what it took."""
    from hfbio.data import split_table

    cpu, seconds = import_scale.cpu_seconds(), time.perf_counter()
    split_table(table, table.parent / "split")
    return {
        "cpu": import_scale.cpu_seconds() - cpu,
        "seconds": time.perf_counter() - seconds,
        "mb": getrusage(RUSAGE_SELF).ru_maxrss / 1024,
        "mb_others": getrusage(RUSAGE_CHILDREN).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    main()
