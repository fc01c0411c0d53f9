"""Every objective with every sampler that serves it, on one table.

    for kind in mlm diffusion germline clm infill; do hfbio finetune mini-$kind; done
    python benchmarks/objectives.py runs --num 100 --seed 0

Needs hfbio[humanness]. Prints one row of a table for each pair: all numbers are of ``num`` draws,
none left out, and the last row is held-out natural chains. Gibbs, the germline walk and the beam
start from the test part: a chain, its germline, a lead; the others from a blank.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

import hfbio
from hfbio.data import load_table
from hfbio.model import AntibodyModel, Lead
from hfbio.numbering import number
from hfbio.record import AntibodyRecord
from hfbio.sample import BeamSearch, GermlineWalk, Gibbs, Unmask
from hfbio.score.humanness import oasis_identity
from hfbio.score.panel import Design, examine

TEMPERATURE, TOP_P = 0.8, 0.95
SHAPE = {"temperature": TEMPERATURE, "top_p": TOP_P}
KINDS = ("mlm", "diffusion", "germline", "clm", "infill")
Draw = Callable[[AntibodyModel, Sequence[AntibodyRecord], int, int], list[Design]]


def blank(**settings: object) -> Draw:
    """Draws from a blank with the sampler of the objective, or one with these settings."""

    def draw(
        model: AntibodyModel, test: Sequence[AntibodyRecord], num: int, seed: int
    ) -> list[Design]:
        sampler = model.sampler(**SHAPE) if not settings else Unmask(**{**SHAPE, **settings})  # type: ignore[arg-type]
        request = hfbio.Request(num=num, seed=seed, keep="all", block_size=20)
        return list(model.sample(request, sampler=sampler).drawn)

    return draw


def walk(model: AntibodyModel, test: Sequence[AntibodyRecord], num: int, seed: int) -> list[Design]:
    """One walk from the germline of each held-out chain."""
    found = []
    for i, record in enumerate(test[:num]):
        germline = record.germline_alignment_aa.replace("-", "_")
        request = hfbio.Request(num=1, seed=seed + i, keep="all", block_size=1, germline=germline)
        found += model.sample(request, sampler=GermlineWalk(**SHAPE)).drawn
    return _counted(found)


def gibbs(
    model: AntibodyModel, test: Sequence[AntibodyRecord], num: int, seed: int
) -> list[Design]:
    """Two sweeps from each held-out chain, eight residues at a time."""
    found = []
    for i, record in enumerate(test[:num]):
        chain = record.sequence_aa
        request = hfbio.Request(
            num=1, seed=seed + i, keep="all", block_size=1, scaffold="_" * len(chain), start=chain
        )
        found += model.sample(request, sampler=Gibbs(sweeps=2, block=8, **SHAPE)).drawn
    return _counted(found)


def beam(model: AntibodyModel, test: Sequence[AntibodyRecord], num: int, seed: int) -> list[Design]:
    """Five variants of at most five edits of each of so many leads that ``num`` come out."""
    search = BeamSearch(edits=5, beam=8, marginals="unmasked")
    found = []
    for i, record in enumerate(test[: num // 5]):
        lead = Lead(record.sequence_aa, num=5, seed=seed + i)
        found += [made.design for made in model.optimize(lead, search=search).kept]
    return _counted(found)


SAMPLERS: dict[str, dict[str, Draw]] = {
    **{
        kind: {
            "unmask, ancestral": blank(order="ancestral"),
            "unmask, entropy": blank(order="entropy"),
            "unmask, planned": blank(order="planned"),
            "unmask, remask 0.5": blank(remask=0.5),
            "gibbs": gibbs,
            "beam": beam,
        }
        for kind in ("mlm", "diffusion")
    },
    "germline": {
        "germline walk": walk,
        "unmask, ancestral": blank(order="ancestral"),
        "gibbs": gibbs,
    },
    "clm": {"causal": blank()},
    "infill": {"causal": blank()},
}


def _counted(designs: Sequence[Design]) -> list[Design]:
    """The designs of several requests as if they came from one."""
    seen: dict[str, int] = {}
    return [examine(i, d.sequence_aa, seen, d.conditions) for i, d in enumerate(designs)]


def mean_identity(sequences: Sequence[str]) -> float:
    """Mean identity of all pairs, residue by residue at IMGT positions that either chain has."""
    chains = [dict(zip(number(s).positions, s)) for s in sequences]
    places = sorted({place for chain in chains for place in chain})
    letters = np.array([[ord(chain.get(place, "-")) for place in places] for chain in chains])
    filled = letters != ord("-")
    values = []
    for i in range(len(letters) - 1):
        same = (letters[i] == letters[i + 1 :]) & filled[i]
        either = filled[i] | filled[i + 1 :]
        values += (same.sum(1) / either.sum(1)).tolist()
    return float(np.mean(values))


def wasserstein(a: Sequence[int], b: Sequence[int]) -> float:
    """First Wasserstein distance of two samples of whole numbers: the area between their CDFs."""
    places = np.arange(min(*a, *b), max(*a, *b) + 1)
    cdf = [np.searchsorted(np.sort(x), places, side="right") / len(x) for x in (a, b)]
    return float(np.abs(cdf[0] - cdf[1]).sum())


def row(
    designs: Sequence[Design], train: set[str], lengths: Sequence[int], seconds: float
) -> Iterator[str]:
    """The cells of one line."""
    valid = [d for d in designs if d.valid]
    unique = {d.sequence_aa for d in valid}
    yield f"{len(valid) / len(designs):.0%}"
    yield f"{len(unique) / max(1, len(valid)):.0%}"
    yield f"{len(unique - train) / max(1, len(unique)):.0%}"
    if len(unique) < 2:
        yield from ("–", "–", "–")
    else:
        yield f"{1 - mean_identity([d.sequence_aa for d in valid]):.3f}"
        yield f"{wasserstein([d.regions[6] - d.regions[5] for d in valid], lengths):.2f}"
        yield f"{np.mean(oasis_identity([d.sequence_aa for d in valid])):.3f}"
    yield f"{100 * seconds / len(designs):.1f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("--num", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    options = parser.parse_args()
    print(
        "| objective | sampler | valid | distinct | not in train | diversity | CDR3 length distance"
        " | OASis | CPU s per 100 |\n|---|---|--:|--:|--:|--:|--:|--:|--:|"
    )
    for kind in options.kinds:
        run = options.runs / f"mini-{kind}"
        model = hfbio.load(run)
        test = load_table(run / "data" / "test.parquet")
        train = {r.sequence_aa for r in load_table(run / "data" / "train.parquet")}
        lengths = [len(r.region("cdr3")) for r in test]
        for name, draw in SAMPLERS[kind].items():
            started = time.process_time()
            designs = draw(model, test, options.num, options.seed)
            cells = row(designs, train, lengths, time.process_time() - started)
            print(f"| {kind} | {name} |", " | ".join(cells), "|", flush=True)
    natural = [Design(i, r.sequence_aa, regions=r.regions) for i, r in enumerate(test)]
    cells = [*list(row(natural, train, lengths, 0))[:-1], "–"]
    print("| | held-out chains |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
