"""Arithmetic of the benchmarks. The measurements themselves are in recipes/RESULTS.md."""

import numpy as np
import pytest
import torch

import guide
import infill
from hfbio.record import AntibodyRecord
from interval import ratio
from objectives import wasserstein

# --- scores of guides --------------------------------------------------------------------------


def test_charge_follows_henderson_hasselbalch():
    # At pH 7: lysine 1 / (1 + 10 ** -3.4), aspartate -1 / (1 + 10 ** -3.33), histidine
    # 1 / (1 + 10 ** 0.46), tyrosine -1 / (1 + 10 ** 2.84); alanine and the ends nothing.
    assert guide.charge("K") == pytest.approx(0.99960, abs=1e-5)
    assert guide.charge("D") == pytest.approx(-0.99953, abs=1e-5)
    assert guide.charge("H") == pytest.approx(0.25746, abs=1e-5)
    assert guide.charge("AKDHYA") == pytest.approx(0.99960 - 0.99953 + 0.25746 - 0.00144, abs=2e-5)
    assert guide.charge("AGST") == 0


def test_hydropathy_is_the_mean_of_the_scale():
    assert guide.hydropathy("IR") == pytest.approx(0)  # 4.5 and -4.5, the two ends of the scale
    assert guide.hydropathy("AAG") == pytest.approx((1.8 + 1.8 - 0.4) / 3)


def test_a_charge_beyond_the_target_scores_like_one_before_it():
    scored = guide.SCORES["charge"]
    assert scored("RRR") == pytest.approx(0, abs=1e-5)
    assert scored("RR") == pytest.approx(scored("RRRR"), abs=1e-5)
    assert scored("RR") == pytest.approx(-1, abs=1e-5)


def test_the_best_is_taken_of_each_run_of_draws():
    assert guide.best_of([3, 1, 2, 0, 5, 4, 9, 9], 2, 3) == [0, 2, 4]
    assert guide.best_of([3, 1, 2, 0, 5, 4, 9, 9], 4, 2) == [0, 6]


# --- fillings ----------------------------------------------------------------------------------


def test_places_count_from_both_ends():
    assert infill.places(5) == [0, 1, 2, -2, -1]
    assert infill.places(4) == [0, 1, -2, -1]
    assert infill.places(1) == [0]


def test_identity_gaps_the_middle():
    assert infill.identity("ARDY", "ARDY") == 1
    assert infill.identity("ARDY", "ARGDY") == pytest.approx(4 / 5)  # AR-DY against ARGDY
    assert infill.diversity(["AA", "AA", "GA"]) == pytest.approx(1 - (1 + 0.5 + 0.5) / 3)


def loops(*items):
    """Chains that are a CDR3 alone; loops this unlike are of different clones."""
    return [
        AntibodyRecord(
            str(i),
            loop,
            locus="IGH",
            clone_id=clone,
            regions=(0, 0, 0, 0, 0, 0, len(loop), len(loop)),
        )
        for i, (loop, clone) in enumerate(items)
    ]


def test_counting_takes_a_clone_for_one_chain():
    counted = infill.LoopFrequency(loops(("AAA", "a"), ("AAA", "a"), ("AAA", "a"), ("GGG", "b")))
    p = counted.probabilities(3)
    # One A and one G weigh alike: ((1 + q) / 3), with q = (1 + 1/20) / 3 of the place alone.
    expected = (1 + (1 + 0.05) / 3) / 3
    for letter in "AG":
        at = infill.RESIDUES.index(letter)
        torch.testing.assert_close(p[:, at], torch.full((3,), expected, dtype=torch.float64))
    torch.testing.assert_close(p.sum(1), torch.ones(3, dtype=torch.float64))


def test_counting_of_an_unseen_length_falls_back_on_places():
    counted = infill.LoopFrequency(loops(("ACY", "a"), ("GWY", "b")))
    p = counted.probabilities(5)
    assert p[-1].argmax() == infill.RESIDUES.index("Y")
    torch.testing.assert_close(p[2], torch.full((20,), 0.05, dtype=torch.float64))  # never seen


def test_recovery_counts_residues_and_takes_the_best_filling():
    record = AntibodyRecord(
        "x", "ARDY", "IGH", germline_alignment_aa="AR-Y", regions=(0, 0, 0, 0, 0, 0, 4, 4)
    )
    made = [[infill.Filling("ARGG", True), infill.Filling("AKDY", False)]]
    recovery, new, best, _, valid = infill.at_true_length([record], made, [0])
    assert recovery.startswith("0.625 ")  # 2 and 3 of 4
    assert new.startswith("0.500 ")  # D, in one of two
    assert best.startswith("0.750 ")
    assert valid == "50.0%"


def test_the_distance_of_lengths_is_how_far_they_must_be_moved():
    assert wasserstein([10, 12], [12, 10]) == 0
    assert wasserstein([10, 10], [13, 13]) == 3
    assert wasserstein([10, 14], [12, 12]) == 2
    assert wasserstein([10] * 3, [10, 10, 16]) == pytest.approx(2)


# --- intervals ---------------------------------------------------------------------------------


def test_a_ratio_divides_once_and_its_interval_covers():
    assert ratio([1, 3], [1, 2], [0, 1]).value == pytest.approx(4 / 3)
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(100):
        # 40 groups of 5 equal members: taken one by one they would cover about 60 in 100.
        x = np.repeat(rng.normal(size=40), 5)
        found = ratio(x, np.ones(200), np.repeat(np.arange(40), 5))
        held += found.low < 0 < found.high
    assert held >= 86  # 95 are due, give or take 2.2; a percentile interval of 40 falls a bit short
