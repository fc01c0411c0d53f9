"""What a sketch of training chains tells: to its users, and to somebody who wants the chains back.

    python benchmarks/sketch_attack.py SPLIT [--num 200] [--attacked 10] [--seed 0]

SPLIT holds train.parquet and test.parquet. First the estimated identity to the nearest training
chain against the true one: of held-out chains, and of training chains with up to 20 % of their
residues replaced at random. Then an attack on single rows, with signatures of several sizes:
simulated annealing, a residue at a time, towards a chain whose signature agrees. The attacker knows
the lengths of the regions, and how often each residue stands in each place: in all other chains, or
in those of the same V gene and other clones. Or there is a guess that is right in 90 % of the
places, and by chance in some of the others. A row is of use to the attacker where the result is
nearer to the chain than the attack's beginning.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hfbio.alphabet import RESIDUES
from hfbio.data import load_table, nearest_identity
from hfbio.data.groups import clone_groups
from hfbio.record import AntibodyRecord
from hfbio.score import sketch

BITS = (64, 128, 256, 512, 1024)
STEPS = 8_000  # of annealing
GUESS = 0.9  # share of right residues in a guess


@dataclass(frozen=True)
class Agreement:
    """Estimates against true identities."""

    error: float  # mean, absolute
    bias: float  # mean
    correlation: float

    @classmethod
    def of(cls, estimate: NDArray, truth: NDArray) -> Agreement:
        known = ~np.isnan(truth)
        difference = estimate[known] - truth[known]
        correlation = np.corrcoef(estimate[known], truth[known])[0, 1]
        return cls(float(abs(difference).mean()), float(difference.mean()), float(correlation))


class Row:
    """One row of a sketch under attack: all that the attacker has of a chain."""

    def __init__(self, target: AntibodyRecord, n_bits: int) -> None:
        domain = sketch._Domain.of(target)
        letters = np.array([RESIDUES.index(residue) for residue in domain.residues])
        places = domain.features() - letters.astype(np.uint64) - np.uint64(1)
        each = places[:, None] + np.arange(1, len(RESIDUES) + 1, dtype=np.uint64)  # (L, 20)
        self.hashes = sketch._hashes(each.ravel(), n_bits).reshape(*each.shape, n_bits)
        self.places = tuple(places.tolist())
        self.signature = self._bits(self.hashes[np.arange(len(letters)), letters])

    def agreement(self, chosen: NDArray) -> int:
        """Signature bits in which a chain agrees, given the hashes ``(L, n_bits)`` of its parts."""
        return int((self._bits(chosen) == self.signature).sum())

    def prior(self, counts: defaultdict[int, Counter]) -> NDArray:
        """``(L, 20)`` shares of each letter in each place, half a chain added to each count."""
        shares = np.array(
            [[counts[place][i] + 0.5 for i in range(len(RESIDUES))] for place in self.places]
        )
        return shares / shares.sum(axis=1, keepdims=True)

    @staticmethod
    def _bits(chosen: NDArray) -> NDArray:
        return sketch._mix(chosen.min(axis=0)) & np.uint64(1)


def anneal(row: Row, prior: NDArray, start: NDArray, rng: np.random.Generator) -> NDArray:
    """The letters ``(L,)`` that agree best with a row, drawn from a prior ``(L, 20)``."""
    now = start.copy()
    chosen = row.hashes[np.arange(len(now)), now]
    agreed = best = row.agreement(chosen)
    found = now.copy()
    for step in range(STEPS):
        heat = max(0.05, 2 * (1 - 1.1 * step / STEPS))
        at = rng.integers(len(now))
        letter = rng.choice(len(RESIDUES), p=prior[at])
        if letter == now[at]:
            continue
        before = chosen[at].copy()
        chosen[at] = row.hashes[at, letter]
        agrees = row.agreement(chosen)
        if agrees >= agreed or rng.random() < np.exp((agrees - agreed) / heat):
            now[at], agreed = letter, agrees
            if agreed > best:
                best, found = agreed, now.copy()
        else:
            chosen[at] = before
    return found


def frequencies(chains: list[AntibodyRecord]) -> defaultdict[int, Counter]:
    """How often each letter stands in each place."""
    counts: defaultdict[int, Counter] = defaultdict(Counter)
    for chain in chains:
        for feature in sketch._Domain.of(chain).features().tolist():
            counts[feature - feature % 32][feature % 32 - 1] += 1
    return counts


def attack(
    train: list[AntibodyRecord], n_bits: int, n_targets: int, seed: int
) -> dict[str, tuple[float, float]]:
    """By what the attacker knows: mean identity to the target before and after."""
    rng = np.random.default_rng(seed)
    known = [chain for chain in train if set(chain.sequence_aa) <= set(RESIDUES)]
    clones = clone_groups(known)
    told = defaultdict(list)
    for at in rng.choice(len(known), n_targets, replace=False):
        target = known[at]
        row = Row(target, n_bits)
        true = np.array([RESIDUES.index(residue) for residue in target.sequence_aa])
        others = [chain for chain, clone in zip(known, clones) if clone != clones[at]]
        gene = [chain for chain in others if _gene(chain) == _gene(target)]
        by_place, by_gene = (row.prior(frequencies(chains)) for chains in (others, gene))
        drawn = [rng.choice(len(RESIDUES), p=p) for p in by_place]
        guess = np.where(rng.random(len(true)) < GUESS, true, drawn)
        trusting = (1 - GUESS) * by_place
        trusting[np.arange(len(true)), guess] += GUESS
        for name, prior, start in (
            ("letters", by_place, by_place.argmax(axis=1)),
            ("V gene", by_gene, by_gene.argmax(axis=1)),
            ("guess", trusting, guess),
        ):
            found = anneal(row, prior, start, rng)
            told[name].append([(start == true).mean(), (found == true).mean()])
    return {name: tuple(np.mean(pairs, axis=0).tolist()) for name, pairs in told.items()}


def _gene(chain: AntibodyRecord) -> str:
    return chain.v_call.partition("*")[0]


def replaced(sequence: str, rng: np.random.Generator) -> str:
    """``sequence`` with up to 20 % of its residues replaced at random."""
    letters = list(sequence)
    n = int(rng.integers(len(letters) // 5 + 1))
    for at in rng.choice(len(letters), n, replace=False):
        letters[at] = str(rng.choice([other for other in RESIDUES if other != letters[at]]))
    return "".join(letters)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("split", type=Path)
    parser.add_argument("--num", type=int, default=200, help="chains asked about")
    parser.add_argument("--attacked", type=int, default=10, help="rows attacked, of each size")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    train = list(load_table(options.split / "train.parquet"))
    test = list(load_table(options.split / "test.parquet"))
    started = time.process_time()
    made = sketch.Sketch.of(train)
    print(f"{made.n_chains} of {made.out_of} chains in {time.process_time() - started:.2f} CPU s")
    chosen = rng.choice(len(train), options.num)
    asked = {
        "held out": [record.sequence_aa for record in test[: options.num]],
        "replaced": [replaced(train[i].sequence_aa, rng) for i in chosen],
    }
    references = [record.sequence_aa for record in train]
    for name, queries in asked.items():
        truth = nearest_identity(queries, references).identity
        found = Agreement.of(made.nearest(queries), truth)
        print(
            f"{name}: {len(queries)} chains, true identity {np.nanmedian(truth):.3f} (median); "
            f"error {found.error:.3f}, bias {found.bias:+.3f}, correlation {found.correlation:.3f}"
        )
    print("identity to the chain before -> after the attack, by what is known")
    for n_bits in BITS:
        told = attack(train, n_bits, options.attacked, options.seed)
        shown = "   ".join(f"{name} {a:.3f} -> {b:.3f}" for name, (a, b) in told.items())
        print(f"{n_bits:4} bits   {shown}")


if __name__ == "__main__":
    main()
