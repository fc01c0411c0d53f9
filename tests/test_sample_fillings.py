"""All fillings of one or two open residues: their law, their order, what asks for them."""

from itertools import product

import pytest
import torch
from test_model_sampling import SIZES
from toys import TOKENS, JointModel, chi_square, seeded

from hfbio.models.scratch import fresh
from hfbio.sample import Reach, Request, Template, causal_template
from hfbio.sample.fillings import fillings
from hfbio.sample.network import asking

N_SEEDS = 1200
JOINT2 = torch.rand(4, 4, generator=seeded(5)) ** 3
WIDE1 = torch.rand(20, generator=seeded(6)) ** 4 + 0.001
WIDE2 = torch.rand(20, 20, generator=seeded(7)) + 0.01


def blank(n):
    free = torch.ones(n, dtype=torch.bool)
    return Template((TOKENS.start_id,), torch.zeros(n, dtype=torch.int64), free)


def asked(joint):
    """What a model of this joint answers, each question put to it once."""
    ask = asking(JointModel(joint / joint.sum()), TOKENS, blank(joint.dim()))
    known = {}

    def remembered(rows):
        key = tuple(map(tuple, rows))
        if key not in known:
            known[key] = ask(rows)
        return known[key]

    return remembered


def every(joint, seed=0, **settings):
    return fillings(asked(joint), joint.dim(), TOKENS, seeded(seed), **settings)


def shaped(p, temperature, top_p):
    """One distribution, tempered and cut, residue by residue."""
    p = (p / p.sum()) ** (1 / temperature)
    p = p / p.sum()
    kept, mass = torch.zeros_like(p), 0.0
    for i in p.argsort(descending=True).tolist():
        if mass < top_p:
            kept[i] = p[i]
        mass += p[i].item()
    return kept / kept.sum()


# --- law ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 1.0), (1.5, 0.6)])
def test_the_first_filling_is_a_draw_from_the_chain_rule(temperature, top_p):
    ask = asked(JOINT2)
    counts = torch.zeros(4, 4)
    place = {residue: i for i, residue in enumerate(TOKENS.residue_ids)}
    for seed in range(N_SEEDS):
        settings = {"temperature": temperature, "top_p": top_p}
        a, b = fillings(ask, 2, TOKENS, seeded(seed), **settings)[0]
        counts[place[a], place[b]] += 1
    joint = JOINT2.double()
    exact = torch.stack(
        [
            first * shaped(row, temperature, top_p)
            for first, row in zip(shaped(joint.sum(dim=1), temperature, top_p), joint)
        ]
    )
    statistic, bar = chi_square(counts, exact)
    assert statistic < bar
    if (temperature, top_p) != (1.0, 1.0):  # and the test can tell them apart
        plain = joint / joint.sum()
        expected = plain * N_SEEDS
        assert ((counts - expected) ** 2 / expected).sum() > bar


def test_the_second_filling_is_a_draw_from_what_the_first_leaves():
    ask = asked(WIDE1)
    p = (WIDE1 / WIDE1.sum()).double()
    counts = torch.zeros(20)
    place = {residue: i for i, residue in enumerate(TOKENS.residue_ids)}
    for seed in range(N_SEEDS):
        counts[place[fillings(ask, 1, TOKENS, seeded(seed))[1][0]]] += 1
    second = torch.stack([p * (a / (1 - a)) for a in p])  # first, second
    second.fill_diagonal_(0)
    statistic, bar = chi_square(counts, second.sum(dim=0))
    assert statistic < bar
    expected = p * N_SEEDS
    assert ((counts - expected) ** 2 / expected).sum() > bar  # which is not a draw from them all


@pytest.mark.parametrize("joint", [WIDE1, WIDE2], ids=["20", "400"])
def test_every_filling_comes_once_if_nothing_is_cut(joint):
    found = every(joint)
    assert len(found) == 20 ** joint.dim()
    assert set(found) == set(product(TOKENS.residue_ids, repeat=joint.dim()))
    assert every(joint) == found
    assert every(joint, seed=1) != found


def test_what_cannot_be_drawn_is_no_filling():
    likely = set(product(TOKENS.residue_ids[:4], repeat=2))
    found = every(JOINT2)
    assert len(found) == 16
    assert set(found) == likely
    assert len(every(JOINT2, top_p=0.5)) < 16
    (best,) = every(JOINT2, temperature=0.0)
    a = int(JOINT2.sum(dim=1).argmax())
    assert best == (TOKENS.residue_ids[a], TOKENS.residue_ids[int(JOINT2[a].argmax())])


def test_rules_leave_out_what_they_forbid_and_keep_the_order_of_the_rest_of_one():
    even = torch.zeros_like(TOKENS.allowed)
    even[list(TOKENS.residue_ids[::2])] = True
    found = every(WIDE1, allowed=lambda decided: even)
    assert found == [filling for filling in every(WIDE1) if filling[0] in TOKENS.residue_ids[::2]]


