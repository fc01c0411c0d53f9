"""What ids mean, and how condition tags become the first of them."""

import dataclasses
from itertools import product

import pytest
import torch
from toys import SPECIAL_IDS, TOKENS, seeded

from hfbio.alphabet import AMBIGUOUS, RESIDUES
from hfbio.errors import SequenceError, SettingError
from hfbio.tokens import WILDCARD, Prompt, Tags

STYLES = ["composite", "prefix"]
ROWS = {
    "locus": ["IGH"] * 6,  # a constant field
    "species": ["human", "human", "mouse", "", "mouse", "human"],
    "isotype": ["IGHG", "IGHM", "IGHM", "IGHA", "", "IGHG"],
}


def rows_of(table):
    return [dict(zip(table, row)) for row in zip(*table.values())]


def prompt_of(tags):
    return Prompt(tags, {token: 100 + i for i, token in enumerate(tags.tokens())}, start_id=0)


# --- ids ---------------------------------------------------------------------------------------


def test_every_residue_survives_encoding_and_decoding():
    ids = TOKENS.encode(RESIDUES * 3)
    assert TOKENS.decode(ids) == RESIDUES * 3
    assert ids[: len(RESIDUES)].tolist() == list(TOKENS.residue_ids)


@pytest.mark.parametrize("letter", ["*", "-", ".", "_", "1", " ", "a", "x", "é", "\n"])
def test_what_is_no_amino_acid_code_is_refused_even_where_there_is_an_unknown_token(letter):
    with pytest.raises(SequenceError, match="at residue 2"):
        TOKENS.encode("AC" + letter + "D")


def test_ambiguity_codes_read_as_unknown_or_are_refused_where_there_is_no_such_token():
    assert set(TOKENS.encode(AMBIGUOUS).tolist()) == {TOKENS.unknown_id}
    with pytest.raises(SequenceError, match="'B' at residue 0"):
        dataclasses.replace(TOKENS, unknown_id=None).encode(AMBIGUOUS)


def test_only_the_twenty_residues_may_be_drawn_or_scored():
    assert TOKENS.allowed.nonzero().squeeze(1).tolist() == sorted(TOKENS.residue_ids)
    assert TOKENS.decode(torch.tensor(SPECIAL_IDS)) == "X" * len(SPECIAL_IDS)
    assert {TOKENS.residue_id(letter) for letter in "-X*b"} == {-1}


def test_a_map_needs_twenty_different_residue_ids():
    with pytest.raises(ValueError, match="20 distinct"):
        dataclasses.replace(TOKENS, residue_ids=(4,) * 20)


def test_a_tokenizer_without_a_mask_says_so_when_one_is_needed():
    assert TOKENS.require_mask() == 24
    with pytest.raises(SettingError, match="no mask token"):
        dataclasses.replace(TOKENS, mask_id=None).require_mask()


# --- tags in front of a chain ------------------------------------------------------------------


def test_a_composite_tag_stands_in_the_start_tokens_place():
    prompt = prompt_of(Tags.from_rows("composite", ROWS))
    for row in rows_of(ROWS):
        ids = prompt.ids(prompt.tags.describe(row))
        assert len(ids) == 1  # as long as the start token alone, so that no residue moves
        assert ids[0] >= 100


def test_prefix_tags_follow_the_start_token_one_for_each_known_field():
    prompt = prompt_of(Tags.from_rows("prefix", ROWS))
    names = {i: token for token, i in prompt.tag_ids.items()}
    start, *ids = prompt.ids({"locus": "IGH", "species": "mouse", "isotype": WILDCARD})
    assert start == 0
    assert [names[i] for i in ids] == ["[locus:IGH]", "[species:mouse]"]


@pytest.mark.parametrize("style", STYLES)
def test_without_tags_a_chain_starts_with_the_plain_start_token(style):
    tags = Tags.from_rows(style, {})
    assert tags.tokens() == []
    assert prompt_of(tags).ids(tags.describe({"locus": "IGH"})) == (0,)


# --- which tags there are ----------------------------------------------------------------------


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("seed", range(5))
def test_every_chain_described_and_dropped_in_any_way_has_its_tokens(style, seed):
    # Tables of one to three fields with holes; the chains described are of another table.
    rng = seeded(seed)

    def column(values, n):
        return [values[i] for i in torch.randint(len(values), (n,), generator=rng)]

    options = [["", "a", "b", "c"], ["only"], ["", "x", "y"]][: 1 + seed % 3]
    table = {f"f{i}": column(values, 12) for i, values in enumerate(options)}
    tags = Tags.from_rows(style, table)
    prompt = prompt_of(tags)
    strangers = [dict(zip(table, row)) for row in product(["", "a", "x", "never"], repeat=3)]
    for row in rows_of(table) + strangers:
        for fraction in (0.0, 0.5, 0.999):
            chosen = tags.drop(tags.describe(row), fraction, rng)
            assert prompt.ids(chosen)  # a missing token is a KeyError
            assert tags.choose({k: v for k, v in chosen.items() if v != WILDCARD}) == chosen


