"""Walking back from masks: the right distribution, frozen residues, an end."""

import math
from dataclasses import asdict, replace
from itertools import islice, pairwise, product

import pytest
import torch
from toys import TOKENS, JointModel, PositionModel, chi_square, seeded

from hfbio.errors import SettingError
from hfbio.sample import GermlineWalk, Template, Unmask, begin, build, draw, generate

# Two of three values at each position, correlated: independent draws are plainly wrong.
JOINT2 = torch.tensor([[0.40, 0.05, 0.02], [0.03, 0.25, 0.05], [0.02, 0.03, 0.15]])
JOINT3 = torch.rand(3, 3, 3, generator=seeded(5)).pow(3)
JOINT3 /= JOINT3.sum()
START = (TOKENS.start_id,)
N_DRAWS = 4000


def blank(n):
    return Template(START, torch.zeros(n, dtype=torch.int64), torch.ones(n, dtype=torch.bool))


def designs(model, sampler, template, n, *, seed=0, block_size=16, watch=None):
    run = generate(model, TOKENS, sampler, template, seed=seed, block_size=block_size, watch=watch)
    return list(islice(run, n))


def counts_of(joint, sampler, n=N_DRAWS):
    """How often each combination of residues was designed, in the shape of ``joint``."""
    model = JointModel(joint)
    made = designs(model, sampler, lambda i, rng: blank(joint.dim()), n, block_size=n)
    index = {token: i for i, token in enumerate(TOKENS.residue_ids)}
    counts = torch.zeros_like(joint)
    for ids in made:
        counts[tuple(index[token] for token in ids.tolist())] += 1
    return counts


def marginals(joint):
    """The product of the marginals: what deciding everything at once draws from."""
    n = joint.dim()
    result = torch.ones_like(joint)
    for axis in range(n):
        others = [other for other in range(n) if other != axis]
        shape = [1] * n
        shape[axis] = -1
        result = result * joint.sum(dim=others).view(shape)
    return result


def summed(joint, axes):
    return joint.sum(dim=axes, keepdim=True) if axes else joint  # torch reads [] as all axes


def ancestral(joint, steps):
    """Exact distribution of the ancestral order: every position has its step, drawn evenly.

    Positions of one step are drawn independently, given those of the steps before.
    """
    total, n = torch.zeros_like(joint), joint.dim()
    for when in product(range(steps), repeat=n):
        p = torch.ones_like(joint)
        for step in set(when):
            now = [axis for axis in range(n) if when[axis] == step]
            later = [axis for axis in range(n) if when[axis] > step]
            for axis in now:
                others = [other for other in now if other != axis]
                p = p * summed(joint, [*others, *later]) / summed(joint, [*now, *later])
        total += p / steps**n
    return total


# --- distribution ------------------------------------------------------------------------------


@pytest.mark.parametrize("joint", [JOINT2, JOINT3], ids=["2", "3"])
def test_one_residue_at_a_time_least_doubt_first_draws_from_the_joint(joint):
    # By the chain rule, whatever the order, if it looks at what is decided alone.
    statistic, bar = chi_square(counts_of(joint, Unmask(order="entropy", steps=8)), joint)
    assert statistic < bar


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("joint", [JOINT2, JOINT3], ids=["2", "3"])
def test_the_ancestral_order_draws_as_the_reverse_process_with_equal_steps(joint, steps):
    counts = counts_of(joint, Unmask(order="ancestral", steps=steps))
    expected = ancestral(joint.double(), steps)
    assert expected.sum().item() == pytest.approx(1)
    statistic, bar = chi_square(counts, expected)
    assert statistic < bar
    off, bar = chi_square(counts, joint)
    assert off > bar  # few steps are not yet the joint, and the test can tell


def test_the_ancestral_order_comes_to_the_joint_with_many_steps():
    counts = counts_of(JOINT2, Unmask(order="ancestral", steps=60), n=1500)
    statistic, bar = chi_square(counts, JOINT2)  # both in one step: 1 in 60
    assert statistic < bar


@pytest.mark.parametrize("order", ["ancestral", "entropy"])
def test_deciding_all_at_once_draws_from_the_marginals_and_not_from_the_joint(order):
    counts = counts_of(JOINT2, Unmask(order=order, steps=1))
    statistic, bar = chi_square(counts, marginals(JOINT2))
    assert statistic < bar
    off, bar = chi_square(counts, JOINT2)
    assert off > bar


