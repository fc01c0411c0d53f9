"""What is said of each design, and of a set of them. Draws no design and drops none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any

import numpy as np

from hfbio.data.identity import nearest_identity
from hfbio.numbering import Refusal, check
from hfbio.record import REGIONS, AntibodyRecord


@dataclass(frozen=True)
class Design:
    """One generated chain. ``index`` numbers draws from 0, before anything is set aside."""

    index: int
    sequence_aa: str
    conditions: dict[str, str] = field(default_factory=dict)
    locus: str = ""  # of the domain found; empty if not valid
    regions: tuple[int, ...] = ()  # cut points in sequence_aa; empty if not valid
    fault: str = ""  # why it is no antibody variable domain; empty if it is
    duplicate_of: int | None = None  # index of the first equal design
    nearest_identity: float | None = None  # to the reference chains of its locus, in [0, 1]
    guide_score: float | None = None  # what the guide says of it; None without one

    @property
    def sequence_id(self) -> str:
        """A name made of the index: ``design-000012``."""
        return f"design-{self.index:06d}"

    @property
    def valid(self) -> bool:
        """Whether it is a full antibody variable domain (see ``numbering.check``)."""
        return not self.fault

    def row(self) -> dict[str, Any]:
        """AIRR-named columns for a table."""
        cuts = self.regions
        parts = {f"{name}_aa": self.sequence_aa[a:b] for name, a, b in zip(REGIONS, cuts, cuts[1:])}
        return {
            "sequence_id": self.sequence_id,
            "sequence_aa": self.sequence_aa,
            "locus": self.locus,
            **{f"asked_{name}": value for name, value in self.conditions.items()},
            **{f"{name}_aa": parts.get(f"{name}_aa", "") for name in REGIONS},
            "valid": self.valid,
            "fault": self.fault,
            "duplicate_of": "" if self.duplicate_of is None else self.duplicate_of,
            "nearest_identity": "" if self.nearest_identity is None else self.nearest_identity,
            **({} if self.guide_score is None else {"guide_score": self.guide_score}),
        }


@dataclass(frozen=True)
class DesignReport:
    """Counts behind a set of designs.

    ``unique <= valid <= drawn``; ``kept <= unique``, unless every draw was to be kept.
    """

    asked: int
    drawn: int
    valid: int
    unique: int  # valid, and not equal to an earlier design
    kept: int
    novel: int | None  # kept, valid and not equal to a reference chain; None without reference
    median_nearest_identity: float | None
    faults: dict[str, int]  # kind of fault -> designs
    exhausted: bool = False  # every chain that could be asked for was drawn, once

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def examine(index: int, sequence: str, seen: dict[str, int], conditions: dict[str, str]) -> Design:
    """Number one design and compare it with the earlier ones.

    Args:
        index: number of the draw.
        sequence: residues.
        seen: sequence -> index of its first draw; the new sequence is added.
        conditions: what was asked for. A domain of another locus than the one asked is a fault.
    """
    first = seen.setdefault(sequence, index)
    duplicate_of = first if first != index else None
    result = check(sequence)
    asked = conditions.get("locus", "*")
    if isinstance(result, Refusal):
        return Design(index, sequence, conditions, fault=str(result), duplicate_of=duplicate_of)
    if asked not in ("*", result.locus):
        fault = f"another locus than asked: {result.locus}, not {asked}"
        return Design(index, sequence, conditions, fault=fault, duplicate_of=duplicate_of)
    beyond = len(sequence) - (result.stop - result.start)
    if beyond:
        fault = f"residues beyond the domain: {beyond}"
        return Design(index, sequence, conditions, fault=fault, duplicate_of=duplicate_of)
    return Design(
        index,
        sequence,
        conditions,
        locus=result.locus,
        regions=result.regions,
        duplicate_of=duplicate_of,
    )


def add_novelty(designs: Sequence[Design], reference: Sequence[AntibodyRecord]) -> list[Design]:
    """The designs with their identity to the nearest reference chain; invalid ones have none.

    It is 0 where no reference chain has the locus of the design.
    """
    valid = [design for design in designs if design.valid]
    nearest = nearest_identity(
        [design.sequence_aa for design in valid], [record.sequence_aa for record in reference]
    )
    identity = np.nan_to_num(nearest.identity).tolist()
    found = {design.index: value for design, value in zip(valid, identity)}
    return [replace(design, nearest_identity=found.get(design.index)) for design in designs]


def report(asked: int, drawn: Sequence[Design], kept: Sequence[Design]) -> DesignReport:
    """Count a finished run of a sampler."""
    identities = [d.nearest_identity for d in kept if d.nearest_identity is not None]
    faults: dict[str, int] = {}
    for design in drawn:
        if design.fault:
            kind = design.fault.split(":")[0]
            faults[kind] = faults.get(kind, 0) + 1
    return DesignReport(
        asked=asked,
        drawn=len(drawn),
        valid=sum(design.valid for design in drawn),
        unique=sum(design.valid and design.duplicate_of is None for design in drawn),
        kept=len(kept),
        novel=sum(value < 1 for value in identities) if identities else None,
        median_nearest_identity=median(identities) if identities else None,
        faults=dict(sorted(faults.items())),
    )
