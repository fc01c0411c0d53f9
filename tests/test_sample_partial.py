"""Chains on their way, as `watch` sees them: what is frozen, what is open, whose row it is."""

import time
from dataclasses import replace

import pytest
import torch
from antibodies import HEAVY, KAPPA
from causal_toys import CAUSAL
from test_model_sampling import OBJECTIVES, SCAFFOLD, causal
from test_sample_pairs import H, K
from test_sample_pairs import model as model_of_pairs  # noqa: F401
from toys import TOKENS, seeded

import hfbio
from hfbio.model.infill import infill_request
from hfbio.sample import Causal, CausalTemplate, Guide, Template, Unmask, begin, partial
from hfbio.sample.germline_walk import GermlineWalk
from hfbio.sample.gibbs import Gibbs


def watched(model, request, **settings):
    """``(design, text)`` of each row at each step, and what was drawn in the end."""
    steps = []

    def watch(state):
        steps.append(list(zip(state.designs, partial(state, model.base.token_map), strict=True)))

    made = model.sample(request, watch=watch, **settings)
    return steps, {design.index: design.sequence_aa for design in made.drawn}


def asked(num=6, **settings):
    return hfbio.Request(num=num, keep="all", seed=2, block_size=4, **settings)


def agrees(text, sequence):
    return len(text) == len(sequence) and all(a in ("_", b) for a, b in zip(text, sequence))


MASKED = {
    "ancestral": Unmask(steps=5),
    "entropy": Unmask(steps=5, order="entropy"),
    "planned": Unmask(steps=5, order="planned"),
    "remask": Unmask(steps=5, remask=0.5),
    "gibbs": Gibbs(sweeps=2, block=7),
    "germline_walk": GermlineWalk(steps=5),
}


@pytest.mark.parametrize("name", MASKED)
def test_every_masked_sampler_is_seen_with_all_of_the_chain(sapiens, name):
    request = infill_request(HEAVY, "cdr3", request=asked())
    if name == "germline_walk":
        request = replace(request, start=None, germline=HEAVY)
    steps, made = watched(sapiens, request, sampler=MASKED[name])
    assert set(made) == set(range(6))
    assert [design for design, _ in steps[0]] == [0, 1, 2, 3]
    assert [design for design, _ in steps[-1]] == [4, 5, 6, 7]  # blocks are made whole
    for step in steps:
        for _, text in step:
            assert agrees(request.scaffold, text.replace("_", "A"))  # what is frozen is there
    assert any("_" in text for step in steps for _, text in step)
    last = {design: text for step in steps for design, text in step}
    assert {design: last[design] for design in made} == made
    if name in ("ancestral", "entropy", "germline_walk"):  # what is decided stays
        assert all(agrees(text, last[design]) for step in steps for design, text in step)


def test_chains_of_other_lengths_are_not_padded(sapiens):
    steps, made = watched(sapiens, asked(8, length=(110, 130)), sampler=Unmask(steps=3))
    assert len({len(text) for _, text in steps[0]}) > 1
    for step in steps:
        assert all(agrees(text, made[design]) for design, text in step)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: "-".join(o.values()))
def test_a_causal_scaffold_is_whole_at_every_step(objective):
    steps, made = watched(causal(objective), asked(scaffold=SCAFFOLD))
    seen = [(text, made[design]) for step in steps for design, text in step if design in made]
    assert all(agrees(text, sequence) for text, sequence in seen)
    assert all(text == sequence for text, sequence in seen[-2:])
    n_open = [sum(text.count("_") for _, text in step) for step in steps]
    assert n_open[0] > 4  # of 6 open residues in each of 4 rows


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_a_causal_chain_grows_from_the_end_it_is_written_from(direction):
    model = causal({"kind": "clm", "direction": direction})
    steps, made = watched(model, asked(length=(5, 9)))
    for step in steps:
        for design, text in step:
            whole = made.get(design, text)
            assert whole.startswith(text) if direction == "forward" else whole.endswith(text)
    assert [len(text) for _, text in steps[0]] == [1] * 4
    last = {design: text for step in steps for design, text in step}
    assert {design: last[design] for design in made} == made


