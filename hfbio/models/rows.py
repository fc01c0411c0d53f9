"""Rows of the token embedding: add some, set some. Decides no token's meaning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from hfbio.models.catalogue import Family

NEVER: Final = -100.0
"""Output bias, in nats, of a token that is only ever read. exp(-100) vanishes in float32, so the
softmax over the whole vocabulary is the same with and without such tokens; much lower values
would cost precision in comparisons of logits."""


def grow(model: PreTrainedModel, family: Family, size: int) -> None:
    """Give ``model`` at least ``size`` token rows, in place; the new ones are yet to be set.

    transformers resizes the embedding, the tied output matrix and the bias that the output layer
    owns, but not a bias kept beside it: an ESM-2 grown by transformers 5.23 alone fails in its
    next forward pass.
    """
    before = model.get_input_embeddings().weight.shape[0]
    if size <= before:
        return
    with torch.random.fork_rng(devices=[]):  # transformers draws values that `write` replaces
        model.resize_token_embeddings(size, mean_resizing=False)
    if family.loose_bias:
        owner, _, name = family.loose_bias.rpartition(".")
        bias = model.get_submodule(owner).get_parameter(name)
        longer = torch.cat([bias.detach(), bias.new_zeros(size - before)])
        setattr(model.get_submodule(owner), name, nn.Parameter(longer))


@torch.no_grad()
def write(model: PreTrainedModel, family: Family, ids: Sequence[int], values: Tensor) -> None:
    """Set the rows ``ids`` to ``values``, in place, and make these tokens impossible to predict.

    Where the output layer has no bias, as in most causal models, that cannot be made sure of: then
    ``values`` should be the row of a token that the model never predicts, such as its start token.

    Args:
        model: grown far enough.
        family: where its output bias is.
        ids: token ids.
        values: ``(len(ids), hidden)`` or ``(hidden,)``.
    """
    at = list(ids)
    for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
        layer.weight[at] = values  # one and the same matrix where they are tied
    bias = (
        model.get_parameter(family.loose_bias)
        if family.loose_bias
        else model.get_output_embeddings().bias
    )
    if bias is not None:
        bias[at] = NEVER
