"""Causal objectives: what is given, what is wanted, and where the gaps of a chain lie."""

import dataclasses
import itertools

import pytest
import torch
from antibodies import HEAVY, KAPPA
from toys import TOKENS, chi_square, letters, numbered, seeded

from hfbio.data.encode import IGNORE, Example, collate, encode
from hfbio.errors import SettingError
from hfbio.objectives import CausalLM, Infill, build, weighted_nats
from hfbio.objectives.clm import next_tokens, turn_round
from hfbio.objectives.infill import cut_out, runs
from hfbio.record import REGIONS

TAG, SEP = 25, 26
FULL = dataclasses.replace(TOKENS, vocab_size=27, sep_id=SEP)
EXAMPLE = encode(numbered(HEAVY), FULL, (0, TAG))
N = len(HEAVY)
OBJECTIVES = [
    CausalLM(),
    CausalLM(direction="reverse"),
    CausalLM(direction="both"),
    Infill(),
    Infill(whole=0, by_region=1, max_spans=7),
    Infill(whole=0, by_region=0, max_spans=9, longest=3),
    Infill(whole=0, by_region=0, max_spans=2, longest=500),
]


def chain(n, first=2):
    """An example of ``n`` residues in one region, behind the start token and tags."""
    ids = torch.tensor(
        [0, *[TAG] * (first - 1), *(TOKENS.residue_ids[i % 20] for i in range(n)), 2]
    )
    region_ids = torch.full((n + first + 1,), -1)
    region_ids[first:-1] = 0
    return Example(ids, region_ids, torch.full((n + first + 1,), -1))


def filled(input_ids):
    """The chain that a row with gaps was cut out of: spans put back where masks stand."""
    before, *behind = split_at(input_ids[:-1].tolist(), SEP)
    parts = split_at(before, FULL.mask_id)
    assert len(parts) == len(behind) + 1
    ids = parts[0]
    for span, after in zip(behind, parts[1:]):
        ids = ids + span + after
    return torch.tensor([*ids, int(input_ids[-1])])


def split_at(ids, token):
    groups = [[]]
    for i in ids:
        if i == token:
            groups.append([])
        else:
            groups[-1].append(i)
    return groups


def hidden_residues(made, example=EXAMPLE):
    """Which residues stand in gaps, numbered from 0."""
    before, *behind = split_at(made.input_ids[:-1].tolist(), SEP)
    at, found = -int(example.residues[0]), []
    for part, span in itertools.zip_longest(split_at(before, FULL.mask_id), behind, fillvalue=()):
        at += len(part)
        found += range(at, at + len(span))
        at += len(span)
    return found


# --- what every causal objective promises ------------------------------------------------------


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_label_of_a_position_is_the_token_after_it(objective):
    for seed in range(50):
        made = objective.corrupt(EXAMPLE, FULL, seeded(seed))
        scored = (made.labels != IGNORE).nonzero().squeeze(1)
        assert made.labels[scored].equal(made.input_ids[scored + 1])
        assert made.labels[-1] == IGNORE
        assert made.weights.eq(1).all()
        assert made.denominator == len(scored)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_residue_is_wanted_once_and_nothing_that_is_given(objective):
    for seed in range(50):
        made = objective.corrupt(EXAMPLE, FULL, seeded(seed))
        wanted = made.labels[made.labels != IGNORE].tolist()
        residues = [i for i in wanted if i in FULL.residue_ids]
        assert sorted(letters(torch.tensor(residues))) == sorted(HEAVY)
        n_gaps = int((made.input_ids == FULL.mask_id).sum())
        others = sorted(i for i in wanted if i not in FULL.residue_ids)
        ends = [FULL.stop_id] if made.input_ids[0] == FULL.start_id else [FULL.start_id]
        assert others == ends + [SEP] * n_gaps  # and no tag, no mask, no start token in front


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_same_numbers_corrupt_alike_and_leave_the_chain_alone(objective):
    before = EXAMPLE.input_ids.clone()
    first, second = (objective.corrupt(EXAMPLE, FULL, seeded(3)) for _ in range(2))
    assert first.input_ids.equal(second.input_ids)
    assert first.labels.equal(second.labels)
    assert EXAMPLE.input_ids.equal(before)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_padding_is_never_scored(objective):
    examples = [EXAMPLE, encode(numbered(KAPPA), FULL, (0,))]
    made = [objective.corrupt(example, FULL, seeded(1)) for example in examples]
    batch = collate(made, FULL.pad_id)
    padding = batch["attention_mask"] == 0
    assert padding.any()
    assert batch["labels"][padding].eq(IGNORE).all()
    logits = torch.randn(*batch["input_ids"].shape, FULL.vocab_size, generator=seeded())
    sums = weighted_nats(logits, batch["labels"], batch["weights"])
    logits[padding] = 1e4 * torch.randn(int(padding.sum()), FULL.vocab_size, generator=seeded())
    assert torch.equal(weighted_nats(logits, batch["labels"], batch["weights"]), sums)
    assert batch["denominator"].tolist() == [float((m.labels != IGNORE).sum()) for m in made]


