"""Do designs obey the tags they were asked with? V family by germline, isotype by a classifier.

    python benchmarks/conditions.py RUN [--num 200] [--guidance 1 2 3] [--figure FILE.png]

RUN was trained with the tags isotype and v_family (`hfbio finetune conditions`). For every tag
value with at least 30 training chains, NUM valid designs that were asked for it, at each weight of
guidance, are compared with NUM that were asked for nothing. Agreement is the share of designs that
the judge puts where they were asked for; 95 % intervals of a difference are Newcombe's.

The judge (isotype_judge.py) is fitted on all real chains of the run; a second one on those that the
run has held out alone, so that it shares no clone with what the model has seen. Designs are kept in
RUN/conditions and not drawn twice.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import hfbio
from hfbio.data import load_table, nearest_identity
from hfbio.data.encode import record_tag
from hfbio.data.groups import clone_groups
from hfbio.record import AntibodyRecord
from isotype_judge import Judge, accuracy, looks, recalls

MIN_CHAINS = 30  # of a tag value in training; fewer teach nothing
Z = 1.959964  # 97.5 % point of the normal distribution
UNTAGGED = "untagged"


@dataclass(frozen=True)
class Drawn:
    """Valid, distinct designs that were asked for one tag value, or for none."""

    value: str
    guidance: float
    sequences: list[str]
    n_drawn: int
    n_valid: int


# Shares


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a share. Source: Wilson 1927, J. Am. Stat. Assoc. 22, 209."""
    share = hits / n
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return middle - half, middle + half


def newcombe(hits: int, n: int, other: int, n_other: int) -> tuple[float, float]:
    """95 % interval of the difference of two shares, first minus other.

    Taken as independent, though both were drawn from the same seeds. Source: Newcombe 1998,
    Stat. Med. 17, 873, method 10.
    """
    p, q = hits / n, other / n_other
    (low, high), (other_low, other_high) = wilson(hits, n), wilson(other, n_other)
    below = sqrt((p - low) ** 2 + (other_high - q) ** 2)
    above = sqrt((high - p) ** 2 + (q - other_low) ** 2)
    return p - q - below, p - q + above


@dataclass(frozen=True)
class Row:
    """Agreement of the designs of one request beside designs that were asked for nothing."""

    value: str
    guidance: float
    hits: int
    n: int
    untagged_hits: int
    n_untagged: int
    natural: float  # share of real chains of this value that the judge names so, held out

    def line(self) -> str:
        low, high = newcombe(self.hits, self.n, self.untagged_hits, self.n_untagged)
        untagged = self.untagged_hits / self.n_untagged
        return (
            f"| {self.value} | {self.guidance:g} | {self.hits / self.n:.3f} | {untagged:.3f} | "
            f"{self.hits / self.n - untagged:+.3f} [{low:+.3f}, {high:+.3f}] | {self.natural:.3f} |"
        )


def agreement(names: dict[tuple[str, float], list[str]], natural: dict[str, float]) -> list[Row]:
    """Rows of every tag value in ``natural``; ``names`` holds what the judge said of each set."""
    untagged = names[UNTAGGED, 1.0]
    return [
        Row(
            value, guidance, said.count(value), len(said),
            untagged.count(value), len(untagged), natural[value],
        )
        for (value, guidance), said in names.items()
        if value in natural
    ]  # fmt: skip


# Drawing


def requests(
    train: Iterable[AntibodyRecord], weights: Sequence[float]
) -> list[tuple[str, str, float]]:
    """Tag field, value and guidance of every set of designs; the one without a tag first."""
    chains = list(train)
    wanted = [(UNTAGGED, UNTAGGED, 1.0)]
    for field in ("isotype", "v_family"):
        counts = Counter(record_tag(chain, field) for chain in chains)
        values = sorted(v for v, n in counts.items() if v and n >= MIN_CHAINS)
        wanted += [(field, value, weight) for weight in weights for value in values]
    return wanted


