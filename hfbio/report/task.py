"""Words for what a model was asked about held-out chains, as metrics.json names it. No numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Words:
    """How one task of `hfbio.score.assess.Task` is told."""

    asked: str  # heading over numbers; of masked residues the share stands before it
    question: str  # what the model does, a whole sentence
    given: str  # "…, it predicts held-out chains at …"; of masked residues with the share
    counted: str  # the residues that the numbers are about: "nats per … residue"


_TASKS: Final = {
    "masked": Words(
        asked="masked",
        question="A model reads a chain with some residues masked and says what stood there.",
        given="of the residues hidden",
        counted="hidden",
    ),
    "next": Words(
        asked="each residue after those before it",
        question="A model reads a chain from its first residue on and says of each residue, before "
        "it sees it, which one it is.",
        given="Shown the residues before each one",
        counted="predicted",
    ),
    "next_reverse": Words(
        asked="each residue before those after it",
        question="A model reads a chain from its last residue back and says of each residue, "
        "before it sees it, which one it is.",
        given="Shown the residues behind each one",
        counted="predicted",
    ),
    "span": Words(
        asked="each region from all others",
        question="A model reads a chain that lacks one region, then writes that region and says of "
        "each residue, before it sees it, which one it is; so for every region in turn.",
        given="Shown all other regions, and of its own what comes before",
        counted="predicted",
    ),
}


def words(metrics: Mapping[str, Any]) -> Words:
    """The words for the task of metrics.json; files of earlier versions, which name none, mask."""
    return _TASKS[metrics.get("task", "masked")]


def masks(metrics: Mapping[str, Any]) -> bool:
    """Whether residues were masked, so that ``masked`` in a row is a share of them."""
    return words(metrics) is _TASKS["masked"]


def heading(metrics: Mapping[str, Any], masked: float) -> str:
    """What stands over a block of numbers: ``15% masked``, or ``each region from all others``."""
    asked = words(metrics).asked
    return f"{masked:.0%} {asked}" if masks(metrics) else asked
