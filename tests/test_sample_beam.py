"""Stochastic beam search: exhaustive where it can be, exact where it draws, bound by rules."""

import math
from dataclasses import replace
from itertools import combinations, product

import pytest
import torch
from antibodies import HEAVY
from test_sample_remask import LooksBack
from test_sample_unmask import JOINT3
from toys import TOKENS, JointModel, chi_square, numbered, seeded

from hfbio.alphabet import RESIDUES
from hfbio.errors import SettingError
from hfbio.sample import BeamSearch, Rules, freeze

LEAD = "ACA"  # of the first three letters, A, C and D, at the three places of JOINT3
ALL = torch.ones(3, dtype=torch.bool)


def answers(model):
    """``logits_of`` for a toy network behind one start token."""

    def logits_of(ids):
        front = torch.full((len(ids), 1), TOKENS.start_id)
        shown = torch.cat([front, ids], dim=1)
        return model(shown, torch.ones_like(shown)).logits[:, 1:]

    return logits_of


def table_of(n, seed=0):
    """``logits_of`` that knows the place alone."""
    table = 2 * torch.randn(n, TOKENS.vocab_size, generator=seeded(seed))
    return lambda ids: table.repeat(len(ids), 1, 1)


def search(settings, lead=LEAD, free=ALL, logits_of=None, seed=0, **more):
    return settings.search(
        lead,
        free,
        logits_of=logits_of or answers(JointModel(JOINT3)),
        tokens=TOKENS,
        rng=seeded(seed),
        **more,
    )


def chance(sequence):
    return JOINT3[tuple(RESIDUES.index(letter) for letter in sequence)].item()


def neighbours(n_edits, lead=LEAD, letters="ACD"):
    """Every chain of these letters within ``n_edits`` substitutions, the lead not among them."""
    chains = ("".join(chain) for chain in product(letters, repeat=len(lead)))
    return [c for c in chains if 1 <= sum(a != b for a, b in zip(c, lead)) <= n_edits]


# --- what it finds -----------------------------------------------------------------------------

EXACT = BeamSearch(edits=2, beam=2000, temperature=0.0, marginals="masked")


@pytest.mark.parametrize("marginals", ["masked", "unmasked"])
def test_without_noise_and_with_room_it_finds_every_chain_in_the_order_of_the_joint(marginals):
    # `unmasked` of a network that answers with the same conditionals at residues it can see.
    settings = replace(EXACT, marginals=marginals)
    found = search(settings, logits_of=answers(LooksBack(JOINT3)))
    expected = sorted(neighbours(2), key=chance, reverse=True)
    assert [variant.sequence for variant in found[: len(expected)]] == expected
    for variant in found[: len(expected)]:
        ratio = math.log(chance(variant.sequence) / chance(LEAD))
        assert variant.log_ratio == variant.total == pytest.approx(ratio, abs=1e-4)
        assert variant.guide is None
    assert len({variant.sequence for variant in found}) == len(found)
    assert len(found) == 3 * 19 + 3 * 19 * 19  # every letter, each chain once


def test_edits_name_the_residue_of_the_lead_its_place_and_the_new_one():
    for variant in search(EXACT):
        made = list(LEAD)
        for edit in variant.edits.split(";"):
            old, place, new = edit[0], int(edit[1:-1]), edit[-1]
            assert LEAD[place - 1] == old != new
            made[place - 1] = new
        assert "".join(made) == variant.sequence
        assert variant.n_edits == sum(a != b for a, b in zip(LEAD, variant.sequence)) <= 2


@pytest.mark.parametrize("guided", [False, True])
def test_a_path_goes_edit_by_edit_through_chains_that_the_beam_held(guided):
    guide = (lambda chains: [float(s.count("D")) for s in chains]) if guided else None
    settings = BeamSearch(edits=3, beam=8, shortlist=50)
    lead, free = "ACDEFG", torch.ones(6).bool()
    found = search(settings, lead, free, table_of(6), guide=guide)
    held = {variant.sequence: variant for variant in found}
    for variant in found:
        chain = list(lead)
        for step in variant.path:
            old, place, new = step.edit[0], int(step.edit[1:-1]), step.edit[-1]
            assert chain[place - 1] == old
            chain[place - 1] = new
            member = held["".join(chain)]
            values = (member.log_ratio, member.guide, member.total)
            assert (step.log_ratio, step.guide, step.total) == values
        assert "".join(chain) == variant.sequence
        edits = sorted((step.edit for step in variant.path), key=lambda edit: int(edit[1:-1]))
        assert ";".join(edits) == variant.edits
    orders = [[step.edit for step in variant.path] for variant in found]
    assert any(order != variant.edits.split(";") for order, variant in zip(orders, found))


