"""Walking forward from the germline: the exact distribution, and what top-p may truncate."""

from dataclasses import replace
from itertools import islice, product
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from toys import SPECIAL_IDS, TOKENS, PositionModel, chi_square, seeded

from hfbio.sample import GermlineWalk, Template, Unmask, generate

K = 3  # residues that can occur; K itself stands for the mask
ANCESTOR = (0, 2, K)  # what the three positions show at first: two germline residues, one mask
OWN = torch.tensor(TOKENS.residue_ids[:K])
N_DRAWS = 3000


class ShownModel(nn.Module):
    """A network of three positions that answers by what is shown, and cannot see what is decided.

    Its germline residues are likely, as in an antibody; special tokens get the largest logits.
    """

    def __init__(self) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))
        self.n_calls = 0
        self.table = torch.rand((K + 1,) * 3 + (3, K), generator=seeded(2)).double() ** 2
        for axis, own in enumerate(ANCESTOR):
            if own < K:
                self.table[..., axis, own] += 0.5
        self.table /= self.table.sum(dim=-1, keepdim=True)
        self._class = torch.full((TOKENS.vocab_size,), K)
        self._class[OWN] = torch.arange(K)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
        self.n_calls += 1
        logits = torch.full((*input_ids.shape, TOKENS.vocab_size), -1e4)
        shown = self._class[input_ids[:, 1:4]]
        logits[:, 1:4, OWN] = self.table[tuple(shown.T)].log().float()
        logits[..., list(SPECIAL_IDS)] = 50.0
        return SimpleNamespace(logits=logits)


def start(free=(True, True, True)):
    germline = torch.tensor([TOKENS.residue_ids[a] if a < K else -1 for a in ANCESTOR])
    return Template((TOKENS.start_id,), OWN.clone(), torch.tensor(free), germline)


def designs(model, sampler, template, n, seed=0, block_size=16):
    return list(
        islice(generate(model, TOKENS, sampler, template, seed=seed, block_size=block_size), n)
    )


def counts_of(sampler, free=(True, True, True)):
    """``(K, K, K)`` how often each combination was designed."""
    made = designs(ShownModel(), sampler, lambda i, rng: start(free), N_DRAWS, block_size=N_DRAWS)
    place = torch.full((TOKENS.vocab_size,), -1)
    place[OWN] = torch.arange(K)
    index = (place[torch.stack(made)] * torch.tensor([K * K, K, 1])).sum(dim=1)
    return torch.bincount(index, minlength=K**3).view(K, K, K)


def shaped(p, sampler):
    """A distribution after temperature and top-p."""
    if sampler.temperature == 0:
        return torch.eye(K, dtype=p.dtype)[p.argmax()]
    p = p ** (1 / sampler.temperature)
    p = p / p.sum()
    ordered, ids = p.sort(descending=True)
    p = p.index_fill(0, ids[ordered.cumsum(0) - ordered >= sampler.top_p], 0)
    return p / p.sum()


def choice(p, own, sampler):
    """What one position is decided to: it stays with ``p[own]``, the rest is shaped."""
    if own == K:
        return shaped(p, sampler)
    stay = torch.eye(K, dtype=p.dtype)[own] * p[own]
    return stay + (1 - p[own]) * shaped(p.index_fill(0, torch.tensor([own]), 0), sampler)


def walked(sampler):
    """Exact distribution: every position has its step, drawn evenly; one step, one look."""
    table, total = ShownModel().table, torch.zeros(K, K, K, dtype=torch.float64)
    for when in product(range(sampler.steps), repeat=3):
        reached = {ANCESTOR: 1.0}  # shown -> probability
        for step in sorted(set(when)):
            now = [axis for axis in range(3) if when[axis] == step]
            after: dict[tuple[int, ...], float] = {}
            for shown, before in reached.items():
                p = [choice(table[shown][axis], ANCESTOR[axis], sampler).tolist() for axis in now]
                for drawn in product(range(K), repeat=len(now)):
                    new, chance = list(shown), before
                    for axis, value, row in zip(now, drawn, p):
                        new[axis] = value
                        chance *= row[value]
                    after[tuple(new)] = after.get(tuple(new), 0.0) + chance
            reached = after
        for shown, chance in reached.items():
            total[shown] += chance / sampler.steps**3
    return total


