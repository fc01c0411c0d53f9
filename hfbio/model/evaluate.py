"""Held-out metrics of a loaded model, beside its base. Trains nothing, writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hfbio.data.groups import clone_groups
from hfbio.errors import DataError
from hfbio.record import AntibodyRecord
from hfbio.score.assess import Contender, measure_baselines, measure_bound, measure_model
from hfbio.score.summary import summarise, summarise_bound

if TYPE_CHECKING:
    from hfbio.model.antibody import AntibodyModel


def evaluate(
    model: AntibodyModel,
    records: Sequence[AntibodyRecord],
    *,
    train: Sequence[AntibodyRecord],
    draws: int,
    seed: int,
    batch_size: int,
) -> dict[str, Any]:
    """See `AntibodyModel.evaluate`."""
    known, _ = model.paired(train)
    found, alone = model.paired(records)
    left_out = Counter(why for _, why in alone)
    if not found:
        raise DataError(
            f"there is no pair to evaluate on: {dict(left_out)}"
            if left_out
            else "there is no chain to evaluate on"
        )
    for record in found:
        model.require_readable(record)
    settings: dict[str, Any] = {"draws": draws, "seed": seed}
    task = model.task
    own = Contender(model.model, model.base.token_map, model.prompt, task)
    own_name = "base" if model.manifest is None else "tuned"
    if model.manifest and not model.manifest.has_base:
        own_name = "model"
    measured = {}
    if untuned := model.untuned():
        base = Contender(untuned.model, untuned.base.token_map, untuned.prompt, task)
        measured["base"] = measure_model(base, found, batch_size=batch_size, **settings)
    measured[own_name] = measure_model(own, found, batch_size=batch_size, **settings)
    if known:
        measured |= measure_baselines(known, found, own, **settings)
    groups = clone_groups(found)
    compare = ("base", "tuned") if {"base", "tuned"} <= set(measured) else None
    told = summarise(measured, groups, compare=compare, task=task, layout=model.layout)
    if model.manifest and model.manifest.objective["kind"] == "diffusion":
        rivals = {"base": base, own_name: own} if untuned else {own_name: own}
        bounds = {
            name: measure_bound(rival, found, seed=seed, batch_size=batch_size)
            for name, rival in rivals.items()
        }
        told["bound"] = summarise_bound(bounds, groups, compare=compare)
    return told | ({"left_out": dict(left_out)} if model.layout == "paired" else {})