def test_a_chain_of_several_parents_has_come_from_the_best_of_them():
    # The second place is worth more once the first has changed: A1C first, then C2D, is the way.
    def logits_of(ids):
        logits = torch.zeros(*ids.shape, TOKENS.vocab_size)
        first = ids[:, 0] == TOKENS.residue_id("C")
        logits[first, 1, TOKENS.residue_id("D")] = 5.0
        logits[:, 0, TOKENS.residue_id("C")] = 1.0
        return logits

    settings = BeamSearch(edits=2, beam=500, temperature=0.0)
    found = search(settings, "AC", torch.ones(2).bool(), logits_of)
    (best,) = [variant for variant in found if variant.sequence == "CD"]
    assert [step.edit for step in best.path] == ["A1C", "C2D"]
    assert [step.log_ratio for step in best.path] == [1.0, 6.0]


def test_a_guide_is_added_with_its_weight_and_larger_is_better():
    def guide(sequences):
        return [5.0 + 0.7 * s.count("D") - 1.3 * s.count("C") for s in sequences]

    settings = replace(EXACT, guide_weight=2.0, shortlist=1000)
    found = search(settings, guide=guide)
    (of_lead,) = guide([LEAD])

    def total(sequence):
        gain = guide([sequence])[0] - of_lead
        return math.log(chance(sequence) / chance(LEAD)) + 2 * gain

    expected = sorted(neighbours(2), key=total, reverse=True)
    assert [variant.sequence for variant in found[: len(expected)]] == expected
    assert found[0].sequence != search(EXACT)[0].sequence  # the guide had a say
    for variant in found[:5]:
        assert variant.guide == pytest.approx(guide([variant.sequence])[0])
        assert variant.total == pytest.approx(total(variant.sequence), abs=1e-4)


def test_a_guide_is_asked_about_the_shortlist_alone():
    asked = []

    def guide(sequences):
        asked.append(len(sequences))
        return [0.0] * len(sequences)

    settings = BeamSearch(edits=3, beam=4, shortlist=5, marginals="masked")
    assert len(search(settings, guide=guide)) == 12
    assert asked == [1, 20, 20, 20]


# --- what it draws -----------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_one_place_in_the_beam_is_drawn_from_the_softmax_of_the_neighbours(temperature):
    settings = BeamSearch(edits=1, beam=1, temperature=temperature, marginals="masked")
    options = neighbours(1)
    expected = torch.tensor([chance(option) for option in options]) ** (1 / temperature)
    counts = torch.zeros(len(options))
    for seed in range(600):
        (variant,) = search(settings, seed=seed)
        counts[options.index(variant.sequence)] += 1
    statistic, bar = chi_square(counts, expected / expected.sum())
    assert statistic < bar
    off, bar = chi_square(counts, torch.ones(len(options)) / len(options))
    assert off > bar


def test_two_places_are_a_sample_without_replacement():
    settings = BeamSearch(edits=1, beam=2, marginals="masked")
    p = {option: chance(option) for option in neighbours(1)}
    total = sum(p.values())
    pairs = [frozenset(pair) for pair in combinations(p, 2)]
    expected = []
    for a, b in map(tuple, pairs):
        pa, pb = p[a] / total, p[b] / total
        expected.append(pa * pb / (1 - pa) + pb * pa / (1 - pb))
    counts = torch.zeros(len(pairs))
    for seed in range(600):
        counts[pairs.index(frozenset(v.sequence for v in search(settings, seed=seed)))] += 1
    statistic, bar = chi_square(counts, torch.tensor(expected))
    assert statistic < bar


def test_a_chain_that_two_parents_propose_has_one_ticket():
    # All chains equally likely. Two parents with edits at different places propose seven chains
    # of three letters, one of them both: it is among the two that are drawn in 2 runs of 7. With a
    # ticket from each parent it would be in 0.46 of them.
    model = answers(JointModel(torch.full((3, 3, 3), 1 / 27)))
    settings = BeamSearch(edits=2, beam=2, marginals="masked")
    shared = []
    for seed in range(500):
        found = search(settings, logits_of=model, seed=seed)
        edits = [variant.edits for variant in found if variant.n_edits == 1]
        if edits[0][1] != edits[1][1]:
            both = ";".join(sorted(edits, key=lambda edit: edit[1]))
            shared.append(both in {variant.edits for variant in found})
    assert len(shared) > 300
    assert sum(shared) / len(shared) == pytest.approx(2 / 7, abs=0.09)  # four standard deviations


