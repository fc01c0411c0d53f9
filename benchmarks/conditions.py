"""Do designs obey the tags they were asked with? V family by germline, isotype by a classifier.

    python benchmarks/conditions.py RUN [--num 200] [--guidance 1 2 3] [--figure FILE.png]

RUN was trained with the tags isotype and v_family (`hfbio finetune conditions`). For every tag
value with at least 30 training chains, NUM valid designs that were asked for it, at each weight of
guidance, are compared with NUM that were asked for nothing. Agreement is the share of designs that
the judge puts where they were asked for; 95 % intervals of a difference are Newcombe's.

The judge sees real chains and designs through one lens: anarcism names V and J gene, immunum
numbers, and what differs from that V gene's allele in IMGT's reference set (that of GenAIRR) is a
mutation. It is fitted on all real chains of the run, and a second one on those that the run has
held out alone, so that it shares no clone with what the model has seen. Neither sees a design
before it is fitted. Designs are kept in RUN/conditions and not drawn twice.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from math import sqrt
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from numpy.typing import NDArray

import hfbio
from hfbio.alphabet import RESIDUES, translate
from hfbio.data import load_table, nearest_identity
from hfbio.data.encode import record_tag
from hfbio.data.groups import clone_groups
from hfbio.numbering import nearest_germline, number
from hfbio.record import AntibodyRecord

MIN_CHAINS = 30  # of a tag value in training; fewer teach nothing
LAST_V = 103  # IMGT: Cys104 cannot mutate in a valid chain, and the junction begins behind it
REGION_STOPS = (27, 39, 56, 66, LAST_V + 1)  # first IMGT position behind fwr1, cdr1, … fwr3
Z = 1.959964  # 97.5 % point of the normal distribution
REPEATS = 3  # of the cross-validation, each with other folds
UNTAGGED = "untagged"


@dataclass(frozen=True)
class Drawn:
    """Valid, distinct designs that were asked for one tag value, or for none."""

    value: str
    guidance: float
    sequences: list[str]
    n_drawn: int
    n_valid: int


@dataclass(frozen=True)
class Look:
    """One chain as the judge sees it; ``v_gene`` is empty where no germline could be named."""

    v_gene: str
    j_gene: str
    numbers: NDArray[np.float64]

    @property
    def v_family(self) -> str:
        return self.v_gene.partition("-")[0]


# What the judge sees


@cache
def germline_residues() -> dict[str, dict[int, str]]:
    """IMGT position -> residue of every human heavy V allele, from the gapped reference set."""
    import GenAIRR

    alleles = [a for group in GenAIRR.data.HUMAN_IGH_IMGT.v_alleles.values() for a in group]
    return {allele.name: _residues(allele.gapped_seq.upper()) for allele in alleles}


def _residues(gapped: str) -> dict[int, str]:
    codons = {start // 3 + 1: gapped[start : start + 3] for start in range(0, len(gapped) - 2, 3)}
    return {position: translate(codon) for position, codon in codons.items() if "." not in codon}


def mutated_positions(sequence: str, germline: dict[int, str]) -> list[int]:
    """IMGT positions up to `LAST_V` where a chain differs from its germline, insertions apart."""
    return [
        position
        for (position, letter), residue in zip(number(sequence).positions, sequence)
        if not letter and position <= LAST_V and germline.get(position, residue) != residue
    ]


def looks(sequences: Sequence[str]) -> list[Look]:
    """What the judge is shown of valid heavy chains."""
    result = []
    for sequence, found in zip(sequences, nearest_germline(sequences)):
        germline = germline_residues().get(found.v_gene) if found else None
        if found is None or germline is None:
            result.append(Look("", "", np.zeros(0)))
            continue
        mutated = mutated_positions(sequence, germline)
        per_region = np.histogram(mutated, (1, *REGION_STOPS))[0]
        cuts = number(sequence).regions
        cdr3 = sequence[cuts[5] : cuts[6]]
        numbers = [
            *per_region,
            len(mutated),
            found.v_identity,
            found.j_identity,
            len(cdr3),
            len(sequence),
            *(sequence.count(residue) for residue in RESIDUES),
            *(cdr3.count(residue) for residue in RESIDUES),
            *np.isin(np.arange(1, LAST_V + 1), mutated),
        ]
        result.append(Look(_gene(found.v_gene), _gene(found.j_gene), np.array(numbers, float)))
    return result


def _gene(allele: str) -> str:
    return allele.partition("*")[0]


def features(seen: Sequence[Look], genes: Sequence[str]) -> NDArray[np.float64]:
    """``(N, F)``: numbers, and one column for each of ``genes``, V and J alike."""
    rows = [[*look.numbers, *(gene in (look.v_gene, look.j_gene) for gene in genes)] for look in seen]
    return np.array(rows, float)


class Judge:
    """Names the isotype that a heavy chain resembles most."""

    def __init__(self, seen: Sequence[Look], isotypes: Sequence[str], seed: int = 0) -> None:
        counts = Counter(gene for look in seen for gene in (look.v_gene, look.j_gene))
        self._genes = sorted(gene for gene, n in counts.items() if n >= 3)
        self._forest = _forest(seed).fit(features(seen, self._genes), list(isotypes))

    def __call__(self, seen: Sequence[Look]) -> list[str]:
        """The isotype of each chain; empty where it has no germline."""
        known = [look for look in seen if look.v_gene]
        named = iter(self._forest.predict(features(known, self._genes)) if known else ())
        return [str(next(named)) if look.v_gene else "" for look in seen]


def _forest(seed: int) -> Any:
    from sklearn.ensemble import ExtraTreesClassifier

    return ExtraTreesClassifier(
        400, class_weight="balanced", min_samples_leaf=3, random_state=seed
    )


# How well it sees


def cross_validated(
    seen: Sequence[Look], isotypes: Sequence[str], groups: NDArray[np.int64], repeat: int
) -> list[str]:
    """The isotype of each chain by a judge fitted without its clone: five folds."""
    from sklearn.model_selection import StratifiedGroupKFold

    named = [""] * len(seen)
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=repeat)
    for train, test in folds.split(np.zeros(len(seen)), isotypes, groups):
        judge = Judge([seen[i] for i in train], [isotypes[i] for i in train])
        for i, name in zip(test, judge([seen[i] for i in test])):
            named[i] = name
    return named


def recalls(
    truth: Sequence[str], named: Sequence[str], weights: Sequence[float]
) -> dict[str, float]:
    """Share of each isotype's chains that was named; their mean is the balanced accuracy."""
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for isotype, name, weight in zip(truth, named, weights):
        right[isotype] += weight * (isotype == name)  # type: ignore[assignment]
        total[isotype] += weight  # type: ignore[assignment]
    return {isotype: right[isotype] / total[isotype] for isotype in sorted(total)}


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


def agreement(
    names: dict[tuple[str, float], list[str]], natural: dict[str, float]
) -> list[Row]:
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


def requests(train: Iterable[AntibodyRecord], weights: Sequence[float]) -> list[tuple[str, str, float]]:
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
    path.write_text(
        json.dumps(
            {
                "asked": asked,
                "drawn": drawn.n_drawn,
                "valid": drawn.n_valid,
                "sequences": drawn.sequences,
            }
        )
    )
    print(f"drawn: {value}, guidance {guidance:g}", flush=True)
    return drawn