def test_a_gap_of_its_own_length_is_open_until_the_model_closes_it():
    made = CausalTemplate(
        (0,),
        ((2, 4), (1, 3)),
        body=(*CAUSAL.encode("EV").tolist(), 24, *CAUSAL.encode("W").tolist(), 24, 26),
    )
    state = Causal().begin([made], [seeded()], CAUSAL)

    def then(written, span):
        row = [*state.ids[0].tolist(), *written]
        return partial(replace(state, ids=torch.tensor([row]), span=(span,)), CAUSAL)

    a = CAUSAL.residue_id("A")
    assert partial(state, CAUSAL) == ["EV__W_"]
    assert then([a], 0) == ["EVA_W_"]
    assert then([a, a], 0) == ["EVAA_W_"]  # it may go on
    assert then([a, a, a, a], 0) == ["EVAAAAW_"]  # it may not
    assert then([a, a, 26], 1) == ["EVAAW_"]
    assert then([a, a, 26, a], 1) == ["EVAAWA_"]
    assert then([a, a, 26, a, CAUSAL.stop_id, CAUSAL.pad_id], 2) == ["EVAAWA"]


def test_a_pair_has_its_break_from_the_start(model_of_pairs):  # noqa: F811
    steps, made = watched(model_of_pairs, asked(), sampler=Unmask(steps=3))
    for step in steps:
        for design, text in step:
            assert sorted(map(len, text.split(":"))) in ([K, H], [105, 118])
            assert agrees(text, made.get(design, text))


def test_a_causal_pair_is_written_chain_by_chain():
    tokens = replace(TOKENS, between_chains=(3,))
    for reverse, expected in ((False, ["ACD:", "ACD:E"]), (True, [":DCA", "E:DCA"])):
        made = CausalTemplate((0,), ((3, 3), (2, 2)), reverse=reverse, between=3)
        state = Causal().begin([made], [seeded()], tokens)
        for letters, text in zip(("ACD", "ACDE"), expected):
            ids = tokens.encode(letters).tolist()
            row = [*state.ids[0].tolist(), *ids[:3], 3, *ids[3:]]
            assert partial(replace(state, ids=torch.tensor([row])), tokens) == [text]


def test_the_rows_of_a_guide_are_particles_that_know_their_design(sapiens):
    guide = Guide(lambda chains: [float(s.count("Y")) for s in chains], particles=3)
    request = replace(infill_request(HEAVY, "cdr3", request=asked()), block_size=6)
    steps, made = watched(sapiens, request, sampler=Unmask(steps=4), guide=guide)
    assert [design for design, _ in steps[0]] == [0, 0, 0, 1, 1, 1]
    assert [design for design, _ in steps[-1]] == [4, 4, 4, 5, 5, 5]
    last = {design: [t for d, t in step if d == design] for step in steps for design, _ in step}
    assert all(sequence in last[design] for design, sequence in made.items())


def test_a_separator_that_is_the_stop_token_does_not_end_a_row():
    tokens = replace(TOKENS, between_chains=(TOKENS.stop_id,))
    pair = torch.cat([tokens.encode("ACD"), torch.tensor([tokens.stop_id]), tokens.encode("EF")])
    free = torch.tensor([True, False, False, False, False, True])
    state = begin([Template((0,), pair, free)], [seeded()], tokens)
    assert partial(state, tokens) == ["_CD:E_"]


def test_a_page_can_ask_at_every_step():
    # A step of the smallest bundled model takes some 100 ms for such a block.
    chain = f"{HEAVY}:{KAPPA}"
    tokens = replace(TOKENS, between_chains=(3,))
    ids = torch.cat([tokens.encode(HEAVY), torch.tensor([3]), tokens.encode(KAPPA)])
    blanks = [Template((0,), ids, torch.rand(len(ids), generator=seeded(i)) < 0) for i in range(16)]
    state = begin(blanks, [seeded()] * 16, tokens)
    assert partial(state, tokens) == [chain] * 16
    before = time.process_time()
    for _ in range(5):
        partial(state, tokens)
    assert (time.process_time() - before) / 5 < 0.05
