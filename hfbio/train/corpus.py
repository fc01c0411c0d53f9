"""The three splits of a run as records, made from whatever `data` names. Trains nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hfbio.bundle import write_json
from hfbio.data import import_table, load_table, split_table
from hfbio.errors import DataError, SettingError
from hfbio.models import LoadedBase
from hfbio.record import AntibodyRecord
from hfbio.train.config import FinetuneConfig
from hfbio.train.folder import clear_checkpoints, retire

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Corpus:
    """Numbered chains the base can read, split so that no clone is on two sides."""

    train: tuple[AntibodyRecord, ...]
    validation: tuple[AntibodyRecord, ...]
    test: tuple[AntibodyRecord, ...]
    split: Mapping[str, Any]  # split.json
    left_out: Mapping[str, int]  # reason -> chains the base cannot read


def prepare(config: FinetuneConfig, base: LoadedBase, *, resumed: bool) -> Corpus:
    """Import and split ``config.data`` if it is no split folder, then read the splits.

    The process that saves does the work, the others wait and read the result. A fresh run
    imports anew and drops the checkpoints that an earlier one left in the run folder; a resumed
    one reads what it read before it was stopped.

    Args:
        config: the settings.
        base: which chains it can read.
        resumed: go on with the split in the run folder.

    Raises:
        DataError: the data cannot be read, or a split has no chain this base can read.
        SettingError: resumed with other data or another seed, or nothing to evaluate on.
    """
    run = Path(str(config.output_dir))
    folder = Path(config.data)
    ready = (folder / "split.json").is_file()
    if not ready:
        folder = run / "data"
    with config.main_process_first(local=config.save_on_each_node, desc="import and split"):
        if config.should_save:
            if not ready:
                _make_split(config, folder, resumed)
            if not resumed:
                clear_checkpoints(run)
    left_out: Counter[str] = Counter()
    parts = {name: _readable(folder / f"{name}.parquet", base, left_out) for name in SPLITS}
    for name in ("train", "test"):
        if not parts[name]:
            raise DataError(
                f"no chain of {folder / name}.parquet can be used with {base.name}: "
                f"{dict(left_out) or 'it is empty'}"
            )
    if config.eval_strategy != "no" and not parts["validation"]:
        raise SettingError(
            f"eval_strategy is {config.eval_strategy}, but no chain of {folder}/validation.parquet "
            f"can be used with {base.name}; set it to no"
        )
    split = json.loads((folder / "split.json").read_text(encoding="utf-8"))
    return Corpus(**parts, split=split, left_out=dict(left_out))


def source_name(data: str) -> str:
    """What cards and hfbio.json call the data: a local source by its name, without its folders."""
    if data.startswith(("hf://", "example:", "simulate:", "proteins:example:")):
        return data
    return f"proteins:{Path(data[9:]).name}" if data.startswith("proteins:") else Path(data).name


def _make_split(config: FinetuneConfig, folder: Path, resumed: bool) -> None:
    """Import and split into ``folder``; an earlier bundle beside other data is none any more."""
    asked = {"source": source_name(config.data), "seed": config.seed}
    record, split = folder.with_name("data.json"), folder / "split.json"
    if resumed and record.is_file() and split.is_file():
        made = json.loads(record.read_text(encoding="utf-8"))
        if made != asked:
            raise SettingError(
                f"{folder} was made of {made['source']} with seed {made['seed']}; a resumed run "
                f"cannot go on with {asked['source']} and seed {asked['seed']}"
            )
        return
    before = split.read_bytes() if split.is_file() else b""
    _import_and_split(config, folder)
    write_json(record, asked)
    if split.read_bytes() != before:
        retire(folder.parent)


def _import_and_split(config: FinetuneConfig, folder: Path) -> None:
    if config.data.endswith(".parquet") and Path(config.data).is_file():
        split_table(Path(config.data), folder, by="clone", seed=config.seed)
        return
    table = folder.with_name("table.parquet")
    import_table([config.data], table)
    split_table(table, folder, by="clone", seed=config.seed)


def _readable(path: Path, base: LoadedBase, left_out: Counter[str]) -> tuple[AntibodyRecord, ...]:
    kept = []
    for record in load_table(path):
        if fault := base.unreadable(record):
            left_out[fault] += 1
        else:
            kept.append(record)
    return tuple(kept)
