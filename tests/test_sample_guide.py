"""Guides: the tilted distribution, resampling, what a guide may answer, what must stay."""

import math
from collections import Counter
from itertools import islice, product

import pytest
import torch
from causal_toys import CAUSAL, Table, tiny_llama
from test_sample_causal import Only, exact, various
from test_sample_unmask import JOINT2, JOINT3, SAMPLERS, ancestral, blank, mixed_for
from toys import TOKENS, JointModel, PositionModel, chi_square, seeded

from hfbio.errors import SettingError
from hfbio.sample import (
    Causal,
    CausalTemplate,
    Contrast,
    GermlineWalk,
    Guide,
    Template,
    Unmask,
    generate,
)
from hfbio.sample.guide import Flock, systematic

LETTERS = TOKENS.decode(torch.tensor(TOKENS.residue_ids[:3]))
VALUES = dict(zip(LETTERS, (-0.5, 0.4, 1.1)))


def score(sequences):
    """A score with an interaction: no product over positions."""
    return [sum(VALUES[letter] for letter in s) + 0.8 * (s[0] == s[-1]) for s in sequences]


def designs(model, sampler, template, n, *, tokens=TOKENS, seed=0, block_size=16, **settings):
    template = template if callable(template) else (lambda i, rng, fixed=template: fixed)
    run = generate(model, tokens, sampler, template, seed=seed, block_size=block_size, **settings)
    return list(islice(run, n))


def tilted(law, weight):
    """``p(x) exp(weight * score(x)) / Z``."""
    result = law.double().clone()
    for place in product(range(3), repeat=law.dim()):
        (value,) = score(["".join(LETTERS[i] for i in place)])
        result[place] *= math.exp(weight * value)
    return result / result.sum()


def counts_of(joint, sampler, guide, n=600):
    made = designs(
        JointModel(joint),
        sampler,
        blank(joint.dim()),
        n,
        block_size=n * guide.particles,
        guide=guide,
    )
    counts = torch.zeros_like(joint)
    for ids in made:
        counts[tuple(TOKENS.residue_ids.index(token) for token in ids.tolist())] += 1
    return counts


def variation(counts, law):
    return ((counts / counts.sum() - law).abs().sum() / 2).item()


# --- distribution ------------------------------------------------------------------------------

LAWS = [
    (JOINT2, Unmask(order="entropy", steps=4), JOINT2),
    (JOINT3, Unmask(order="entropy", steps=4), JOINT3),
    (JOINT3, Unmask(steps=3), ancestral(JOINT3.double(), 3)),
]


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize(("joint", "sampler", "law"), LAWS, ids=["2", "3", "ancestral"])
def test_designs_come_from_the_tilted_law_of_their_sampler(joint, sampler, law, every):
    counts = counts_of(joint, sampler, Guide(score, weight=0.8, particles=16, every=every))
    # 600 perfect draws are off by 0.02 to 0.1, those without guide by 0.37 to 0.41, those with
    # every factor counted twice by 0.30 to 0.32.
    assert variation(counts, tilted(law, 0.8)) < 0.13


def test_more_particles_come_nearer_to_the_target():
    off = [
        variation(
            counts_of(JOINT2, Unmask(order="entropy", steps=4), Guide(score, 0.8, particles=k)),
            tilted(JOINT2, 0.8),
        )
        for k in (1, 4, 16)
    ]
    assert off[0] > off[1] + 0.1 > off[2] + 0.15


@pytest.mark.parametrize("particles", [1, 4])
def test_a_weight_of_zero_leaves_the_law_of_the_sampler(particles):
    sampler = Unmask(order="entropy", steps=4)
    counts = counts_of(JOINT3, sampler, Guide(score, 0.0, particles=particles), n=2000)
    statistic, bar = chi_square(counts, JOINT3)
    assert statistic < bar


def test_causal_candidates_come_from_the_tilted_law():
    model = tiny_llama()
    template = CausalTemplate((0, 25), ((1, 3),))
    law = exact(model, template, Causal(), CAUSAL.residue_ids[:3])
    weights = {
        chain: p * math.exp(0.8 * score([CAUSAL.decode(torch.tensor(chain))])[0])
        for chain, p in law.items()
    }
    target = {chain: w / sum(weights.values()) for chain, w in weights.items()}
    made = designs(
        model,
        Causal(),
        template,
        400,
        tokens=CAUSAL,
        block_size=6400,
        rules=Only(3),
        guide=Guide(score, 0.8, particles=16),
    )
    seen = Counter(tuple(design.tolist()) for design in made)

    def off(expected):
        return sum(abs(seen[chain] / 400 - p) for chain, p in expected.items()) / 2

    # 400 perfect draws are off by 0.04 to 0.1.
    assert off(target) < 0.13
    assert off(law) > 0.2