# --- next tokens -------------------------------------------------------------------------------


def test_clm_shows_a_chain_as_it_is_and_asks_for_all_behind_the_tags():
    made = CausalLM().corrupt(EXAMPLE, FULL, seeded())
    assert made.input_ids.equal(EXAMPLE.input_ids)
    assert made.labels.tolist() == [IGNORE, *EXAMPLE.input_ids[2:].tolist(), IGNORE]


def test_a_reversed_chain_begins_with_its_stop_token_and_its_last_residue():
    turned = turn_round(EXAMPLE, FULL)
    assert turned[[0, 1, -1]].tolist() == [FULL.stop_id, TAG, FULL.start_id]
    assert letters(turned[2:-1]) == HEAVY[::-1]


@pytest.mark.parametrize("prefix", [(0,), (0, TAG), (0, TAG, TAG)])
def test_turning_round_twice_changes_nothing(prefix):
    example = encode(numbered(KAPPA), FULL, prefix)
    turned = dataclasses.replace(example, input_ids=turn_round(example, FULL))
    ends = {"start_id": FULL.stop_id, "stop_id": FULL.start_id}
    back = turn_round(turned, dataclasses.replace(FULL, **ends))
    assert back.equal(example.input_ids)
    assert not turned.input_ids.equal(example.input_ids)


def test_both_directions_are_drawn_evenly():
    both = CausalLM(direction="both")
    rng = seeded()
    first = torch.tensor([int(both.corrupt(EXAMPLE, FULL, rng).input_ids[0]) for _ in range(1000)])
    counts = torch.stack([(first == FULL.start_id).sum(), (first == FULL.stop_id).sum()])
    statistic, bar = chi_square(counts, torch.tensor([0.5, 0.5]))
    assert statistic < bar


def test_chains_whose_start_is_a_tag_cannot_be_turned_round():
    composite = encode(numbered(HEAVY), FULL, (TAG,))
    with pytest.raises(SettingError, match="composite tags"):
        CausalLM(direction="reverse").corrupt(composite, FULL, seeded())


def test_tokens_that_are_set_aside_are_not_scored_and_not_counted():
    ids = torch.tensor([0, 5, 6, 24, 7, 2])
    made = next_tokens(ids, given=2, unscored=ids == 24)
    assert made.labels.tolist() == [IGNORE, 6, IGNORE, 7, 2, IGNORE]
    assert made.denominator == 3


# --- gaps --------------------------------------------------------------------------------------


def test_a_row_with_gaps_holds_the_whole_chain_whatever_the_layout():
    example = chain(7)
    for pattern in itertools.product([False, True], repeat=7):
        if not any(pattern):
            continue
        edges = [i for i in range(8) if (i and pattern[i - 1]) != (i < 7 and pattern[i])]
        spans = [(a + 2, b + 2) for a, b in zip(edges[::2], edges[1::2])]
        made = cut_out(example, spans, FULL)
        assert filled(made.input_ids).equal(example.input_ids), pattern
        assert hidden_residues(made, example) == [i for i in range(7) if pattern[i]]
        wanted = made.labels[made.labels != IGNORE]
        assert sum(int(i) in FULL.residue_ids for i in wanted) == 7
        # Those around the gaps come first, in order, then those in the gaps.
        shown = [i for i in range(7) if not pattern[i]]
        hidden = [i for i in range(7) if pattern[i]]
        order = [FULL.residue_ids[i] for i in shown + hidden]
        assert [int(i) for i in wanted if int(i) in FULL.residue_ids] == order


@pytest.mark.parametrize("objective", OBJECTIVES[3:])
def test_drawn_gaps_are_apart_and_put_back_give_the_chain(objective):
    n_gaps = set()
    for seed in range(100):
        made = objective.corrupt(EXAMPLE, FULL, seeded(seed))
        assert filled(made.input_ids).equal(EXAMPLE.input_ids)
        is_mask = made.input_ids == FULL.mask_id
        assert not (is_mask[1:] & is_mask[:-1]).any()
        n_gaps.add(int(is_mask.sum()))
    assert max(n_gaps) <= objective.max_spans
    assert len(n_gaps) > 1


def test_runs_are_the_regions_in_order():
    spans = runs(EXAMPLE)
    sizes = [int((EXAMPLE.region_ids == i).sum()) for i in range(len(REGIONS))]
    assert [stop - start for start, stop in spans] == sizes
    assert spans[0][0] == 2
    assert spans[-1][1] == len(EXAMPLE.input_ids) - 1
    assert all(a[1] == b[0] for a, b in itertools.pairwise(spans))


