"""`AntibodyModel.sample`: causal models, germlines, guides, and samplers that do not fit."""

import dataclasses

import pytest
from antibodies import HEAVY
from bundles import LENGTHS, TAGS, disturb, manifest_of
from toys import seeded

from hfbio.errors import SettingError
from hfbio.model import AntibodyModel
from hfbio.models import AdapterConfig, add_tags, attach
from hfbio.models.scratch import fresh
from hfbio.sample import Causal, GermlineWalk, Guide, Request, Unmask
from hfbio.tokens import Tags

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}
SCAFFOLD = "EVQ____SGGG__AWY"
PREFIX = Tags("prefix", TAGS.values, TAGS.seen)


def causal(objective, base=None):
    """A tiny causal model with an adapter that says something, as `hfbio.load` would give it."""
    base = base or fresh("llama", SIZES, name="toy", rng=seeded(3))
    tagged = add_tags(base, PREFIX)
    model = attach(tagged, AdapterConfig(r=2), rng=seeded())
    disturb(model, 3.0)
    return AntibodyModel(tagged, model, manifest_of(tagged, PREFIX, objective=objective))


@pytest.fixture(scope="module")
def writer():
    return causal({"kind": "clm", "direction": "forward"})


OBJECTIVES = [
    {"kind": "clm", "direction": "forward"},
    {"kind": "clm", "direction": "reverse"},
    {"kind": "clm", "direction": "both"},
    {"kind": "infill"},
]


def sequences(made):
    return [design.sequence_aa for design in made.drawn]


def asked(num=8, **settings):
    return Request(num=num, keep="all", **settings)


# --- causal models -----------------------------------------------------------------------------


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: "-".join(o.values()))
def test_a_scaffold_keeps_its_letters_whatever_the_model_has_learnt(objective):
    made = sequences(causal(objective).sample(asked(scaffold=SCAFFOLD)))
    for sequence in made:
        assert len(sequence) == len(SCAFFOLD)
        assert all(a in ("_", b) for a, b in zip(SCAFFOLD, sequence))
        assert "X" not in sequence
    assert len(set(made)) > 4


def test_the_objective_decides_how_a_scaffold_is_shown():
    shown = {}
    for objective in OBJECTIVES:
        model = causal(objective)
        ids = []
        model.sample(asked(1, scaffold=SCAFFOLD), watch=lambda state, ids=ids: ids.append(state))
        first = ids[0]
        tokens = model.base.tokenizer.convert_ids_to_tokens(first.ids[0, : first.n_prompt])
        shown["-".join(objective.values())] = tokens
    assert shown["clm-forward"] == shown["clm-both"] == ["<cls>", "[locus:IGH]"]
    assert shown["clm-reverse"] == ["<eos>", "[locus:IGH]"]
    infill = ["<cls>", "[locus:IGH]", *"EVQ", "<mask>", *"SGGG", "<mask>", *"AWY", "<sep>"]
    assert shown["infill"] == infill


def test_a_scaffold_of_blanks_alone_or_of_letters_alone_needs_no_gaps():
    model = causal({"kind": "infill"})
    assert {len(s) for s in sequences(model.sample(asked(scaffold="_" * 9)))} == {9}
    assert set(sequences(model.sample(asked(scaffold="EVQLV")))) == {"EVQLV"}


