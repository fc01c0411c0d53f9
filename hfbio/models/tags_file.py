"""What the files of a saved model say of its tags, checked. Adds no tag and loads no model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hfbio.tokens import Tags, TokenMap

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TAG_FIELDS: Final = ("locus", "species", "isotype", "v_family")  # see data.encode.record_tag


def read_tags(raw: Any) -> Tags:
    """``tags`` of an hfbio.json.

    Raises:
        ValueError: not an object of style, values and seen; a field or style that hfbio does not
            know; or tags that `Tags` refuses.
    """
    if not isinstance(raw, dict) or set(raw) != {"style", "values", "seen"}:
        raise ValueError(f"they must hold style, values and seen, not {raw!s:.200}")
    if not isinstance(raw["values"], dict) or not isinstance(raw["seen"], list):
        raise ValueError("values must be an object and seen a list")
    if unknown := sorted(set(raw["values"]) - set(TAG_FIELDS)):
        raise ValueError(f"{unknown[0]!r:.80} is not one of {', '.join(TAG_FIELDS)}")
    if raw["style"] not in ("composite", "prefix"):
        raise ValueError(f"style {raw['style']!r:.80}")
    values = {name: tuple(_texts(vs)) for name, vs in raw["values"].items()}
    seen = tuple(tuple(_texts(row)) for row in raw["seen"])
    if values and not seen:
        raise ValueError("`seen` is empty")
    return Tags(style=raw["style"], values=values, seen=seen)


def ids_of_tags(tokenizer: PreTrainedTokenizerBase, tokens: TokenMap, tags: Tags) -> list[int]:
    """Ids of ``tags.tokens()`` in a tokenizer that has them, in this order.

    Raises:
        ValueError: it lacks one, or has it beyond the model's rows; or two of them, or one of
            them and a residue, are one id.
    """
    vocabulary = tokenizer.get_vocab()
    names = tags.tokens()
    ids = [vocabulary.get(name, tokens.vocab_size) for name in names]
    if lacking := [name for name, i in zip(names, ids) if i >= tokens.vocab_size]:
        raise ValueError(f"its tokenizer has no token {lacking[0]!r:.80} for a tag")
    others = {tokens.start_id, tokens.stop_id, *tokens.residue_ids}
    if len(set(ids) - others) != len(names):
        raise ValueError("its tokenizer gives a tag the id of another token")
    return ids


def _texts(raw: Any) -> list[str]:
    if not isinstance(raw, list) or not all(isinstance(item, str) for item in raw):
        raise ValueError(f"{raw!r:.80} is not a list of strings")
    return raw
