"""The benchmark of condition tags: what it sees in a chain, what it counts, its intervals."""

import random
import sys
from pathlib import Path

import numpy as np
import pytest
from antibodies import HEAVY, heavy_with, random_cdr3s

from hfbio.alphabet import RESIDUES
from hfbio.numbering import nearest_germline, number

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import conditions
from isotype_judge import (
    LAST_V,
    Judge,
    cross_validated,
    germline_residues,
    looks,
    mutated_positions,
    recalls,
)


def unmutated(sequence: str, germline: dict[int, str]) -> str:
    """The chain with its germline's residue wherever the germline has one."""
    return "".join(
        residue if letter or position > LAST_V else germline.get(position, residue)
        for (position, letter), residue in zip(number(sequence).positions, sequence)
    )


def mutated(sequence: str, at: list[int], rng: random.Random) -> str:
    """The chain with another residue at some IMGT positions."""
    return "".join(
        rng.choice(RESIDUES.replace(residue, "").replace("C", "")) if place in at else residue
        for (place, _), residue in zip(number(sequence).positions, sequence)
    )


@pytest.fixture(scope="module")
def germline() -> dict[int, str]:
    found = nearest_germline([HEAVY])[0]
    assert found is not None
    return germline_residues()[found.v_gene]


def test_mutations_are_the_positions_that_differ_from_the_germline(germline):
    plain = unmutated(HEAVY, germline)
    planted = [5, 36, 58, 90]  # fwr1, cdr1, cdr2, fwr3
    assert mutated_positions(plain, germline) == []
    assert mutated_positions(mutated(plain, planted, random.Random(0)), germline) == planted


def test_a_look_counts_mutations_by_region_and_names_genes(germline):
    chain = mutated(unmutated(HEAVY, germline), [5, 6, 90], random.Random(0))
    look, none = looks([chain, "MKVLAAGG"])
    assert look.v_family == "IGHV3"
    assert look.numbers[:6].tolist() == [2, 0, 0, 0, 1, 3]  # fwr1 to fwr3, and all
    assert none.v_gene == none.v_family == ""


def test_a_judge_tells_mutated_clones_from_plain_ones_it_has_not_seen(germline):
    rng = random.Random(0)
    plain = [unmutated(heavy_with(cdr3), germline) for cdr3 in random_cdr3s(30)]
    chains = [
        mutated(chain, rng.sample((3, 5, 29, 36, 58, 64, 70, 85, 90), 5), rng) if i % 2 else chain
        for i, chain in enumerate(plain)
    ]
    truth = ["IGHG" if i % 2 else "IGHM" for i in range(30)]
    seen = looks(chains)
    named = cross_validated(seen, truth, np.arange(30) // 2, repeat=0, trees=40)
    found = recalls(truth, named, np.ones(30))
    assert min(found.values()) > 0.9  # a guess among two: 0.5
    assert Judge(seen, truth, trees=5)(looks(["MKVLAAGG"])) == [""]


def test_recalls_weigh_each_chain_and_each_isotype():
    truth, named = ["IGHM", "IGHM", "IGHG"], ["IGHM", "IGHG", "IGHG"]
    assert recalls(truth, named, [1, 1, 1]) == {"IGHG": 1.0, "IGHM": 0.5}
    assert recalls(truth, named, [3, 1, 1]) == {"IGHG": 1.0, "IGHM": 0.75}


def test_intervals_are_those_published():
    # Newcombe 1998 (Stat. Med. 17, 873), table II, method 10: 56/70 - 48/80 and 10/10 - 0/10.
    assert conditions.newcombe(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=1e-4)
    assert conditions.newcombe(10, 10, 0, 10) == pytest.approx((0.6075, 1.0), abs=1e-4)
    # Newcombe 1998 (Stat. Med. 17, 857), table I, method 3: 81 of 263.
    assert conditions.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)


def test_agreement_counts_the_asked_value_beside_untagged_designs():
    names = {
        ("untagged", 1.0): ["IGHM", "IGHM", "IGHG", ""],
        ("IGHG", 2.0): ["IGHG", "IGHG", "IGHM"],
    }
    (row,) = conditions.agreement(names, {"IGHG": 0.3})
    assert (row.hits, row.n, row.untagged_hits, row.n_untagged) == (2, 3, 1, 4)
    assert row.line().startswith("| IGHG | 2 | 0.667 | 0.250 | +0.417 [")