def test_the_same_seed_gives_the_same_variants_and_another_seed_others():
    n = 30
    lead = "ACDEFGHIKL" * 3
    settings = BeamSearch(edits=3, beam=16)
    runs = [
        search(settings, lead, torch.ones(n).bool(), table_of(n), seed=seed) for seed in (0, 0, 1)
    ]
    assert runs[0] == runs[1]
    assert {v.sequence for v in runs[0]} != {v.sequence for v in runs[2]}


# --- what it may not ---------------------------------------------------------------------------


def test_frozen_residues_survive_and_the_free_ones_bound_the_number():
    free = torch.tensor([False, True, False])
    found = search(BeamSearch(edits=3, beam=100), free=free, logits_of=table_of(3))
    assert {v.sequence for v in found} == {f"A{x}A" for x in RESIDUES if x != "C"}
    with pytest.raises(SettingError, match="no residue of the lead is free"):
        search(BeamSearch(), free=~ALL)


def test_what_is_forbidden_is_never_made_and_what_the_lead_has_may_stay():
    lead = "CDGANASCKKCWW"
    rules = Rules.parse(["DG", "nglyc", "[KR][KR]", "free_cys", "P"])
    n = len(lead)
    settings = BeamSearch(edits=4, beam=200)
    free = torch.ones(n).bool()
    found = search(settings, lead, free, table_of(n), rules=rules)
    for variant in found:
        edited = [a != b for a, b in zip(lead, variant.sequence)]
        assert rules.broken(variant.sequence, edited) == ()
    assert any("DG" in variant.sequence for variant in found)
    plain = search(settings, lead, free, table_of(n))
    broken = [rules.broken(v.sequence, [a != b for a, b in zip(lead, v.sequence)]) for v in plain]
    assert sum(map(bool, broken)) > len(plain) / 4  # the rules had something to do


@pytest.mark.parametrize(
    ("guide", "message"),
    [
        (lambda s: [1.0] * (len(s) + (len(s) > 1)), "was given 57 sequences and returned 58"),
        (lambda s: [math.nan] * len(s), f"the guide returned nan for {LEAD}"),
        (lambda s: [math.inf if x == "ACC" else 0.0 for x in s], "the guide returned inf for ACC"),
    ],
)
def test_a_guide_that_does_not_answer_as_it_must_is_a_fault(guide, message):
    settings = BeamSearch(edits=2, beam=19, marginals="masked")
    with pytest.raises(SettingError, match=message):
        search(settings, guide=guide)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"edits": 0}, "edits must be >= 1"),
        ({"beam": 0}, "beam must be >= 1"),
        ({"shortlist": 0}, "shortlist must be >= 1"),
        ({"temperature": -1.0}, "temperature must be"),
        ({"temperature": math.nan}, "temperature must be"),
        ({"guide_weight": math.inf}, "guide_weight must be finite"),
        ({"marginals": "both"}, "marginals must be"),
    ],
)
def test_a_setting_out_of_range_is_named(settings, message):
    with pytest.raises(SettingError, match=message):
        BeamSearch(**settings)


# --- what stays --------------------------------------------------------------------------------


def test_regions_and_residues_are_frozen_by_name_and_number():
    record = numbered(HEAVY)
    cdr3 = freeze("cdr3", record)
    assert "".join(a for a, f in zip(HEAVY, cdr3) if f) == record.region("cdr3")
    some = freeze(" 1-5, 20 ,cdr3", record)
    assert some.nonzero().flatten().tolist() == sorted(
        {*range(5), 19, *cdr3.nonzero().flatten().tolist()}
    )
    assert (freeze("cdrs", record) ^ freeze("fwrs", record)).all()
    assert freeze(f"1-{len(HEAVY)}", record).all()
    assert not freeze("", record).any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cdr4", "'cdr4' names no residues; write cdrs, fwrs, fwr1"),
        ("cdr1,", "'' names no residues"),
        ("0-5", "residues 0-5 do not lie within 1 and 120"),
        ("5-1", "in this order"),
        ("119-121", "do not lie within"),
        ("-3", "'-3' names no residues"),
        ("1-2-3", "names no residues"),
        ("²", "names no residues"),
    ],
)
def test_what_names_no_residues_is_told(text, message):
    with pytest.raises(SettingError, match=message):
        freeze(text, numbered(HEAVY))
