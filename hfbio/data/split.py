"""Split a table into train, validation and test by groups, and measure what still leaks."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hfbio.data import groups, near
from hfbio.data.assign import PARTS, assign, latest_first, shuffled
from hfbio.data.leak import LeakReport, leak_between
from hfbio.data.links import keys
from hfbio.data.staging import staged_folder
from hfbio.data.table import TableWriter, hash_of_hashes, read_groups, row_hashes
from hfbio.data.ways import DEFAULT, TIME, check_way, column_of, links_by
from hfbio.errors import DataError, SettingError

log = logging.getLogger(__name__)

_DROPPED: Final = len(PARTS)  # the part of rows that are in none


@dataclass(frozen=True)
class SplitReport:
    """What `split_table` wrote; ``split.json`` holds the same."""

    by: str
    seed: int
    fractions: tuple[float, float, float]  # asked for
    max_identity: float | None  # asked for
    table_digest: str  # of the table that was split
    digest: str  # SHA-256 over the digests of the three parts, in order
    n_rows: Mapping[str, int]  # by part
    n_groups: Mapping[str, int]  # by part
    largest_group: int  # rows
    n_dropped: int  # rows of train that were too near the test part; in no part
    leak: LeakReport

    def __str__(self) -> str:
        lines = [
            f"{part:<12} {self.n_rows[part]:>9,} rows {self.n_groups[part]:>9,} groups"
            for part in PARTS
        ]
        if self.max_identity is not None:
            lines.append(f"{'dropped':<12} {self.n_dropped:>9,} rows of train, near the test part")
        return "\n".join([*lines, str(self.leak)])


def split_table(
    table: str | Path,
    output_dir: str | Path,
    *,
    by: str = DEFAULT,
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    max_identity: float | None = None,
) -> SplitReport:
    """Write ``train.parquet``, ``validation.parquet``, ``test.parquet`` and ``split.json``.

    Groups are never divided. They fill test, then validation, in an order that
    depends on ``seed`` and on their sequences alone, so that the same rows in another order give
    the same parts. Groups larger than a tenth of a held-out part are used only if smaller ones do
    not fill it: large families go to train. A held-out part is never larger than asked. The chains
    of one cell stay together in every split, so that pairs can be made of each part.

    What makes a group:

    - ``clone``: the file's clone and similar CDRH3; see `hfbio.data.groups.clone_links`;
    - ``cluster``: whole chains that MMseqs2 puts together; see `hfbio.data.clusters.cluster`;
    - ``clone+cluster``: both. Each alone lets through what the other finds;
    - ``v_family``: the family of the V gene, to test on germlines that were not trained on;
    - ``subject`` or ``column:NAME``: a value of that column;
    - ``time:NAME``: the same, the latest for the test part, whatever the seed;
    - ``random``: nothing. Puts relatives on both sides, and only serves to show it.

    Args:
        table: written by `import_table`; may have more columns, for ``column:`` and ``time:``.
        output_dir: created, or replaced if it holds an earlier split and nothing else.
        by: see above.
        fractions: of rows in train, validation and test; they sum to 1, validation may be 0.
        seed: which groups are held out.
        max_identity: in (0.5, 1]: chains of train that are at least so like a heavy chain (or a
            light chain without one) of the test part are dropped with their cells, and listed in
            ``dropped.tsv``.

    Raises:
        DataError: the table cannot be used, there are too few groups for a part, a row has no
            value to split by, or ``output_dir`` holds other files.
        SettingError: ``by``, ``fractions`` or ``max_identity`` make no sense, or there is no
            MMseqs2 for this system.
    """
    _check_settings(by, fractions, max_identity)
    table, output_dir = Path(table), Path(output_dir)
    _check_folder(output_dir)
    rows, hashes = _read(table)
    if by == "random":
        log.warning(
            "a random split puts relatives in train and test; held-out numbers will flatter"
        )
    with staged_folder(output_dir) as partial:
        group = links_by(by, rows, table, partial).numbers()
        if by.startswith(TIME):
            order = latest_first(column_of(table, by.removeprefix(TIME)), group)
        else:
            order = shuffled(rows, group, seed)
        part_of = assign(group, order, fractions, in_turn=by.startswith(TIME))
        if max_identity is not None:
            _drop(rows, part_of, max_identity, partial / "dropped.tsv")
        parts = [np.flatnonzero(part_of == part) for part in range(len(PARTS))]
        digests = "".join(hash_of_hashes([hashes[part]]) for part in parts)
        report = SplitReport(
            by=by,
            seed=seed,
            fractions=fractions,
            max_identity=max_identity,
            table_digest=hash_of_hashes([hashes]),
            digest=hashlib.sha256(digests.encode()).hexdigest(),
            n_rows={name: len(part) for name, part in zip(PARTS, parts)},
            n_groups={name: len(np.unique(group[part])) for name, part in zip(PARTS, parts)},
            largest_group=int(np.bincount(group).max()),
            n_dropped=int((part_of == _DROPPED).sum()),
            leak=leak_between(*(rows.take(pa.array(parts[part])) for part in (0, 2))),
        )
        _write(table, part_of, partial)
        text = json.dumps(asdict(report), indent=2)
        (partial / "split.json").write_text(text + "\n", encoding="utf-8")
    return report


def _read(table: Path) -> tuple[pa.Table, NDArray[np.uint8]]:
    """The columns that a split looks at, and the hashes of the whole rows."""
    names = list(dict.fromkeys(["sequence_id", "v_call", *groups.COLUMNS, *near.COLUMNS]))
    parts = [(part.select(names), row_hashes(part)) for part in read_groups(table)]
    if not sum(part.num_rows for part, _ in parts):
        raise DataError(f"{table}: a table without rows")
    return pa.concat_tables(part for part, _ in parts), np.concatenate([h for _, h in parts])


def _drop(rows: pa.Table, part_of: NDArray[np.int64], max_identity: float, listed: Path) -> None:
    """Take what is too near the test part out of train, with its cells, and list it."""
    decides = groups.deciding(rows)
    train, test = (np.flatnonzero((part_of == part) & decides) for part in (0, 2))
    like = np.full(len(part_of), -1, np.int64)  # the first test row that each is near
    tables = [rows.take(pa.array(part)) for part in (train, test)]
    for others, chains in near.align(tables).values():
        for at, found in near.near(chains, others, max_identity):
            close = train[others.rows[found]]
            like[close[like[close] < 0]] = test[chains.rows[at]]
    cells = keys(rows["subject"], rows["cell_id"])
    in_cell = (cells >= 0) & np.isin(cells, cells[like >= 0])
    part_of[(part_of == 0) & ((like >= 0) | in_cell)] = _DROPPED
    dropped = np.flatnonzero(part_of == _DROPPED)
    names = rows["sequence_id"]
    with listed.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["sequence_id", "near"])
        for name, other in zip(names.take(pa.array(dropped)).to_pylist(), like[dropped].tolist()):
            writer.writerow([name, names[other].as_py() if other >= 0 else "another of its cell"])


def _write(table: Path, part_of: NDArray[np.int64], folder: Path) -> None:
    with ExitStack() as stack:
        writers = [stack.enter_context(TableWriter(folder / f"{p}.parquet")) for p in PARTS]
        n_before = 0
        for rows in read_groups(table):
            parts = part_of[n_before : n_before + rows.num_rows]
            for part, writer in enumerate(writers):
                writer.add(rows.filter(pa.array(parts == part)))
            n_before += rows.num_rows


def _check_settings(
    by: str, fractions: tuple[float, float, float], max_identity: float | None
) -> None:
    check_way(by)
    if max_identity is not None and not 0.5 < max_identity <= 1:
        raise SettingError(f"max_identity must be above 0.5 and at most 1, got {max_identity}")
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise SettingError(f"fractions must be three shares that sum to 1, got {fractions}")
    if not fractions[0] or not fractions[2]:
        raise SettingError(f"train and test need a share above 0, got {fractions}")


def _check_folder(folder: Path) -> None:
    if folder.is_file():
        raise DataError(f"{folder} is a file; name a folder")
    ours = {"split.json", "dropped.tsv", *(f"{part}.parquet" for part in PARTS)}
    others = {p.name for p in folder.iterdir()} - ours if folder.is_dir() else set()
    if others:
        raise DataError(f"{folder} holds other files ({sorted(others)[0]}); name an empty folder")
