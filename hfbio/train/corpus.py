"""The three splits of a run as records, made from whatever `data` names. Trains nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hfbio.bundle import write_json
from hfbio.data import import_table, load_table, split_table
from hfbio.data.pairs import pair
from hfbio.errors import DataError, SettingError
from hfbio.models import LoadedBase
from hfbio.record import Antibody
from hfbio.train.config import FinetuneConfig
from hfbio.train.folder import clear_checkpoints, retire

SPLITS = ("train", "validation", "test")
_ITEM: Final = {"single": "chain", "paired": "pair"}


@dataclass(frozen=True)
class Corpus:
    """Numbered chains, or pairs of them, that the base can read; no clone is on two sides."""

    train: tuple[Antibody, ...]
    validation: tuple[Antibody, ...]
    test: tuple[Antibody, ...]
    split: Mapping[str, Any]  # split.json
    left_out: Mapping[str, int]  # reason -> chains the base cannot read, or that are in no pair


def prepare(config: FinetuneConfig, base: LoadedBase, *, resumed: bool) -> Corpus:
    """Import and split ``config.data`` if it is no split folder, then read the splits.

    With the layout ``paired`` the chains of each part are joined by cell.

    The process that saves does the work, the others wait and read the result. A fresh run
    imports anew and drops the checkpoints that an earlier one left in the run folder; a resumed
    one reads what it read before it was stopped.

    Args:
        config: the settings.
        base: which chains it can read.
        resumed: go on with the split in the run folder.

    Raises:
        DataError: the data cannot be read, or a split has no chain this base can read.
        SettingError: resumed with other data or another seed, nothing to evaluate on, or pairs
            for a base that reads chains alone.
    """
    if config.layout == "paired":
        base.require_separator()  # before the work, not after it
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
    parts = {
        name: read_part(folder / f"{name}.parquet", base, config.layout, left_out)
        for name in SPLITS
    }
    for name in ("train", "test"):
        if not parts[name]:
            raise DataError(
                f"no {_ITEM[config.layout]} of {folder / name}.parquet can be used with "
                f"{base.name}: "
                f"{dict(left_out) or 'it is empty'}"
            )
    if config.eval_strategy != "no" and not parts["validation"]:
        raise SettingError(
            f"eval_strategy is {config.eval_strategy}, but no {_ITEM[config.layout]} of "
            f"{folder}/validation.parquet can be used with {base.name}; set it to no"
        )
    split = json.loads((folder / "split.json").read_text(encoding="utf-8"))
    return Corpus(**parts, split=split, left_out=dict(left_out))


def read_part(
    path: Path, base: LoadedBase, layout: str, left_out: Counter[str]
) -> tuple[Antibody, ...]:
    """The chains or pairs of one part of a split that the base can read, in order.

    Args:
        path: the part's table.
        base: which chains it can read.
        layout: ``single`` or ``paired``.
        left_out: reason -> chains; what is left out here is added to it.
    """
    records: Sequence[Antibody] = load_table(path)
    if layout == "paired":
        records, alone = pair(load_table(path))
        left_out.update(why for _, why in alone)
    kept = []
    for record in records:
        if fault := base.unreadable(record):
            left_out[fault] += len(record.chains)
        else:
            kept.append(record)
    return tuple(kept)


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
