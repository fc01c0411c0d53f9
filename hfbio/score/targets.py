"""Ready-made scores to improve chains by, and their weighted sums. Searches nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from hfbio.errors import SettingError
from hfbio.score.humanness import oasis_identity
from hfbio.score.properties import charge


@dataclass(frozen=True)
class Target:
    """A score of single chains; larger is better.

    ``score`` is given chains of the 20 residues and the net charge that is wanted, which only the
    score of charge reads.
    """

    unit: str
    direction: str  # what becomes larger, or smaller, as the score rises
    score: Callable[[Sequence[str], float], list[float]]


def human_percent(sequences: Sequence[str]) -> list[float]:
    """OASis identity in per cent: of the 9-mers of a chain, those seen in human antibodies.

    One more 9-mer of a chain of 120 residues is 0.9 %. See `oasis_identity` for what counts as
    seen, and for the errors.
    """
    return [100 * share for share in oasis_identity(sequences)]


def charge_nearness(sequences: Sequence[str], wanted: float = 0.0) -> list[float]:
    """Minus the distance of the net charge at pH 7.4 from ``wanted``, in elementary charges.

    See `hfbio.score.properties.charge` for what the charge of a chain is, and for the errors.
    """
    return [-abs(charge(sequence) - wanted) for sequence in sequences]


TARGETS: Final[Mapping[str, Target]] = MappingProxyType(
    {
        "humanness": Target(
            "% of 9-mers", "more of them are human", lambda chains, _: human_percent(chains)
        ),
        "charge": Target(
            "elementary charges at pH 7.4", "less away from the charge wanted", charge_nearness
        ),
    }
)
"""By the name that `hfbio optimize --target` takes."""


@dataclass(frozen=True)
class Weighted:
    """A weighted sum of targets, a guide for `hfbio.sample.BeamSearch` and `hfbio.sample.Guide`.

    The search ranks a variant by

        log_ratio + guide_weight * sum of weight * (score of the variant - score of the lead),

    where ``log_ratio`` is naturalness: how much the model prefers the variant to the lead, in nats.
    With ``guide_weight`` 1 a weight is how many nats of naturalness a unit of its target is worth:
    ``{"humanness": 1, "charge": 0.5}`` gives up to 1 nat for a per cent of humanness, and 0.5 for
    a charge. A ``guide_weight`` g makes naturalness count 1/g as much beside all targets. It cannot
    count nothing: the search needs it to choose which edits the guide is asked about.
    """

    weights: Mapping[str, float]  # name in `TARGETS` -> nats for one unit, >= 0, finite
    wanted_charge: float = 0.0  # elementary charges at pH 7.4, finite

    def __post_init__(self) -> None:
        if not self.weights:
            raise SettingError(f"name at least one target: {', '.join(TARGETS)}")
        for name, weight in self.weights.items():
            if name not in TARGETS:
                raise SettingError(f"there is no target {name!r}; choose from {', '.join(TARGETS)}")
            if not 0 <= weight < math.inf:
                raise SettingError(
                    f"the weight of {name} must be >= 0 and finite, got {weight}; targets have "
                    "their direction"
                )
        if not math.isfinite(self.wanted_charge):
            raise SettingError(f"the charge wanted must be finite, got {self.wanted_charge}")

    def __call__(self, sequences: Sequence[str]) -> list[float]:
        """One number a chain; larger is better.

        Raises:
            MissingExtra: humanness has a weight, and promb is not installed.
            SequenceError: a chain of other letters, or too short for a 9-mer.
        """
        totals = [0.0] * len(sequences)
        for name, weight in self.weights.items():
            if weight:
                scores = TARGETS[name].score(sequences, self.wanted_charge)
                totals = [total + weight * score for total, score in zip(totals, scores)]
        return totals


def weighted(weights: Mapping[str, float], *, wanted_charge: float = 0.0) -> Weighted:
    """A guide that sums targets; see `Weighted`.

    Raises:
        SettingError: no target, an unknown one, or a number out of range.
    """
    return Weighted(dict(weights), wanted_charge)
