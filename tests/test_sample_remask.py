"""Taking back what was decided: remasking and path planning, against exact enumeration."""

from itertools import pairwise, product

import pytest
import torch
from test_sample_unmask import JOINT2, JOINT3, ancestral, blank, counts_of, designs, mixed
from toys import TOKENS, JointModel, PositionModel, chi_square

from hfbio.sample import Unmask


class LooksBack(JointModel):
    """Answers at a residue it can see too: with its probability given all the others."""

    def __init__(self, joint):
        super().__init__(joint)
        plain = self._table.clone()
        for pattern in product(range(self.k + 1), repeat=self.n):
            for axis in range(self.n):
                hidden = (*pattern[:axis], self.k, *pattern[axis + 1 :])
                self._table[pattern][axis] = plain[hidden][axis]


def walk(joint, steps, step):
    """Exact distribution after some steps; ``step(i, pattern)`` yields (pattern, chance)."""
    k, n = joint.shape[0], joint.dim()
    reached = {(k,) * n: 1.0}
    for i in range(steps):
        after = {}
        for pattern, before in reached.items():
            for new, chance in step(i, pattern):
                if chance:
                    after[new] = after.get(new, 0.0) + before * chance
        reached = after
    total = torch.zeros(joint.shape, dtype=torch.float64)
    for pattern, chance in reached.items():
        total[pattern] += chance
    return total


def remasked(joint, steps, eta):
    """Every position on its own: a residue stays or is hidden, a mask stays or is drawn."""
    table, k = JointModel(joint)._table, joint.shape[0]

    def step(i, pattern):
        now, then = i / steps, (i + 1) / steps
        sigma = eta * min(1.0, (1 - then) / now) if i else 0.0
        decide = (then - (1 - sigma) * now) / (1 - now)
        moves = []
        for axis, value in enumerate(pattern):
            if value < k:
                moves.append([(value, 1 - sigma), (k, sigma)])
            else:
                p = table[pattern][axis].tolist()
                moves.append([(k, 1 - decide), *((x, decide * p[x]) for x in range(k))])
        for choice in product(*moves):
            chance = 1.0
            for _, p in choice:
                chance *= p
            yield tuple(value for value, _ in choice), chance

    return walk(joint, steps, step)


def planned(joint, steps):
    """Draw at every mask, rank all residues by their probability, hide the least likely."""
    model = LooksBack(joint)
    table, k, n = model._table, model.k, model.n

    def step(i, pattern):
        masks = [axis for axis in range(n) if pattern[axis] == k]
        n_hidden = n * (steps - i - 1) // steps
        for drawn in product(range(k), repeat=len(masks)):
            full, chance = list(pattern), 1.0
            for axis, value in zip(masks, drawn):
                full[axis] = value
                chance *= table[pattern][axis][value].item()
            doubt = sorted(range(n), key=lambda axis: table[pattern][axis][full[axis]].item())
            for axis in doubt[:n_hidden]:
                full[axis] = k
            yield tuple(full), chance

    return walk(joint, steps, step)


def counts_looking_back(joint, sampler, n=4000):
    model = LooksBack(joint)
    made = designs(model, sampler, lambda i, rng: blank(joint.dim()), n, block_size=n)
    counts = torch.zeros_like(joint)
    for ids in made:
        counts[tuple(TOKENS.residue_ids.index(token) for token in ids.tolist())] += 1
    return counts


@pytest.mark.parametrize(("steps", "eta"), [(1, 1.0), (2, 0.5), (3, 1.0), (5, 0.3), (6, 1.0)])
@pytest.mark.parametrize("joint", [JOINT2, JOINT3], ids=["2", "3"])
def test_remasking_draws_as_its_reverse_process_with_equal_steps(joint, steps, eta):
    expected = remasked(joint, steps, eta)
    assert expected.sum().item() == pytest.approx(1)
    statistic, bar = chi_square(counts_of(joint, Unmask(steps=steps, remask=eta)), expected)
    assert statistic < bar


