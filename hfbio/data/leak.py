"""How much of a test set is nearly in train. Measures; moves no rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from hfbio.data.identity import nearest_identity
from hfbio.record import AntibodyRecord

NEAR: Final = 0.95
"""Identity of a whole domain above which a test chain has practically been trained on."""

_SAMPLE: Final = 2_000  # test chains compared with all of train; enough for 1 % standard error


@dataclass(frozen=True)
class LeakReport:
    """Shares of test chains, in [0, 1], with a counterpart of the same locus in train."""

    n_test: int
    identical_sequence: float
    identical_cdr3: float
    near_sequence: float  # nearest train chain at least `NEAR` identical over IMGT positions
    n_compared: int  # test chains behind near_sequence: all, or an even sample of 2,000

    def __str__(self) -> str:
        return (
            f"of {self.n_test:,} test chains, in train: identical {self.identical_sequence:.1%}, "
            f"identical CDR3 {self.identical_cdr3:.1%}, "
            f"at least {NEAR:.0%} identical {self.near_sequence:.1%} (of {self.n_compared:,})"
        )


def measure_leak(train: Sequence[AntibodyRecord], test: Sequence[AntibodyRecord]) -> LeakReport:
    """Look for each test chain, its CDR3 and its nearest relative in train.

    Args:
        train: numbered records.
        test: numbered records, at least one. Beyond 2,000, every k-th is compared for nearness.
    """
    sequences = {(r.locus, r.sequence_aa) for r in train}
    cdr3s = {(r.locus, r.region("cdr3")) for r in train}
    sample = test[:: -(-len(test) // _SAMPLE)]
    nearest = nearest_identity([r.sequence_aa for r in sample], [r.sequence_aa for r in train])
    return LeakReport(
        n_test=len(test),
        identical_sequence=sum((r.locus, r.sequence_aa) in sequences for r in test) / len(test),
        identical_cdr3=sum((r.locus, r.region("cdr3")) in cdr3s for r in test) / len(test),
        near_sequence=float(np.mean(np.nan_to_num(nearest.identity) >= NEAR)),
        n_compared=len(sample),
    )