def test_temperature_sharpens_each_conditional():
    # Position by position p(x)^2 / sum: of the first decided, then of the second given it.
    counts = counts_of(JOINT2, Unmask(order="entropy", steps=2, temperature=0.5))
    first, second = JOINT2.sum(1), JOINT2.sum(0)
    by_doubt = [-(p * p.log()).sum() for p in (first, second)]
    axis = 0 if by_doubt[0] < by_doubt[1] else 1
    joint = JOINT2 if axis == 0 else JOINT2.T
    lead = joint.sum(1) ** 2
    rest = joint**2
    expected = (lead / lead.sum())[:, None] * rest / rest.sum(1, keepdim=True)
    statistic, bar = chi_square(counts if axis == 0 else counts.T, expected)
    assert statistic < bar


# --- frozen means frozen, and decided means decided --------------------------------------------

SAMPLERS = [
    Unmask(order=order, steps=steps, temperature=temperature, top_p=top_p)
    for order in ("ancestral", "entropy")
    for steps, temperature, top_p in [(1, 1.0, 1.0), (3, 0.0, 1.0), (7, 2.0, 0.5), (60, 1.0, 1.0)]
] + [
    GermlineWalk(steps=1),
    GermlineWalk(steps=7, temperature=0.0, top_p=0.5),
    GermlineWalk(steps=60),
]


def mixed(i, rng):
    """A template of 5 to 40 residues, some of them free, behind one or two prefix tokens."""
    n = int(torch.randint(5, 41, (), generator=rng))
    fixed = torch.tensor(TOKENS.residue_ids)[torch.randint(20, (n,), generator=rng)]
    free = torch.rand(n, generator=rng) < 0.6
    return Template((25,) if i % 2 else (0, 25), fixed.masked_fill(free, TOKENS.pad_id), free)


def mixed_germline(i, rng):
    """The same, two of three with a germline residue at some of their residues."""
    made = mixed(i, rng)
    if i % 3 == 0:
        return made
    n = len(made.residue_ids)
    germline = torch.tensor(TOKENS.residue_ids)[torch.randint(20, (n,), generator=rng)]
    return replace(made, germline=germline.masked_fill(torch.rand(n, generator=rng) < 0.3, -1))


def mixed_for(sampler):
    return mixed_germline if isinstance(sampler, GermlineWalk) else mixed


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_frozen_residues_survive_and_every_open_one_is_decided(sampler):
    templates = {}

    def template(i, rng):
        templates[i] = mixed_for(sampler)(i, rng)
        return templates[i]

    made = designs(PositionModel(), sampler, template, 48)
    for i, ids in enumerate(made):
        free = templates[i].free
        assert len(ids) == len(free)
        assert ids[~free].equal(templates[i].residue_ids[~free])
        assert TOKENS.allowed[ids].all()  # nor mask, pad or any other special token is left


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_watching_shows_a_walk_on_which_what_is_decided_stays(sampler):
    states = []
    designs(PositionModel(), sampler, mixed_for(sampler), 16, watch=states.append)
    assert 1 <= len(states) <= sampler.steps
    assert [state.step for state in states] == list(range(1, len(states) + 1))
    for before, after in pairwise(states):
        assert not (after.open & ~before.open).any()
        assert after.ids[~before.open].equal(before.ids[~before.open])
    for state in states:
        absorbing = state.germline.masked_fill(state.germline < 0, TOKENS.mask_id)
        assert state.ids[state.open].equal(absorbing[state.open])
    assert not states[-1].open.any()


def test_the_entropy_order_decides_equal_shares_surest_first():
    states = []
    template = blank(10)
    designs(
        PositionModel(),
        Unmask(order="entropy", steps=4),
        lambda i, rng: template,
        16,
        watch=states.append,
    )
    n_open = [10, *(state.open[0].sum().item() for state in states)]
    assert n_open == [10, 7, 4, 2, 0]  # ceil of what is left over the steps left
    first = begin([template], [seeded()], TOKENS)
    logits = PositionModel()(first.ids, first.attention_mask).logits[0, 1:11]
    p = logits[:, list(TOKENS.residue_ids)].softmax(-1)
    entropy = -(p * p.log()).sum(-1)
    decided = (~states[0].open[0, 1:11]).nonzero().squeeze(1)
    assert set(decided.tolist()) == set(entropy.argsort()[:3].tolist())


def test_a_template_without_free_residues_is_its_own_design_at_no_cost():
    model = JointModel(JOINT2)
    ids = torch.tensor(TOKENS.residue_ids[:2])
    fixed = Template(START, ids, torch.zeros(2, dtype=torch.bool))
    made = designs(model, Unmask(), lambda i, rng: fixed, 3)
    assert all(design.equal(ids) for design in made)
    assert model.n_calls == 0


@pytest.mark.parametrize("order", ["ancestral", "entropy"])
def test_the_network_runs_at_most_once_a_step(order):
    model = JointModel(JOINT3)
    designs(model, Unmask(order=order, steps=20), lambda i, rng: blank(3), 16)
    assert 1 <= model.n_calls <= (20 if order == "ancestral" else 3)


