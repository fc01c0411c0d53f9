"""Guided designs against the best of as many free ones.

    python benchmarks/guide.py draw runs/quickstart designs.json --scaffolds 20 --designs 5
    python benchmarks/guide.py report designs.json --judge sapiens-vh --figure docs/guide.png

The CDRs of held-out heavy chains, one chain a clone, are designed anew with all frameworks kept. A
design costs ``K`` rows in every network pass, however they are used: as ``K`` particles of a guide,
or as ``K`` free draws of which the one with the best score is kept.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations, product
from pathlib import Path

import numpy as np
import torch

import hfbio
from hfbio.data import load_table
from hfbio.data.encode import encode
from hfbio.data.groups import clone_groups
from hfbio.model import AntibodyModel
from hfbio.record import AntibodyRecord
from hfbio.sample import Guide, freeze
from hfbio.score.panel import Design
from hfbio.score.properties import hydropathy, side_chain_charge
from interval import Interval, ratio

PH = 7.0
TARGET = 3.0  # elementary charges on the CDRs; held-out chains have a mean near 0
ROWS = (2, 4, 8, 16)  # free draws a design
MOST = max(ROWS)
STEPS = 16  # network passes, about two residues each


def charge(residues: str) -> float:
    """Net charge of the side chains at pH 7, in elementary charges.

    The ends of the chain are left out: no CDR holds one.
    """
    return side_chain_charge(residues, PH)


SCORES: dict[str, Callable[[str], float]] = {
    "charge": lambda cdrs: -((charge(cdrs) - TARGET) ** 2),
    "hydrophilic": lambda cdrs: -hydropathy(cdrs),
}
"""Of the residues of the three CDRs in a row; larger is better."""

WEIGHTS = {"charge": (0.1, 0.3, 1.0, 3.0), "hydrophilic": (5.0, 10.0, 20.0, 40.0)}


@dataclass(frozen=True)
class Made:
    """One kept design."""

    score: str
    method: str  # free, best, guide
    rows: int  # K: rows in every network pass that it cost
    weight: float  # of the guide; 0 for the others
    chain: int  # which scaffold
    sequence: str
    valid: bool
    value: float


def parts(sequence: str, open_at: Sequence[bool]) -> str:
    """The designed residues in a row."""
    return "".join(letter for letter, free in zip(sequence, open_at) if free)


def best_of(values: Sequence[float], k: int, n: int) -> list[int]:
    """The index of the largest of each of ``n`` runs of ``k``, one run behind another."""
    return [max(range(i * k, i * k + k), key=values.__getitem__) for i in range(n)]


def scaffolds(run: Path, n: int) -> list[AntibodyRecord]:
    """The first chain of each of the first ``n`` clones of the test part."""
    test = load_table(run / "data" / "test.parquet")
    first = dict(reversed(list(zip(clone_groups(test).tolist(), test))))
    return [first[g] for g in sorted(first)[:n]]


def redesign(
    model: AntibodyModel, record: AntibodyRecord, num: int, seed: int, guide: Guide | None = None
) -> Sequence[Design]:
    """``num`` designs of all CDRs, kept whether valid or not."""
    rows = num * (guide.particles if guide else 1)  # one block: a second would be made whole
    request = hfbio.Request(num=num, seed=seed, keep="all", block_size=rows)
    sampler = model.sampler(steps=STEPS)
    return model.infill(
        record.sequence_aa, "cdrs", request=request, sampler=sampler, guide=guide
    ).drawn


def compared(
    model: AntibodyModel, record: AntibodyRecord, chain: int, options: argparse.Namespace
) -> Iterator[Made]:
    """All designs of one scaffold; the free ones are drawn once, for all scores and numbers."""
    open_at = freeze("cdrs", record).tolist()
    n, seed = options.designs, options.seed + chain
    pool = redesign(model, record, n * MOST, seed)
    for name in options.scores:

        def score(chains: Sequence[str], name: str = name) -> list[float]:
            return [SCORES[name](parts(c, open_at)) for c in chains]

        values = score([d.sequence_aa for d in pool])
        cells = {("free", 1, 0.0): pool[::MOST]}
        for k in ROWS:
            cells["best", k, 0.0] = [pool[i] for i in best_of(values, k, n)]
        for k, weight in product(options.particles, options.weights or WEIGHTS[name]):
            guide = Guide(score, weight, particles=k, every=options.every)
            cells["guide", k, weight] = redesign(model, record, n, seed, guide)
        for (method, k, weight), designs in cells.items():
            found = score([d.sequence_aa for d in designs])
            for d, value in zip(designs, found):
                yield Made(name, method, k, weight, chain, d.sequence_aa, d.valid, value)


def nats(model: AntibodyModel, record: AntibodyRecord, parts_: int = 4) -> float:
    """Nats per designed residue, a quarter of them hidden at a time.

    Every fourth designed residue is hidden, so that each is hidden once, and asked for with all
    others shown: `hfbio.score.likelihood.pseudo_nats` in four rows.
    """
    tokens = model.base.token_map
    tells = "IGH" in model.tags.values.get("locus", ())
    prefix = model.prompt.ids(model.tags.choose({"locus": "IGH"} if tells else {}))
    example = encode(record, tokens, prefix)
    at = example.residues[freeze("cdrs", record)]
    hidden = torch.arange(len(at)) % parts_ == torch.arange(parts_).unsqueeze(1)
    shown = example.input_ids.repeat(parts_, 1)
    shown[:, at] = shown[:, at].masked_fill(hidden, tokens.require_mask())
    with torch.inference_mode():
        logits = model.model(input_ids=shown, attention_mask=torch.ones_like(shown)).logits
    rows = torch.arange(len(at)) % parts_
    log_p = logits[rows, at].float().log_softmax(-1)
    return float(-log_p.gather(1, example.input_ids[at].unsqueeze(1)).mean())


@dataclass(frozen=True)
class Point:
    """One method at one price."""

    score: str
    method: str
    rows: int
    weight: float
    value: Interval
    nats: Interval
    valid: float
    identity: float  # mean over scaffolds of the mean over pairs, of designed residues
    n: int
    gain: Interval | None = None  # of score over the best of as many rows, scaffold by scaffold
    cost: Interval | None = None  # of nats, likewise


def points(
    made: Sequence[Made], records: Sequence[AntibodyRecord], judge: AntibodyModel
) -> list[Point]:
    """Means with their intervals over scaffolds."""
    known: dict[tuple[int, str], float] = {}
    cells: dict[tuple[str, str, int, float], list[Made]] = {}
    for m in made:
        cells.setdefault((m.score, m.method, m.rows, m.weight), []).append(m)
        if (m.chain, m.sequence) not in known:
            record = replace(records[m.chain], sequence_aa=m.sequence)
            known[m.chain, m.sequence] = nats(judge, record)
    found = []
    for (score, method, rows, weight), ms in cells.items():
        ones, chains = [1] * len(ms), [m.chain for m in ms]
        unnatural = [known[m.chain, m.sequence] for m in ms]
        point = Point(
            score,
            method,
            rows,
            weight,
            ratio([m.value for m in ms], ones, chains),
            ratio(unnatural, ones, chains),
            float(np.mean([m.valid for m in ms])),
            float(np.mean([_identity(ms, records, chain) for chain in sorted(set(chains))])),
            len(ms),
        )
        if method == "guide" and (rivals := cells.get((score, "best", rows, 0.0))):
            above = [m.value - r.value for m, r in zip(ms, rivals)]
            more = [n - known[r.chain, r.sequence] for n, r in zip(unnatural, rivals)]
            gain, cost = ratio(above, ones, chains), ratio(more, ones, chains)
            point = replace(point, gain=gain, cost=cost)
        found.append(point)
    return found


def _identity(ms: Sequence[Made], records: Sequence[AntibodyRecord], chain: int) -> float:
    open_at = freeze("cdrs", records[chain]).tolist()
    loops = [parts(m.sequence, open_at) for m in ms if m.chain == chain]
    return float(np.mean([np.mean([a == b for a, b in zip(*p)]) for p in combinations(loops, 2)]))


def line(point: Point) -> str:
    """One row of a table."""
    name = point.method + (f" {point.weight:g}" if point.weight else "")
    return (
        f"| {name} | {point.rows} | {point.value} | {point.nats} | {point.valid:.1%} "
        f"| {point.identity:.3f} | {point.gain or '–'} | {point.cost or '–'} |"
    )


def figure(found: Sequence[Point], judge: str, path: Path) -> None:
    """Score against naturalness, a panel a score; a line joins points of one method and price."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(p.score for p in found))
    made = Figure(figsize=(4.6 * len(names), 3.6), layout="constrained")
    for axes, name in zip(made.subplots(1, len(names), squeeze=False)[0], names):
        lines: dict[tuple[str, int], list[Point]] = {}
        for p in found:
            if p.score == name:
                lines.setdefault((p.method, p.rows if p.method == "guide" else 0), []).append(p)
        lines["best", 0] = lines.pop(("free", 0)) + lines["best", 0]
        for (method, rows), ps in lines.items():
            colour, mark = STYLE[method, rows]
            x, y = [p.nats.value for p in ps], [p.value.value for p in ps]
            axes.errorbar(
                x,
                y,
                xerr=[
                    [p.nats.value - p.nats.low for p in ps],
                    [p.nats.high - p.nats.value for p in ps],
                ],
                yerr=[
                    [p.value.value - p.value.low for p in ps],
                    [p.value.high - p.value.value for p in ps],
                ],
                color=colour,
                marker=mark,
                markersize=4,
                linewidth=1.2,
                elinewidth=0.5,
            )
            for p, a, b in zip(ps, x, y):
                text = f"best of {p.rows}" if method != "guide" else f"{p.weight:g}"
                axes.annotate(
                    text, (a, b), (4, -9), textcoords="offset points", fontsize=7, color=colour
                )
            if method == "guide":
                axes.annotate(
                    f"{rows} particles",
                    (x[-1], y[-1]),
                    (4, 5),
                    textcoords="offset points",
                    fontsize=8,
                    color=colour,
                )
        axes.set_title(name, fontsize=9)
        axes.set_xlabel(f"nats per designed residue, {judge}")
        axes.set_ylabel("mean score")
        axes.spines[["top", "right"]].set_visible(False)
    made.savefig(path, dpi=160, metadata={"Software": None})


