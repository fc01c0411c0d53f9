"""Chains to ids and batches, and nothing lost on the way."""

import dataclasses

import pytest
import torch
from antibodies import HEAVY, KAPPA
from toys import TOKENS, numbered

from hfbio.data.encode import (
    IGNORE,
    Corrupted,
    collate,
    encode,
    encode_described,
    record_tag,
    tag_values,
)
from hfbio.errors import SequenceError
from hfbio.record import REGIONS, AntibodyRecord
from hfbio.tokens import Prompt, Tags

CHAINS = [HEAVY, KAPPA]


@pytest.mark.parametrize("sequence", CHAINS)
@pytest.mark.parametrize("prefix", [(0,), (0, 25, 25)])
def test_an_encoded_chain_decodes_to_itself_region_by_region(sequence, prefix):
    record = numbered(sequence)
    example = encode(record, TOKENS, prefix)
    assert tuple(example.input_ids[: len(prefix)].tolist()) == prefix
    assert example.input_ids[-1] == TOKENS.stop_id
    assert TOKENS.decode(example.input_ids[example.residues]) == sequence
    for i, name in enumerate(REGIONS):
        ids = example.input_ids[example.region_ids == i]
        assert TOKENS.decode(ids) == record.region(name)


def test_special_tokens_have_neither_region_nor_germline():
    record = numbered(HEAVY, germline_alignment_aa=HEAVY)
    example = encode(record, TOKENS, (0, 25))
    for ids in (example.region_ids, example.germline_ids):
        assert ids[:2].tolist() == [-1, -1]
        assert ids[-1] == -1
        assert (ids[2:-1] >= 0).all()


def test_germline_ids_stand_at_their_residues_and_gaps_have_none():
    germline = "Q" + HEAVY[1:50] + "-" * 10 + HEAVY[60:]
    example = encode(numbered(HEAVY, germline_alignment_aa=germline), TOKENS, (0,))
    expected = [TOKENS.residue_id(letter) for letter in germline]
    assert example.germline_ids[example.residues].tolist() == expected
    assert (example.germline_ids == -1).sum() == 10 + 2
    assert (encode(numbered(HEAVY), TOKENS, (0,)).germline_ids == -1).all()


def test_a_chain_without_regions_or_with_a_strange_letter_is_refused_by_name():
    with pytest.raises(SequenceError, match="'x1' is not numbered"):
        encode(AntibodyRecord("x1", HEAVY), TOKENS, (0,))
    broken = dataclasses.replace(numbered(HEAVY, "x2"), sequence_aa=HEAVY[:-1] + "*")
    with pytest.raises(SequenceError, match=r"record 'x2': '\*' at residue 119"):
        encode(broken, TOKENS, (0,))


def test_chains_are_encoded_behind_the_tags_of_their_own_fields():
    tags = Tags.from_rows("composite", {"locus": ["IGH", "IGK"]})
    prompt = Prompt(tags, {"[IGH]": 31, "[IGK]": 32, "[*]": 33}, TOKENS.start_id)
    examples = encode_described([numbered(s) for s in CHAINS], TOKENS, prompt)
    assert [example.input_ids[0].item() for example in examples] == [31, 32]


def corrupted(length, value):
    ids = torch.full((length,), value)
    labels = torch.where(torch.arange(length) % 2 == 0, ids, IGNORE)
    return Corrupted(ids, labels, torch.full((length,), 0.5), denominator=float(length))


def test_collating_pads_each_chain_and_changes_none():
    items = [corrupted(5, 7), corrupted(3, 8), corrupted(4, 9)]
    batch = collate(items, pad_id=1)
    assert batch["denominator"].tolist() == [5, 3, 4]
    assert batch["attention_mask"].sum(dim=1).tolist() == [5, 3, 4]
    for row, item in enumerate(items):
        n = len(item.input_ids)
        assert batch["input_ids"][row, :n].equal(item.input_ids)
        assert batch["labels"][row, :n].equal(item.labels)
        assert batch["weights"][row, :n].equal(item.weights)
        assert (batch["input_ids"][row, n:] == 1).all()
        assert (batch["labels"][row, n:] == IGNORE).all()  # pads never count in the loss
        assert (batch["weights"][row, n:] == 0).all()
        assert (batch["attention_mask"][row, :n] == 1).all()


def test_a_batch_does_not_depend_on_the_order_of_its_chains():
    items = [corrupted(5, 7), corrupted(3, 8), corrupted(4, 9)]
    order = [2, 0, 1]
    batch, turned = collate(items, 1), collate([items[i] for i in order], 1)
    for name, tensor in batch.items():
        assert turned[name].equal(tensor[order]), name


# IMGT subgroups: a D marks the distal copy of a kappa gene, S a provisional name, OR an orphon.
@pytest.mark.parametrize(
    ("v_call", "family"),
    [
        ("IGHV3-11*05", "IGHV3"),
        ("IGKV1D-39*01", "IGKV1"),
        ("IGHV1S81*02", "IGHV1"),
        ("IGHV3/OR16-13*01", "IGHV3"),
        ("IGHV3-43D*03", "IGHV3"),
        ("IGLV10-54", "IGLV10"),
        ("IGHV4", "IGHV4"),
        ("", ""),
        ("TRBV6-5", ""),
    ],
)
def test_the_v_family_is_the_imgt_subgroup(v_call, family):
    assert record_tag(AntibodyRecord("a", HEAVY, v_call=v_call), "v_family") == family


def test_condition_values_are_the_fields_of_the_record_and_empty_where_unknown():
    record = numbered(HEAVY, species="human")
    assert tag_values(record, ["locus", "species", "isotype"]) == {
        "locus": "IGH",
        "species": "human",
        "isotype": "",
    }
