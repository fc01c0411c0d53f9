"""Writing token by token: the model's own distribution, lengths, gaps, what must stay."""

from collections import Counter
from dataclasses import asdict
from itertools import islice, pairwise

import pytest
import torch
from causal_toys import CAUSAL, Recompute, Table, tiny_llama
from toys import chi_square, seeded

from hfbio.errors import SettingError
from hfbio.sample import Causal, CausalTemplate, build, generate
from hfbio.sample.contrast import Contrast
from hfbio.sample.network import reader

START = (CAUSAL.start_id,)
TAGGED = (CAUSAL.start_id, 25)
SEP, STOP, MASK = CAUSAL.sep_id, CAUSAL.stop_id, CAUSAL.mask_id


class Only:
    """Rules that leave the first few residues of the alphabet."""

    def __init__(self, n):
        self.n = n

    def allowed(self, residues, at):
        return torch.arange(20) < self.n


class NoTwins:
    """Rules that forbid a residue next to an equal one."""

    def allowed(self, residues, at):
        fine = torch.ones(20, dtype=torch.bool)
        for neighbour in (*residues[max(at - 1, 0) : at], *residues[at + 1 : at + 2]):
            if neighbour >= 0:
                fine[neighbour] = False
        return fine


def ids(letters):
    return CAUSAL.encode(letters)


def designs(model, sampler, template, n, *, seed=0, block_size=16, **settings):
    template = template if callable(template) else (lambda i, rng, fixed=template: fixed)
    run = generate(model, CAUSAL, sampler, template, seed=seed, block_size=block_size, **settings)
    return list(islice(run, n))


@torch.no_grad()
def exact(model, template, sampler, residues):
    """Every chain of one span with its probability, by whole passes and the chain rule."""
    found = {}
    ((shortest, longest),) = template.spans
    end = CAUSAL.start_id if template.reverse else STOP

    def go_on(written, p):
        if written and written[-1] == end:
            found[tuple(written[:-1])] = p
            return
        n = len(written)
        forced = -1 if template.forced is None or n == longest else int(template.forced[n])
        options = [] if n == longest else [forced] if forced >= 0 else list(residues)
        options += [end] if n >= shortest else []
        logits = model(input_ids=torch.tensor([[*template.prefix, *written]])).logits[0, -1]
        share = (logits[options].double() / sampler.temperature).softmax(0)
        order = share.argsort(descending=True)
        before = share[order].cumsum(0) - share[order]
        share[order[before >= sampler.top_p]] = 0
        share = share / share.sum()
        for option, part in zip(options, share.tolist()):
            if part:
                go_on([*written, option], p * part)

    go_on([], 1.0)
    return found


def compared(made, expected):
    """Chi-square of designs against exact probabilities; cells under 5 expected are one."""
    counts = Counter(tuple(design.tolist()) for design in made)
    assert set(counts) <= set(expected), "something was written that cannot be"
    common = [chain for chain, p in expected.items() if p * len(made) >= 5]
    rest = [chain for chain in expected if chain not in set(common)]
    seen = [counts[chain] for chain in common] + [sum(counts[chain] for chain in rest)]
    wanted = [expected[chain] for chain in common] + [sum(expected[chain] for chain in rest)]
    return chi_square(torch.tensor(seen), torch.tensor(wanted))


# --- distribution ------------------------------------------------------------------------------

SAMPLERS = [
    Causal(),
    Causal(top_p=0.7),
    Causal(temperature=0.5),
    Causal(temperature=2.0, top_p=0.8),
]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_chains_come_with_the_probabilities_of_the_chain_rule(sampler):
    model = tiny_llama()
    template = CausalTemplate(TAGGED, ((1, 3),))
    made = designs(model, sampler, template, 4000, block_size=4000, rules=Only(4))
    expected = exact(model, template, sampler, CAUSAL.residue_ids[:4])
    assert sum(expected.values()) == pytest.approx(1)
    statistic, bar = compared(made, expected)
    assert statistic < bar
    if sampler != Causal():  # and the test can tell them apart
        off, bar = compared_anyhow(made, exact(model, template, Causal(), CAUSAL.residue_ids[:4]))
        assert off > bar


def compared_anyhow(made, expected):
    counts = Counter(tuple(design.tolist()) for design in made)
    keys = sorted(expected)
    return chi_square(
        torch.tensor([counts[key] for key in keys]), torch.tensor([expected[key] for key in keys])
    )


def test_without_rules_all_residues_and_the_end_are_drawn_as_the_model_has_them():
    model = tiny_llama()
    template = CausalTemplate(START, ((1, 2),))
    made = designs(model, Causal(), template, 4000, block_size=4000)
    statistic, bar = compared(made, exact(model, template, Causal(), CAUSAL.residue_ids))
    assert statistic < bar
    assert {len(design) for design in made} == {1, 2}


