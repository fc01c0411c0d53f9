"""Drawing one token: the right distribution over the right tokens."""

import math

import pytest
import torch
from toys import SPECIAL_IDS, TOKENS, chi_square, seeded

from hfbio.sample import draw

ALLOWED = TOKENS.allowed
V = TOKENS.vocab_size


def tempting(seed=0):
    """``(V,)`` logits whose largest are those of special tokens."""
    logits = 0.5 * torch.randn(V, generator=seeded(seed))
    logits[list(SPECIAL_IDS)] = 12.0
    return logits


def exactly(logits, temperature, top_p):
    """The distribution the docstring promises, one token at a time in float64."""
    p = {i: math.exp(logits[i].item() / temperature) for i in TOKENS.residue_ids}
    total = sum(p.values())
    kept, mass = {}, 0.0
    for i in sorted(p, key=p.get, reverse=True):
        if mass >= top_p:
            break
        kept[i] = p[i] / total
        mass += kept[i]
    result = torch.zeros(V, dtype=torch.float64)
    for i, value in kept.items():
        result[i] = value / mass
    return result


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("top_p", [1.0, 0.8, 0.5])
def test_tokens_come_as_often_as_restriction_temperature_and_nucleus_say(temperature, top_p):
    logits, n = tempting(), 20_000
    ids = draw(
        logits.expand(n, V),
        torch.rand(n, generator=seeded(1)),
        allowed=ALLOWED,
        temperature=temperature,
        top_p=top_p,
    )
    counts = torch.bincount(ids, minlength=V)
    statistic, bar = chi_square(counts, exactly(logits, temperature, top_p))
    assert statistic < bar
    if top_p == 1:  # the bar can fail: a temperature that is well off does
        off, bar = chi_square(counts, exactly(logits, 1.5 * temperature, 1.0))
        assert off > bar


def test_the_nucleus_is_spent_on_allowed_tokens_only():
    # Truncating before restricting, a special token fills the nucleus alone, and what is then
    # drawn among the residues is anything: the best one in 5 % of cases instead of 89 %.
    logits = torch.zeros(4000, V)
    best = TOKENS.residue_ids[7]
    logits[:, list(SPECIAL_IDS)], logits[:, best] = 20.0, 5.0
    share = math.exp(5) / (math.exp(5) + 19)
    ids = draw(logits, torch.rand(4000, generator=seeded()), allowed=ALLOWED, top_p=0.95)
    assert ALLOWED[ids].all()
    assert (ids == best).double().mean() > share - 0.02


def test_the_nucleus_is_the_smallest_set_that_reaches_its_mass():
    logits = torch.full((V,), -1e9)
    a, b, c = TOKENS.residue_ids[:3]
    logits[[a, b, c]] = torch.tensor([0.5, 0.3, 0.2]).log()
    uniform = torch.linspace(0, 0.9999, 500)
    for top_p, kept in [
        (0.01, {a}),
        (0.49, {a}),
        (0.51, {a, b}),
        (0.79, {a, b}),
        (0.81, {a, b, c}),
    ]:
        ids = draw(logits.expand(500, V), uniform, allowed=ALLOWED, top_p=top_p)
        assert set(ids.tolist()) == kept


@pytest.mark.parametrize("temperature", [0.0, 1e-45, 1e-3, 1.0, 1e30])
@pytest.mark.parametrize("top_p", [1e-6, 0.9, 1.0])
def test_nothing_outside_of_allowed_is_ever_drawn(temperature, top_p):
    logits = 30 * torch.randn(2000, V, generator=seeded())
    logits[:, list(SPECIAL_IDS)] += 100
    allowed = torch.zeros(V, dtype=torch.bool)
    allowed[[5, 11, 23]] = True
    edges = torch.tensor([0.0, 1 - 2**-24])
    uniform = torch.cat([torch.rand(1998, generator=seeded(1)), edges])
    ids = draw(logits, uniform, allowed=allowed, temperature=temperature, top_p=top_p)
    assert allowed[ids].all()


@pytest.mark.parametrize("temperature", [0.0, 1e-45, 1e-39, 1e-6])
def test_without_temperature_the_likeliest_allowed_token_is_taken(temperature):
    logits = torch.stack([tempting(seed) for seed in range(200)])
    best = logits.masked_fill(~ALLOWED, -torch.inf).argmax(dim=-1)
    uniform = torch.rand(200, generator=seeded())
    assert draw(logits, uniform, allowed=ALLOWED, temperature=temperature).equal(best)


def test_small_numbers_take_likely_tokens_and_large_ones_unlikely():
    logits = tempting()
    uniform = torch.tensor([0.0, 1 - 2**-24])
    low, high = draw(logits.expand(2, V), uniform, allowed=ALLOWED).tolist()
    residues = logits.masked_fill(~ALLOWED, -torch.inf)
    assert low == residues.argmax()
    assert high == logits.masked_fill(~ALLOWED, torch.inf).argmin()


def test_each_position_can_have_its_own_allowed_tokens():
    allowed = torch.zeros(2, 20, V, dtype=torch.bool)
    for i, token in enumerate(TOKENS.residue_ids):
        allowed[:, i, token] = True
    ids = draw(torch.randn(2, 20, V), torch.rand(2, 20), allowed=allowed)
    assert ids.tolist() == [list(TOKENS.residue_ids)] * 2


def test_a_position_does_not_depend_on_its_batch_and_logits_stay_as_they_are():
    logits = torch.randn(64, V, generator=seeded())
    before, uniform = logits.clone(), torch.rand(64, generator=seeded(1))
    together = draw(logits, uniform, allowed=ALLOWED, top_p=0.7, temperature=0.8)
    alone = [
        draw(logits[i], uniform[i], allowed=ALLOWED, top_p=0.7, temperature=0.8) for i in range(64)
    ]
    assert together.equal(torch.stack(alone))
    assert logits.equal(before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"allowed": torch.zeros(V, dtype=torch.bool)}, "forbids every token"),
    ],
)
def test_numbers_out_of_range_are_refused(settings, message):
    settings = {"allowed": ALLOWED, **settings}
    with pytest.raises(ValueError, match=message):
        draw(torch.zeros(3, V), torch.zeros(3), **settings)
