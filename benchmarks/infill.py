"""CDR-H3 of held-out antibodies, filled by a run, by its base, and by counting.

    python benchmarks/infill.py runs/quickstart --num 8 --seed 0

Every chain of the run's test part keeps all residues but its CDR3 (IMGT 105-117), which is filled
``num`` times: at its true length, and at a length between 5 and 25 that the filler chooses. The
causal model hfbio-mini-clm, which has never seen the data of the run, fills it too.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import hfbio
from hfbio.alphabet import RESIDUES
from hfbio.data import load_table
from hfbio.data.encode import encode
from hfbio.data.groups import clone_groups
from hfbio.model import AntibodyModel
from hfbio.record import REGIONS, AntibodyRecord
from hfbio.rng import generator
from hfbio.sample.draw import draw
from hfbio.score.causal import span_residues
from hfbio.score.panel import examine
from interval import ratio
from objectives import wasserstein

FREE = (5, 25)  # residues, shortest and longest loop where the length is free
TEMPERATURE, TOP_P = 0.7, 0.9  # those of the quickstart, for all models and for counting
CDR3 = REGIONS.index("cdr3")


@dataclass(frozen=True)
class Filling:
    """A loop, and whether the whole chain is a variable domain."""

    loop: str
    valid: bool


Fill = Callable[[AntibodyRecord, int, bool, int], list[Filling]]
"""``fill(record, num, free, seed)``; with ``free`` the length is not told."""


# --- counting ----------------------------------------------------------------------------------


def places(length: int) -> list[int]:
    """IMGT place of each residue of a loop: 0, 1, … from its start, -1, -2, … from its end.

    Gaps and insertions stand in the middle, the longer half is the first (Lefranc et al. 2003,
    Dev. Comp. Immunol. 27, 55-77): what is 105, 106, … 111, 111.1, … there is 0, 1, … here.
    """
    first = (length + 1) // 2
    return [i if i < first else i - length for i in range(length)]


class LoopFrequency:
    """Residues of CDR3 by IMGT place and length, each clone counting as one chain.

    p(residue | place) = (weight + 1/20) / (total + 1), and p(residue | place, length) the same
    with p(residue | place) for 1/20. Lengths are drawn as they are.
    """

    def __init__(self, records: Sequence[AntibodyRecord]) -> None:
        groups = clone_groups(records)
        size = Counter(groups.tolist())
        self.loops = [record.region("cdr3") for record in records]
        self.weights = torch.tensor([1 / size[g] for g in groups.tolist()], dtype=torch.float64)
        self._by_place: dict[int, Tensor] = defaultdict(_none)
        self._by_length: dict[tuple[int, int], Tensor] = defaultdict(_none)
        for loop, weight in zip(self.loops, self.weights.tolist()):
            for place, letter in zip(places(len(loop)), loop):
                self._by_place[place][RESIDUES.index(letter)] += weight
                self._by_length[len(loop), place][RESIDUES.index(letter)] += weight

    def probabilities(self, length: int) -> Tensor:
        """``(length, 20)`` float64, one row a residue."""
        uniform = torch.full((len(RESIDUES),), 1 / len(RESIDUES), dtype=torch.float64)
        rows = []
        for place in places(length):
            prior = uniform
            for counts in (self._by_place[place], self._by_length[length, place]):
                prior = (counts + prior) / (counts.sum() + 1)
            rows.append(prior)
        return torch.stack(rows)

    def fill(self, record: AntibodyRecord, num: int, free: bool, seed: int) -> list[Filling]:
        """Each residue drawn alone, tempered and truncated as the models are."""
        rng = generator(seed)
        loops = []
        for _ in range(num):
            n = self._length(rng) if free else len(record.region("cdr3"))
            ids = draw(
                self.probabilities(n).log(),
                torch.rand(n, generator=rng),
                allowed=torch.ones(len(RESIDUES), dtype=torch.bool),
                temperature=TEMPERATURE,
                top_p=TOP_P,
            )
            loops.append("".join(RESIDUES[i] for i in ids.tolist()))
        return _examined(record, loops)

    def borrow(self, record: AntibodyRecord, num: int, free: bool, seed: int) -> list[Filling]:
        """Whole loops of the training part, of the true length unless that is free."""
        rng, n = generator(seed), len(record.region("cdr3"))
        fits = [self._fits(loop) if free else len(loop) == n for loop in self.loops]
        if not any(fits):  # as long a loop was never seen: residue by residue, then
            return self.fill(record, num, free, seed)
        weights = self.weights * torch.tensor(fits)
        drawn = torch.multinomial(weights, num, replacement=True, generator=rng)
        return _examined(record, [self.loops[i] for i in drawn.tolist()])

    def nats(self, record: AntibodyRecord) -> Tensor:
        """``(n,)`` nats of each residue of the true loop."""
        loop = record.region("cdr3")
        p = self.probabilities(len(loop))
        return -p[torch.arange(len(loop)), [RESIDUES.index(letter) for letter in loop]].log()

    def _length(self, rng: torch.Generator) -> int:
        fits = torch.tensor([self._fits(loop) for loop in self.loops])
        return len(self.loops[int(torch.multinomial(self.weights * fits, 1, generator=rng))])

    @staticmethod
    def _fits(loop: str) -> bool:
        return FREE[0] <= len(loop) <= FREE[1]


def _none() -> Tensor:
    return torch.zeros(len(RESIDUES), dtype=torch.float64)


def _examined(record: AntibodyRecord, loops: Sequence[str]) -> list[Filling]:
    start, stop = record.regions[CDR3 : CDR3 + 2]
    before, after = record.sequence_aa[:start], record.sequence_aa[stop:]
    chains = [before + loop + after for loop in loops]
    asked = {"locus": record.locus}
    return [Filling(x, examine(0, chain, {}, asked).valid) for x, chain in zip(loops, chains)]


# --- models ------------------------------------------------------------------------------------


def filler(model: AntibodyModel, **settings: str) -> Fill:
    """Fillings of a model; a masked one is told a length, drawn evenly where it is free."""
    sampler = model.sampler(temperature=TEMPERATURE, top_p=TOP_P, **settings)

    def fill(record: AntibodyRecord, num: int, free: bool, seed: int) -> list[Filling]:
        request = hfbio.Request(num=num, seed=seed, keep="all", block_size=num)
        lengths = [FREE] if free else []
        made = model.infill(record.sequence_aa, "cdr3", lengths, request=request, sampler=sampler)
        start, stop = record.regions[CDR3 : CDR3 + 2]
        behind = len(record.sequence_aa) - stop
        return [
            Filling(d.sequence_aa[start : len(d.sequence_aa) - behind], d.valid) for d in made.drawn
        ]

    return fill


def loop_nats(model: AntibodyModel, record: AntibodyRecord) -> Tensor:
    """``(n,)`` nats of each residue of the true loop, given the frameworks and those before it.

    Of a masked model the loop is hidden from the residue on, so that it knows the length; of a
    causal one it is cut out. Both are exact likelihoods of the loop, at temperature 1.
    """
    prefix = model.prompt.ids(
        model.tags.choose({"locus": record.locus} if _tells_locus(model) else {})
    )
    tokens = model.base.token_map
    example = encode(record, tokens, prefix)
    start, stop = record.regions[CDR3 : CDR3 + 2]
    if model.base.family.causal:
        return span_residues(model.model, tokens, example)[0][start:stop]
    at = example.residues[start:stop]
    shown = example.input_ids.repeat(len(at), 1)
    hidden = torch.ones(len(at), len(at)).triu().bool()
    shown[:, at] = shown[:, at].masked_fill(hidden, tokens.require_mask())
    with torch.inference_mode():
        logits = model.model(input_ids=shown, attention_mask=torch.ones_like(shown)).logits
    rows = torch.arange(len(at))
    return -logits[rows, at].float().log_softmax(-1)[rows, example.input_ids[at]]


def _tells_locus(model: AntibodyModel) -> bool:
    return "IGH" in model.tags.values.get("locus", ())


# --- numbers -----------------------------------------------------------------------------------


def equal(loop: str, truth: str) -> list[bool]:
    """Which residues of a loop are those of another of the same length."""
    return [a == b for a, b in zip(loop, truth, strict=True)]


def identity(one: str, other: str) -> float:
    """Share of equal residues over the IMGT places that either loop has."""
    a, b = (dict(zip(places(len(x)), x)) for x in (one, other))
    return sum(a[k] == b[k] for k in a.keys() & b.keys()) / len(a.keys() | b.keys())


def diversity(loops: Sequence[str]) -> float:
    """1 - mean identity of all pairs."""
    return 1 - float(np.mean([identity(a, b) for a, b in combinations(loops, 2)]))


def at_true_length(
    test: Sequence[AntibodyRecord], made: Sequence[Sequence[Filling]], groups: Sequence[int]
) -> list[str]:
    """Recovery, the same where no germline residue is known, best, diversity, validity."""
    truth = [r.region("cdr3") for r in test]
    n = [len(loop) for loop in truth]
    new = [_unaligned(r) for r in test]
    hits = [np.mean([equal(f.loop, t) for f in fs], axis=0) for fs, t in zip(made, truth)]
    best = [max(sum(equal(f.loop, t)) for f in fs) for fs, t in zip(made, truth)]
    ones = [1] * len(test)
    return [
        str(ratio([h.sum() for h in hits], n, groups)),
        str(ratio([h[u].sum() for h, u in zip(hits, new)], [u.sum() for u in new], groups)),
        str(ratio(best, n, groups)),
        str(ratio([diversity([f.loop for f in fs]) for fs in made], ones, groups)),
        f"{np.mean([f.valid for fs in made for f in fs]):.1%}",
    ]


def at_free_length(
    test: Sequence[AntibodyRecord], made: Sequence[Sequence[Filling]], groups: Sequence[int]
) -> list[str]:
    """Mean length, distances of lengths and of each to its own, identity, diversity, validity."""
    loops = [r.region("cdr3") for r in test]
    truth = [len(loop) for loop in loops]
    lengths = [[len(f.loop) for f in fs] for fs in made]
    off = [np.mean(np.abs(np.subtract(ls, n))) for ls, n in zip(lengths, truth)]
    alike = [np.mean([identity(f.loop, loop) for f in fs]) for fs, loop in zip(made, loops)]
    ones = [1] * len(test)
    return [
        f"{np.mean(np.concatenate(lengths)):.1f}",
        f"{wasserstein(np.concatenate(lengths), truth):.2f}",
        str(ratio(off, ones, groups)),
        str(ratio(alike, ones, groups)),
        str(ratio([diversity([f.loop for f in fs]) for fs in made], ones, groups)),
        f"{np.mean([f.valid for fs in made for f in fs]):.1%}",
    ]


def _unaligned(record: AntibodyRecord) -> np.ndarray:
    """Which residues of the loop have no germline residue: what recombination added, mostly."""
    start, stop = record.regions[CDR3 : CDR3 + 2]
    return np.array([letter == "-" for letter in record.germline_alignment_aa[start:stop]])


def main() -> None:
    """Print the two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--num", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--chains", type=int, help="the first so many alone")
    options = parser.parse_args()
    test = load_table(options.run / "data" / "test.parquet")[: options.chains]
    counted = LoopFrequency(load_table(options.run / "data" / "train.parquet"))
    tuned, clm = hfbio.load(options.run), hfbio.load("hfbio-mini-clm")
    base = tuned.untuned()
    if base is None:
        parser.error(f"{options.run} has no base to compare with")
    groups = clone_groups(test).tolist()
    print(f"{len(test)} chains in {len(set(groups))} clones, {options.num} fillings each")
    n = [len(r.region("cdr3")) for r in test]
    fillers = {
        "tuned, own order": filler(tuned),
        "tuned, entropy": filler(tuned, order="entropy"),
        "base, own order": filler(base, kind="unmask"),
        "base, entropy": filler(base, kind="unmask", order="entropy"),
        "hfbio-mini-clm": filler(clm),
        "counting": counted.fill,
        "a training loop": counted.borrow,
    }
    print("\n| true length | recovery | not germline | best | diversity | valid |")
    print("|---|---|---|---|---|--:|")
    for name, fill in fillers.items():
        made = [fill(r, options.num, False, options.seed + i) for i, r in enumerate(test)]
        print(f"| {name} |", " | ".join(at_true_length(test, made, groups)), "|", flush=True)
    print("\n| free length | mean | distance | off by | identity | diversity | valid |")
    print("|---|--:|--:|---|---|---|--:|")
    short = [(r, g) for r, g in zip(test, groups) if FREE[0] <= len(r.region("cdr3")) <= FREE[1]]
    some, theirs = [r for r, _ in short], [g for _, g in short]
    for name in ("tuned, own order", "hfbio-mini-clm", "counting", "a training loop"):
        made = [fillers[name](r, options.num, True, options.seed + i) for i, r in enumerate(some)]
        print(f"| {name} |", " | ".join(at_free_length(some, made, theirs)), "|", flush=True)
    print(f"{len(some)} chains in {len(set(theirs))} clones with a loop of {FREE[0]}-{FREE[1]}")
    print("\n| nats per residue of the true loop | |\n|---|---|")
    for name, model in {"tuned": tuned, "base": base, "hfbio-mini-clm": clm}.items():
        nats = [float(loop_nats(model, r).sum()) for r in test]
        print(f"| {name} | {ratio(nats, n, groups)} |", flush=True)
    print(f"| counting | {ratio([float(counted.nats(r).sum()) for r in test], n, groups)} |")


if __name__ == "__main__":
    main()