# Okabe and Ito 2008: told apart with any colour vision.
STYLE = {
    ("best", 0): ("#000000", "o"),
    ("guide", 8): ("#0072B2", "s"),
    ("guide", 16): ("#D55E00", "^"),
}


def draw(options: argparse.Namespace) -> None:
    """Write all designs to a file, after each scaffold."""
    model = hfbio.load(options.run)
    made: list[Made] = []
    for chain, record in enumerate(scaffolds(options.run, options.scaffolds)):
        made += compared(model, record, chain, options)
        answer = {"run": str(options.run), "made": [asdict(m) for m in made]}
        options.designs_file.write_text(json.dumps(answer))
        print(f"scaffold {chain + 1}: {len(made)} designs", flush=True)


def report(options: argparse.Namespace) -> None:
    """Print a table for each score."""
    stored = json.loads(options.designs_file.read_text())
    made = [Made(**row) for row in stored["made"]]
    n_scaffolds = 1 + max(m.chain for m in made)
    records = scaffolds(Path(stored["run"]), n_scaffolds)
    found = points(made, records, hfbio.load(options.judge))
    for name in dict.fromkeys(p.score for p in found):
        ps = [p for p in found if p.score == name]
        print(f"\n{name}: {ps[0].n} designs a row, {n_scaffolds} scaffolds, judge {options.judge}")
        print("| method | rows | score | nats | valid | identity | score - best | nats - best |")
        print("|---|--:|---|---|--:|--:|---|---|", *map(line, ps), sep="\n")
    if options.figure:
        figure(found, options.judge, options.figure)


def main() -> None:
    """Draw, or report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    steps = parser.add_subparsers(required=True)
    first = steps.add_parser("draw")
    first.set_defaults(step=draw)
    first.add_argument("run", type=Path)
    first.add_argument("designs_file", type=Path)
    first.add_argument("--scaffolds", type=int, default=20)
    first.add_argument("--designs", type=int, default=5, help="of each scaffold")
    first.add_argument("--scores", nargs="+", choices=SCORES, default=list(SCORES))
    first.add_argument("--particles", nargs="+", type=int, default=[8, 16])
    first.add_argument("--weights", nargs="+", type=float)
    first.add_argument("--every", type=int, default=1)
    first.add_argument("--seed", type=int, default=0)
    second = steps.add_parser("report")
    second.set_defaults(step=report)
    second.add_argument("designs_file", type=Path)
    second.add_argument("--judge", default="sapiens-vh")
    second.add_argument("--figure", type=Path)
    options = parser.parse_args()
    options.step(options)


if __name__ == "__main__":
    main()
