"""Checks that a loaded model is the model it claims to be. Loads nothing and mends nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import Final

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from hfbio.alphabet import RESIDUES, UNKNOWN
from hfbio.errors import UnknownModel
from hfbio.models.catalogue import Family
from hfbio.record import Locus
from hfbio.tokens import TokenMap

# Variable domains of trastuzumab (DrugBank DB00072).
TRASTUZUMAB_VH: Final = (
    "EVQLVESGGGLVQPGGSLRLSCAASGFNIKDTYIHWVRQAPGKGLEWVARIYPTNGYTRYADSVKGRFTISADTSKNTAYLQMNSLRAEDTAVYYC"
    "SRWGGDGFYAMDYWGQGTLVTVSS"
)
TRASTUZUMAB_VL: Final = (
    "DIQMTQSPSSLSASVGDRVTITCRASQDVNTAVAWYQQKPGKAPKLLIYSASFLYSGVPSRFSGSRSGTDFTLTISSLQPEDFATYYC"
    "QQHYTTPPTFGQGTKVEIK"
)
GUESSING: Final = math.log(len(RESIDUES))
"""Nats per residue of a guess among the 20 residues."""

_STRIDE: Final = 8


def check_weights(
    name: str, missing: Collection[str], unexpected: Collection[str], *, family: Family
) -> None:
    """Every weight of the language model came from the checkpoint, and no other was in it.

    Args:
        name: for the message.
        missing: weights that transformers initialised at random.
        unexpected: weights that transformers left aside.
        family: its ``absent`` and ``surplus`` name the exceptions.

    Raises:
        UnknownModel: a weight outside the exceptions.
    """
    faults = {
        "left at random values": _beyond(missing, family.absent),
        "in the checkpoint but have no place in the model": _beyond(unexpected, family.surplus),
    }
    for what, keys in faults.items():
        if keys:
            raise UnknownModel(
                f"{name}: {len(keys)} weights are {what}: {_shown(keys)}; this is not a "
                f"checkpoint that {family.auto_class} reads as {family.model_type!r}"
            )


def read_tokens(
    name: str,
    tokenizer: PreTrainedTokenizerBase,
    vocab_size: int,
    separator: tuple[str, ...] | None = None,
) -> TokenMap:
    """The ids of a tokenizer, taken from how it spells a known antibody.

    Plain text is tried first, then residues apart by spaces (ProtBert, IgBert). What stands
    before and after the residues are the start and the stop token; a tokenizer that adds none
    or only the first, as many causal ones, names them by ``bos_token`` and ``eos_token``.

    Args:
        name: for the message.
        tokenizer: not changed.
        vocab_size: columns of the model's logits, at least every id.
        separator: tokens between the chains of a pair. Where it is ``None`` or the tokenizer lacks
            one of them, the model takes no pairs, and nothing else comes of it.

    Raises:
        UnknownModel: the tokenizer does not give one start, one id a residue, and one stop, or
            has no padding token.
    """
    residue_ids = tokenizer.convert_tokens_to_ids(list(RESIDUES))
    expected = [residue_ids[RESIDUES.index(letter)] for letter in TRASTUZUMAB_VH]
    spellings = [tokenizer(s)["input_ids"] for s in (TRASTUZUMAB_VH, " ".join(TRASTUZUMAB_VH))]
    named = [tokenizer.bos_token_id, tokenizer.eos_token_id]
    spellings += [[*named[:1], *ids, *named[1:]] for ids in spellings if None not in named]
    spellings += [[*ids, *named[1:]] for ids in spellings[:2] if None not in named]
    ids = next((ids for ids in spellings if ids[1:-1] == expected), None)
    known = set(residue_ids) - {None, tokenizer.unk_token_id}
    if ids is None or len(known) != len(RESIDUES) or tokenizer.pad_token_id is None:
        raise UnknownModel(
            f"{name}: its tokenizer ({len(tokenizer)} tokens) reads {TRASTUZUMAB_VH[:10]}... as "
            f"{spellings[0][:12]}, not as start, one id for each residue, stop; a tokenizer file "
            "is missing or was written for another version of transformers"
        )
    special = (tokenizer.mask_token_id or 0, tokenizer.sep_token_id or 0)
    if max(*ids, *residue_ids, *special) >= vocab_size:
        raise UnknownModel(f"{name}: the tokenizer has ids beyond the model's {vocab_size}")
    unknown = tokenizer(UNKNOWN, add_special_tokens=False)["input_ids"]
    vocabulary = tokenizer.get_vocab()
    between = tuple(vocabulary.get(token, vocab_size) for token in separator or ())
    takes_pairs = separator is not None and all(i < vocab_size for i in between)
    return TokenMap(
        vocab_size=vocab_size,
        residue_ids=tuple(residue_ids),
        pad_id=tokenizer.pad_token_id,
        start_id=ids[0],
        stop_id=ids[-1],
        mask_id=tokenizer.mask_token_id,
        unknown_id=unknown[0] if len(unknown) == 1 else None,
        # BERT's separator is its stop token, and marks no place of its own.
        sep_id=None if tokenizer.sep_token_id == ids[-1] else tokenizer.sep_token_id,
        between_chains=between if takes_pairs else None,
    )


def check_loss(
    name: str, model: nn.Module, tokens: TokenMap, loci: Collection[Locus], *, causal: bool = False
) -> float:
    """The model predicts hidden, or next, residues of trastuzumab better than a guess.

    Catches what a key check cannot: weights in the wrong place, a wrong tokenizer, a changed
    attention. The heavy chain is tried for models of IGH, the light chain for IGK, both (the
    better counts) for models that name no locus.

    Args:
        name: for the message.
        model: in evaluation mode; not changed.
        tokens: what its ids mean.
        loci: chains the model was trained on; empty for unknown.
        causal: predict each residue from those before it, in place of hidden ones.

    Returns:
        Nats per residue.

    Raises:
        UnknownModel: not below ln 20 = 2.9957, or a masked model without mask token.
    """
    if tokens.mask_id is None and not causal:
        raise UnknownModel(f"{name}: its tokenizer has no mask token, and hfbio hides residues")
    chains = {Locus.IGH: TRASTUZUMAB_VH, Locus.IGK: TRASTUZUMAB_VL}
    tried = [chain for locus, chain in chains.items() if locus in (loci or chains)]
    measure = next_nats if causal else masked_nats
    nats = min(measure(model, tokens, chain) for chain in tried)
    if not nats < GUESSING:  # also catches nan
        raise UnknownModel(
            f"{name}: {'next' if causal else 'hidden'} residues of trastuzumab cost {nats:.2f} "
            f"nats each, guessing among 20 costs {GUESSING:.2f}; the weights or the "
            "tokenizer are not what they seem. Pass check_loss=False for a model that is yet to be "
            "trained"
        )
    return nats


@torch.no_grad()
def masked_nats(
    model: nn.Module, tokens: TokenMap, sequence: str, *, stride: int = _STRIDE
) -> float:
    """Mean nats per residue, each residue hidden once, every ``stride``-th at a time.

    The softmax runs over the whole vocabulary, in float32. With ``stride >= len(sequence)``
    this is the pseudo-log-likelihood of Salazar et al. 2020 (section 2), negated and divided by
    the length; the default hides 1/8 of the residues, near the share seen in training, and
    takes eight rows.
    """
    if tokens.mask_id is None:
        raise ValueError("masked_nats needs a tokenizer with a mask token")
    ids = torch.tensor([tokens.start_id, *tokens.encode(sequence).tolist(), tokens.stop_id])
    stride = min(stride, len(sequence))
    at = torch.arange(len(sequence))
    rows = ids.repeat(stride, 1)  # (stride, L)
    rows[at % stride, at + 1] = tokens.mask_id
    device = next(model.parameters()).device
    # An explicit mask of ones: for some models none at all means another attention path.
    logits = model(
        input_ids=rows.to(device), attention_mask=torch.ones_like(rows).to(device)
    ).logits
    hidden = logits[at % stride, at + 1].float().cpu()  # (residues, V)
    return F.cross_entropy(hidden, ids[1:-1]).item()


@torch.no_grad()
def next_nats(model: nn.Module, tokens: TokenMap, sequence: str) -> float:
    """Mean of ``-ln p(residue | those before it)``; softmax over the whole vocabulary, float32."""
    ids = torch.tensor([[tokens.start_id, *tokens.encode(sequence).tolist()]])
    ids = ids.to(next(model.parameters()).device)
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    return F.cross_entropy(logits[0, :-1].float(), ids[0, 1:]).item()


def _beyond(keys: Collection[str], allowed: tuple[str, ...]) -> list[str]:
    return sorted(k for k in keys if not any(re.fullmatch(rule, k) for rule in allowed))


def _shown(names: list[str]) -> str:
    """The first names, which a stranger may have chosen, fit for a line of a terminal."""
    plain = (name if name.isprintable() else ascii(name) for name in names[:20])
    return ", ".join(f"{name:.100}" for name in plain)
