"""What token ids mean: residues, special tokens, condition tags. Holds no tokenizer and no model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from hfbio.alphabet import RESIDUES
from hfbio.errors import SequenceError, SettingError

WILDCARD = "*"


@dataclass(frozen=True)
class TokenMap:
    """The ids of one tokenizer that hfbio uses.

    ``residue_ids[i]`` is the id of ``alphabet.RESIDUES[i]``. ``unknown_id`` stands for X and
    the other ambiguity codes in *inputs*; it is never drawn and never scored.
    """

    vocab_size: int
    residue_ids: tuple[int, ...]
    pad_id: int
    start_id: int
    stop_id: int
    mask_id: int | None
    unknown_id: int | None
    _lookup: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.residue_ids) != len(RESIDUES) or len(set(self.residue_ids)) != len(RESIDUES):
            raise ValueError(f"need 20 distinct residue ids, got {self.residue_ids}")
        object.__setattr__(self, "_lookup", dict(zip(RESIDUES, self.residue_ids)))

    @property
    def allowed(self) -> Tensor:
        """``(V,)`` bool, true at the 20 residues: what may be drawn or scored."""
        mask = torch.zeros(self.vocab_size, dtype=torch.bool)
        mask[list(self.residue_ids)] = True
        return mask

    def encode(self, sequence: str) -> Tensor:
        """``(L,)`` int64 ids of the residues alone, without start and stop.

        Raises:
            SequenceError: a letter that is neither a residue nor, where the tokenizer has an
                unknown token, an ambiguity code.
        """
        ids = [self._lookup.get(letter, self.unknown_id) for letter in sequence]
        if None in ids:
            at = ids.index(None)
            raise SequenceError(
                f"{sequence[at]!r} at residue {at} is not an amino acid this model knows; "
                "remove the sequence or replace the letter"
            )
        return torch.tensor(ids, dtype=torch.int64)

    def decode(self, ids: Tensor) -> str:
        """Residue letters of ``(L,)`` ids; anything else becomes ``X``."""
        letters = {i: letter for letter, i in self._lookup.items()}
        return "".join(letters.get(int(i), "X") for i in ids)


@dataclass(frozen=True)
class Tags:
    """Condition tags: how a request such as "human IgG heavy" becomes the first tokens.

    ``composite``: one token such as ``[IGH|human|IGHG]`` *replaces* the start token, so that no
    residue moves; needed by models with absolute positions. ``prefix``: one token per known
    field follows the start token; models with relative positions do not mind.

    ``values`` lists, per field, what training saw, in sorted order. A field with one value is
    always set; a field with several may be dropped, which is written ``*``.
    """

    style: Literal["composite", "prefix"] = "composite"
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    seen: tuple[tuple[str, ...], ...] = ()  # combinations in training, wildcards not included

    @property
    def fields(self) -> tuple[str, ...]:
        """The tag fields in order: a subset of locus, species, isotype, v_family."""
        return tuple(self.values)

    @classmethod
    def from_rows(
        cls, style: Literal["composite", "prefix"], rows: Mapping[str, list[str]]
    ) -> Tags:
        """Collect the tags of a training table.

        Args:
            style: see the class.
            rows: field name -> one value per row; an empty value means unknown.
        """
        values = {name: tuple(sorted({v for v in column if v})) for name, column in rows.items()}
        known = {name: vs for name, vs in values.items() if vs}
        complete = {row for row in zip(*(rows[name] for name in known)) if all(row)}
        return cls(style=style, values=known, seen=tuple(sorted(complete)))

    def tokens(self) -> list[str]:
        """Every token to add to the tokenizer, sorted, no duplicates."""
        if self.style == "prefix":
            return [f"[{name}:{v}]" for name, vs in self.values.items() for v in vs]
        return sorted({_composite(row) for combo in self.seen for row in self._dropped(combo)})

    def choose(self, wanted: Mapping[str, str]) -> dict[str, str]:
        """Fill in a request: fields with one value are set, the others default to ``*``.

        Raises:
            SettingError: an unknown field or value, or a combination training never saw.
        """
        for name, value in wanted.items():
            if name not in self.values:
                known = ", ".join(self.fields) or "none"
                raise SettingError(f"this model has no {name} tag; its tags are: {known}")
            if value != WILDCARD and value not in self.values[name]:
                raise SettingError(
                    f"{name}={value!r} was not in the training data; choose one of: "
                    + ", ".join(self.values[name])
                )
        chosen = {
            name: wanted.get(name) or (vs[0] if len(vs) == 1 else WILDCARD)
            for name, vs in self.values.items()
        }
        row = tuple(chosen.values())
        if row and not any(row in self._dropped(combo) for combo in self.seen):
            raise SettingError(f"the combination {_composite(row)} was not in the training data")
        return chosen

    def drop(self, row: Mapping[str, str], fraction: float, rng: torch.Generator) -> dict[str, str]:
        """Replace each droppable or unknown field of a training row by ``*``.

        Args:
            row: field -> value; unknown values are empty.
            fraction: probability of dropping, for fields with several values.
            rng: source of randomness; one number is drawn per field.
        """
        dice = torch.rand(len(self.values), generator=rng).tolist()
        return {
            name: WILDCARD
            if not row.get(name) or (len(vs) > 1 and die < fraction)
            else row[name]
            for (name, vs), die in zip(self.values.items(), dice)
        }

    def prefix(self, chosen: Mapping[str, str]) -> list[str]:
        """The tag tokens for ``chosen``: one (composite) or one per set field (prefix).

        An empty list means: start with the plain start token.
        """
        if not self.values:
            return []
        if self.style == "composite":
            return [_composite(tuple(chosen[name] for name in self.fields))]
        return [f"[{name}:{v}]" for name, v in chosen.items() if v != WILDCARD]

    def _dropped(self, combo: tuple[str, ...]) -> set[tuple[str, ...]]:
        rows: set[tuple[str, ...]] = {()}
        for value, vs in zip(combo, self.values.values()):
            options = (value,) if len(vs) == 1 else (value, WILDCARD)
            rows = {(*row, option) for row in rows for option in options}
        return rows


def _composite(row: tuple[str, ...]) -> str:
    return "[" + "|".join(row) + "]"
