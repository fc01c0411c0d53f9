"""ESM-2's token dropout, and how to do without it. Other families have none."""

from __future__ import annotations

import dataclasses

from hfbio.models import rows
from hfbio.models.load import LoadedBase


def for_objective(loaded: LoadedBase, kind: str) -> LoadedBase:
    """The base as an objective of this kind trains, measures and samples it.

    ``mlm`` leaves it as published: 15 % masked is what token dropout was made for. All others
    show it every share of masks and switch token dropout off, for the base as for the tuned
    model, so that a comparison of the two shows the training and not the switch.

    Args:
        loaded: ``loaded.model`` may be changed in place.
        kind: of an objective.
    """
    return loaded if kind == "mlm" else without_token_dropout(loaded)


def without_token_dropout(loaded: LoadedBase) -> LoadedBase:
    """The base with a scale of its embeddings that does not depend on how much is masked.

    With ``token_dropout`` every ``<mask>`` embedding is set to zero and all others are multiplied
    by 0.88 / (1 - masked share of the tokens): 1.03 at a share of 0.15, 8.8 at 0.9. (Source:
    ``EsmEmbeddings.forward`` of transformers 5.23, the block under ``if self.token_dropout``; the
    0.88 is 1 - 0.15 * 0.8, from the training of ESM-2.) Diffusion and unmasking from a blank
    pass through all shares, far outside of what the model has seen. Off, the factor is 1, as at
    the mean share of training.

    With the switch off the row of ``<mask>`` would be read, which training never touched. So it
    is set to zero, which is what the model saw in its place, and becomes one of the rows that
    an adapter trains and carries.

    Args:
        loaded: ``loaded.model`` is changed in place.

    Returns:
        The base with ``owns_mask_row`` set; ``loaded`` itself if its config has no
        ``token_dropout`` or has it off. To load such an adapter with peft alone, pass
        ``token_dropout=False``.
    """
    if not getattr(loaded.model.config, "token_dropout", False):
        return loaded
    mask_id = loaded.token_map.require_mask()
    loaded.model.config.token_dropout = False
    # The module copied the setting when it was built.
    loaded.model.base_model.embeddings.token_dropout = False
    weight = loaded.model.get_input_embeddings().weight
    rows.write(loaded.model, loaded.family, [mask_id], weight.new_zeros(weight.shape[1]))
    return dataclasses.replace(loaded, owns_mask_row=True)
