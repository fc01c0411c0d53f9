"""Corruption and loss: what is hidden, what it weighs, and what the loss then estimates."""

import dataclasses
import math

import pytest
import torch
from antibodies import HEAVY, KAPPA
from toys import SPECIAL_IDS, TOKENS, chi_square, numbered, seeded

from hfbio.data.encode import IGNORE, Example, collate, encode
from hfbio.errors import SettingError
from hfbio.objectives import Diffusion, GermlineDiffusion, MaskedLM, build, weighted_nats
from hfbio.record import REGIONS
from hfbio.rng import generator
from hfbio.tokens import Prompt, Tags
from hfbio.train.dataset import CorruptedChains

N = len(HEAVY)
JUNCTION = range(96, 110)  # has no germline
MUTATED = range(3, 96, 10)
GERMLINE = "".join(
    "-" if i in JUNCTION else "W" if i in MUTATED and letter != "W" else letter
    for i, letter in enumerate(HEAVY)
)
EXAMPLE = encode(  # behind start token and one tag
    numbered(HEAVY, germline_alignment_aa=GERMLINE), TOKENS, (0, 25)
)
IS_MUTATED = (EXAMPLE.germline_ids >= 0) & (EXAMPLE.germline_ids != EXAMPLE.input_ids)
IS_GERMLINE = EXAMPLE.germline_ids == EXAMPLE.input_ids
CDRS = [i for i, name in enumerate(REGIONS) if name.startswith("cdr")]
IN_CDR = torch.isin(EXAMPLE.region_ids, torch.tensor(CDRS))
OBJECTIVES = [
    MaskedLM(),
    MaskedLM(fraction=0.9, cdr_weight=4.0, random_fraction=0.5, keep_fraction=0.5),
    Diffusion(),
    Diffusion(min_t=0.9),
    MaskedLM(fraction=0.4, cdr_weight=3.0, non_germline_weight=9.0),
    GermlineDiffusion(),
    GermlineDiffusion(min_t=0.9),
]


def chain(n):
    """An example of ``n`` residues, all in the first region."""
    ids = torch.tensor([0, *(TOKENS.residue_ids[i % 20] for i in range(n)), 2])
    region_ids = torch.full((n + 2,), -1)
    region_ids[1:-1] = 0
    return Example(ids, region_ids, torch.full((n + 2,), -1))


# --- what every objective promises -------------------------------------------------------------


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_label_is_the_truth_and_everything_unlabelled_is_shown_as_it_is(objective):
    for seed in range(50):
        made = objective.corrupt(EXAMPLE, TOKENS, seeded(seed))
        scored = made.labels != IGNORE
        assert made.labels[scored].equal(EXAMPLE.input_ids[scored])
        assert made.input_ids[~scored].equal(EXAMPLE.input_ids[~scored])


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_special_tokens_are_never_hidden(objective):
    special = EXAMPLE.region_ids < 0
    for seed in range(50):
        made = objective.corrupt(EXAMPLE, TOKENS, seeded(seed))
        assert (made.labels[special] == IGNORE).all()
        assert made.input_ids[special].equal(EXAMPLE.input_ids[special])


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_corruption_leaves_the_example_alone_and_repeats_with_its_generator(objective):
    before = [t.clone() for t in dataclasses.astuple(EXAMPLE)]
    one, two, other = (objective.corrupt(EXAMPLE, TOKENS, seeded(s)) for s in (1, 1, 2))
    assert all(a.equal(b) for a, b in zip(before, dataclasses.astuple(EXAMPLE)))
    assert one.input_ids.equal(two.input_ids)
    assert one.weights.equal(two.weights)
    assert not one.labels.equal(other.labels)


# --- masked language modelling -----------------------------------------------------------------


