"""A second pass to depart from: the formula, prompts of other lengths, the base of an adapter."""

from dataclasses import replace
from itertools import islice

import pytest
import torch
from bundles import local_base, make_bundle
from causal_toys import CAUSAL, Table, tiny_llama
from test_sample_causal import various
from test_sample_unmask import SAMPLERS, designs, mixed_for
from toys import TOKENS, PositionModel, seeded

from hfbio.errors import SettingError
from hfbio.model import load
from hfbio.models import AdapterConfig, add_tags, attach
from hfbio.models.scratch import fresh
from hfbio.rng import generator
from hfbio.sample import (
    Causal,
    CausalTemplate,
    Contrast,
    Request,
    Template,
    begin,
    draw,
    generate,
)
from hfbio.sample.network import reader
from hfbio.tokens import Tags

START = (TOKENS.start_id,)
OTHERS = [(0,), (25,), (25, 0), (0, 25, 24)]


# --- the formula -------------------------------------------------------------------------------


def test_the_log_ratio_is_carried_on_by_the_weight():
    own = torch.tensor([0.5, 0.3, 0.2])
    other = torch.tensor([0.2, 0.2, 0.6])
    combined = Contrast(2.0, START).combine(own.log() + 3, other.log() - 5)
    # p_own ** 2 / p_other: 1.25, 0.45, 0.0667; their sum is 1.7667.
    assert combined.softmax(-1).tolist() == pytest.approx([0.70755, 0.25472, 0.03774], abs=1e-5)
    between = Contrast(0.5, START).combine(own.log(), other.log()).softmax(-1)
    mean = (own * other).sqrt()
    assert between.tolist() == pytest.approx((mean / mean.sum()).tolist(), abs=1e-6)


def test_the_weights_zero_and_one_are_the_sides_themselves():
    own, other = torch.randn(2, 4, 33, generator=seeded()).mul(9)
    assert Contrast(1.0, START).combine(own, other).equal(own.log_softmax(-1))
    assert Contrast(0.0, START).combine(own, other).equal(other.log_softmax(-1))


def test_what_both_sides_rule_out_stays_ruled_out():
    own = torch.tensor([0.0, -torch.inf, 1.0, -torch.inf])
    other = torch.tensor([1.0, -torch.inf, 0.0, 0.0])
    p = Contrast(3.0, START).combine(own, other).softmax(-1)
    assert p.isfinite().all()
    assert p[1] == p[3] == 0


@pytest.mark.parametrize("weight", [-0.1, float("inf"), float("nan")])
def test_a_weight_out_of_range_is_named(weight):
    with pytest.raises(SettingError, match="weight of a contrast must be"):
        Contrast(weight, START)


# --- prompts of other lengths ------------------------------------------------------------------


@pytest.mark.parametrize("prefix", OTHERS, ids=str)
def test_the_other_pass_is_aligned_with_the_residues(prefix):
    model = PositionModel()
    rows = [mixed_for(SAMPLERS[0])(i, seeded(i)) for i in range(6)]  # prefixes of one and two
    state = begin(rows, [seeded(i) for i in range(6)], TOKENS)
    contrast = Contrast(1.8, prefix)
    found = reader(model, TOKENS, rows, causal=False, contrast=contrast)(state)
    for i, row in enumerate(rows):
        n = len(row.residue_ids)
        start = len(row.prefix)
        body = state.ids[i, start : start + n + 1]
        sides = []
        for front in (row.prefix, prefix):
            ids = torch.cat([torch.tensor(front), body])[None]
            logits = model(ids, torch.ones_like(ids)).logits[0, len(front) : len(front) + n]
            sides.append(logits.log_softmax(-1))
        expected = sides[1] + 1.8 * (sides[0] - sides[1])
        assert torch.allclose(found[i, start : start + n], expected, atol=1e-4)


