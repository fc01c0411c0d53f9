"""How much of a test set is nearly in train. Measures; moves no rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hfbio.data.near import align, near
from hfbio.data.table import to_arrow
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
    return leak_between(to_arrow(train), to_arrow(test))


def leak_between(train: pa.Table, test: pa.Table) -> LeakReport:
    """`measure_leak` of rows that have the columns `hfbio.data.near.COLUMNS`."""
    step = -(-test.num_rows // _SAMPLE)
    sample = test.take(pa.array(np.arange(0, test.num_rows, step)))
    n_near = 0
    for others, chains in align([train, sample]).values():
        n_near += sum(len(found) > 0 for _, found in near(chains, others, NEAR))
    return LeakReport(
        n_test=test.num_rows,
        identical_sequence=_shared(train, test, "sequence_aa"),
        identical_cdr3=_shared(train, test, "cdr3_aa"),
        near_sequence=n_near / sample.num_rows,
        n_compared=sample.num_rows,
    )


def _shared(train: pa.Table, test: pa.Table, name: str) -> float:
    ours, theirs = (
        pc.binary_join_element_wise(rows["locus"], rows[name], "|") for rows in (test, train)
    )
    return float(pc.mean(pc.is_in(ours, pc.unique(theirs))).as_py())
