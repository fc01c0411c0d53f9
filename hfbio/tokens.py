"""What token ids mean: residues, special tokens, condition tags. Holds no tokenizer, no model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import torch
from torch import Tensor

from hfbio.alphabet import AMBIGUOUS, CHAIN_BREAK, RESIDUES, UNKNOWN
from hfbio.errors import SequenceError, SettingError

WILDCARD = "*"
MAX_TAGS: Final = 4096
"""Most tokens that tags may add: a vocabulary of residues needs no more, and each is a row."""

# Free of what tag tokens are spelled with, of markup and of all blanks but the space.
_VALUE: Final = re.compile(r"[\w(](?:[\w .,:/+()-]{0,62}[\w.+)-])?")
_FIELD: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")


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
    sep_id: int | None = None  # between a chain with gaps and what fills them, see `Infill`
    between_chains: tuple[int, ...] | None = None  # of a pair; None: reads one chain at a time
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

    def require_mask(self) -> int:
        """The mask token's id.

        Raises:
            SettingError: a causal tokenizer without one.
        """
        if self.mask_id is None:
            raise SettingError(
                "this model has no mask token; use a masked model, or a causal objective"
            )
        return self.mask_id

    def require_separator(self) -> int:
        """The separator token's id.

        Raises:
            SettingError: a tokenizer without one.
        """
        if self.sep_id is None:
            raise SettingError(
                "this model's tokenizer has no separator token, which infilling needs; use "
                "hfbio-mini-clm, or the objective clm"
            )
        return self.sep_id

    def require_between_chains(self) -> tuple[int, ...]:
        """The ids that part the two chains of a pair; none at all is an answer too.

        Raises:
            SettingError: a model that reads one chain at a time.
        """
        if self.between_chains is None:
            raise SettingError(
                "this model reads one chain at a time; give it single chains, or use a model of "
                "pairs such as esm2-35m or igbert"
            )
        return self.between_chains

    def encode(self, sequence: str) -> Tensor:
        """``(L,)`` int64 ids of the residues alone, without start and stop.

        Raises:
            SequenceError: a letter that is neither a residue nor, where the tokenizer has an
                unknown token, an ambiguity code.
        """
        known = {**dict.fromkeys(AMBIGUOUS, self.unknown_id), **self._lookup}
        ids = [known.get(letter) for letter in sequence]
        if None in ids:
            at = ids.index(None)
            raise SequenceError(
                f"{sequence[at]!r} at residue {at} is not an amino acid this model knows; "
                "remove the sequence or replace the letter"
            )
        return torch.tensor(ids, dtype=torch.int64)

    def residue_id(self, letter: str) -> int:
        """Id of one residue; -1 for anything else, such as a gap."""
        return self._lookup.get(letter, -1)

    def decode(self, ids: Tensor) -> str:
        """Residue letters of ``(L,)`` ids; a pair as ``HEAVY:LIGHT``, and ``X`` for all else."""
        letters = {i: letter for letter, i in self._lookup.items()}
        row, between, text = ids.tolist(), list(self.between_chains or ()), ""
        while row:
            if between and row[: len(between)] == between:
                text += CHAIN_BREAK
                row = row[len(between) :]
            else:
                text += letters.get(row[0], UNKNOWN)
                row = row[1:]
        return text


@dataclass(frozen=True)
class Tags:
    """Condition tags: how a request such as "human IgG heavy" becomes the first tokens.

    ``composite``: one token such as ``[IGH|human|IGHG]`` *replaces* the start token, so that no
    residue moves; needed by models with absolute positions. ``prefix``: one token per known
    field follows the start token; models with relative positions do not mind.

    ``values`` lists, per field, what training saw, in sorted order. A field with one value is
    always set, also for a row that lacks it; a field with several may be dropped or unknown,
    which is written ``*``.
    """

    style: Literal["composite", "prefix"] = "composite"
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    seen: tuple[tuple[str, ...], ...] = ()  # combinations in training, `*` where unknown

    def __post_init__(self) -> None:
        for name, vs in self.values.items():
            if not _FIELD.fullmatch(name):
                raise SettingError(
                    f"{name!r:.80} cannot be the name of a tag; write it like v_family"
                )
            for value in vs:
                if not _VALUE.fullmatch(value):
                    raise SettingError(
                        f"tag {name!r} has the value {value!r:.80}; a value is made of at most 64 "
                        "letters, digits, spaces and signs of . , : / + - _ ( )"
                    )
        n_most = len(self.seen) * 2 ** len(self.values)  # tokens, before duplicates are dropped
        if max(sum(map(len, self.values.values())), n_most) > 16 * MAX_TAGS:
            raise SettingError(
                f"tags of {len(self.seen):,} combinations are too many; use fewer fields or values"
            )
        options = [
            frozenset(vs if len(vs) == 1 else (*vs, WILDCARD)) for vs in self.values.values()
        ]
        for row in self.seen:
            if len(row) != len(options) or any(v not in vs for v, vs in zip(row, options)):
                raise ValueError(
                    f"the combination {row!s:.80} does not fit the values {self.values!s:.200}"
                )
        if len(self.tokens()) > MAX_TAGS:
            raise SettingError(
                f"tags would add {len(self.tokens()):,} tokens, more than {MAX_TAGS:,}; use fewer "
                "fields or values"
            )

    @property
    def fields(self) -> tuple[str, ...]:
        """The tag fields in order."""
        return tuple(self.values)

    @classmethod
    def from_rows(
        cls, style: Literal["composite", "prefix"], rows: Mapping[str, Sequence[str]]
    ) -> Tags:
        """Collect the tags of a training table.

        Args:
            style: see the class.
            rows: field name -> one value per row; an empty value means unknown.

        Raises:
            SettingError: a field is unknown in every row, or a value holds a character that tag
                tokens are spelled with.
        """
        values = {name: tuple(sorted({v for v in column if v})) for name, column in rows.items()}
        if empty := [name for name, vs in values.items() if not vs]:
            raise SettingError(
                f"tag {empty[0]!r} is empty in every row of the training data; "
                "remove it from `tags`, or import the data again with that column"
            )
        tags = cls(style=style, values=values)
        combinations = {
            tuple(tags._fill(dict(zip(values, row))).values()) for row in zip(*rows.values())
        }
        return cls(style=style, values=values, seen=tuple(sorted(combinations)))

    def tokens(self) -> list[str]:
        """Every token to add to the tokenizer, sorted, no duplicates."""
        if self.style == "prefix":
            return sorted(f"[{name}:{v}]" for name, vs in self.values.items() for v in vs)
        return sorted({_composite(row) for seen in self.seen for row in self._dropped(seen)})

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
        chosen = self._fill(wanted)
        if chosen and not self._reachable(chosen):
            row = _composite(tuple(chosen.values()))
            raise SettingError(f"the combination {row} was not in the training data")
        return chosen

    def describe(self, row: Mapping[str, str]) -> dict[str, str]:
        """The tags of one chain; ``*`` for what is unknown or was not in the training data."""
        chosen = self._fill(row)
        if chosen and not self._reachable(chosen):
            return self._fill({})
        return chosen

    def drop(
        self, chosen: Mapping[str, str], fraction: float, rng: torch.Generator
    ) -> dict[str, str]:
        """Hide each field that has several values with probability ``fraction``.

        Args:
            chosen: from `describe`.
            fraction: in [0, 1).
            rng: one number is drawn per field.
        """
        dice = torch.rand(len(self.values), generator=rng).tolist()
        return {
            name: WILDCARD if len(vs) > 1 and die < fraction else chosen[name]
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

    def _fill(self, row: Mapping[str, str]) -> dict[str, str]:
        return {
            name: vs[0] if len(vs) == 1 else row[name] if row.get(name) in vs else WILDCARD
            for name, vs in self.values.items()
        }

    def _reachable(self, chosen: Mapping[str, str]) -> bool:
        row = tuple(chosen.values())
        return any(row in self._dropped(combination) for combination in self.seen)

    def _dropped(self, combination: tuple[str, ...]) -> set[tuple[str, ...]]:
        rows: set[tuple[str, ...]] = {()}
        for value, vs in zip(combination, self.values.values()):
            options = {value} if len(vs) == 1 else {value, WILDCARD}
            rows = {(*row, option) for row in rows for option in options}
        return rows


@dataclass(frozen=True)
class Prompt:
    """How chosen conditions become the ids in front of the residues."""

    tags: Tags
    tag_ids: Mapping[str, int]  # tag token -> id
    start_id: int

    def ids(self, chosen: Mapping[str, str]) -> tuple[int, ...]:
        """Prefix ids for ``chosen`` tag values; the plain start token where there are no tags."""
        ids = tuple(self.tag_ids[token] for token in self.tags.prefix(chosen))
        return ids if ids and self.tags.style == "composite" else (self.start_id, *ids)


def _composite(row: tuple[str, ...]) -> str:
    return "[" + "|".join(row) + "]"