@pytest.mark.parametrize("prefix", OTHERS, ids=str)
def test_a_causal_model_contrasts_token_by_token(prefix):
    model = tiny_llama()
    template = CausalTemplate((0, 25), ((9, 9),))
    contrast = Contrast(2.5, prefix)
    run = generate(
        model, CAUSAL, Causal(), lambda i, rng: template, seed=1, block_size=4, contrast=contrast
    )
    for i, design in enumerate(islice(run, 4)):
        rng = generator(1, i)
        for at in range(9):  # by whole passes of both prompts
            sides = [
                model(input_ids=torch.tensor([[*front, *design[:at].tolist()]])).logits[0, -1]
                for front in (template.prefix, prefix)
            ]
            uniform = torch.rand((), generator=rng)
            combined = contrast.combine(*sides)
            assert draw(combined, uniform, allowed=CAUSAL.allowed) == design[at]


def test_a_weight_of_one_costs_no_pass():
    model = Table()
    template = CausalTemplate((0,), ((5, 5),))
    run = generate(
        model,
        CAUSAL,
        Causal(),
        lambda i, rng: template,
        seed=0,
        contrast=Contrast(1.0, (0, 25)),
    )
    next(run)
    assert model.fed == [1] * 6


# --- frozen means frozen -----------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_frozen_residues_survive_a_contrast(sampler):
    templates = {}

    def template(i, rng):
        templates[i] = mixed_for(sampler)(i, rng)
        return templates[i]

    settings = {"seed": 0, "contrast": Contrast(3.0, (0, 25, 24))}
    made = list(islice(generate(PositionModel(), TOKENS, sampler, template, **settings), 32))
    for i, ids in enumerate(made):
        free = templates[i].free
        assert ids[~free].equal(templates[i].residue_ids[~free])
        assert TOKENS.allowed[ids].all()
    plain = designs(PositionModel(), sampler, template, 32)
    assert not all(a.equal(b) for a, b in zip(made, plain))


def test_forced_residues_survive_a_contrast():
    templates = {}

    def template(i, rng):
        templates[i] = various(i, rng)
        return templates[i]

    settings = {"seed": 0, "contrast": Contrast(3.0, (0, 25, 24))}
    for i, ids in enumerate(islice(generate(Table(), CAUSAL, Causal(), template, **settings), 32)):
        if templates[i].forced is not None:
            kept = templates[i].forced >= 0
            assert ids[kept].equal(templates[i].forced[kept])


# --- the base under an adapter -----------------------------------------------------------------


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contrast")
    make_bundle(folder)
    return load(folder)


@pytest.fixture(scope="module")
def prefixed(tmp_path_factory):
    """A bundle whose tags stand behind the start token."""
    folder = tmp_path_factory.mktemp("prefixed")
    base = local_base(folder / "base")
    make_bundle(folder / "bundle", str(base))
    return load(folder / "bundle", base=str(base))


@pytest.mark.parametrize("name", ["tuned", "prefixed"])
def test_the_untuned_pass_is_the_base_loaded_afresh(name, request):
    model = request.getfixturevalue(name)
    base = model.untuned()
    tokens = model.base.token_map
    own = model.prompt.ids(model.tags.choose({"species": "human", "isotype": "IGHG"}))
    n = 30
    ids = torch.tensor(tokens.residue_ids)[torch.randint(20, (n,), generator=seeded())]
    free = torch.rand(n, generator=seeded(1)) < 0.5

    def says(model, prefix, contrast=None):
        rows = [Template(prefix, ids, free)]
        state = begin(rows, [seeded()], model.base.token_map)
        read = reader(model.model, model.base.token_map, rows, causal=False, contrast=contrast)
        logits = read(state)[0, len(prefix) : len(prefix) + n, list(tokens.residue_ids)]
        return logits.log_softmax(-1)

    alone = Contrast(0.0, (tokens.start_id,), untuned=True)
    other = says(model, own, alone)
    expected = says(base, (tokens.start_id,))
    assert (other - expected).abs().max() < 1e-5
    assert (says(model, own) - expected).abs().max() > 0.05  # the adapter says something else
    assert says(model, own).equal(says(model, own))  # and is on again afterwards