def distance(one, other):
    """Total variation, in [0, 1]."""
    return (one - other).abs().sum().item() / 2


def test_remasking_comes_to_the_joint_with_many_steps_though_later_than_deciding_once():
    # With exact conditionals there is no error to mend, and more is decided at a time.
    for steps in (2, 4, 8):
        plain = remasked(JOINT2, steps, 0.0)
        assert plain.allclose(ancestral(JOINT2.double(), steps), atol=1e-7)
    far = [distance(remasked(JOINT2, steps, 1.0), JOINT2) for steps in (8, 32, 128)]
    assert far[0] == pytest.approx(0.105, abs=0.001)  # deciding once: 0.054
    assert far[1] < far[0] / 2
    assert far[2] < far[1] / 2
    off, bar = chi_square(counts_of(JOINT2, Unmask(steps=4, remask=1.0)), remasked(JOINT2, 4, 0.0))
    assert off > bar  # the tests above can tell whether anything is masked again


def test_remasking_leaves_the_share_of_masks_at_every_step_as_it_was():
    states = []
    n, steps = 400, 5
    designs(
        PositionModel(n + 2),
        Unmask(steps=steps, remask=0.7),
        lambda i, rng: blank(n),
        16,
        watch=states.append,
    )
    again = 0
    for k, state in enumerate(states, start=1):
        share = state.open.sum().item() / (16 * n)
        spread = (share * (1 - share) / (16 * n)) ** 0.5
        assert share == pytest.approx(1 - k / steps, abs=max(5 * spread, 1e-9))
        if k > 1:
            again += int((state.open & ~states[k - 2].open).sum())
    assert len(states) == steps
    assert again > 16 * n / 10  # and residues do go back


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
@pytest.mark.parametrize("joint", [JOINT2, JOINT3], ids=["2", "3"])
def test_path_planning_draws_as_enumerated(joint, steps):
    expected = planned(joint, steps)
    assert expected.sum().item() == pytest.approx(1)
    counts = counts_looking_back(joint, Unmask(order="planned", steps=steps))
    statistic, bar = chi_square(counts, expected)
    assert statistic < bar


def test_path_planning_masks_again_what_looks_unlikely_and_ends_with_nothing_open():
    states = []
    sampler = Unmask(order="planned", steps=6)
    designs(PositionModel(), sampler, lambda i, rng: blank(30), 16, watch=states.append)
    assert [int(state.open[0].sum()) for state in states] == [25, 20, 15, 10, 5, 0]
    again = sum(int((b.open & ~a.open).sum()) for a, b in pairwise(states))
    assert again > 50  # of 16 x 30 residues; an order that decides for good has 0


LOOKING_BACK = [
    Unmask(steps=steps, remask=eta) for steps in (1, 2, 7, 60) for eta in (0.1, 1.0)
] + [Unmask(order="planned", steps=steps, top_p=0.8) for steps in (1, 2, 7, 60)]


@pytest.mark.parametrize("sampler", LOOKING_BACK, ids=str)
def test_frozen_residues_survive_and_nothing_is_open_at_the_end(sampler):
    templates, states = {}, []

    def template(i, rng):
        templates[i] = mixed(i, rng)
        return templates[i]

    made = designs(PositionModel(), sampler, template, 32, watch=states.append)
    for i, ids in enumerate(made):
        free = templates[i].free
        assert ids[~free].equal(templates[i].residue_ids[~free])
        assert TOKENS.allowed[ids].all()
    for state in states:
        assert not (state.open & ~state.free).any()
        assert (state.ids[state.open] == TOKENS.mask_id).all()


@pytest.mark.parametrize("sampler", [LOOKING_BACK[5], LOOKING_BACK[-2]], ids=str)
def test_a_design_does_not_depend_on_its_block(sampler):
    one = designs(PositionModel(), sampler, mixed, 40, seed=3, block_size=16)
    two = designs(PositionModel(), sampler, mixed, 40, seed=3, block_size=5)
    assert all(a.equal(b) for a, b in zip(one, two))
