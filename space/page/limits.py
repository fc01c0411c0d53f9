"""What one visitor may ask, so that the next one has a turn. All limits of the page are here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Limits:
    """Upper limits, both ends included."""

    designs: int = 64
    steps: int = 128  # network passes over a block of designs
    temperature: float = 2.0
    guidance: float = 5.0
    seed: int = 2**31 - 1
    edits: int = 10  # of a lead
    beam: int = 32  # chains that the search for a lead keeps
    motifs: int = 10  # forbidden, of at most 40 characters each
    characters: int = 50_000  # pasted at once
    chains: int = 50  # pasted at once
    request: int = 1_000_000  # bytes; 50,000 characters take up to 600,000 as JSON
    seconds: float = 120.0  # of computing for one request
    waiting: int = 100  # requests in the queue; one computes at a time
    sessions: int = 200  # remembered, 0.5 MB each; more than wait
    block: int = 8  # designs of one network pass: small, so that the first ones show early


LIMITS: Final = Limits()
