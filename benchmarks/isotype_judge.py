"""Names the isotype and V family of heavy chains, real ones and designs through one lens.

anarcism names V and J gene, immunum numbers, and what differs from that V gene's allele in IMGT's
reference set (that of GenAIRR) is a mutation. An isotype is named by a forest of random trees from
mutations, genes, lengths and composition; it is fitted on real chains alone. Draws no design.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hfbio.alphabet import RESIDUES, translate
from hfbio.numbering import nearest_germline, number

LAST_V = 103  # IMGT: Cys104 cannot mutate in a valid chain, and the junction begins behind it
REGION_STOPS = (27, 39, 56, 66, LAST_V + 1)  # first IMGT position behind fwr1, cdr1, … fwr3
TREES = 400
REPEATS = 3  # of the cross-validation, each with other folds


@dataclass(frozen=True)
class Look:
    """One chain as the judge sees it; ``v_gene`` is empty where no germline could be named."""

    v_gene: str
    j_gene: str
    numbers: NDArray[np.float64]

    @property
    def v_family(self) -> str:
        return self.v_gene.partition("-")[0]


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
    rows = [
        [*look.numbers, *(gene in (look.v_gene, look.j_gene) for gene in genes)] for look in seen
    ]
    return np.array(rows, float)


class Judge:
    """Names the isotype that a heavy chain resembles most."""

    def __init__(self, seen: Sequence[Look], isotypes: Sequence[str], trees: int = TREES) -> None:
        counts = Counter(gene for look in seen for gene in (look.v_gene, look.j_gene))
        self._genes = sorted(gene for gene, n in counts.items() if n >= 3)
        self._forest = _forest(trees).fit(features(seen, self._genes), list(isotypes))

    def __call__(self, seen: Sequence[Look]) -> list[str]:
        """The isotype of each chain; empty where it has no germline."""
        known = [look for look in seen if look.v_gene]
        named = iter(self._forest.predict(features(known, self._genes)) if known else ())
        return [str(next(named)) if look.v_gene else "" for look in seen]


def _forest(trees: int) -> Any:
    from sklearn.ensemble import ExtraTreesClassifier

    return ExtraTreesClassifier(trees, class_weight="balanced", min_samples_leaf=3, random_state=0)


@dataclass(frozen=True)
class Accuracy:
    """Of judges over clones that they were not fitted on, in some repeats of five folds."""

    recall: dict[str, float]  # mean over repeats
    balanced: tuple[float, ...]  # mean recall over isotypes, of each repeat
    by_clone: float  # the same with every clone counted once, mean over repeats

    def __str__(self) -> str:
        return (
            f"balanced accuracy over unseen clones {fmean(self.balanced):.3f} "
            f"({min(self.balanced):.3f} to {max(self.balanced):.3f} in {len(self.balanced)} "
            f"foldings), every clone counted once {self.by_clone:.3f}; chance 0.25"
        )


def accuracy(
    seen: Sequence[Look], isotypes: Sequence[str], groups: NDArray[np.int64], repeats: int = REPEATS
) -> Accuracy:
    """How well a judge names chains of clones that it was not fitted on."""
    per_clone = 1 / np.bincount(groups)[groups]
    named = [cross_validated(seen, isotypes, groups, repeat) for repeat in range(repeats)]
    by_chain = [recalls(isotypes, said, np.ones(len(seen))) for said in named]
    by_clone = [recalls(isotypes, said, per_clone) for said in named]
    return Accuracy(
        {name: fmean(recall[name] for recall in by_chain) for name in by_chain[0]},
        tuple(fmean(recall.values()) for recall in by_chain),
        fmean(fmean(recall.values()) for recall in by_clone),
    )


def cross_validated(
    seen: Sequence[Look],
    isotypes: Sequence[str],
    groups: NDArray[np.int64],
    repeat: int,
    trees: int = TREES,
) -> list[str]:
    """The isotype of each chain by a judge fitted without its clone: five folds."""
    from sklearn.model_selection import StratifiedGroupKFold

    named = [""] * len(seen)
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=repeat)
    for train, test in folds.split(np.zeros(len(seen)), isotypes, groups):
        judge = Judge([seen[i] for i in train], [isotypes[i] for i in train], trees)
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
