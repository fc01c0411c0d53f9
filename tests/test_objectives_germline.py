"""Diffusion back to the germline: what is absorbed, and weights that keep its bound exact."""

from itertools import combinations, permutations

import pytest
import torch
from antibodies import HEAVY
from toys import TOKENS, numbered, seeded

from hfbio.data.encode import IGNORE, Example, encode
from hfbio.objectives import Diffusion, GermlineDiffusion
from hfbio.rng import generator

N = len(HEAVY)
GERMLINE = "".join(  # without one at the junction, mutated at every tenth residue
    "-" if 96 <= i < 110 else "W" if i % 10 == 3 else letter for i, letter in enumerate(HEAVY)
)
START = (TOKENS.start_id,)
EXAMPLE = encode(numbered(HEAVY, germline_alignment_aa=GERMLINE), TOKENS, START)
IS_GERMLINE = EXAMPLE.germline_ids == EXAMPLE.input_ids


def chain(residue_ids, germline_ids):
    """An example of these residues, all in the first region."""
    n = len(residue_ids)
    ids = torch.cat([torch.tensor([0]), residue_ids, torch.tensor([2])])
    region_ids, germline = torch.full((2, n + 2), -1)
    region_ids[1:-1] = 0
    germline[1:-1] = germline_ids
    return Example(ids, region_ids, germline)


# --- what is absorbed --------------------------------------------------------------------------


def test_germline_absorbs_into_the_germline_residue_and_into_the_mask_where_there_is_none():
    made = [GermlineDiffusion().corrupt(EXAMPLE, TOKENS, generator(i)) for i in range(500)]
    shown, weights = (
        torch.stack([getattr(m, name) for m in made]) for name in ("input_ids", "weights")
    )
    scored = torch.stack([m.labels for m in made]) != IGNORE
    truth = EXAMPLE.input_ids.expand_as(shown)
    absorbing = EXAMPLE.germline_ids.masked_fill(EXAMPLE.germline_ids < 0, TOKENS.mask_id)
    at = EXAMPLE.residues
    state = (shown == absorbing)[:, at]
    # What shows its absorbing state is scored, all of it, and nothing else.
    assert scored[:, at].equal(state)
    assert shown[:, at][~state].equal(truth[:, at][~state])
    # Weights: 1 where the truth is the germline, 1/t elsewhere, one t a chain.
    assert (weights[:, IS_GERMLINE] == 1).all()
    other = weights[:, at][:, ~IS_GERMLINE[at]]
    assert (other == other[:, :1]).all()
    t = 1 / other[:, 0].double()
    n_absorbed = (scored & ~IS_GERMLINE).sum(dim=1)
    n_other = int((~IS_GERMLINE[at]).sum())
    surprise = ((n_absorbed - n_other * t) / (n_other * t * (1 - t)).sqrt())[t < 0.95]
    assert abs(surprise.mean().item()) < 5 / len(surprise) ** 0.5
    assert surprise.var().item() == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize("seed", range(20))
def test_a_chain_without_germline_is_corrupted_exactly_as_by_diffusion(seed):
    example = encode(numbered(HEAVY), TOKENS, START)
    plain, germline = (
        objective.corrupt(example, TOKENS, seeded(seed))
        for objective in (Diffusion(), GermlineDiffusion())
    )
    assert all(a.equal(b) for a, b in zip(*map(tensors, (plain, germline))))


def tensors(made):
    return made.input_ids, made.labels, made.weights, torch.tensor(made.denominator)


def test_germline_at_its_end_shows_the_germline_alone_and_weighs_all_alike():
    made = GermlineDiffusion(min_t=1 - 1e-9).corrupt(EXAMPLE, TOKENS, seeded())
    at = EXAMPLE.residues
    masked = EXAMPLE.germline_ids[at] < 0
    assert made.input_ids[at][~masked].equal(EXAMPLE.germline_ids[at][~masked])
    assert (made.input_ids[at][masked] == TOKENS.mask_id).all()
    assert made.labels[at].equal(EXAMPLE.input_ids[at])
    assert made.weights[at].tolist() == pytest.approx([1.0] * N)


# --- its bound ---------------------------------------------------------------------------------

