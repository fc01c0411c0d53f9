"""Records to token ids, and token ids to padded batches. Corrupts nothing and reads no file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hfbio.errors import SequenceError
from hfbio.record import AntibodyRecord, ProteinRecord
from hfbio.tokens import Prompt, Tags, TokenMap

_V_FAMILY = re.compile(r"IG[HKL]V[0-9]+")

IGNORE = -100
"""Label of a position that is not scored, as in ``torch.nn.functional.cross_entropy``."""


@dataclass(frozen=True)
class Example:
    """One chain as the model sees it: prefix tokens, residues, stop token. All ``(L,)``."""

    input_ids: Tensor  # int64, uncorrupted
    region_ids: Tensor  # int64, index into record.REGIONS; -1 at special tokens
    germline_ids: Tensor  # int64, token id of the germline residue; -1 where there is none

    @property
    def residues(self) -> Tensor:
        """``(n,)`` int64 positions that hold residues."""
        return (self.region_ids >= 0).nonzero().squeeze(1)


@dataclass(frozen=True)
class Corrupted:
    """What an objective makes of an `Example`. All ``(L,)`` but the last."""

    input_ids: Tensor  # int64, what the model is shown
    labels: Tensor  # int64, token wanted at each position, IGNORE where not scored
    weights: Tensor  # float32, factor on the nats of each position
    denominator: float  # what the weighted nats of this chain are divided by, in residues


def encode(record: AntibodyRecord, tokens: TokenMap, prefix: Sequence[int]) -> Example:
    """Encode one numbered record.

    Args:
        record: numbered, so that ``regions`` cuts ``sequence_aa``.
        tokens: ids of the model's tokenizer.
        prefix: ids in front of the residues: the start token, or condition tags (`Prompt.ids`).

    Raises:
        SequenceError: the record is not numbered, or holds a letter the model does not know.
    """
    if not record.regions:
        raise SequenceError(f"record {record.sequence_id!r} is not numbered; import it first")
    try:
        residues = tokens.encode(record.sequence_aa)
    except SequenceError as error:
        raise SequenceError(f"record {record.sequence_id!r}: {error}") from None
    front = torch.tensor(prefix, dtype=torch.int64)
    region_ids = torch.full((len(front) + len(residues) + 1,), -1)
    for region, (start, stop) in enumerate(zip(record.regions, record.regions[1:])):
        region_ids[len(front) + start : len(front) + stop] = region
    germline_ids = torch.full_like(region_ids, -1)
    for i, letter in enumerate(record.germline_alignment_aa):
        germline_ids[len(front) + i] = tokens.residue_id(letter)
    ids = torch.cat([front, residues, torch.tensor([tokens.stop_id])])
    return Example(input_ids=ids, region_ids=region_ids, germline_ids=germline_ids)


def encode_protein(record: ProteinRecord, tokens: TokenMap, prefix: Sequence[int]) -> Example:
    """Encode a chain that has no regions: all of it counts as framework.

    Raises:
        SequenceError: a letter the model does not know.
    """
    try:
        residues = tokens.encode(record.sequence_aa)
    except SequenceError as error:
        raise SequenceError(f"protein {record.sequence_id!r}: {error}") from None
    ids = torch.cat([torch.tensor(prefix), residues, torch.tensor([tokens.stop_id])])
    region_ids = torch.full_like(ids, -1)
    region_ids[len(prefix) : -1] = 0
    return Example(ids, region_ids, germline_ids=torch.full_like(ids, -1))


def encode_described(
    records: Sequence[AntibodyRecord], tokens: TokenMap, prompt: Prompt
) -> list[Example]:
    """Encode records behind the condition tags that their own fields call for."""
    return [encode(record, tokens, prompt.ids(describe(record, prompt.tags))) for record in records]


def collate(items: Sequence[Corrupted], pad_id: int) -> dict[str, Tensor]:
    """Pad corrupted chains to the longest of them.

    Args:
        items: ``B`` chains.
        pad_id: token id that fills ``input_ids``.

    Returns:
        ``input_ids`` and ``labels`` ``(B, L)`` int64, ``attention_mask`` ``(B, L)`` int64 with 1
        at real tokens, ``weights`` ``(B, L)`` float32, ``denominator`` ``(B,)`` float32.
    """
    return {
        "input_ids": pad([item.input_ids for item in items], pad_id),
        "attention_mask": pad([torch.ones_like(item.input_ids) for item in items], 0),
        "labels": pad([item.labels for item in items], IGNORE),
        "weights": pad([item.weights for item in items], 0.0),
        "denominator": torch.tensor([item.denominator for item in items], dtype=torch.float32),
    }


def pad(rows: Sequence[Tensor], value: float) -> Tensor:
    """``(B, L)`` from ``B`` one-dimensional tensors, filled on the right with ``value``."""
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)


def tag_values(record: AntibodyRecord, fields: Sequence[str]) -> Mapping[str, str]:
    """The condition values of one record: field name -> value, empty where unknown."""
    return {name: record_tag(record, name) for name in fields}


def describe(record: AntibodyRecord | ProteinRecord, tags: Tags) -> dict[str, str]:
    """The tags of one record: see `Tags.describe`. A protein has none that may be left open."""
    if isinstance(record, ProteinRecord):
        return tags.describe({})
    return tags.describe(tag_values(record, tags.fields))


def record_tag(record: AntibodyRecord, name: str) -> str:
    """One condition value: ``locus``, ``species``, ``isotype`` or ``v_family``.

    The family is the IMGT subgroup, letters and number: IGHV3 of IGHV3-11*05, IGKV1 of IGKV1D-39,
    IGHV1 of IGHV1S81; empty where the call names none.
    """
    if name == "v_family":
        found = _V_FAMILY.match(record.v_call)
        return found[0] if found else ""
    return str(getattr(record, name))