# --- same seed, same designs -------------------------------------------------------------------


SIX_STEPS = [
    Unmask(order="ancestral", steps=6),
    Unmask(order="entropy", steps=6),
    GermlineWalk(steps=6),
]


@pytest.mark.parametrize("sampler", SIX_STEPS, ids=str)
@pytest.mark.parametrize("block_size", [1, 5, 64])
def test_a_design_does_not_depend_on_its_block(sampler, block_size):
    # Chains of many lengths: a block is padded to its longest, and that must not show. (A real
    # network may round otherwise in another block; this one does not.)
    # Nor must it show whether others of the block have a germline.
    template = mixed_for(sampler)
    one = designs(PositionModel(), sampler, template, 40, seed=3, block_size=16)
    two = designs(PositionModel(), sampler, template, 40, seed=3, block_size=block_size)
    assert all(a.equal(b) for a, b in zip(one, two))


def test_designs_differ_from_each_other_and_between_seeds():
    runs = [
        designs(PositionModel(), Unmask(steps=3), lambda i, rng: blank(30), 20, seed=seed)
        for seed in (0, 1)
    ]
    made = {tuple(ids.tolist()) for run in runs for ids in run}
    assert len(made) == 40


def test_sampling_leaves_the_global_generator_alone():
    torch.manual_seed(4)
    before = torch.get_rng_state()
    designs(PositionModel(), Unmask(steps=3), mixed, 16)
    assert torch.get_rng_state().equal(before)


def test_the_layout_of_a_block_is_prefix_residues_stop_and_padding():
    templates = [mixed_germline(i, seeded(i)) for i in range(6)]
    state = begin(templates, [seeded(i) for i in range(6)], TOKENS)
    for i, template in enumerate(templates):
        front, n = len(template.prefix), len(template.residue_ids)
        row, stop = state.ids[i], front + n
        assert tuple(row[:front].tolist()) == template.prefix
        assert row[stop] == TOKENS.stop_id
        assert (row[stop + 1 :] == TOKENS.pad_id).all()
        assert state.attention_mask[i].sum() == stop + 1
        assert state.open[i].sum() == template.free.sum()
        assert state.open[i, front:stop].equal(template.free)
        shown = row[front:stop]
        assert shown[~template.free].equal(template.residue_ids[~template.free])
        germline = state.germline[i, front:stop]
        assert (template.germline is None) == bool((germline < 0).all())
        assert (state.germline[i, :front] < 0).all()
        assert (state.germline[i, stop:] < 0).all()
    uniform = state.uniform()
    assert ((uniform >= 0) & (uniform < 1)).all()


# --- settings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"order": "left"}, "order must be one of ancestral"),
        ({"steps": 0}, "steps must be"),
        ({"steps": "many"}, "sampler 'unmask'"),
        ({"temperature": -1}, "temperature must be"),
        ({"temperature": math.nan}, "temperature must be"),
        ({"temperature": math.inf}, "temperature must be"),
        ({"top_p": 0}, "top_p must be"),
        ({"stepz": 3}, "no setting 'stepz'; it has: order, remask, steps, temperature, top_p"),
        ({"kind": "germline_walk", "steps": 0}, "steps must be"),
        ({"kind": "germline_walk", "temperature": math.nan}, "temperature must be"),
        ({"kind": "germline_walk", "top_p": 1.1}, "top_p must be"),
        ({"kind": "germline_walk", "order": "entropy"}, "it has: steps, temperature, top_p"),
        ({"remask": 1.5}, "remask must be in"),
        ({"remask": math.nan}, "remask must be in"),
        ({"remask": 0.5, "order": "entropy"}, "remask belongs to the order ancestral"),
        ({"kind": "gibbs", "sweeps": 0}, "sweeps must be"),
        ({"kind": "gibbs", "block": 0}, "block must be"),
        ({"kind": "gibbs", "steps": 3}, "no setting 'steps'; it has: block, sweeps"),
        ({"kind": "gobbs"}, "'gobbs' is not one of: causal, germline_walk, gibbs, unmask"),
    ],
)
def test_a_setting_out_of_range_is_named(settings, message):
    with pytest.raises(SettingError, match=message):
        build(settings)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_settings_survive_a_round_trip(sampler):
    assert build(asdict(sampler)) == sampler


def test_draw_is_what_a_single_step_decides_with():
    # The uniform numbers of a row are drawn in order: those for residues come first.
    state = begin([blank(4)], [seeded(9)], TOKENS)
    logits = PositionModel()(state.ids, state.attention_mask).logits
    after = Unmask(steps=1).step(state, logits, TOKENS)
    uniform = torch.rand(6, generator=seeded(9))
    expected = draw(logits[0], uniform, allowed=TOKENS.allowed)[1:5]
    assert after.ids[0, 1:5].equal(expected)