def test_the_untuned_pass_of_a_causal_adapter_is_its_base():
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    base, plain = (fresh("llama", sizes, name="toy", rng=seeded(3)) for _ in range(2))
    tags = Tags.from_rows("prefix", {"isotype": ["IGHG", "IGHM"]})
    tagged = add_tags(base, tags)
    model = attach(tagged, AdapterConfig(r=2), rng=seeded()).eval()
    with torch.no_grad():
        for weight_name, weight in model.named_parameters():
            if "lora_B" in weight_name or "trainable_tokens_delta" in weight_name:
                weight += torch.randn(weight.shape, generator=seeded(4))
    tokens = tagged.token_map
    template = CausalTemplate(tagged.prompt(tags).ids({"isotype": "IGHG"}), ((12, 12),))
    start = CausalTemplate((tokens.start_id,), ((12, 12),))
    alone = Contrast(0.0, start.prefix, untuned=True)
    made = generate(
        model, tokens, Causal(), lambda i, rng: template, seed=0, block_size=8, contrast=alone
    )
    expected = generate(
        plain.model, plain.token_map, Causal(), lambda i, rng: start, seed=0, block_size=8
    )
    own = generate(model, tokens, Causal(), lambda i, rng: template, seed=0, block_size=8)
    both = list(zip(islice(made, 8), islice(expected, 8), islice(own, 8)))
    assert all(a.equal(b) for a, b, _ in both)
    assert not any(a.equal(c) for a, _, c in both)


def sequences(made):
    return [design.sequence_aa for design in made.drawn]


def asked(**settings):
    return Request(num=6, keep="all", length=60, **settings)


@pytest.mark.parametrize("name", ["tuned", "prefixed"])
def test_a_request_contrasts_with_the_base_and_with_open_conditions(name, request):
    model = request.getfixturevalue(name)
    igg = {"species": "human", "isotype": "IGHG"}
    plain = sequences(model.sample(asked(conditions=igg)))
    if name == "tuned":  # a longer prompt draws more numbers, and so other designs
        base = model.untuned().sample(asked(), sampler=model.sampler())
        assert sequences(model.sample(asked(conditions=igg, contrast=0.0))) == sequences(base)
        open_tags = sequences(model.sample(asked()))
        assert sequences(model.sample(asked(conditions=igg, guidance=0.0))) == open_tags
    for second in ("guidance", "contrast"):
        assert sequences(model.sample(asked(conditions=igg, **{second: 1.0}))) == plain
        assert sequences(model.sample(asked(conditions=igg, **{second: 4.0}))) != plain


def test_a_second_pass_that_cannot_be_made_says_why(tuned, sapiens):
    with pytest.raises(SettingError, match=r"none was asked for; ask for one of .*isotype \(IGHG"):
        tuned.sample(asked(guidance=2.0))
    with pytest.raises(SettingError, match="none was asked for"):  # a tag that has one value
        tuned.sample(asked(guidance=2.0, conditions={"locus": "IGH"}))
    with pytest.raises(SettingError, match="sapiens-vh has learnt none that could be left open"):
        sapiens.sample(asked(guidance=2.0))
    with pytest.raises(SettingError, match="sapiens-vh has no adapter"):
        sapiens.sample(asked(contrast=2.0))
    with pytest.raises(SettingError, match="give one of the two"):
        asked(contrast=2.0, guidance=2.0)
    for name in ("guidance", "contrast"):
        with pytest.raises(SettingError, match=f"{name} must be >= 0 and finite"):
            asked(**{name: -1.0})
    template = Template(START, torch.zeros(3, dtype=torch.int64), torch.ones(3, dtype=torch.bool))
    untuned = replace(Contrast(2.0, START), untuned=True)
    with pytest.raises(SettingError, match="needs a model with an adapter"):
        reader(PositionModel(), TOKENS, [template], causal=False, contrast=untuned)
