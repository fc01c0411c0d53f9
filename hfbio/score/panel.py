"""What is said of each design, and of a set of them. Draws no design and drops none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any, Final

import numpy as np

from hfbio.alphabet import CHAIN_BREAK
from hfbio.data.identity import nearest_identity
from hfbio.numbering import Refusal, check
from hfbio.record import REGIONS, AntibodyRecord, Locus
from hfbio.tokens import WILDCARD

CHAIN_ENDS: Final = ("", "_heavy", "_light")
"""How the columns and names of a chain end: of a chain alone, and of the two of a pair."""

_HEAVY: Final = (Locus.IGH,)
_LIGHT: Final = (Locus.IGK, Locus.IGL)


@dataclass(frozen=True)
class Design:
    """One generated chain, or pair. ``index`` numbers draws from 0, before any is set aside."""

    index: int
    sequence_aa: str  # of a pair HEAVY:LIGHT
    conditions: dict[str, str] = field(default_factory=dict)
    chains: tuple[Design, ...] = ()  # of a pair, the heavy one first
    locus: str = ""  # of the domain found; of a pair as in IGH:IGK; empty if not valid
    regions: tuple[int, ...] = ()  # cut points in sequence_aa; empty if not valid, and of a pair
    fault: str = ""  # why it is no antibody variable domain, or no two; empty if it is
    duplicate_of: int | None = None  # index of the first equal design
    nearest_identity: float | None = None  # to the reference chains of its locus, in [0, 1];
    # of a pair that of the chain less alike
    guide_score: float | None = None  # what the guide says of it; None without one

    @property
    def sequence_id(self) -> str:
        """A name made of the index: ``design-000012``."""
        return f"design-{self.index:06d}"

    @property
    def valid(self) -> bool:
        """Whether it is a full antibody variable domain (see ``numbering.check``), or two."""
        return not self.fault

    def row(self) -> dict[str, Any]:
        """AIRR-named columns for a table; those of a pair's chains end in _heavy and _light."""
        sequences: dict[str, str] = {}
        parts: dict[str, str] = {}
        for chain, end in zip(self.chains, CHAIN_ENDS[1:]) if self.chains else [(self, "")]:
            sequences[f"sequence_aa{end}"] = chain.sequence_aa
            sequences[f"locus{end}"] = chain.locus
            parts |= {f"{name}_aa{end}": "" for name in REGIONS}
            for name, a, b in zip(REGIONS, chain.regions, chain.regions[1:]):
                parts[f"{name}_aa{end}"] = chain.sequence_aa[a:b]
        return {
            "sequence_id": self.sequence_id,
            **sequences,
            **{f"asked_{name}": value for name, value in self.conditions.items()},
            **parts,
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
        sequence: residues; ``HEAVY:LIGHT`` for a pair, both chains of which must be domains.
        seen: sequence -> index of its first draw; the new sequence is added.
        conditions: what was asked for. A domain of another locus than the one asked is a fault;
            of a pair ``locus`` is that of the light chain.
    """
    first = seen.setdefault(sequence, index)
    asked = conditions.get("locus", WILDCARD)
    chains = sequence.split(CHAIN_BREAK)
    if len(chains) == 1:
        design = _examine(index, sequence, () if asked == WILDCARD else (asked,))
    else:
        light = _LIGHT if asked == WILDCARD else (asked,)
        design = _pair(_examine(index, chains[0], _HEAVY), _examine(index, chains[1], light))
    duplicate_of = first if first != index else None
    return replace(design, conditions=conditions, duplicate_of=duplicate_of)


def add_novelty(designs: Sequence[Design], reference: Sequence[AntibodyRecord]) -> list[Design]:
    """The designs with their identity to the nearest reference chain; invalid ones have none.

    It is 0 where no reference chain has the locus of the design. Of a pair it is that of the chain
    less alike, which is below 1 unless both are chains of the reference.
    """
    valid = [chain for design in designs if design.valid for chain in design.chains or (design,)]
    nearest = nearest_identity(
        [design.sequence_aa for design in valid], [record.sequence_aa for record in reference]
    )
    identity = np.nan_to_num(nearest.identity).tolist()
    found: dict[int, float] = {}
    for design, value in zip(valid, identity):
        found[design.index] = min(value, found.get(design.index, value))
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


def _examine(index: int, sequence: str, loci: Sequence[str]) -> Design:
    """One chain, which must be of one of ``loci``, or of any if there is none."""
    result = check(sequence)
    if isinstance(result, Refusal):
        return Design(index, sequence, fault=str(result))
    if loci and result.locus not in loci:
        fault = f"another locus than asked: {result.locus}, not {' or '.join(loci)}"
        return Design(index, sequence, fault=fault)
    beyond = len(sequence) - (result.stop - result.start)
    if beyond:
        return Design(index, sequence, fault=f"residues beyond the domain: {beyond}")
    return Design(index, sequence, locus=result.locus, regions=result.regions)


def _pair(heavy: Design, light: Design) -> Design:
    faults = [
        f"{name} chain, {chain.fault}"
        for name, chain in (("heavy", heavy), ("light", light))
        if chain.fault
    ]
    return Design(
        heavy.index,
        CHAIN_BREAK.join((heavy.sequence_aa, light.sequence_aa)),
        chains=(heavy, light),
        locus="" if faults else CHAIN_BREAK.join((heavy.locus, light.locus)),
        fault=faults[0] if faults else "",
    )