def draw(model: Any, field: str, value: str, guidance: float, options: Any) -> Drawn:
    """Designs from RUN/conditions, or new ones that are put there."""
    path = options.run / "conditions" / f"{value}-{guidance:g}.json"
    asked = {"num": options.num, "seed": options.seed, "steps": options.steps}
    if path.exists() and (kept := json.loads(path.read_text()))["asked"] == asked:
        return Drawn(value, guidance, kept["sequences"], kept["drawn"], kept["valid"])
    request = hfbio.Request(
        num=options.num,
        seed=options.seed,
        conditions={} if value == UNTAGGED else {field: value},
        guidance=None if guidance == 1 else guidance,
        block_size=32,
    )
    designs = model.sample(request, sampler=model.sampler(steps=options.steps))
    drawn = Drawn(
        value,
        guidance,
        [design.sequence_aa for design in designs.kept],
        designs.report.drawn,
        designs.report.valid,
    )
    path.parent.mkdir(exist_ok=True)
    told = {"drawn": drawn.n_drawn, "valid": drawn.n_valid, "sequences": drawn.sequences}
    path.write_text(json.dumps({"asked": asked, **told}))
    print(f"drawn: {value}, guidance {guidance:g}", flush=True)
    return drawn


# Telling


def price(sets: Sequence[Drawn], train: Sequence[str]) -> str:
    """Validity, novelty and diversity of sets of designs, as a row's end."""
    n_drawn, n_valid = sum(s.n_drawn for s in sets), sum(s.n_valid for s in sets)
    to_train = [x for s in sets for x in nearest_identity(s.sequences, train).identity]
    # Halves of one set, so that no design is compared with itself.
    among = [
        x for s in sets for x in nearest_identity(s.sequences[::2], s.sequences[1::2]).identity
    ]
    return f"{n_valid / n_drawn:.3f} | {median(to_train):.3f} | {median(among):.3f} |"