def test_a_reversed_chain_ends_with_the_start_token_and_is_turned_back():
    model = tiny_llama()
    template = CausalTemplate((STOP, 25), ((1, 3),), reverse=True)
    made = designs(model, Causal(), template, 4000, block_size=4000, rules=Only(3))
    statistic, bar = compared(made, exact(model, template, Causal(), CAUSAL.residue_ids[:3]))
    assert statistic < bar
    long = next(design for design in made if design.tolist() != design.tolist()[::-1])
    assert template.chain(long, CAUSAL).tolist() == long.tolist()[::-1]


def test_forced_residues_condition_what_is_written_after_them():
    model = tiny_llama()
    forced = torch.tensor([CAUSAL.residue_ids[2], -1, -1])
    template = CausalTemplate(START, ((3, 3),), forced=forced)
    made = designs(model, Causal(), template, 2000, block_size=2000, rules=Only(4))
    statistic, bar = compared(made, exact(model, template, Causal(), CAUSAL.residue_ids[:4]))
    assert statistic < bar


# --- cache -------------------------------------------------------------------------------------

CONTRASTS = [None, Contrast(1.7, (CAUSAL.start_id, 25, 24)), Contrast(0.4, START)]
GAPS = CausalTemplate(TAGGED, ((1, 6), (2, 3)), body=(*ids("AC").tolist(), MASK, 5, MASK, SEP))


@pytest.mark.parametrize("contrast", CONTRASTS, ids=["own", "longer", "shorter"])
@pytest.mark.parametrize("template", [CausalTemplate(TAGGED, ((5, 20),)), GAPS])
def test_the_cache_says_what_whole_passes_say(template, contrast):
    model = tiny_llama()
    runs = [
        designs(net, Causal(), template, 32, contrast=contrast) for net in (model, Recompute(model))
    ]
    assert all(one.equal(two) for one, two in zip(*runs))
    # And the numbers are the same, not only what is drawn with them.
    state = Causal().begin([template] * 3, [seeded(i) for i in range(3)], CAUSAL)
    both = [
        reader(m, CAUSAL, [template] * 3, causal=True, contrast=contrast)
        for m in (model, Recompute(model))
    ]
    for _ in range(5):
        one, two = both[0](state), both[1](state)
        assert (one - two).abs().max() < 1e-3
        state = Causal().step(state, one, CAUSAL)


def test_the_model_reads_the_prompt_once_and_then_one_token_a_step():
    model = Table()
    designs(model, Causal(), CausalTemplate(TAGGED, ((7, 7),)), 4)
    assert model.fed == [2] + [1] * 7


# --- same seed, same designs -------------------------------------------------------------------


def various(i, rng):
    """Prompts of one length, spans of many."""
    low = 1 + int(torch.randint(9, (), generator=rng))
    if i % 3 == 0:
        return CausalTemplate(TAGGED, ((low, low + 8),))
    if i % 3 == 1:
        letters = torch.tensor(CAUSAL.residue_ids)[torch.randint(20, (low,), generator=rng)]
        forced = letters.masked_fill(torch.rand(low, generator=rng) < 0.5, -1)
        return CausalTemplate(TAGGED, ((low, low),), forced=forced)
    return CausalTemplate((STOP, 25), ((low, low + 20),), reverse=True)


@pytest.mark.parametrize("block_size", [1, 5, 64])
def test_a_design_does_not_depend_on_its_block_nor_on_how_many_are_asked_for(block_size):
    one = designs(Table(), Causal(), various, 40, seed=3)
    two = designs(Table(), Causal(), various, 40, seed=3, block_size=block_size)
    few = designs(Table(), Causal(), various, 8, seed=3)
    assert all(a.equal(b) for a, b in zip(one, two))
    assert all(a.equal(b) for a, b in zip(one, few))
    other = designs(Table(), Causal(), various, 40, seed=4)
    assert sum(a.equal(b) for a, b in zip(one, other)) < 5  # a forced residue or two alone


def test_a_real_model_writes_the_same_first_designs_however_many_are_asked_for():
    template = CausalTemplate(START, ((10, 30),))
    few, many = (designs(tiny_llama(), Causal(), template, n) for n in (8, 64))
    assert all(a.equal(b) for a, b in zip(few, many))
    assert len({tuple(design.tolist()) for design in many}) == 64


def test_sampling_leaves_the_global_generator_alone():
    torch.manual_seed(4)
    before = torch.get_rng_state()
    designs(Table(), Causal(), various, 16)
    assert torch.get_rng_state().equal(before)


# --- lengths, forced residues, gaps ------------------------------------------------------------


@pytest.mark.parametrize("sampler", [*SAMPLERS, Causal(temperature=0.0)], ids=str)
def test_lengths_are_kept_and_forced_residues_survive(sampler):
    templates = {}

    def template(i, rng):
        templates[i] = various(i, rng)
        return templates[i]

    for i, design in enumerate(designs(Table(), sampler, template, 48)):
        ((shortest, longest),) = templates[i].spans
        assert shortest <= len(design) <= longest
        assert CAUSAL.allowed[design].all()
        forced = templates[i].forced
        if forced is not None:
            assert design[forced >= 0].equal(forced[forced >= 0])


