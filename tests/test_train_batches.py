"""Which chains make up an optimizer step, by whatever layout of ranks and micro-batches."""

from collections import Counter

import pytest
import torch
from accelerate.data_loader import BatchSamplerShard
from antibodies import HEAVY, heavy_with, random_cdr3s
from torch.utils.data import BatchSampler

from hfbio.models import load_base
from hfbio.numbering import number
from hfbio.objectives import build
from hfbio.record import AntibodyRecord
from hfbio.tokens import Prompt, Tags
from hfbio.train.dataset import CorruptedChains, EpochSampler

LAYOUTS = [(1, 1, 8), (1, 4, 2), (2, 2, 2), (2, 1, 4), (4, 2, 1), (8, 1, 1)]
"""(ranks, micro-batches, chains per micro-batch), eight chains a step in all."""


def steps(n_rows, layout, n_epochs=3):
    """The indices of each optimizer step, as Accelerate deals them out."""
    ranks, accumulate, size = layout
    sampler = EpochSampler(n_rows, ranks * accumulate * size)
    found = []
    for epoch in range(n_epochs):
        sampler.set_epoch(epoch)
        shards = [
            list(BatchSamplerShard(BatchSampler(sampler, size, drop_last=False), ranks, rank))
            for rank in range(ranks)
        ]
        for first in range(0, len(shards[0]), accumulate):
            parts = [batch for shard in shards for batch in shard[first : first + accumulate]]
            found.append(sorted(index for part in parts for index in part))
    return found


@pytest.mark.parametrize("n_rows", [3, 8, 21, 24])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_puts_the_same_eight_chains_into_a_step(n_rows, layout):
    one_batch = steps(n_rows, (1, 1, 8))
    assert steps(n_rows, layout) == one_batch
    assert all(len(step) == 8 for step in one_batch)


@pytest.mark.parametrize("n_rows", [3, 21, 24])
def test_no_chain_is_shown_twice_before_all_were_shown(n_rows):
    shown = [index for step in steps(n_rows, (2, 2, 2)) for index in step]
    assert shown == list(range(len(shown)))  # epoch * n + slot, none left out
    times = Counter(index % n_rows for index in shown)
    assert max(times.values()) - min(times[slot] for slot in range(n_rows)) <= 1


@pytest.fixture(scope="module")
def chains():
    sequences = [HEAVY, *map(heavy_with, random_cdr3s(10))]
    return [
        AntibodyRecord(sequence_id=str(i), sequence_aa=s, regions=number(s).regions, locus="IGH")
        for i, s in enumerate(sequences)
    ]


def dataset(chains, weights=None, seed=0):
    base = load_base("sapiens-vh")
    prompt = Prompt(Tags(), {}, base.token_map.start_id)
    return CorruptedChains(
        chains, build("mlm", {}), base.token_map, prompt, tag_dropout=0, seed=seed, weights=weights
    )


def answers(item):
    """The chain behind a corrupted item is told by what is shown and what is asked."""
    return torch.where(item.labels >= 0, item.labels, item.input_ids).tolist()


def test_an_item_depends_on_its_index_alone(chains):
    one, other = dataset(chains), dataset(chains)
    backwards = {i: other[i] for i in reversed(range(40))}
    for i in range(40):
        torch.testing.assert_close(one[i].input_ids, backwards[i].input_ids)
        torch.testing.assert_close(one[i].labels, backwards[i].labels)


def test_an_epoch_shows_each_chain_once_in_an_order_of_its_own(chains):
    data = dataset(chains)
    epochs = [[answers(data[e * len(chains) + s]) for s in range(len(chains))] for e in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1])
    assert len({tuple(chain) for chain in epochs[0]}) == len(chains)
    assert epochs[0] != epochs[1]
    assert data[0].labels.tolist() != data[len(chains)].labels.tolist()


def test_weights_decide_how_often_a_chain_is_drawn(chains):
    weights = torch.ones(len(chains), dtype=torch.float64)
    weights[0] = 10.0  # half of all draws; evenly it would be one in 11
    data = dataset(chains, weights)
    wanted = answers(dataset(chains[:1])[0])
    drawn = [answers(data[i]) == wanted for i in range(440)]
    assert 0.43 < sum(drawn) / len(drawn) < 0.57  # three standard errors
