"""What the vectors of a model tell of each label, beside those of its base. Draws no table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from hfbio.model.antibody import AntibodyModel
from hfbio.record import Antibody
from hfbio.score.folds import Task
from hfbio.score.probe import Probed, composition, probe


@dataclass(frozen=True)
class ProbeReport:
    """Probes of all labels on one set of chains."""

    layer: int
    region: str
    n_chains: int
    probed: tuple[Probed, ...]
    skipped: dict[str, str]  # label -> why there was nothing to tell apart


def probe_model(
    model: AntibodyModel,
    records: Sequence[Antibody],
    tasks: Sequence[Task],
    embeddings: Tensor,
    *,
    layer: int = -1,
    region: str = "all",
    batch_size: int = 64,
) -> ProbeReport:
    """Probe a model, its base if there is one, and the residue composition, which needs none.

    Args:
        model: a base or a tuned model.
        records: the chains.
        tasks: `hfbio.score.folds.plan_tasks` of the same chains.
        embeddings: ``model.embed(records)`` with the same layer and region, and tags left open.
        layer: as for ``model.embed``.
        region: as for ``model.embed``.
        batch_size: chains per network pass.

    Raises:
        ValueError: there is not one vector for each chain.
    """
    if len(embeddings) != len(records):
        raise ValueError(f"{len(records)} chains, but {len(embeddings)} vectors")
    vectors = {"composition": composition(records, region)}
    if untuned := model.untuned():
        vectors["base"] = untuned.embed(records, layer=layer, region=region, batch_size=batch_size)
    vectors["base" if model.manifest is None else "tuned"] = embeddings
    compare = ("base", "tuned") if {"base", "tuned"} <= set(vectors) else None
    return ProbeReport(
        layer=layer,
        region=region,
        n_chains=len(records),
        probed=tuple(probe(task, vectors, compare=compare) for task in tasks if not task.refusal),
        skipped={task.label: task.refusal for task in tasks if task.refusal},
    )
