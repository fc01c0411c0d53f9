"""Generators that are a function of their keys."""

import pytest
import torch

from hfbio.rng import generator


def first(*keys, n=1):
    return torch.rand(n, generator=generator(*keys), dtype=torch.float64)


def test_a_stream_depends_on_its_keys_alone():
    before = torch.get_rng_state()
    stream = first(3, 1, 4, n=5)
    torch.rand(7)  # the global generator is another one
    torch.set_rng_state(before)
    first(2, 7, 1)
    assert torch.equal(stream, first(3, 1, 4, n=5))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_order_and_the_number_of_keys_matter():
    keys = [(), (0,), (0, 0), (1,), (1, 0), (0, 1), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
    assert len({first(*k).item() for k in keys}) == len(keys)


def test_no_two_of_neighbouring_keys_share_a_stream():
    # A generator seeded with seed + index has 127 streams here, one of seed * 64 + index all of
    # them, until a run has more than 64 rows.
    streams = {first(seed, index).item() for seed in range(64) for index in range(64)}
    assert len(streams) == 64 * 64


@pytest.mark.parametrize("axis", [0, 1])
def test_streams_of_neighbouring_keys_are_unrelated(axis):
    grid = torch.stack([torch.stack([first(a, b, n=4) for b in range(64)]) for a in range(64)])
    here = grid.narrow(axis, 0, 63).flatten() - 0.5
    there = grid.narrow(axis, 1, 63).flatten() - 0.5
    correlation = (here @ there / (here.norm() * there.norm())).item()
    assert abs(correlation) < 5 / len(here) ** 0.5  # five standard errors: 0.04; equal gives 1
    # And all together uniform: mean and variance within five standard errors.
    flat = grid.flatten()
    assert abs(flat.mean().item() - 1 / 2) < 5 * (1 / 12 / len(flat)) ** 0.5
    assert abs(flat.var().item() - 1 / 12) < 5 * (1 / 180 / len(flat)) ** 0.5


def test_keys_of_any_sign_are_taken():
    keys = [-1, 0, 1, -(2**40), 2**40, 2**63]
    assert len({first(key).item() for key in keys}) == len(keys)
