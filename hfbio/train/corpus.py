"""The three splits of a run as records, made from whatever `data` names. Trains nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hfbio.data import import_table, load_table, split_table
from hfbio.errors import DataError
from hfbio.models import LoadedBase
from hfbio.record import AntibodyRecord
from hfbio.train.config import FinetuneConfig

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Corpus:
    """Numbered chains the base can read, split so that no clone is on two sides."""

    train: tuple[AntibodyRecord, ...]
    validation: tuple[AntibodyRecord, ...]
    test: tuple[AntibodyRecord, ...]
    split: Mapping[str, Any]  # split.json
    left_out: Mapping[str, int]  # reason -> chains the base cannot read


def prepare(config: FinetuneConfig, base: LoadedBase) -> Corpus:
    """Import and split ``config.data`` where that was not done yet, then read the splits.

    One process of each machine does the work; the others wait and read the result.

    Raises:
        DataError: the data cannot be read, or a split has no chain this base can read.
    """
    folder = Path(config.data)
    if not (folder / "split.json").is_file():
        folder = Path(str(config.output_dir)) / "data"
        with config.main_process_first(local=False, desc="import and split"):
            if not (folder / "split.json").is_file():
                _make_split(config, folder)
    left_out: Counter[str] = Counter()
    parts = {name: _readable(folder / f"{name}.parquet", base, left_out) for name in SPLITS}
    for name in ("train", "test"):
        if not parts[name]:
            raise DataError(
                f"no chain of {folder / name}.parquet can be used with {base.name}: "
                f"{dict(left_out) or 'it is empty'}"
            )
    split = json.loads((folder / "split.json").read_text(encoding="utf-8"))
    return Corpus(**parts, split=split, left_out=dict(left_out))


def _make_split(config: FinetuneConfig, folder: Path) -> None:
    if config.data.endswith(".parquet") and Path(config.data).is_file():
        split_table(Path(config.data), folder, by="clone", seed=config.seed)
        return
    table = folder.with_name("table.parquet")
    import_table([config.data], table)
    split_table(table, folder, by="clone", seed=config.seed)


def _readable(path: Path, base: LoadedBase, left_out: Counter[str]) -> tuple[AntibodyRecord, ...]:
    kept = []
    for record in load_table(path):
        if base.loci and record.locus not in base.loci:
            left_out[f"{record.locus} chain; {base.name} knows {', '.join(base.loci)}"] += 1
        elif len(record.sequence_aa) > base.max_residues:
            left_out[f"longer than the {base.max_residues} residues of {base.name}"] += 1
        else:
            kept.append(record)
    return tuple(kept)