def test_a_chain_ends_where_the_model_ends_it_within_its_lengths():
    lengths = Counter(
        len(design) for design in designs(Table(), Causal(), CausalTemplate(START, ((2, 9),)), 400)
    )
    assert set(lengths) == set(range(2, 10))


def test_gaps_are_filled_one_after_another_and_the_chain_put_together():
    made = designs(Table(), Causal(), GAPS, 64)
    lengths = set()
    for design in made:
        written = design.tolist()
        assert written.count(SEP) == 1
        at = written.index(SEP)
        first, second = written[:at], written[at + 1 :]
        assert 1 <= len(first) <= 6
        assert 2 <= len(second) <= 3
        lengths.add((len(first), len(second)))
        whole = GAPS.chain(design, CAUSAL).tolist()
        assert whole == [*ids("AC").tolist(), *first, 5, *second]
    assert len(lengths) > 4


def test_a_gap_may_be_left_empty_if_its_shortest_length_says_so():
    template = CausalTemplate(START, ((0, 2),), body=(*ids("A").tolist(), MASK, SEP))
    made = designs(Table(), Causal(temperature=4.0), template, 256)
    assert {len(design) for design in made} == {0, 1, 2}
    empty = next(design for design in made if not len(design))
    assert template.chain(empty, CAUSAL).tolist() == ids("A").tolist()


# --- rules -------------------------------------------------------------------------------------

A, C = ids("AC").tolist()
FIXED = CausalTemplate(TAGGED, ((4, 4), (3, 3)), body=(A, MASK, C, C, MASK, A, SEP))
RULED = [
    CausalTemplate(TAGGED, ((12, 12),)),
    CausalTemplate((STOP, 25), ((12, 12),), reverse=True),
    CausalTemplate(TAGGED, ((6, 6),), forced=torch.tensor([-1, A, -1, C, -1, -1])),
    CausalTemplate((STOP,), ((6, 6),), forced=torch.tensor([-1, A, -1, C, -1, -1]), reverse=True),
    FIXED,
]


@pytest.mark.parametrize("template", RULED, ids=["free", "reverse", "forced", "both", "gaps"])
def test_rules_are_asked_with_what_stands_on_both_sides(template):
    # One residue in 20 equals its neighbour by chance: 64 chains without rules have dozens.
    def twins(**settings):
        made = designs(Table(), Causal(temperature=3.0), template, 64, **settings)
        chains = [template.chain(design, CAUSAL).tolist() for design in made]
        return sum(a == b for chain in chains for a, b in pairwise(chain))

    stands = 64 if template is FIXED else 0  # CC is the user's own
    assert twins(rules=NoTwins()) == stands
    assert twins() > stands


def test_where_rules_leave_nothing_the_residue_is_drawn_as_without_them():
    template = CausalTemplate(START, ((5, 5),))
    one = designs(Table(), Causal(), template, 8)
    two = designs(Table(), Causal(), template, 8, rules=Only(0))
    assert all(a.equal(b) for a, b in zip(one, two))


def test_the_chain_around_a_residue_is_told_as_far_as_it_is_known():
    assert FIXED.around([7, 8], CAUSAL) == ([A, 7, 8, -1, -1, C, C, -1, -1, -1, A], 3)
    assert FIXED.around([7, 8, 9, 6, SEP], CAUSAL) == ([A, 7, 8, 9, 6, C, C, -1, -1, -1, A], 7)
    open_end = CausalTemplate(TAGGED, ((1, 9),), body=(A, MASK, C, SEP))
    assert open_end.around([7, 8], CAUSAL) == ([A, 7, 8, -1, -1, C], 3)
    assert RULED[3].around([7], CAUSAL) == ([-1, -1, C, -1, -1, 7], 4)


# --- settings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -1}, "temperature must be"),
        ({"top_p": 0}, "top_p must be"),
        ({"steps": 3}, "no setting 'steps'; it has: temperature, top_p"),
    ],
)
def test_a_setting_out_of_range_is_named(settings, message):
    with pytest.raises(SettingError, match=message):
        build({"kind": "causal", **settings})


def test_settings_survive_a_round_trip():
    sampler = Causal(temperature=0.7, top_p=0.9)
    assert build(asdict(sampler)) == sampler
    assert asdict(sampler) == {"kind": "causal", "temperature": 0.7, "top_p": 0.9}


@pytest.mark.parametrize(
    "settings",
    [
        {"spans": ()},
        {"spans": ((2, 1),)},
        {"spans": ((1, 2), (1, 2))},
        {"spans": ((1, 2),), "forced": torch.tensor([4])},
        {"spans": ((1, 1),), "body": (4, MASK, SEP), "reverse": True},
    ],
)
def test_a_template_that_contradicts_itself_cannot_be_made(settings):
    with pytest.raises(ValueError, match=r"span|gaps"):
        CausalTemplate(START, **settings)


def test_prompts_of_two_lengths_are_refused():
    with pytest.raises(ValueError, match="of one length"):
        designs(Table(), Causal(), lambda i, rng: CausalTemplate((0,) * (1 + i % 2), ((1, 2),)), 2)