def test_a_share_of_chains_has_no_gap_and_is_that_of_clm():
    objective, rng = Infill(whole=0.3), seeded()
    made = [objective.corrupt(EXAMPLE, FULL, rng) for _ in range(2000)]
    whole = [m for m in made if SEP not in m.input_ids]
    counts = torch.tensor([len(whole), len(made) - len(whole)])
    statistic, bar = chi_square(counts, torch.tensor([0.3, 0.7]))
    assert statistic < bar
    plain = CausalLM().corrupt(EXAMPLE, FULL, seeded())
    assert all(m.input_ids.equal(plain.input_ids) for m in whole)
    assert all(m.labels.equal(plain.labels) for m in whole)


@pytest.mark.parametrize(("cdr_weight", "max_spans"), [(3.0, 1), (1.0, 1), (0.5, 2), (3.0, 3)])
def test_regions_are_hidden_as_often_as_their_weight_says(cdr_weight, max_spans):
    weights = torch.tensor([cdr_weight if name.startswith("cdr") else 1.0 for name in REGIONS])
    p = (weights / weights.sum()).tolist()
    expected = torch.zeros(2 ** len(REGIONS))  # by the set of regions that are hidden
    for n in range(1, max_spans + 1):
        for drawn in itertools.product(range(len(REGIONS)), repeat=n):
            chance = 1 / max_spans
            for region in drawn:
                chance *= p[region]
            expected[sum(2**i for i in set(drawn))] += chance
    objective = Infill(whole=0, by_region=1, cdr_weight=cdr_weight, max_spans=max_spans)
    region_of = EXAMPLE.region_ids[EXAMPLE.residues]
    sizes = torch.bincount(region_of)
    counts, rng = torch.zeros_like(expected), seeded()
    for _ in range(3000):
        hidden = region_of[hidden_residues(objective.corrupt(EXAMPLE, FULL, rng))]
        found = torch.bincount(hidden, minlength=len(REGIONS))
        assert ((found == 0) | (found == sizes)).all()  # regions as wholes
        counts[sum(2 ** int(i) for i in hidden.unique())] += 1
    statistic, bar = chi_square(counts, expected)
    assert statistic < bar


def test_gaps_anywhere_start_anywhere_and_are_of_every_length():
    objective, rng = Infill(whole=0, by_region=0, max_spans=1, longest=5), seeded()
    layouts = [hidden_residues(objective.corrupt(EXAMPLE, FULL, rng)) for _ in range(6000)]
    starts = torch.bincount(torch.tensor([h[0] for h in layouts]), minlength=N)
    statistic, bar = chi_square(starts, torch.full((N,), 1 / N))
    assert statistic < bar
    lengths = torch.tensor([len(h) for h in layouts if h[0] <= N - 5])  # the rest may be cut short
    statistic, bar = chi_square(torch.bincount(lengths, minlength=6)[1:], torch.full((5,), 0.2))
    assert statistic < bar
    assert all(h == list(range(h[0], h[-1] + 1)) for h in layouts)


def test_a_share_of_gaps_is_a_region():
    objective, rng = Infill(whole=0, by_region=0.4, max_spans=1, longest=1), seeded()
    made = [hidden_residues(objective.corrupt(EXAMPLE, FULL, rng)) for _ in range(2000)]
    alone = sum(len(h) == 1 for h in made)  # no region of this chain is that short
    statistic, bar = chi_square(torch.tensor([2000 - alone, alone]), torch.tensor([0.4, 0.6]))
    assert statistic < bar


def test_a_tokenizer_without_separator_or_mask_cannot_infill():
    with pytest.raises(SettingError, match="no separator token"):
        Infill(whole=0).corrupt(EXAMPLE, TOKENS, seeded())
    with pytest.raises(SettingError, match="no mask token"):
        Infill(whole=0).corrupt(EXAMPLE, dataclasses.replace(FULL, mask_id=None), seeded())


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        ("clm", {"direction": "up"}, "forward, reverse or both, got 'up'"),
        ("infill", {"whole": 1.5}, "whole must be in"),
        ("infill", {"by_region": -0.1}, "by_region must be in"),
        ("infill", {"cdr_weight": 0.0}, "cdr_weight must be > 0"),
        ("infill", {"cdr_weight": float("inf")}, "cdr_weight must be > 0"),
        ("infill", {"max_spans": 0}, "max_spans must be >= 1"),
        ("infill", {"longest": 0}, "longest must be >= 1"),
        ("infill", {"longest": "x"}, "infill"),
        ("infill", {"spans": 2}, "no setting 'spans'"),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(kind, settings, said):
    with pytest.raises(SettingError, match=said):
        build(kind, settings)