def figure(rows: Sequence[Row], path: Path) -> None:
    """Agreement of each tag value by guidance, with 95 % intervals, untagged and real chains."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    weights = sorted({row.guidance for row in rows})
    colours = dict(zip(weights, ("#0072B2", "#E69F00", "#009E73", "#CC79A7")))  # Okabe and Ito
    values = sorted({row.value for row in rows}, key=lambda v: (v.startswith("IGHV"), v))
    figure, axis = plt.subplots(figsize=(7, 0.55 * len(values) + 1.2))
    for row in rows:
        y = values.index(row.value) + 0.18 * (weights.index(row.guidance) - (len(weights) - 1) / 2)
        low, high = wilson(row.hits, row.n)
        axis.plot([low, high], [y, y], color=colours[row.guidance], linewidth=2)
        axis.plot(row.hits / row.n, y, "o", color=colours[row.guidance], markersize=5)
    for y, value in enumerate(values):
        row = next(row for row in rows if row.value == value)
        axis.plot(row.untagged_hits / row.n_untagged, y, "o", mfc="white", mec="black")
        axis.plot([row.natural] * 2, [y - 0.3, y + 0.3], color="black", linewidth=1)
    first = next(row for row in rows if row.value == values[0])
    axis.text(first.untagged_hits / first.n_untagged, -0.55, "untagged", ha="center", fontsize=8)
    axis.text(first.natural, -0.55, "real, held out", ha="center", fontsize=8)
    # Names of the colours stand in the row that leaves most room for them.
    roomy = min(values, key=lambda v: max(wilson(r.hits, r.n)[1] for r in rows if r.value == v))
    for row in rows:
        if row.value == roomy:
            y = values.index(roomy) + 0.18 * (weights.index(row.guidance) - (len(weights) - 1) / 2)
            name = "tagged" if row.guidance == 1 else f"guidance {row.guidance:g}"
            axis.text(0.33, y, name, va="center", fontsize=7, color=colours[row.guidance])
    axis.set_yticks(range(len(values)), values)
    axis.set_ylim(len(values) - 0.4, -0.8)
    axis.set_xlim(-0.02, 1.02)
    axis.set_xlabel("designs that the judge puts where they were asked for (share, 95 % interval)")
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150, bbox_inches="tight")


def fit_judges(
    records: Sequence[AntibodyRecord], n_train: int
) -> tuple[dict[str, Judge], dict[str, float]]:
    """A judge by all chains and one by those behind the first ``n_train``; held-out recalls."""
    seen, isotypes = looks([r.sequence_aa for r in records]), [r.isotype for r in records]
    groups = clone_groups(records)
    natural: dict[str, float] = {}
    judges = {}
    for name, start in (("all chains", 0), ("held-out chains alone", n_train)):
        measured = accuracy(seen[start:], isotypes[start:], groups[start:])
        print(
            f"judge by {name}: {len(seen) - start} in {len(set(groups[start:]))} clones; {measured}"
        )
        natural = natural or measured.recall
        judges[name] = Judge(seen[start:], isotypes[start:])
    families = [record_tag(record, "v_family") for record in records]
    return judges, natural | recalls(families, [look.v_family for look in seen], np.ones(len(seen)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--num", type=int, default=200)
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.0, 2.0, 3.0])
    parser.add_argument(
        "--steps", type=int, default=None, help="of the sampler; the run's own if absent"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()

    splits = [
        load_table(options.run / "data" / f"{n}.parquet") for n in ("train", "validation", "test")
    ]
    model = hfbio.load(options.run)
    sets = [
        (field, draw(model, field, value, guidance, options))
        for field, value, guidance in requests(splits[0], options.guidance)
    ]
    judges, natural = fit_judges([r for split in splits for r in split], len(splits[0]))
    seen = {(s.value, s.guidance): looks(s.sequences) for _, s in sets}
    lost = sum(not look.v_gene for set_ in seen.values() for look in set_)
    print(f"designs without a germline, which agree with nothing: {lost}")

    fields = {s.value: field for field, s in sets}
    by_family = {key: [look.v_family for look in set_] for key, set_ in seen.items()}
    shown: list[Row] = []
    for name, judge in judges.items():
        said = {key: judge(set_) for key, set_ in seen.items()}
        rows = agreement(said, {v: n for v, n in natural.items() if fields.get(v) == "isotype"})
        table(f"Isotype, judge by {name}", rows)
        for weight in options.guidance:
            print(pooled([row for row in rows if row.guidance == weight]))
        shown = shown or rows
    families = {v: n for v, n in natural.items() if fields.get(v) == "v_family"}
    table("V family", family_rows := agreement(by_family, families))

    train = [record.sequence_aa for record in splits[0]]
    print("\n| tag | guidance | valid of drawn | nearest training chain | nearest other design |")
    print("|---|---|---|---|---|")
    for field, weight in dict.fromkeys((field, s.guidance) for field, s in sets):
        mine = [s for f, s in sets if (f, s.guidance) == (field, weight)]
        print(f"| {field} | {weight:g} | {price(mine, train)}")
    if options.figure:
        figure(shown + family_rows, options.figure)


def pooled(rows: Sequence[Row]) -> str:
    """All values of one tag together: without heed of the tag their mean is 1 / values."""
    hits, n = sum(row.hits for row in rows), sum(row.n for row in rows)
    low, high = wilson(hits, n)
    return (
        f"all {len(rows)} at guidance {rows[0].guidance:g}: {hits / n:.3f} "
        f"[{low:.3f}, {high:.3f}]; designs that heed no tag {1 / len(rows):.3f}"
    )


def table(title: str, rows: Sequence[Row]) -> None:
    print(f"\n{title}\n\n| asked | guidance | agree | untagged | difference (95 %) | real chains |")
    print("|---|---|---|---|---|---|", *(row.line() for row in rows), sep="\n")


if __name__ == "__main__":
    main()