@pytest.mark.parametrize("style", STYLES)
def test_tokens_are_sorted_and_each_is_used_by_some_chain(style):
    tags = Tags.from_rows(style, ROWS)
    used = set()
    for row in rows_of(ROWS):
        described = tags.describe(row)
        fields = [(described[name], WILDCARD) for name in tags.fields]
        for values in product(*fields):
            kept = {n: v for n, v in zip(tags.fields, values) if v != WILDCARD}
            used |= set(tags.prefix(tags.choose(kept)))
    assert tags.tokens() == sorted(used)


@pytest.mark.parametrize("style", STYLES)
def test_chains_with_different_conditions_never_share_their_tokens(style):
    tags = Tags.from_rows(style, ROWS)
    described = {tuple(tags.describe(row).items()) for row in rows_of(ROWS)}
    assert len({tuple(tags.prefix(dict(items))) for items in described}) == len(described) == 5


def test_the_order_of_the_training_rows_does_not_matter():
    turned = {name: values[3:] + values[:3] for name, values in ROWS.items()}
    assert Tags.from_rows("composite", turned) == Tags.from_rows("composite", ROWS)


def test_a_field_with_one_value_is_always_set():
    tags = Tags.from_rows("composite", ROWS)
    assert tags.describe({})["locus"] == "IGH"
    assert tags.choose({"locus": WILDCARD})["locus"] == "IGH"
    described = tags.describe(rows_of(ROWS)[0])
    assert tags.drop(described, 0.999, seeded())["locus"] == "IGH"


def test_each_of_the_other_fields_is_dropped_as_often_as_asked():
    tags = Tags.from_rows("composite", ROWS)
    described, rng = tags.describe(rows_of(ROWS)[0]), seeded()
    n = 4000
    dropped = [tags.drop(described, 0.3, rng) for _ in range(n)]
    bar = 5 * (0.3 * 0.7 / n) ** 0.5
    for name in ("species", "isotype"):
        share = sum(row[name] == WILDCARD for row in dropped) / n
        assert share == pytest.approx(0.3, abs=bar)
    both = sum(row["species"] == row["isotype"] == WILDCARD for row in dropped) / n
    assert both == pytest.approx(0.09, abs=bar)  # independently; together would be 0.3


def test_a_combination_that_training_never_saw_is_described_as_unknown_and_not_to_be_had():
    tags = Tags.from_rows("composite", ROWS)
    mouse_igg = {"species": "mouse", "isotype": "IGHG"}
    assert tags.describe(mouse_igg) == {"locus": "IGH", "species": "*", "isotype": "*"}
    with pytest.raises(SettingError, match=r"\[IGH\|mouse\|IGHG\] was not in the training data"):
        tags.choose(mouse_igg)


def test_an_impossible_request_names_what_there_is():
    tags = Tags.from_rows("composite", ROWS)
    with pytest.raises(SettingError, match="its tags are: locus, species, isotype"):
        tags.choose({"colour": "blue"})
    with pytest.raises(SettingError, match="choose one of: human, mouse"):
        tags.choose({"species": "dog"})


def test_a_field_that_no_row_knows_is_refused():
    with pytest.raises(SettingError, match="'isotype' is empty in every row"):
        Tags.from_rows("composite", {"locus": ["IGH"], "isotype": [""]})


# `[a|b]` could be one field or two, `*` reads as unknown, and brackets end a token.
@pytest.mark.parametrize("value", ["a|b", "*", "a*", "[CLS", "x]", "a\nb", "a\0", " a", "<b>"])
def test_values_that_would_read_as_another_tag_are_refused(value):
    with pytest.raises(SettingError, match="'species' has the value"):
        Tags.from_rows("composite", {"species": ["human", value]})


def test_values_as_repertoire_files_have_them_are_tags():
    values = [
        "IGHV3",
        "rhesus monkey",
        "mouse (BALB/c)",
        "IGHV1/OR15-1",
        "Ä1",
    ]
    assert len(Tags.from_rows("prefix", {"species": values}).tokens()) == 5


def test_more_tags_than_any_data_has_are_refused():
    with pytest.raises(SettingError, match=r"5,001 tokens, more than 4,096"):
        Tags.from_rows("composite", {"v_family": [f"v{i}" for i in range(5_000)]})


def test_combinations_that_do_not_fit_the_values_are_refused():
    for seen in [(("IGH", "x"),), (("IGL",),), (("*",),)]:
        with pytest.raises(ValueError, match="does not fit the values"):
            Tags("composite", {"locus": ("IGH",)}, seen)