def test_rules_may_look_at_what_is_decided_and_leave_a_residue_nothing_behind_it():
    dead = TOKENS.residue_ids[3]

    def no_twins(decided):
        may = TOKENS.allowed.clone()
        if decided:
            may[decided[0]] = False
        return may & (decided[0] != dead) if decided else may

    for temperature in (1.0, 0.3, 3.0):
        found = every(WIDE2, allowed=no_twins, temperature=temperature)
        pairs = product(TOKENS.residue_ids, repeat=2)
        assert len(found) == len(set(found))
        assert set(found) == {(a, b) for a, b in pairs if a not in (b, dead)}
    assert every(WIDE2, allowed=lambda decided: torch.zeros_like(TOKENS.allowed)) == []


# --- asking ------------------------------------------------------------------------------------


def test_a_masked_model_sees_what_is_decided_and_masks_at_the_rest():
    joint = torch.rand(3, 3, 3, generator=seeded(8))
    model = JointModel(joint / joint.sum())
    ids = torch.tensor(TOKENS.residue_ids[:3])
    template = Template((TOKENS.start_id,), ids, torch.tensor([True, False, True]))
    ask = asking(model, TOKENS, template)
    conditional = joint[:, 1, :]  # the frozen residue is the second of the three
    first = ask([()])[0, ids].double().softmax(-1)
    torch.testing.assert_close(first, (conditional.sum(1) / conditional.sum()).double())
    second = ask([(int(a),) for a in ids])[:, ids].double().softmax(-1)
    torch.testing.assert_close(
        second, (conditional / conditional.sum(1, keepdim=True)).double(), atol=1e-6, rtol=1e-5
    )


@pytest.fixture(scope="module")
def llama():
    base = fresh("llama", SIZES, name="toy", rng=seeded(3))
    with torch.no_grad():
        for weight in base.model.parameters():
            if weight.dim() == 2:  # large enough that contexts matter
                weight.normal_(std=0.4, generator=seeded(4))
    return base


@torch.no_grad()
def whole(llama, ids, at):
    """Logits of the token at a place, from one pass over a whole row."""
    return llama.model.eval()(input_ids=torch.tensor([ids])).logits[0, at - 1]


SCAFFOLDS = ["EV_L_SG", "_VQ_", "EV__LV", "_VQLV", "EVQL_", "__"]


@pytest.mark.parametrize("scaffold", SCAFFOLDS)
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_a_causal_model_is_asked_about_what_stands_before(llama, scaffold, reverse):
    tokens = llama.token_map
    reach = Reach("toy", tokens, 100, None, reverse=reverse)
    template = causal_template(
        Request(scaffold=scaffold), llama.own_prompt.ids(llama.own_tags.choose({})), reach, {}
    )
    ask = asking(llama.model.eval(), tokens, template)
    places = [i for i, letter in enumerate(scaffold) if letter == "_"]
    places = places[::-1] if reverse else places
    for decided in ((), *((residue,) for residue in tokens.residue_ids[::6]))[: 6 * len(places)]:
        if len(decided) == len(places):
            continue
        # What is not asked about yet is filled with anything: a causal model cannot see it.
        chain = tokens.encode(scaffold.replace("_", "W")).tolist()
        for place, residue in zip(places, decided):
            chain[place] = residue
        at = places[len(decided)]
        row = [*template.prefix, *(chain[::-1] if reverse else chain)]
        behind = len(scaffold) - 1 - at if reverse else at
        expected = whole(llama, row, len(template.prefix) + behind)
        torch.testing.assert_close(ask([decided, decided])[1], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("scaffold", SCAFFOLDS[:-1])
def test_a_model_that_fills_gaps_is_asked_gap_after_gap(llama, scaffold):
    tokens = llama.token_map
    reach = Reach("toy", tokens, 100, None, infills=True)
    prefix = llama.own_prompt.ids(llama.own_tags.choose({}))
    template = causal_template(Request(scaffold=scaffold), prefix, reach, {})
    ask = asking(llama.model.eval(), tokens, template)
    apart = "__" not in scaffold
    body = "".join("*" if run == "_" else run for run in scaffold.replace("__", "_"))
    mask, sep = tokens.mask_id, tokens.sep_id
    prompt = [*prefix, *(mask if c == "*" else tokens.residue_id(c) for c in body), sep]
    assert [*template.prefix, *template.body] == prompt
    torch.testing.assert_close(ask([()])[0], whole(llama, [*prompt, 9], len(prompt)))
    if scaffold.count("_") == 2:
        for residue in tokens.residue_ids[::6]:
            row = [*prompt, residue, *([sep] if apart else []), 9]
            expected = whole(llama, row, len(row) - 1)
            torch.testing.assert_close(ask([(residue,)])[0], expected, atol=1e-5, rtol=1e-4)
