"""The design panel of metrics.json: what a model writes when it is asked for nothing special."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from hfbio.model import AntibodyModel
from hfbio.record import AntibodyRecord
from hfbio.sample import Request


def measure_designs(
    model: AntibodyModel,
    train: Sequence[AntibodyRecord] = (),
    *,
    num: int = 32,
    seed: int = 0,
) -> dict[str, Any]:
    """Draw designs with the model's own sampler and count them; every draw counts.

    Args:
        model: a loaded bundle.
        train: its training chains, for novelty.
        num: draws.
        seed: of the draws.

    Returns:
        For metrics.json, under ``designs``: ``seed``, ``sampler`` (its settings), and the counts
        of `hfbio.score.panel.DesignReport`; ``novel`` and ``median_nearest_identity`` are
        ``None`` without ``train``.

    Raises:
        SettingError: the model knows no chain lengths, as a bare base does not.
    """
    request = Request(num=num, seed=seed, keep="all")
    sampler = model.blank_sampler()
    counts = model.sample(request, sampler=sampler, reference=train).report.to_dict()
    counts.pop("kept")  # all of them
    return {"seed": seed, "sampler": dataclasses.asdict(sampler), **counts}