def test_a_reversed_chain_is_scored_the_right_way_round():
    heard = []

    def listen(sequences):
        heard.extend(sequences)
        return [0.0] * len(sequences)

    template = CausalTemplate((CAUSAL.stop_id,), ((4, 9),), reverse=True)
    made = designs(Table(), Causal(), template, 8, tokens=CAUSAL, guide=Guide(listen, particles=2))
    assert {CAUSAL.decode(design.flip(0)) for design in made} <= set(heard)


# --- resampling on the way ---------------------------------------------------------------------


def tryptophans(sequences):
    return [sequence.count("W") for sequence in sequences]


def test_weighing_on_the_way_finds_better_chains_than_choosing_among_finished_ones():
    sampler, guide = Unmask(order="entropy", steps=20), {"weight": 3.0, "particles": 8}

    def mean(every):
        made = designs(
            PositionModel(),
            sampler,
            blank(40),
            64,
            block_size=512,
            guide=Guide(tryptophans, every=every, **guide),
        )
        return sum(tryptophans(map(TOKENS.decode, made))) / 64

    plain = designs(PositionModel(), sampler, blank(40), 64)
    by_chance = sum(tryptophans(map(TOKENS.decode, plain))) / 64
    at_the_end = mean(every=1000)
    # Of 64 means each is off by 0.2 or so.
    assert by_chance + 1 < at_the_end < mean(every=1) - 0.6


SURE = [{"temperature": 0.0}, {"top_p": 1e-6}]


@pytest.mark.parametrize("kind", [Unmask, GermlineWalk])
@pytest.mark.parametrize("shape", SURE, ids=["cold", "narrow"])
def test_completions_are_as_sharp_as_the_sampler(shape, kind):
    heard = set()

    def listen(sequences):
        heard.update(sequences)
        return [0.0] * len(sequences)

    one = torch.tensor([0.5, 0.3, 0.2])
    alone = torch.einsum("i,j,k,l->ijkl", one, one, one, one)  # no residue knows of another
    sampler, guide = kind(steps=4, **shape), Guide(listen, particles=4)
    made = designs(JointModel(alone), sampler, blank(4), 4, guide=guide)
    # So the law of a residue is the same at all steps, and the likeliest is drawn from the first.
    assert heard == {TOKENS.decode(ids) for ids in made} == {LETTERS[0] * 4}


def test_systematic_draws_are_off_by_less_than_one_and_right_on_average():
    weights = torch.tensor([0.5, 0.26, 0.2, 0.04, 0.0], dtype=torch.float64)
    total = torch.zeros(5, dtype=torch.float64)
    for i in range(2000):
        counts = torch.bincount(systematic(weights, seeded(i)), minlength=5)
        assert counts.sum() == 5
        assert ((counts - 5 * weights).abs() < 1).all()
        total += counts
    assert torch.allclose(total / 2000, 5 * weights, atol=0.04)


def test_particles_are_resampled_within_their_design_when_few_of_them_count():
    answers = iter([[0.0, 0.0, 0.0, 0.0, 9.0, -40.0, 0.0, 0.0], [1.0] * 8])
    flock = Flock(Guide(lambda s: next(answers), particles=4), [seeded(0), seeded(1)])
    names = list("abcdefgh")
    flock.weigh(names)
    rows = flock.resample(torch.ones(8, dtype=torch.bool))
    assert rows.tolist() == [0, 1, 2, 3, 4, 4, 4, 4]  # one of four has all the weight
    # All of the second design go on from the score of the one, 9: they lose 8 alike, and stay.
    flock.weigh(names)
    assert flock.resample(torch.ones(8, dtype=torch.bool)).tolist() == list(range(8))
    picked = flock.pick().tolist()
    assert picked[0] in range(4)
    assert picked[1] in range(4, 8)


def test_a_finished_design_is_not_resampled_while_its_block_goes_on():
    flock = Flock(Guide(lambda s: [9.0, 0.0, 0.0, 0.0], particles=4), [seeded(0)])
    flock.weigh(list("abcd"))
    assert flock.resample(torch.zeros(4, dtype=torch.bool)).tolist() == [0, 1, 2, 3]


# --- frozen means frozen -----------------------------------------------------------------------

WITH = [{}, {"contrast": Contrast(3.0, (0, 25, 24))}]


