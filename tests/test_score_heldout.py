"""Held-out likelihood: sums that add up, the same masks for everyone, honest intervals."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from antibodies import HEAVY, KAPPA, heavy_with, random_cdr3s
from toys import TOKENS, PositionModel, numbered, seeded

from hfbio.data.encode import encode, encode_described
from hfbio.record import REGIONS
from hfbio.score.calibrate import fit_temperature
from hfbio.score.compare import difference
from hfbio.score.heldout import FRACTIONS, STATUS, HeldOut, hide, measure, model_predictor
from hfbio.score.summary import CHANCE_NATS, summarise

GERMLINE = "Q" + HEAVY[1:98] + "-" * 15 + HEAVY[113:]
RECORDS = [
    numbered(HEAVY, germline_alignment_aa=GERMLINE),
    numbered(KAPPA),
    numbered(heavy_with("ARDYW")),
    *[numbered(heavy_with(cdr3)) for cdr3 in random_cdr3s(4)],
]
EXAMPLES = [encode(record, TOKENS, (0,)) for record in RECORDS]


class Spy:
    """A predictor of known cost that remembers what it was asked."""

    def __init__(self, nats=1.5):
        self.nats = nats
        self.asked = []

    def __call__(self, rows, hidden):
        self.asked += [(row, tuple(at.tolist())) for row, at in zip(rows, hidden)]
        return [(torch.full((len(at),), self.nats), at % 2 == 0) for at in hidden]


# --- sums and masks ----------------------------------------------------------------------------


def test_every_hidden_residue_is_counted_once_in_one_region_and_status():
    measured = measure(EXAMPLES, Spy(), draws=3)
    for f, fraction in enumerate(FRACTIONS):
        hidden = [3 * max(1, round(fraction * len(r.sequence_aa))) for r in RECORDS]
        assert measured.cell(measured.residues)[f].tolist() == hidden
    for sums in (measured.nats, measured.hits, measured.residues):
        by_region = sum(measured.cell(sums, region) for region in REGIONS)
        by_status = sum(measured.cell(sums, status=status) for status in STATUS)
        both = sum(measured.cell(sums, r, s) for r in REGIONS for s in STATUS)
        assert torch.allclose(by_region, measured.cell(sums))
        assert torch.allclose(by_status, measured.cell(sums))
        assert torch.allclose(both, measured.cell(sums))
    assert measured.nats.equal(1.5 * measured.residues.double())


def test_residues_are_counted_under_their_own_region_and_germline_status():
    everything = measure(EXAMPLES[:1], Spy(), fractions=[1.0], draws=1)
    record = RECORDS[0]
    for name in REGIONS:
        assert everything.cell(everything.residues, name).item() == len(record.region(name))
    pairs = list(zip(record.sequence_aa, GERMLINE))
    expected = {
        "germline": sum(a == b for a, b in pairs),
        "non_germline": sum(a != b and b != "-" for a, b in pairs),
        "unaligned": sum(b == "-" for _, b in pairs),
    }
    assert expected["non_germline"] == 1
    for status, n in expected.items():
        assert everything.cell(everything.residues, status=status).item() == n


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_every_predictor_is_shown_the_same_masks_whatever_its_batches(batch_size):
    one, two = Spy(), Spy(nats=0.1)
    measure(EXAMPLES, one, draws=2)
    measure(EXAMPLES, two, draws=2, batch_size=batch_size)
    assert sorted(one.asked) == sorted(two.asked)


def test_masks_differ_between_draws_chains_and_seeds():
    spies = [Spy(), Spy()]
    for seed, spy in enumerate(spies):
        measure([EXAMPLES[0]] * 4, spy, draws=4, seed=seed, fractions=[0.5])
    masks = {frozenset(at) for spy in spies for _, at in spy.asked}
    assert len(masks) == 32


def test_parts_of_the_chains_add_up_to_the_whole():
    whole = measure(EXAMPLES, Spy(), draws=2)
    parts = [measure(EXAMPLES, Spy(), draws=2, rows=range(k, len(EXAMPLES), 3)) for k in range(3)]
    for name in ("nats", "hits", "residues"):
        assert sum(getattr(part, name) for part in parts).equal(getattr(whole, name))
    assert parts[0].residues[:, 1].sum() == 0


def test_a_larger_share_hides_what_a_smaller_one_hides_and_more():
    small, large = (set(hide(100, f, seeded(3)).tolist()) for f in (0.15, 0.5))
    assert len(small) == 15
    assert len(large) == 50
    assert small < large
    assert set(hide(100, 1.0, seeded(3)).tolist()) == set(range(100))


def test_every_residue_is_hidden_equally_often():
    n = 4000
    counts = torch.zeros(20)
    for seed in range(n):
        counts[hide(20, 0.25, seeded(seed))] += 1
    assert (counts / n - 0.25).abs().max() < 5 * (0.25 * 0.75 / n) ** 0.5


# --- models ------------------------------------------------------------------------------------


def test_a_models_cost_is_that_of_the_true_token_among_all_of_its_vocabulary():
    model = PositionModel(n_positions=140)
    measured = measure(EXAMPLES, model_predictor(model, TOKENS, EXAMPLES), draws=1, batch_size=4)
    spy = Spy()
    measure(EXAMPLES, spy, draws=1)
    nats = torch.zeros(len(FRACTIONS), len(EXAMPLES), dtype=torch.float64)
    hits = torch.zeros(len(FRACTIONS), len(EXAMPLES), dtype=torch.int64)
    for number, (row, at) in enumerate(spy.asked):
        f = number // len(EXAMPLES)
        shown = EXAMPLES[row].input_ids.clone()
        positions = EXAMPLES[row].residues[list(at)]
        truth = shown[positions]
        shown[positions] = TOKENS.mask_id
        logits = model(shown[None], torch.ones_like(shown)[None]).logits[0, positions]
        log_p = logits.double().log_softmax(-1)
        nats[f, row] -= log_p[torch.arange(len(at)), truth].sum()
        hits[f, row] += (log_p.argmax(-1) == truth).sum()
    assert torch.allclose(measured.cell(measured.nats), nats, rtol=1e-5)
    assert measured.cell(measured.hits).equal(hits)


def test_the_batch_a_chain_is_measured_in_does_not_change_its_nats(sapiens):
    examples = encode_described(RECORDS[:3], sapiens.base.token_map, sapiens.prompt)
    predict = model_predictor(sapiens.model, sapiens.base.token_map, examples)
    one = measure(examples, predict, draws=1, batch_size=1)
    many = measure(examples, predict, draws=1, batch_size=64)
    assert torch.allclose(one.nats, many.nats, atol=1e-4)  # a chain costs 10 to 200
    # Sapiens knows heavy chains: guessing among 20 costs ln 20 = 2.996, and hits 1 in 20.
    heavy = measure(examples, predict, fractions=[0.15], rows=[0])
    assert heavy.nats.sum() / heavy.residues.sum() < 1.5
    assert heavy.hits.sum() / heavy.residues.sum() > 0.5


def test_a_temperature_is_found_again():
    # Truths drawn from the model's own distribution at temperature 2.5: that must fit best.
    model = PositionModel(n_positions=140)
    model._logits -= 30 * ~TOKENS.allowed  # special tokens out of the way
    example, drawn = EXAMPLES[0], []
    for seed in range(30):
        ids = example.input_ids.clone()
        ids[example.residues] = TOKENS.mask_id
        p = (model(ids[None], None).logits[0, example.residues] / 2.5).softmax(-1)
        ids[example.residues] = torch.multinomial(p, 1, generator=seeded(seed)).squeeze(1)
        drawn.append(dataclasses.replace(example, input_ids=ids))
    found = fit_temperature(model, TOKENS, drawn, fraction=1.0, seed=0)
    assert found == pytest.approx(2.5, rel=0.1)


# --- differences and their intervals -----------------------------------------------------------


def held_out(nats_per_chain, residues_per_chain=100):
    """One fraction, everything in the first region and status."""
    nats = torch.zeros(1, len(nats_per_chain), len(REGIONS), len(STATUS), dtype=torch.float64)
    nats[0, :, 0, 0] = torch.as_tensor(nats_per_chain, dtype=torch.float64)
    residues = torch.zeros(nats.shape, dtype=torch.int64)
    residues[0, :, 0, 0] = torch.as_tensor(residues_per_chain)
    return HeldOut((0.5,), nats, torch.zeros_like(residues), residues)


def test_equal_measurements_do_not_differ_at_all():
    a = held_out([10.0, 20.0, 30.0])
    assert difference(a, a, [0, 1, 2], fraction=0.5) == difference(a, a, [0, 0, 0], fraction=0.5)
    assert dataclasses.astuple(difference(a, a, [0, 1, 2], fraction=0.5)) == (0, 0, 0)


def test_a_difference_is_first_minus_second_per_residue_of_the_sums():
    # Per residue 30/300 - 60/300 = -0.1; a mean of the chains' own ratios would be -0.117.
    a, b = held_out([10, 20], [100, 200]), held_out([20, 40], [100, 200])
    gap = difference(a, b, [0, 1], fraction=0.5)
    assert gap.nats_per_residue == pytest.approx(-0.1)
    assert gap.low <= gap.nats_per_residue <= gap.high < 0
    back = difference(b, a, [0, 1], fraction=0.5)
    assert back.nats_per_residue == pytest.approx(0.1)
    assert back.low == pytest.approx(-gap.high)
    assert difference(a, b, ["x", "y"], fraction=0.5) == gap  # any labels will do


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    rng, covered, runs = np.random.default_rng(0), 0, 300
    for run in range(runs):
        gain = rng.normal(2.0, 5.0, size=60)
        gap = difference(
            held_out(gain),
            held_out(np.zeros(60)),
            range(60),
            fraction=0.5,
            n_resamples=200,
            seed=run,
        )
        covered += gap.low <= 2.0 / 100 <= gap.high
    assert 0.89 < covered / runs < 0.985  # asked: 0.95; a standard-error bar would give 0.68


def test_clones_that_vary_together_widen_the_interval():
    rng = np.random.default_rng(0)
    gain = np.repeat(rng.normal(size=30), 10)  # 30 clones of 10 equal chains
    a, b = held_out(gain), held_out(np.zeros(300))
    by_chain = difference(a, b, range(300), fraction=0.5)
    by_clone = difference(a, b, np.repeat(np.arange(30), 10), fraction=0.5)
    ratio = (by_clone.high - by_clone.low) / (by_chain.high - by_chain.low)
    assert ratio == pytest.approx(10**0.5, rel=0.15)


def test_the_size_of_a_block_of_resamples_changes_nothing(monkeypatch):
    a, b = held_out(np.arange(40.0)), held_out(np.zeros(40))
    whole = difference(a, b, range(40), fraction=0.5)
    monkeypatch.setattr("hfbio.score.compare._CELLS", 40 * 7)
    parts = difference(a, b, range(40), fraction=0.5)
    assert dataclasses.astuple(parts) == pytest.approx(dataclasses.astuple(whole))


def test_measurements_of_other_residues_cannot_be_compared():
    a = held_out([1, 2])
    with pytest.raises(ValueError, match="same residues"):
        difference(a, held_out([1, 2], 50), [0, 1], fraction=0.5)
    with pytest.raises(ValueError, match="no residue of region 'cdr3'"):
        difference(a, a, [0, 1], fraction=0.5, region="cdr3")


# --- the summary -------------------------------------------------------------------------------


def test_a_summary_divides_sums_once_and_loses_no_residue():
    base, tuned = (
        measure(EXAMPLES, model_predictor(PositionModel(140, seed), TOKENS, EXAMPLES), draws=2)
        for seed in (0, 1)
    )
    groups = [0, 1, 2, 3, 3, 4, 5]
    summary = summarise({"base": base, "tuned": tuned}, groups, compare=("base", "tuned"))
    assert summary["chains"] == 7
    assert summary["clones"] == 6
    assert summary["chance_nats"] == CHANCE_NATS == math.log(20)
    for f, fraction in enumerate(FRACTIONS):
        rows = [row for row in summary["held_out"] if row["masked"] == fraction]
        (total,) = [r for r in rows if (r["region"], r["status"]) == ("all", "all")]
        regions = [r for r in rows if r["region"] != "all"]
        statuses = [r for r in rows if r["status"] != "all"]
        assert total["residues"] == int(base.residues[f].sum())
        assert sum(r["residues"] for r in regions) == total["residues"]
        assert sum(r["residues"] for r in statuses) == total["residues"]
        for name in ("base", "tuned"):
            for parts in (regions, statuses):
                nats = sum(r["residues"] * r[name]["nats_per_residue"] for r in parts)
                assert nats / total["residues"] == pytest.approx(total[name]["nats_per_residue"])
                hits = sum(r["residues"] * r[name]["recovery"] for r in parts)
                assert hits / total["residues"] == pytest.approx(total[name]["recovery"])
            for row in rows:
                perplexity = math.exp(row[name]["nats_per_residue"])
                assert row[name]["perplexity"] == pytest.approx(perplexity)
        for row in regions:
            gap = row["tuned"]["nats_per_residue"] - row["base"]["nats_per_residue"]
            assert row["difference"]["nats_per_residue"] == pytest.approx(gap)


def test_a_region_in_which_nothing_was_hidden_is_left_out():
    spy = measure(EXAMPLES[:1], Spy(), fractions=[0.01], draws=1)  # one residue of one chain
    rows = summarise({"base": spy}, [0], compare=None)["held_out"]
    assert [row["residues"] for row in rows] == [1, 1, 1]  # all, its region, its status