# Five residues of four kinds: two mutated, two as their germline, one without a germline.
TRUTH = torch.tensor(TOKENS.residue_ids)[torch.tensor([0, 1, 2, 3, 1])]
ANCESTOR = torch.tensor(TOKENS.residue_ids)[torch.tensor([0, 2, 2, 0, 0])]
ANCESTOR[4] = -1


def cost(shown):
    """``(5,)`` nats that a network asks for the truth at each residue, seeing ``shown`` alone."""
    seed = int((shown * 31 ** torch.arange(5)).sum())
    return 3 * torch.rand(5, generator=generator(seed), dtype=torch.float64)


def absorbed(which):
    state = torch.where(ANCESTOR >= 0, ANCESTOR, TOKENS.mask_id)
    return torch.where(torch.tensor([i in which for i in range(5)]), state, TRUTH)


def bound(min_t, n_points=400):
    """E_t E_absorbed[1/t sum over the absorbed], by summing over all sets and a grid of t."""
    t = min_t + (1 - min_t) * (torch.arange(n_points, dtype=torch.float64) + 0.5) / n_points
    total = 0.0
    for size in range(1, 6):
        for which in combinations(range(5), size):
            nats = cost(absorbed(which))[list(which)].sum().item()
            total += nats * (t ** (size - 1) * (1 - t) ** (5 - size)).mean().item()
    return total / 5


def test_the_bound_is_the_mean_over_all_orders_of_what_the_walk_costs():
    # Closed form at min_t = 0: positions are decided one after another in random order, each seen
    # from those decided and the absorbing states of the others.
    total = 0.0
    for order in permutations(range(5)):
        total += sum(cost(absorbed(order[k:]))[order[k]].item() for k in range(5))
    assert bound(0.0) == pytest.approx(total / 120 / 5, rel=1e-4)


@pytest.mark.parametrize("min_t", [0.02, 0.5])
def test_the_germline_loss_estimates_its_bound_without_bias(min_t):
    example, objective = chain(TRUTH, ANCESTOR), GermlineDiffusion(min_t=min_t)
    losses, flat = torch.zeros(2, 6000, dtype=torch.float64)
    for i in range(6000):
        made = objective.corrupt(example, TOKENS, generator(11, i))
        scored = (made.labels != IGNORE)[1:6]
        nats = cost(made.input_ids[1:6])[scored]
        losses[i] = (nats * made.weights[1:6][scored]).sum() / made.denominator
        flat[i] = (nats * made.weights.max()).sum() / made.denominator  # 1/t for all
    error = losses.std().item() / 6000**0.5
    assert losses.mean().item() == pytest.approx(bound(min_t), abs=4 * error)
    assert flat.mean().item() > bound(min_t) + 8 * error  # one weight for all would be seen


def test_at_the_end_the_germline_loss_is_its_bound_with_nothing_left_to_chance():
    example, objective = chain(TRUTH, ANCESTOR), GermlineDiffusion(min_t=1 - 1e-9)
    made = objective.corrupt(example, TOKENS, seeded())
    assert made.weights[1:6].tolist() == pytest.approx([1.0] * 5)
    nats = (cost(made.input_ids[1:6]) * made.weights[1:6]).sum().item() / made.denominator
    assert nats == pytest.approx(bound(1 - 1e-9))


def test_the_germline_weights_teach_how_often_residues_mutate():
    # The least loss for independent residues is at the weighted shares of their labels. They must
    # come to the shares of the data: 70 % germline. With 1/t for all it would come to 90 %.
    n, n_chains = 60, 600
    own, share = torch.tensor(TOKENS.residue_ids[:3]), torch.tensor([0.7, 0.2, 0.1])
    sums = torch.zeros(n_chains, 3, dtype=torch.float64)
    for i in range(n_chains):
        rng = generator(13, i)
        truth = own[torch.multinomial(share, n, replacement=True, generator=rng)]
        example = chain(truth, own[:1].expand(n))
        made = GermlineDiffusion().corrupt(example, TOKENS, rng)
        for k in range(3):
            sums[i, k] = made.weights[made.labels == own[k]].sum()
    error = sums.std(dim=0) / n_chains**0.5 / n
    assert ((sums.mean(dim=0) / n - share).abs() < 4 * error).all()
    assert error.max() < 0.01
