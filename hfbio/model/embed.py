"""Vectors of numbered chains: which tags they are shown behind, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from hfbio.data.encode import encode_described
from hfbio.errors import DataError, SequenceError
from hfbio.record import Antibody
from hfbio.score.embed import mean_states, residues_of, untagged

if TYPE_CHECKING:
    from hfbio.model.antibody import AntibodyModel


def embed(
    model: AntibodyModel,
    records: Sequence[Antibody],
    *,
    layer: int,
    region: str,
    own_tags: bool,
    batch_size: int,
    progress: Callable[[int], None] | None,
) -> Tensor:
    """One vector a record; see `AntibodyModel.embed`."""
    if not records:
        raise DataError("there is no chain to embed")
    for record in records:
        model.require_readable(record)
    tokens = model.base.token_map
    encode = encode_described if own_tags else untagged
    examples = encode(records, tokens, model.prompt)
    empty = [record.sequence_id for record in records if not residues_of(record, region)]
    if empty:
        raise SequenceError(
            f"no residue in {region} of {len(empty)} records: {', '.join(empty[:20])}; "
            "remove them, or choose another region"
        )
    return mean_states(
        model.model,
        tokens,
        examples,
        layer=layer,
        region=region,
        batch_size=batch_size,
        progress=progress,
    )
