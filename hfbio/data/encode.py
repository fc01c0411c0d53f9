"""Records to token ids, and token ids to padded batches. Corrupts nothing and reads no file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hfbio.errors import SequenceError
from hfbio.record import Antibody, AntibodyRecord, PairedRecord, ProteinRecord
from hfbio.tokens import Prompt, Tags, TokenMap

_V_FAMILY = re.compile(r"IG[HKL]V[0-9]+")

IGNORE = -100
"""Label of a position that is not scored, as in ``torch.nn.functional.cross_entropy``."""


@dataclass(frozen=True)
class Example:
    """One chain as the model sees it: prefix tokens, residues, stop token. All ``(L,)``.

    Of a pair: prefix, residues of the heavy chain, separator, residues of the light chain, stop.
    """

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


def encode(record: Antibody, tokens: TokenMap, prefix: Sequence[int]) -> Example:
    """Encode one numbered chain, or a pair of them with the separator of the model between.

    Args:
        record: numbered, so that ``regions`` cuts ``sequence_aa``.
        tokens: ids of the model's tokenizer.
        prefix: ids in front of the residues: the start token, or condition tags (`Prompt.ids`).

    Raises:
        SequenceError: the record is not numbered, or holds a letter the model does not know.
        SettingError: a pair, and a model that reads chains alone.
    """
    parts = [_special(prefix)]
    for i, chain in enumerate(record.chains):
        if i:
            parts.append(_special(tokens.require_between_chains()))
        parts.append(_residues(chain, tokens))
    parts.append(_special([tokens.stop_id]))
    return Example(*(torch.cat(tensors) for tensors in zip(*parts)))


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
    records: Sequence[Antibody], tokens: TokenMap, prompt: Prompt
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


def tag_values(record: Antibody, fields: Sequence[str]) -> Mapping[str, str]:
    """The condition values of one record: field name -> value, empty where unknown."""
    return {name: record_tag(record, name) for name in fields}


def describe(record: Antibody | ProteinRecord, tags: Tags) -> dict[str, str]:
    """The tags of one record: see `Tags.describe`. A protein has none that may be left open."""
    if isinstance(record, ProteinRecord):
        return tags.describe({})
    return tags.describe(tag_values(record, tags.fields))


def record_tag(record: Antibody, name: str) -> str:
    """One condition value: ``locus``, ``species``, ``isotype`` or ``v_family``.

    Of a pair ``locus`` is that of the light chain, since that of the heavy chain is always IGH; the
    others are those of the heavy chain, which alone has a class.

    The family is the IMGT subgroup, letters and number: IGHV3 of IGHV3-11*05, IGKV1 of IGKV1D-39,
    IGHV1 of IGHV1S81; empty where the call names none.
    """
    if isinstance(record, PairedRecord):
        return record_tag(record.light if name == "locus" else record.heavy, name)
    if name == "v_family":
        found = _V_FAMILY.match(record.v_call)
        return found[0] if found else ""
    return str(getattr(record, name))


def _residues(record: AntibodyRecord, tokens: TokenMap) -> tuple[Tensor, Tensor, Tensor]:
    """Token, region and germline ids of a chain without what stands around it, ``(n,)`` each."""
    if not record.regions:
        raise SequenceError(f"record {record.sequence_id!r} is not numbered; import it first")
    try:
        ids = tokens.encode(record.sequence_aa)
    except SequenceError as error:
        raise SequenceError(f"record {record.sequence_id!r}: {error}") from None
    region_ids = torch.full_like(ids, -1)
    for region, (start, stop) in enumerate(zip(record.regions, record.regions[1:])):
        region_ids[start:stop] = region
    germline_ids = torch.full_like(ids, -1)
    for i, letter in enumerate(record.germline_alignment_aa):
        germline_ids[i] = tokens.residue_id(letter)
    return ids, region_ids, germline_ids


def _special(ids: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """The same of tokens that are no residues."""
    row = torch.tensor(ids, dtype=torch.int64)
    return row, torch.full_like(row, -1), torch.full_like(row, -1)