def test_a_scaffold_whose_gaps_take_more_places_than_the_model_reads_is_refused():
    model = causal({"kind": "infill"})
    scaffold = "A_" * (model.base.max_residues // 2)
    with pytest.raises(SettingError, match=f"toy reads at most {model.base.max_residues}"):
        model.sample(asked(scaffold=scaffold))


def test_a_chain_ends_within_the_lengths_asked_for_or_seen(writer):
    lengths = {len(s) for s in sequences(writer.sample(asked(64, length=(5, 9))))}
    assert lengths <= set(range(5, 10))
    assert len(lengths) > 1
    seen = {int(n) for counts in LENGTHS.values() for n in counts}
    lengths = {len(s) for s in sequences(writer.sample(asked(16)))}
    assert min(seen) <= min(lengths) <= max(lengths) <= max(seen)
    assert {len(s) for s in sequences(writer.sample(asked(length=12)))} == {12}


def test_a_bare_causal_base_writes_until_it_ends_or_can_read_no_more():
    base = fresh("llama", {**SIZES, "max_position_embeddings": 22}, name="toy", rng=seeded(3))
    made = sequences(AntibodyModel(base, base.model, None).sample(asked(32)))
    lengths = {len(sequence) for sequence in made}
    assert 1 <= min(lengths) < max(lengths) <= base.max_residues == 20


def test_causal_design_i_is_the_same_however_many_are_asked_for(writer):
    request = {"length": (10, 30), "conditions": {"isotype": "IGHG"}, "guidance": 1.5}
    few, many = (sequences(writer.sample(asked(n, **request))) for n in (8, 64))
    assert few == many[:8]
    assert len(set(many)) == 64
    assert few == sequences(writer.sample(asked(8, **request)))
    assert few != sequences(writer.sample(asked(8, length=(10, 30))))


def test_the_base_is_shown_what_it_starts_from_itself():
    own = Tags.from_rows("prefix", {"v_family": ["IGHV1"]})
    tagged = add_tags(fresh("llama", SIZES, name="toy", rng=seeded(3)), own)
    base = dataclasses.replace(tagged, own_tags=own, tag_ids=())
    prompt = base.own_prompt.ids(own.choose({}))
    assert len(prompt) == 2
    alone = sequences(AntibodyModel(base, base.model, None).sample(asked(length=15)))
    model = causal({"kind": "clm", "direction": "forward"}, base)
    request = {"length": 15, "conditions": {"isotype": "IGHG"}}
    assert sequences(model.sample(asked(**request, contrast=0.0))) == alone
    assert sequences(model.sample(asked(**request))) != alone


# --- samplers that fit -------------------------------------------------------------------------


def test_a_causal_model_has_its_own_sampler_and_takes_no_other(writer, sapiens):
    assert writer.manifest.sampler["kind"] == "unmask"
    assert writer.sampler(temperature=0.5) == Causal(temperature=0.5)
    with pytest.raises(
        SettingError, match=r"unmask does not serve toy, a causal model; use causal"
    ):
        writer.sample(asked(length=9), sampler=Unmask())
    with pytest.raises(SettingError, match="sapiens-vh, a masked model; use unmask, germline_walk"):
        sapiens.sample(asked(length=9), sampler=Causal())
    with pytest.raises(SettingError, match="not causal"):
        writer.sample(asked(germline="EVQ"))


def test_a_sampler_of_another_kind_starts_from_its_own_defaults(sapiens):
    manifest = manifest_of(sapiens.base, Tags())  # order entropy, 3 steps, temperature 0.7
    model = AntibodyModel(sapiens.base, sapiens.model, manifest)
    assert model.sampler().temperature == 0.7
    assert model.sampler(kind="unmask", steps=5).temperature == 0.7
    assert model.sampler(kind="germline_walk", steps=5) == GermlineWalk(steps=5)


# --- germlines ---------------------------------------------------------------------------------

ANCESTOR = HEAVY[:97] + "_" * 13 + HEAVY[110:]


def test_a_walk_starts_from_the_germline_of_the_request(sapiens):
    states = []
    walk = GermlineWalk(steps=4)
    made = sequences(sapiens.sample(asked(germline=ANCESTOR), sampler=walk, watch=states.append))
    tokens = sapiens.base.token_map
    given = [tokens.residue_id(letter) for letter in ANCESTOR]
    assert states[0].germline[0, 1:-1].tolist() == given
    for sequence in made:
        same = sum(a == b for a, b in zip(ANCESTOR, sequence))
        assert len(sequence) == len(ANCESTOR)
        assert same > 80  # of 107; a blank of this length comes back with far fewer
    assert len(set(made)) > 1


def test_a_walk_within_a_scaffold_mutates_what_is_open_alone(sapiens):
    scaffold = HEAVY[:50] + "_" * 20 + HEAVY[70:]
    walk = GermlineWalk(steps=4)
    made = sapiens.sample(asked(scaffold=scaffold, germline=HEAVY), sampler=walk)
    for sequence in sequences(made):
        assert all(a in ("_", b) for a, b in zip(scaffold, sequence))
    blank = sapiens.sample(asked(scaffold=scaffold), sampler=walk)
    assert sequences(made) != sequences(blank)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 120}, "starts from a germline, and there is none; give the germline"),
        ({"germline": "EV5"}, "germline: '5' at residue 2"),
        ({"germline": "EVQ", "scaffold": "EV"}, "has 3 places and the scaffold 2"),
        ({"germline": "A" * 150}, "150 residues asked"),
    ],
)
def test_a_walk_that_cannot_start_says_what_is_missing(sapiens, settings, message):
    with pytest.raises(SettingError, match=message):
        sapiens.sample(asked(**settings), sampler=GermlineWalk())


def test_a_germline_serves_the_walk_alone(sapiens):
    with pytest.raises(SettingError, match="a germline is what the sampler germline_walk starts"):
        sapiens.sample(asked(germline=ANCESTOR), sampler=Unmask())


def test_a_model_saved_with_the_walk_still_writes_from_a_blank(sapiens):
    saved = {"kind": "germline_walk", "steps": 3}
    manifest = manifest_of(sapiens.base, Tags(), sampler=saved)
    model = AntibodyModel(sapiens.base, sapiens.model, manifest)
    assert model.blank_sampler() == Unmask(steps=3)
    assert sequences(model.sample(asked(length=30))) == sequences(
        sapiens.sample(asked(length=30), sampler=Unmask(steps=3))
    )
    states = []
    model.sample(asked(germline=ANCESTOR), watch=states.append)
    assert (states[0].germline >= 0).any()


# --- guides ------------------------------------------------------------------------------------


def tyrosines(chains):
    return [chain.count("Y") / 2 for chain in chains]


@pytest.mark.parametrize("name", ["sapiens", "writer"])
def test_kept_designs_tell_their_score_and_steering_raises_it(name, request):
    model = request.getfixturevalue(name)
    sampler = model.sampler() if name == "writer" else model.sampler(steps=6)
    guided = model.sample(
        asked(8, length=40), sampler=sampler, guide=Guide(tyrosines, 4.0, particles=4)
    )
    scores = [design.guide_score for design in guided.kept]
    assert scores == tyrosines([design.sequence_aa for design in guided.kept])
    assert all(design.row()["guide_score"] == design.guide_score for design in guided.kept)
    assert guided.mean_guide_score == pytest.approx(sum(scores) / 8)
    plain = model.sample(asked(8, length=40), sampler=sampler)
    assert plain.mean_guide_score is None
    assert "guide_score" not in plain.kept[0].row()
    by_chance = sum(tyrosines([design.sequence_aa for design in plain.kept])) / 8
    assert guided.mean_guide_score > by_chance + 0.5  # one tyrosine more; the means are off by 0.3
    again = model.sample(
        asked(4, length=40), sampler=sampler, guide=Guide(tyrosines, 4.0, particles=4)
    )
    assert sequences(again) == sequences(guided)[:4]
