"""Split a table into train, validation and test by groups, and measure what still leaks."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hfbio.data.groups import cell_groups, clone_groups
from hfbio.data.leak import LeakReport, measure_leak
from hfbio.data.staging import staged_folder
from hfbio.data.table import digest, from_arrow, read_arrow
from hfbio.errors import DataError, SettingError
from hfbio.record import AntibodyRecord

log = logging.getLogger(__name__)

PARTS: Final = ("train", "validation", "test")
_SHARES: Final = (0.1, 0.2, 0.5, 1.0)
"""Largest group of a held-out part, as a share of the smaller one: each is tried where the groups
before it leave room. One large family would decide the part's score."""


@dataclass(frozen=True)
class SplitReport:
    """What `split_table` wrote; ``split.json`` holds the same."""

    by: Literal["clone", "random"]
    seed: int
    fractions: tuple[float, float, float]  # asked for
    table_digest: str  # of the table that was split
    digest: str  # SHA-256 over the digests of the three parts, in order
    n_rows: Mapping[str, int]  # by part
    n_groups: Mapping[str, int]  # by part
    largest_group: int  # rows
    leak: LeakReport

    def __str__(self) -> str:
        lines = [
            f"{part:<12} {self.n_rows[part]:>9,} rows {self.n_groups[part]:>9,} groups"
            for part in PARTS
        ]
        return "\n".join([*lines, str(self.leak)])


def split_table(
    table: str | Path,
    output_dir: str | Path,
    *,
    by: Literal["clone", "random"] = "clone",
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> SplitReport:
    """Write ``train.parquet``, ``validation.parquet``, ``test.parquet`` and ``split.json``.

    Groups (see `clone_groups`) are never divided. They fill test, then validation, in an order that
    depends on ``seed`` and on their sequences alone, so that the same rows in another order give
    the same parts. Groups larger than a tenth of a held-out part are used only if smaller ones do
    not fill it: large families go to train. A held-out part is never larger than asked. The chains
    of one cell stay together in every split, so that pairs can be made of each part.

    Args:
        table: written by `import_table`.
        output_dir: created, or replaced if it holds an earlier split and nothing else.
        by: ``clone``; or ``random``, which puts relatives on both sides and only serves to show it.
        fractions: of rows in train, validation and test; they sum to 1, validation may be 0.
        seed: which groups are held out.

    Raises:
        DataError: the table cannot be used, there are too few groups for a part, or ``output_dir``
            holds other files.
        SettingError: ``by`` or ``fractions`` make no sense.
    """
    _check_settings(by, fractions)
    output_dir = Path(output_dir)
    _check_folder(output_dir)
    rows = read_arrow(Path(table))
    records = from_arrow(rows)
    if not records:
        raise DataError(f"{table}: a table without rows")
    if by == "random":
        log.warning(
            "a random split puts relatives in train and test; held-out numbers will flatter"
        )
    groups = clone_groups(records) if by == "clone" else cell_groups(records)
    part_of = _assign(records, groups, fractions, seed)
    parts = {
        name: rows.take(pa.array(np.flatnonzero(part_of == i))) for i, name in enumerate(PARTS)
    }
    report = _report(parts, part_of, groups, records, by, fractions, seed, digest(rows))
    with staged_folder(output_dir) as partial:
        for name, part in parts.items():
            pq.write_table(part, partial / f"{name}.parquet", compression="zstd")
        text = json.dumps(asdict(report), indent=2)
        (partial / "split.json").write_text(text + "\n", encoding="utf-8")
    return report


def _assign(
    records: Sequence[AntibodyRecord],
    groups: NDArray[np.int64],
    fractions: tuple[float, float, float],
    seed: int,
) -> NDArray[np.int64]:
    """``(N,)`` part of each record: 0 train, 1 validation, 2 test."""
    sizes = np.bincount(groups)
    room = {part: int(fractions[part] * len(records) + 1e-9) for part in (2, 1)}
    smallest = min((n for n in room.values() if n), default=0)
    part_of_group = np.zeros(len(sizes), np.int64)
    order = _shuffled(records, groups, seed)
    for share in _SHARES:
        for group in order:
            if part_of_group[group] or sizes[group] > max(1, share * smallest):
                continue
            if part := next((p for p in (2, 1) if sizes[group] <= room[p]), 0):
                part_of_group[group] = part
                room[part] -= int(sizes[group])
    for part in (0, 1, 2):
        if fractions[part] and not (part_of_group == part).any():
            raise DataError(
                f"{len(records)} rows in {len(sizes)} groups (largest {sizes.max()}) leave the "
                f"{PARTS[part]} part empty; use more data, or other fractions"
            )
    return part_of_group[groups]


def _shuffled(records: Sequence[AntibodyRecord], groups: NDArray[np.int64], seed: int) -> list[int]:
    """Groups in an order that row order cannot change: by hash of seed and least sequence."""
    least: dict[int, str] = {}
    for record, group in zip(records, groups.tolist()):
        name = f"{record.sequence_aa}|{record.cell_id}"
        least[group] = min(name, least.get(group, name))
    return sorted(least, key=lambda g: hashlib.sha256(f"{seed}|{least[g]}".encode()).digest())


def _report(
    parts: Mapping[str, pa.Table],
    part_of: NDArray[np.int64],
    groups: NDArray[np.int64],
    records: Sequence[AntibodyRecord],
    by: Literal["clone", "random"],
    fractions: tuple[float, float, float],
    seed: int,
    table_digest: str,
) -> SplitReport:
    digests = "".join(digest(part) for part in parts.values())
    train, test = (
        [records[i] for i in np.flatnonzero(part_of == part).tolist()] for part in (0, 2)
    )
    return SplitReport(
        by=by,
        seed=seed,
        fractions=fractions,
        table_digest=table_digest,
        digest=hashlib.sha256(digests.encode()).hexdigest(),
        n_rows={name: part.num_rows for name, part in parts.items()},
        n_groups={name: len(set(groups[part_of == i].tolist())) for i, name in enumerate(PARTS)},
        largest_group=int(np.bincount(groups).max()),
        leak=measure_leak(train, test),
    )


def _check_settings(by: str, fractions: tuple[float, float, float]) -> None:
    if by not in ("clone", "random"):
        raise SettingError(f"a table can be split by clone or random, not by {by!r}")
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise SettingError(f"fractions must be three shares that sum to 1, got {fractions}")
    if not fractions[0] or not fractions[2]:
        raise SettingError(f"train and test need a share above 0, got {fractions}")


def _check_folder(folder: Path) -> None:
    if folder.is_file():
        raise DataError(f"{folder} is a file; name a folder")
    ours = {"split.json", *(f"{part}.parquet" for part in PARTS)}
    others = {p.name for p in folder.iterdir()} - ours if folder.is_dir() else set()
    if others:
        raise DataError(f"{folder} holds other files ({sorted(others)[0]}); name an empty folder")
