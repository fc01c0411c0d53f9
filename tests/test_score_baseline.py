"""Counting residues: the bar a language model has to beat."""

import pytest
import torch
from antibodies import HEAVY, KAPPA, heavy_with, random_cdr3s
from toys import TOKENS, numbered

from hfbio.alphabet import RESIDUES
from hfbio.data.encode import encode
from hfbio.score.baseline import BaselinePredictor, PositionFrequency, imgt_positions
from hfbio.score.heldout import measure

E, Q = RESIDUES.index("E"), RESIDUES.index("Q")
TRAIN = [
    numbered(HEAVY, v_call="IGHV3-66*01"),
    numbered(heavy_with("ARDYW"), v_call="IGHV3-23*01"),
    numbered("Q" + HEAVY[1:], v_call="IGHV4-4*02"),
]


@pytest.mark.parametrize("by_family", [False, True])
def test_probabilities_sum_to_one_at_every_residue_of_any_chain(by_family):
    baseline = PositionFrequency(TRAIN, by_family=by_family)
    strangers = [KAPPA, *map(heavy_with, random_cdr3s(3, length=20))]
    for record in [*TRAIN, *map(numbered, strangers)]:
        p = baseline.probabilities(record)
        assert p.shape == (len(record.sequence_aa), 20)
        assert torch.allclose(p.sum(dim=1), torch.ones(len(p), dtype=torch.float64))
        assert (p > 0).all()  # no residue is impossible, so that no chain costs infinity


def test_a_position_is_its_counts_and_one_pseudo_count_spread_evenly():
    p = PositionFrequency(TRAIN, by_family=False).probabilities(TRAIN[0])[0]
    assert p[E].item() == pytest.approx((2 + 1 / 20) / (3 + 1))  # E, E and Q begin the three
    assert p[Q].item() == pytest.approx((1 + 1 / 20) / (3 + 1))
    others = p[[i for i in range(20) if i not in (E, Q)]]
    assert others.tolist() == pytest.approx([1 / 20 / (3 + 1)] * 18)


def test_a_family_is_its_counts_and_one_pseudo_count_spread_as_all_families_have_it():
    baseline = PositionFrequency(TRAIN, by_family=True)
    anywhere = {E: 2.05 / 4, Q: 1.05 / 4}
    v3, v4 = baseline.probabilities(TRAIN[0])[0], baseline.probabilities(TRAIN[2])[0]
    assert v3[E].item() == pytest.approx((2 + anywhere[E]) / (2 + 1))  # two chains of IGHV3
    assert v3[Q].item() == pytest.approx((0 + anywhere[Q]) / (2 + 1))
    assert v4[E].item() == pytest.approx((0 + anywhere[E]) / (1 + 1))  # one of IGHV4
    assert v4[Q].item() == pytest.approx((1 + anywhere[Q]) / (1 + 1))


def test_a_family_never_seen_falls_back_on_all_of_them():
    stranger = numbered(HEAVY, v_call="IGHV7-4-1*02")
    plain = PositionFrequency(TRAIN, by_family=False).probabilities(stranger)
    assert torch.allclose(PositionFrequency(TRAIN, by_family=True).probabilities(stranger), plain)


def test_a_position_never_seen_is_a_guess():
    stranger = numbered(heavy_with("AR" + "G" * 20 + "DY"))
    seen = {position for record in TRAIN for position in imgt_positions(record)}
    p = PositionFrequency(TRAIN, by_family=True).probabilities(stranger)
    unseen = [i for i, position in enumerate(imgt_positions(stranger)) if position not in seen]
    assert len(unseen) == 24 - len("SRWGGDGFYAMDY")  # insertions in the middle of CDR3
    assert torch.allclose(p[unseen], torch.full((11, 20), 1 / 20, dtype=torch.float64))


def test_it_predicts_the_training_chains_far_better_than_a_guess():
    examples = [encode(record, TOKENS, (0,)) for record in TRAIN]
    baseline = PositionFrequency(TRAIN, by_family=False)
    predict = BaselinePredictor(baseline, TRAIN)
    measured = measure(examples, predict, fractions=[1.0], draws=1)
    for row, record in enumerate(TRAIN):
        p = baseline.probabilities(record)
        truth = [RESIDUES.index(letter) for letter in record.sequence_aa]
        nats = -p[range(len(truth)), truth].log().sum().item()
        assert measured.nats[0, row].sum().item() == pytest.approx(nats)
        assert measured.hits[0, row].sum() == (p.argmax(dim=1) == torch.tensor(truth)).sum()
    # p of a residue that all three share is (3 + 0.05) / 4: 0.27 nats. Guessing costs 2.996.
    assert measured.nats.sum() / measured.residues.sum() < 0.6