@pytest.mark.parametrize("fraction", [0.01, 0.15, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("n", [1, 7, 120])
@pytest.mark.parametrize("cdr_weight", [1.0, 5.0])
def test_mlm_hides_exactly_its_fraction_and_at_least_one(fraction, n, cdr_weight):
    objective = MaskedLM(fraction=fraction, cdr_weight=cdr_weight)
    expected = max(1, round(fraction * n))
    for seed in range(5):
        made = objective.corrupt(chain(n), TOKENS, seeded(seed))
        assert (made.labels != IGNORE).sum() == expected
        assert made.denominator == expected


def many(objective, n, example=EXAMPLE):
    made = [objective.corrupt(example, TOKENS, generator(i)) for i in range(n)]
    return (
        torch.stack([m.input_ids for m in made]),
        torch.stack([m.labels for m in made]) != IGNORE,
        torch.stack([m.weights for m in made]),
    )


def test_mlm_hides_every_residue_equally_often():
    _, hidden, _ = many(MaskedLM(fraction=0.5), 2000)
    share = hidden[:, EXAMPLE.residues].double().mean(dim=0)
    assert (share - 0.5).abs().max() < 5 * 0.5 / 2000**0.5


def test_mlm_shows_masks_random_residues_and_the_truth_as_often_as_asked():
    objective = MaskedLM(fraction=0.5, random_fraction=0.3, keep_fraction=0.2)
    shown, hidden, _ = many(objective, 1000)
    truth = EXAMPLE.input_ids.expand_as(shown)
    n = int(hidden.sum())
    masked = hidden & (shown == TOKENS.mask_id)
    same = hidden & (shown == truth)
    random_same = 0.3 / 20  # a random residue is the true one by chance
    for got, share in [(masked, 0.5), (same, 0.2 + random_same)]:
        assert int(got.sum()) / n == pytest.approx(share, abs=5 * (share * (1 - share) / n) ** 0.5)


def test_mlm_replaces_by_the_twenty_residues_alone_and_by_all_of_them_alike():
    # A stock collator draws from the whole vocabulary: 6 of these 26 tokens are special.
    shown, hidden, _ = many(MaskedLM(fraction=1.0, random_fraction=1.0, keep_fraction=0.0), 200)
    counts = torch.bincount(shown[hidden], minlength=TOKENS.vocab_size)
    assert counts[list(SPECIAL_IDS)].sum() == 0
    statistic, bar = chi_square(counts, TOKENS.allowed / 20)
    assert statistic < bar


@pytest.mark.parametrize(
    ("random_fraction", "keep_fraction", "shows"),
    [(0.0, 0.0, "masks"), (0.0, 1.0, "truth"), (1.0, 0.0, "residues")],
)
def test_mlm_at_its_extremes(random_fraction, keep_fraction, shows):
    objective = MaskedLM(random_fraction=random_fraction, keep_fraction=keep_fraction)
    shown, hidden, _ = many(objective, 20)
    expected = {
        "masks": shown == TOKENS.mask_id,
        "truth": shown == EXAMPLE.input_ids,
        "residues": TOKENS.allowed[shown],
    }
    assert expected[shows][hidden].all()


def test_cdr_weight_moves_hiding_to_the_cdrs_and_keeps_the_total():
    n_cdr = int(IN_CDR.sum())
    _, plain, _ = many(MaskedLM(fraction=0.1), 1000)
    _, heavy, _ = many(MaskedLM(fraction=0.1, cdr_weight=4.0), 1000)
    assert plain.sum(dim=1).equal(heavy.sum(dim=1))
    share = (plain & IN_CDR).sum().item() / plain.sum().item()
    assert share == pytest.approx(n_cdr / N, abs=0.02)
    # The first residue drawn is in a CDR with these odds; later ones lower them a little.
    odds = 4 * n_cdr / (4 * n_cdr + N - n_cdr)
    raised = (heavy & IN_CDR).sum().item() / heavy.sum().item()
    assert odds - 0.08 < raised < odds + 0.01


def test_non_germline_weight_moves_hiding_to_mutated_residues_and_keeps_the_total():
    n_mutated = int(IS_MUTATED.sum())
    _, plain, _ = many(MaskedLM(fraction=0.1), 1000)
    _, heavy, _ = many(MaskedLM(fraction=0.1, non_germline_weight=6.0), 1000)
    assert plain.sum(dim=1).equal(heavy.sum(dim=1))
    # As with cdr_weight: the odds of the first residue drawn, later ones lower them.
    odds = 6 * n_mutated / (6 * n_mutated + N - n_mutated)
    raised = (heavy & IS_MUTATED).sum().item() / heavy.sum().item()
    assert odds - 0.08 < raised < odds + 0.01
    assert raised > 3 * (plain & IS_MUTATED).sum().item() / plain.sum().item()
    # A residue without germline is hidden as often as one that equals its germline.
    share = heavy[:, EXAMPLE.residues].double().mean(dim=0)
    aligned = EXAMPLE.germline_ids[EXAMPLE.residues] >= 0
    same = IS_GERMLINE[EXAMPLE.residues]
    assert share[~aligned].mean().item() == pytest.approx(share[same].mean().item(), rel=0.2)


def test_the_weights_of_cdrs_and_of_mutated_residues_multiply():
    # One residue is hidden: each with its weight over the sum of all weights.
    objective = MaskedLM(fraction=1 / N, cdr_weight=3.0, non_germline_weight=5.0)
    _, hidden, _ = many(objective, 4000)
    weight = torch.where(IN_CDR, 3.0, 1.0) * torch.where(IS_MUTATED, 5.0, 1.0)
    at = EXAMPLE.residues
    statistic, bar = chi_square(hidden.sum(dim=0)[at], weight[at] / weight[at].sum())
    assert statistic < bar


# --- diffusion ---------------------------------------------------------------------------------


@pytest.mark.parametrize("min_t", [0.02, 0.5])
def test_diffusion_draws_its_share_evenly_and_weighs_by_its_inverse(min_t):
    shown, hidden, weights = many(Diffusion(min_t=min_t), 3000)
    t = 1 / weights[:, 0].double()
    assert (weights == weights[:, :1]).all()
    assert ((t >= min_t - 1e-6) & (t <= 1 + 1e-6)).all()
    counts = torch.histc((t - min_t) / (1 - min_t), bins=20, min=0, max=1)
    statistic, bar = chi_square(counts, torch.full((20,), 1 / 20))
    assert statistic < bar
    # Given t, each residue is hidden independently with probability t: mean and variance.
    n_hidden = hidden.sum(dim=1)
    surprise = (n_hidden - N * t) / (N * t * (1 - t)).clamp(min=1e-9).sqrt()
    surprise = surprise[t < 0.99]
    assert abs(surprise.mean().item()) < 5 / len(surprise) ** 0.5
    assert surprise.var().item() == pytest.approx(1, abs=0.15)  # a fixed number would give 0
    # The expected number hidden is n (1 + min_t) / 2.
    spread = 5 * N * ((1 - min_t) / 12**0.5 + 0.5 / N**0.5) / 3000**0.5
    assert n_hidden.double().mean().item() == pytest.approx(N * (1 + min_t) / 2, abs=spread)
    assert (shown[hidden] == TOKENS.mask_id).all()


def test_diffusion_at_its_end_hides_everything():
    made = Diffusion(min_t=1 - 1e-9).corrupt(EXAMPLE, TOKENS, seeded())
    assert (made.input_ids[EXAMPLE.residues] == TOKENS.mask_id).all()
    assert made.weights[EXAMPLE.residues].tolist() == pytest.approx([1.0] * N)


@pytest.mark.parametrize("min_t", [0.02, 0.5])
def test_the_diffusion_loss_estimates_its_bound_without_bias(min_t):
    # A predictor whose every hidden residue costs a + b h/n nats, where h are hidden. With h
    # binomial, E[h] = n t and E[h^2] = n t (1 - t) + (n t)^2, so that the loss
    # E_t[1/t sum] / n is a + b E_t[(1 - t)/n + t] with t uniform on [min_t, 1].
    a, b, n_draws = 1.3, 2.0, 4000
    mean_t = (1 + min_t) / 2
    expected = a + b * ((1 - mean_t) / N + mean_t)
    losses = []
    for i in range(n_draws):
        made = Diffusion(min_t=min_t).corrupt(EXAMPLE, TOKENS, generator(7, i))
        scored = made.labels != IGNORE
        nats = a + b * scored.sum() / N
        losses.append((nats * made.weights[scored].sum() / made.denominator).item())
    losses = torch.tensor(losses, dtype=torch.float64)
    error = losses.std().item() / n_draws**0.5
    assert losses.mean().item() == pytest.approx(expected, abs=4 * error)
    assert error < 0.02  # without 1/t the estimate would be off by a third or more


@pytest.mark.parametrize("objective", [MaskedLM(fraction=0.3), Diffusion(), GermlineDiffusion()])
def test_a_predictor_of_constant_cost_has_that_loss(objective):
    # Uniform logits cost ln V at every residue, whatever is hidden and however it is weighted.
    n_draws, size = 3000, 250
    total, residues = 0.0, 0.0
    for first in range(0, n_draws, size):
        made = [objective.corrupt(EXAMPLE, TOKENS, generator(first + i)) for i in range(size)]
        batch = collate(made, TOKENS.pad_id)
        logits = torch.zeros(*batch["labels"].shape, TOKENS.vocab_size)
        total += weighted_nats(logits, batch["labels"], batch["weights"]).item()
        residues += batch["denominator"].sum().item()
    chance = math.log(TOKENS.vocab_size)
    # Of sum_hidden / (t n) the variance is E[(1 - t) / (t n)] = (ln(1/m) / (1 - m) - 1) / n.
    spread = ((math.log(50) / 0.98 - 1) / N / n_draws) ** 0.5
    bar = 1e-6 if objective.kind == "mlm" else 4 * spread  # less spread where weights are 1
    assert total / residues == pytest.approx(chance, rel=bar)


def test_a_loss_is_divided_by_what_it_is_about():
    for seed in range(20):
        for objective in (Diffusion(), GermlineDiffusion()):
            assert objective.corrupt(EXAMPLE, TOKENS, seeded(seed)).denominator == N
    made = MaskedLM(fraction=0.25).corrupt(EXAMPLE, TOKENS, seeded())
    assert made.denominator == (made.labels != IGNORE).sum() == 30


# --- the sum of nats ---------------------------------------------------------------------------


def batch_of(objective, n=6):
    records = [numbered(s) for s in (HEAVY, KAPPA)]
    examples = [encode(records[i % 2], TOKENS, (0,)) for i in range(n)]
    return [objective.corrupt(e, TOKENS, generator(i)) for i, e in enumerate(examples)]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_nats_of_a_batch_are_the_sum_over_its_chains_whatever_the_padding(objective):
    items = batch_of(objective)
    batch = collate(items, TOKENS.pad_id)
    shape = (*batch["labels"].shape, TOKENS.vocab_size)
    logits = torch.randn(shape, generator=seeded())
    whole = weighted_nats(logits, batch["labels"], batch["weights"]).item()
    alone = 0.0
    for row, item in enumerate(items):
        one = collate([item], TOKENS.pad_id)
        n = len(item.input_ids)
        alone += weighted_nats(logits[row : row + 1, :n], one["labels"], one["weights"]).item()
    assert whole == pytest.approx(alone, rel=1e-5)


def test_what_the_model_says_at_pads_and_unscored_tokens_costs_nothing():
    batch = collate(batch_of(MaskedLM()), TOKENS.pad_id)
    logits = torch.randn(*batch["labels"].shape, TOKENS.vocab_size, generator=seeded())
    before = weighted_nats(logits, batch["labels"], batch["weights"])
    logits[batch["labels"] == IGNORE] = 1e4 * torch.randn(TOKENS.vocab_size, generator=seeded(1))
    assert weighted_nats(logits, batch["labels"], batch["weights"]).equal(before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_logits_of_half_precision_are_summed_in_float32(dtype):
    batch = collate(batch_of(Diffusion(), n=32), TOKENS.pad_id)
    logits = torch.randn(*batch["labels"].shape, TOKENS.vocab_size, generator=seeded()).to(dtype)
    scored = batch["labels"] != IGNORE
    nats = -logits.double().log_softmax(-1)[scored].gather(1, batch["labels"][scored][:, None])
    expected = (nats.squeeze(1) * batch["weights"].double()[scored]).sum().item()
    got = weighted_nats(logits, batch["labels"], batch["weights"])
    assert got.dtype == torch.float32
    assert got.item() == pytest.approx(expected, rel=1e-5)
    half = (-logits.log_softmax(-1)[scored].gather(1, batch["labels"][scored][:, None])).sum()
    assert half.item() != pytest.approx(nats.sum().item(), rel=1e-5)  # half precision would show


def test_a_batch_with_nothing_hidden_costs_nothing_and_still_has_a_gradient():
    logits = torch.randn(2, 5, TOKENS.vocab_size, requires_grad=True)
    labels = torch.full((2, 5), IGNORE)
    loss = weighted_nats(logits, labels, torch.ones(2, 5))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.abs().sum() == 0


# --- noise in training -------------------------------------------------------------------------


def chains(seed=0, min_t=0.02):
    records = [numbered(s, f"c{i}") for i, s in enumerate([HEAVY, KAPPA] * 3)]
    tags = Tags.from_rows("composite", {"locus": ["IGH", "IGK"]})
    ids = {token: 30 + i for i, token in enumerate(tags.tokens())}
    prompt = Prompt(tags, ids, TOKENS.start_id)
    return CorruptedChains(
        records, Diffusion(min_t=min_t), TOKENS, prompt, tag_dropout=0.5, seed=seed
    )


def same(a, b):
    return a.input_ids.equal(b.input_ids) and a.labels.equal(b.labels)


def test_noise_is_the_same_in_whatever_order_and_batch_chains_are_asked_for():
    one, two = chains(), chains()
    forward = [one[i] for i in range(18)]  # three epochs
    backward = [two[i] for i in reversed(range(18))][::-1]
    assert all(same(a, b) for a, b in zip(forward, backward))


def test_noise_differs_between_epochs_slots_and_seeds():
    items = [chains(seed)[i] for seed in range(2) for i in range(12)]
    seen = {(tuple(m.input_ids.tolist()), tuple(m.labels.tolist())) for m in items}
    assert len(seen) == len(items)


def test_every_epoch_shows_each_chain_once_in_another_order():
    data = chains(min_t=0.5)
    lengths = [[len(data[epoch * 6 + slot].input_ids) for slot in range(6)] for epoch in range(4)]
    assert all(sorted(row) == sorted(lengths[0]) for row in lengths)
    assert len({tuple(row) for row in lengths}) > 1


# --- settings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("mlm", {"fraction": 0}, "fraction must be in"),
        ("mlm", {"fraction": 1.1}, "fraction must be in"),
        ("mlm", {"fraction": math.nan}, "fraction must be in"),
        ("mlm", {"fraction": "some"}, "objective 'mlm'"),
        ("mlm", {"cdr_weight": 0}, "cdr_weight must be"),
        ("mlm", {"cdr_weight": math.inf}, "cdr_weight must be"),
        ("mlm", {"non_germline_weight": 0}, "non_germline_weight must be"),
        ("mlm", {"non_germline_weight": math.nan}, "non_germline_weight must be"),
        ("mlm", {"random_fraction": 0.6, "keep_fraction": 0.6}, "sum to at most 1"),
        ("mlm", {"keep_fraction": -0.1}, "must be >= 0"),
        ("diffusion", {"min_t": 0}, "min_t must be in"),
        ("diffusion", {"min_t": 1}, "min_t must be in"),
        ("diffusion", {"steps": 3}, "has no setting 'steps'; it has: min_t"),
        ("germline", {"min_t": 0}, "min_t must be in"),
        ("germline", {"min_t": 1}, "min_t must be in"),
        ("gibbs", {}, "is not one of: clm, diffusion, germline, infill, mlm"),
        ("mlm", {"kind": "mlm"}, "has no setting 'kind'"),
    ],
)
def test_a_setting_out_of_range_is_named(kind, settings, message):
    with pytest.raises(SettingError, match=message):
        build(kind, settings)


def test_settings_reach_the_objective():
    assert build("mlm", {"fraction": 0.4}) == MaskedLM(fraction=0.4)
    assert build("diffusion", {"min_t": 0.1}) == Diffusion(min_t=0.1)
    assert build("germline", {"min_t": 0.1}) == GermlineDiffusion(min_t=0.1)
