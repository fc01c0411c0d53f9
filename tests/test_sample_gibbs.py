"""Gibbs sampling: the exact distribution after some sweeps, frozen residues, a start."""

from dataclasses import asdict, replace
from itertools import permutations, product

import pytest
import torch
from test_sample_unmask import JOINT2, JOINT3, blank, designs, mixed
from toys import TOKENS, JointModel, PositionModel, chi_square

from hfbio.errors import SettingError
from hfbio.sample import Gibbs, build

N_DRAWS = 4000


def swept(joint, sweeps, block=1, temperature=1.0):
    """Exact distribution after some sweeps from the first residue everywhere."""
    table, k, n = JointModel(joint)._table, joint.shape[0], joint.dim()
    reached = {(0,) * n: 1.0}
    for _ in range(sweeps):
        after = {}
        orders = list(permutations(range(n)))
        for order in orders:
            now = reached
            for first in range(0, n, block):
                now = redrawn(table, k, now, order[first : first + block], temperature)
            for pattern, chance in now.items():
                after[pattern] = after.get(pattern, 0.0) + chance / len(orders)
        reached = after
    total = torch.zeros(joint.shape, dtype=torch.float64)
    for pattern, chance in reached.items():
        total[pattern] += chance
    return total


def redrawn(table, k, reached, axes, temperature):
    after = {}
    for pattern, before in reached.items():
        hidden = tuple(k if axis in axes else value for axis, value in enumerate(pattern))
        rows = [table[hidden][axis] ** (1 / temperature) for axis in axes]
        for drawn in product(range(k), repeat=len(axes)):
            new, chance = list(hidden), before
            for axis, row, value in zip(axes, rows, drawn):
                new[axis] = value
                chance *= (row[value] / row.sum()).item()
            after[tuple(new)] = after.get(tuple(new), 0.0) + chance
    return after


def started(n):
    return replace(blank(n), start=torch.full((n,), TOKENS.residue_ids[0]))


def counts_of(joint, sampler):
    n = joint.dim()
    made = designs(
        JointModel(joint), sampler, lambda i, rng: started(n), N_DRAWS, block_size=N_DRAWS
    )
    counts = torch.zeros_like(joint)
    for ids in made:
        counts[tuple(TOKENS.residue_ids.index(token) for token in ids.tolist())] += 1
    return counts


@pytest.mark.parametrize(
    "sampler",
    [
        Gibbs(sweeps=1),
        Gibbs(sweeps=2),
        Gibbs(sweeps=3),
        Gibbs(sweeps=1, block=2),
        Gibbs(sweeps=2, block=3),
        Gibbs(sweeps=2, temperature=0.5),
    ],
    ids=str,
)
@pytest.mark.parametrize("joint", [JOINT2, JOINT3], ids=["2", "3"])
def test_some_sweeps_draw_as_the_transition_matrix_says(joint, sampler):
    expected = swept(joint, sampler.sweeps, sampler.block, sampler.temperature)
    assert expected.sum().item() == pytest.approx(1)
    statistic, bar = chi_square(counts_of(joint, sampler), expected)
    assert statistic < bar


def test_many_sweeps_draw_from_the_joint_and_one_does_not():
    assert swept(JOINT2, 20).allclose(JOINT2.double(), atol=1e-3)
    statistic, bar = chi_square(counts_of(JOINT2, Gibbs(sweeps=20)), JOINT2)
    assert statistic < bar
    off, bar = chi_square(counts_of(JOINT2, Gibbs(sweeps=1)), JOINT2)
    assert off > bar


def mixed_started(i, rng):
    made = mixed(i, rng)
    ids = torch.tensor(TOKENS.residue_ids)
    return replace(made, start=ids[torch.randint(20, made.free.shape, generator=rng)])


@pytest.mark.parametrize("sampler", [Gibbs(sweeps=1), Gibbs(sweeps=3, block=4)], ids=str)
def test_frozen_residues_survive_and_every_free_one_is_redrawn_once_a_sweep(sampler):
    templates, states = {}, []

    def template(i, rng):
        templates[i] = mixed_started(i, rng)
        return templates[i]

    model = PositionModel()
    made = designs(model, sampler, template, 16, watch=states.append)
    for i, ids in enumerate(made):
        free = templates[i].free
        assert ids[~free].equal(templates[i].residue_ids[~free])
        assert TOKENS.allowed[ids].all()
        # Hidden when the walk began, or at a step of it.
        front = len(templates[i].prefix)
        n_hidden = sum(state.open[i].long() for state in states)[front : front + len(free)]
        assert (n_hidden[~free] == 0).all()
        first = min(sampler.block, int(free.sum()))
        assert int(n_hidden.sum()) + first == sampler.sweeps * int(free.sum())
        assert (n_hidden[free] >= sampler.sweeps - 1).all()
        assert (n_hidden[free] <= sampler.sweeps).all()
    longest = max(int(t.free.sum()) for t in templates.values())
    assert len(states) == sampler.passes(longest)


@pytest.mark.parametrize("block_size", [1, 5, 64])
def test_a_design_does_not_depend_on_its_block(block_size):
    sampler = Gibbs(sweeps=2, block=3)
    one = designs(PositionModel(), sampler, mixed_started, 40, seed=3, block_size=16)
    two = designs(PositionModel(), sampler, mixed_started, 40, seed=3, block_size=block_size)
    assert all(a.equal(b) for a, b in zip(one, two))


def test_a_blank_is_no_start_and_a_chain_without_free_residues_needs_none():
    with pytest.raises(SettingError, match=r"starts with blanks; .* or use the sampler unmask"):
        designs(PositionModel(), Gibbs(), lambda i, rng: blank(4), 1)
    partial = replace(started(4), start=torch.tensor([*TOKENS.residue_ids[:3], TOKENS.mask_id]))
    with pytest.raises(SettingError, match="starts with blanks"):
        designs(PositionModel(), Gibbs(), lambda i, rng: partial, 1)
    frozen = replace(
        blank(3), residue_ids=torch.tensor(TOKENS.residue_ids[:3]), free=torch.zeros(3).bool()
    )
    (made,) = designs(PositionModel(), Gibbs(), lambda i, rng: frozen, 1)
    assert made.equal(frozen.residue_ids)


def test_settings_survive_a_round_trip():
    sampler = Gibbs(sweeps=3, block=2, temperature=0.5, top_p=0.9)
    assert build(asdict(sampler)) == sampler
