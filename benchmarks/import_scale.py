"""Import with numbering as files grow: chains per second of CPU, and memory.

    OMP_NUM_THREADS=1 python benchmarks/import_scale.py [--rows 10000 100000] [--num_proc 1]

Each line is one import in a process of its own, from an AIRR file with amino acids. CPU seconds are
of all its processes together, without starting Python; memory is the most that its first process
held (resident), and the most that any of the others did. The last column is the rate of immunum
alone in that process, just before, on 2,000 of the same chains: what else the machine does slows
both.

The chains: 300 from GenAIRR, and of each as many mutants as it takes, with another CDR3 and up to
six substitutions. Every hundredth row repeats the sequence of an earlier one.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from tempfile import TemporaryDirectory

from hfbio.alphabet import RESIDUES
from hfbio.record import AntibodyRecord

FOUNDERS, IMMUNUM = 300, 2_000
COLUMNS = ("sequence_id", "sequence_aa", "locus", "v_call", "j_call", "c_call", "duplicate_count")


def main() -> None:
    """Print one line for each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--num_proc", type=int, default=1)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)  # a process of its own
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*map(Path, options.measure), options.num_proc)))
        return
    with TemporaryDirectory() as folder:
        for n_rows in options.rows:
            source, output = Path(folder) / "t.tsv", Path(folder) / "t.parquet"
            write_airr(source, n_rows)
            command = [sys.executable, __file__, "--measure", str(source), str(output)]
            command += ["--num_proc", str(options.num_proc)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
            found = json.loads(done.stdout)
            print(
                f"{n_rows:>9,} rows {found['kept']:>9,} kept {found['cpu']:>7.1f} CPU s "
                f"{found['seconds']:>7.1f} s {n_rows / found['cpu']:>6,.0f} per CPU s "
                f"{found['mb']:>5,.0f} MB, others {found['mb_others']:>5,.0f} MB; "
                f"immunum alone {found['immunum']:,.0f} per CPU s",
                flush=True,
            )


def write_airr(path: Path, n_rows: int, *, seed: int = 0) -> None:
    """An AIRR file of distinct heavy chains, but for every hundredth, that are antibodies."""
    from hfbio.data import simulate

    founders = list(
        simulate(species="human", locus="IGH", num=FOUNDERS, seed=seed, mutation=(0.0, 0.1))
    )
    rng = random.Random(seed)
    with path.open("w", encoding="utf-8") as file:
        print(*COLUMNS, sep="\t", file=file)
        sequence = ""
        for row in range(n_rows):
            founder = founders[row % FOUNDERS]
            if row % 100 != 99:
                sequence = mutant(founder, rng)
            calls = (founder.locus, founder.v_call, founder.j_call, rng.choice(["IGHM", "IGHG1"]))
            print(f"row_{row}", sequence, *calls, rng.randint(1, 9), sep="\t", file=file)


def mutant(founder: AntibodyRecord, rng: random.Random) -> str:
    """The chain with a new middle of CDR3, and substitutions in fwr3, fwr1 or CDR2."""
    letters = list(founder.sequence_aa)
    start, stop = founder.regions[5:7]
    letters[start + 2 : stop - 3] = rng.choices(RESIDUES, k=max(4, stop - start - 5))
    # Away from Cys23, Trp41, Cys104 and from what the numbering holds on to.
    places = [*range(4, 18), *range(*founder.regions[3:5]), *range(founder.regions[4], start - 8)]
    for at in rng.sample(places, rng.randint(0, 6)):
        letters[at] = rng.choice("ADEGIKLNQRSTV")
    return "".join(letters)


def measure(source: Path, output: Path, num_proc: int) -> dict[str, float]:
    """Import, and say what it took."""
    import immunum

    from hfbio.data import import_table, read

    annotator = immunum.Annotator(chains=["H", "K", "L"], scheme="imgt")
    sequences = [
        record.sequence_aa
        for record, _ in zip(read(source), range(IMMUNUM))
        if isinstance(record, AntibodyRecord)
    ]
    before = time.process_time()
    for sequence in sequences:
        annotator.number(sequence)
    alone = len(sequences) / (time.process_time() - before)
    cpu, seconds = cpu_seconds(), time.perf_counter()
    report = import_table([source], output, num_proc=num_proc, progress=False)
    return {
        "cpu": cpu_seconds() - cpu,
        "seconds": time.perf_counter() - seconds,
        "kept": report.n_kept,
        "mb": getrusage(RUSAGE_SELF).ru_maxrss / 1024,
        "mb_others": getrusage(RUSAGE_CHILDREN).ru_maxrss / 1024,
        "immunum": alone,
    }


def cpu_seconds() -> float:
    """User and system time of this process and of those that it waited for."""
    return sum(u.ru_utime + u.ru_stime for u in map(getrusage, (RUSAGE_SELF, RUSAGE_CHILDREN)))


if __name__ == "__main__":
    main()