@pytest.mark.parametrize(
    "sampler",
    [
        GermlineWalk(steps=1),
        GermlineWalk(steps=2),
        GermlineWalk(steps=4),
        GermlineWalk(steps=2, top_p=0.7),
        GermlineWalk(steps=3, temperature=2.0, top_p=0.8),
        GermlineWalk(steps=4, temperature=0.0),
    ],
    ids=str,
)
def test_the_walk_draws_as_the_reverse_process_with_equal_steps(sampler):
    expected = walked(sampler)
    assert expected.sum().item() == pytest.approx(1)
    statistic, bar = chi_square(counts_of(sampler), expected)
    assert statistic < bar


def test_the_number_of_steps_shows_in_the_distribution():
    off, bar = chi_square(counts_of(GermlineWalk(steps=1)), walked(GermlineWalk(steps=4)))
    assert off > bar  # or the test above could not tell


def test_temperature_and_top_p_do_not_change_how_often_a_residue_mutates():
    # The first position alone is free: it keeps its germline with the model's probability.
    model = ShownModel()
    stay = model.table[(0, 1, 2)][0, 0].item()
    for temperature, top_p in [(0.2, 0.3), (0.0, 1.0), (3.0, 0.5)]:
        sampler = GermlineWalk(temperature=temperature, top_p=top_p)
        stayed = counts_of(sampler, (True, False, False))[0].sum().item() / N_DRAWS
        assert stayed == pytest.approx(stay, abs=4 * (stay * (1 - stay) / N_DRAWS) ** 0.5)
    # A nucleus over all residues, the germline one among them, would never mutate.
    assert shaped(model.table[(0, 1, 2)][0], GermlineWalk(top_p=0.3))[0] == 1


def test_residues_that_surely_stay_are_the_germline():
    n = 40
    germline = torch.tensor(TOKENS.residue_ids)[torch.arange(n) % 20]
    template = Template((0,), germline, torch.ones(n, dtype=torch.bool), germline)

    class Sure(PositionModel):
        def forward(self, input_ids, attention_mask):
            logits = super().forward(input_ids, attention_mask).logits
            return SimpleNamespace(
                logits=logits.scatter_add(
                    2, input_ids.unsqueeze(2), torch.full((*input_ids.shape, 1), 200.0)
                )
            )

    made = designs(Sure(), GermlineWalk(steps=5), lambda i, rng: template, 32)
    assert all(ids.equal(germline) for ids in made)


@pytest.mark.parametrize("steps", [1, 6])
def test_without_a_germline_the_walk_is_ancestral_unmasking_design_by_design(steps):
    def template(i, rng):
        n = 5 + i
        return Template((0,), torch.zeros(n, dtype=torch.int64), torch.rand(n, generator=rng) < 0.7)

    def unaligned(i, rng):
        made = template(i, rng)
        return replace(made, germline=torch.full_like(made.residue_ids, -1))

    settings = {"steps": steps, "temperature": 0.8, "top_p": 0.9}
    plain = designs(PositionModel(), Unmask(**settings), template, 32)
    for start_of in (template, unaligned):
        walk = designs(PositionModel(), GermlineWalk(**settings), start_of, 32)
        assert all(a.equal(b) for a, b in zip(plain, walk))


def test_unmasking_refuses_to_start_from_a_germline():
    with pytest.raises(ValueError, match="use the sampler germline_walk"):
        designs(ShownModel(), Unmask(steps=2), lambda i, rng: start(), 1)
    frozen = designs(ShownModel(), Unmask(), lambda i, rng: start((False,) * 3), 1)
    assert frozen[0].equal(OWN)


def test_the_network_runs_at_most_once_a_step():
    model = ShownModel()
    designs(model, GermlineWalk(steps=20), lambda i, rng: start(), 16)
    assert 1 <= model.n_calls <= 3  # three residues: three steps have something to decide