@pytest.mark.parametrize("more", WITH, ids=["alone", "contrast"])
@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_frozen_residues_survive_a_guide(sampler, more):
    templates = {}

    def template(i, rng):
        templates[i] = mixed_for(sampler)(i, rng)
        return templates[i]

    guide = Guide(tryptophans, 2.0, particles=4)
    made = designs(PositionModel(), sampler, template, 12, guide=guide, **more)
    for i, ids in enumerate(made):
        free = templates[i].free
        assert len(ids) == len(free)
        assert ids[~free].equal(templates[i].residue_ids[~free])
        assert TOKENS.allowed[ids].all()


@pytest.mark.parametrize("more", WITH, ids=["alone", "contrast"])
def test_forced_residues_survive_a_guide(more):
    templates = {}

    def template(i, rng):
        templates[i] = various(i, rng)
        return templates[i]

    guide = Guide(tryptophans, 2.0, particles=4)
    made = designs(Table(), Causal(), template, 32, tokens=CAUSAL, guide=guide, **more)
    for i, ids in enumerate(made):
        ((shortest, longest),) = templates[i].spans
        assert shortest <= len(ids) <= longest
        if templates[i].forced is not None:
            kept = templates[i].forced >= 0
            assert ids[kept].equal(templates[i].forced[kept])


# --- same seed, same designs -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sampler", "model", "template", "tokens"),
    [
        (Unmask(steps=6), PositionModel(), mixed_for(Unmask()), TOKENS),
        (Unmask(order="entropy", steps=6), PositionModel(), mixed_for(Unmask()), TOKENS),
        (Unmask(order="planned", steps=6), PositionModel(), mixed_for(Unmask()), TOKENS),
        (Unmask(remask=0.7, steps=6), PositionModel(), mixed_for(Unmask()), TOKENS),
        (GermlineWalk(steps=6), PositionModel(), mixed_for(GermlineWalk()), TOKENS),
        (Causal(), Table(), various, CAUSAL),
    ],
    ids=["ancestral", "entropy", "planned", "remask", "walk", "causal"],
)
def test_a_guided_design_does_not_depend_on_its_block(sampler, model, template, tokens):
    settings = {"tokens": tokens, "seed": 5, "guide": Guide(tryptophans, 2.0, particles=3)}
    one = designs(model, sampler, template, 24, **settings)
    two = designs(model, sampler, template, 24, block_size=1, **settings)
    few = designs(model, sampler, template, 5, **settings)
    assert all(a.equal(b) for a, b in zip(one, two))
    assert all(a.equal(b) for a, b in zip(one, few))


def test_a_guide_leaves_the_global_generator_alone():
    torch.manual_seed(4)
    before = torch.get_rng_state()
    designs(PositionModel(), Unmask(steps=3), blank(20), 8, guide=Guide(tryptophans, 3.0))
    assert torch.get_rng_state().equal(before)


# --- what a guide may answer -------------------------------------------------------------------


def test_equal_sequences_are_asked_for_once_and_any_numbers_will_do():
    heard = []

    def listen(sequences):
        heard.append(list(sequences))
        return torch.arange(len(sequences))

    assert Guide(listen).scores(["AA", "C", "AA"]).tolist() == [0, 1, 0]
    assert heard == [["AA", "C"]]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda s: [1.0], r"<lambda> was given 2 sequences and answered with 1 numbers"),
        (lambda s: [1.0, math.nan], r"<lambda> gives nan to CC"),
        (lambda s: [1.0, math.inf], r"<lambda> gives inf to CC"),
        (lambda s: 1.0, "must answer with a number for each sequence"),
        (lambda s: None, "must answer with a number for each sequence"),
        (lambda s: ["high", "low"], "must answer with a number for each sequence: .*'high'"),
    ],
)
def test_an_answer_that_is_no_score_is_named(answer, message):
    with pytest.raises(SettingError, match=message):
        Guide(answer).scores(["AA", "CC"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weight": -1.0}, "guide_weight must be >= 0"),
        ({"weight": math.inf}, "guide_weight must be >= 0 and finite"),
        ({"particles": 0}, "particles must be >= 1"),
        ({"every": 0}, "every must be >= 1"),
    ],
)
def test_a_setting_out_of_range_is_named(settings, message):
    with pytest.raises(SettingError, match=message):
        Guide(tryptophans, **settings)


def test_a_template_without_free_residues_is_still_its_own_design():
    ids = torch.tensor(TOKENS.residue_ids[:4])
    fixed = Template((0,), ids, torch.zeros(4, dtype=torch.bool))
    made = designs(PositionModel(), Unmask(), fixed, 3, guide=Guide(tryptophans))
    assert all(design.equal(ids) for design in made)
