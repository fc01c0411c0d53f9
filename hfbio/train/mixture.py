"""Several sources as one corpus, each drawn as often as its weight says. Trains nothing."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from hfbio.alphabet import RESIDUES
from hfbio.data import import_table, simulate_table, split_table
from hfbio.data.proteins import read_proteins
from hfbio.errors import DataError, SettingError
from hfbio.models import LoadedBase
from hfbio.record import Antibody, ProteinRecord
from hfbio.rng import generator
from hfbio.train.config import FinetuneConfig
from hfbio.train.corpus import read_part, source_name

Chain = Antibody | ProteinRecord
HELD_OUT: Final = 0.01  # of each source, for validation and for test alike
MOST_HELD_OUT: Final = 200  # chains of one source that are measured


@dataclass(frozen=True)
class Source:
    """One ingredient, split by clone, or at random where there are no clones."""

    name: str  # without folders
    weight: float
    train: tuple[Chain, ...]
    validation: tuple[Chain, ...]
    test: tuple[Chain, ...]
    split: Mapping[str, Any]
    left_out: Mapping[str, int] = field(default_factory=dict)  # reason -> chains, as in a `Corpus`


def gather(config: FinetuneConfig, base: LoadedBase) -> list[Source]:
    """Read, simulate and split every source of a pretraining run.

    A source is a split folder, a table or file that `hfbio data import` reads,
    ``simulate:SPECIES:LOCUS:NUM``, or ``proteins:FILE`` with chains of any protein. What is made
    lies in the run folder under ``data/`` and is read again by a resumed run. The process that
    saves does the work, the others wait.

    Raises:
        DataError: a source cannot be read, or has too few chains to hold any out.
        SettingError: a weight that is not above 0, or pairs for a base that reads chains alone.
    """
    if config.layout == "paired":
        base.require_separator()
    if bad := [name for name, weight in config.source_weights().items() if not weight > 0]:
        raise SettingError(f"the weight of {bad[0]!r} must be above 0")
    folder = Path(str(config.output_dir), "data")
    with config.main_process_first(local=config.save_on_each_node, desc="import and split"):
        if config.should_save:
            for name in config.source_weights():
                _prepare(name, folder, config.seed)
    return [
        _proteins(name, weight, base, config)
        if name.startswith("proteins:")
        else _antibodies(name, weight, folder, base, config.layout)
        for name, weight in config.source_weights().items()
    ]


def chain_weights(sources: Sequence[Source]) -> Tensor:
    """``(n,)`` float64: how often each training chain is drawn, sources in order."""
    return torch.cat(
        [torch.full((len(s.train),), s.weight / len(s.train), dtype=torch.float64) for s in sources]
    )


def unigram_nats(train: Sequence[Chain], test: Sequence[Chain]) -> float:
    """Nats per residue of ``test`` under the residue frequencies of ``train``.

    What a model knows that has counted letters and nothing else. One count is added to each of
    the 20 residues.
    """
    counts = dict.fromkeys(RESIDUES, 1)
    for record in train:
        for letter in _letters(record):
            if letter in counts:
                counts[letter] += 1
    log_p = torch.tensor([counts[letter] for letter in RESIDUES], dtype=torch.float64)
    log_p = (log_p / log_p.sum()).log()
    found = torch.tensor(
        [[_letters(record).count(letter) for letter in RESIDUES] for record in test],
        dtype=torch.float64,
    ).sum(dim=0)
    return float(-(found * log_p).sum() / found.sum())


def _letters(record: Chain) -> str:
    if isinstance(record, ProteinRecord):
        return record.sequence_aa
    return "".join(chain.sequence_aa for chain in record.chains)


def _prepare(name: str, folder: Path, seed: int) -> None:
    """Make the split of a source that has none yet."""
    split = folder / _slug(name)
    if name.startswith("proteins:") or _is_split(name) or (split / "split.json").is_file():
        return
    table = split.with_suffix(".parquet")
    if name.startswith("simulate:"):
        words = name.split(":")
        if len(words) != 4 or not words[3].isdecimal():
            raise SettingError(f"source {name!r} must be simulate:SPECIES:LOCUS:NUM")
        if not table.is_file():
            simulate_table(table, species=words[1], locus=words[2], num=int(words[3]), seed=seed)
    elif name.endswith(".parquet") and Path(name).is_file():
        table = Path(name)
    else:
        import_table([name], table)
    shares = (1 - 2 * HELD_OUT, HELD_OUT, HELD_OUT)
    split_table(table, split, by="clone", fractions=shares, seed=seed)


def _antibodies(name: str, weight: float, folder: Path, base: LoadedBase, layout: str) -> Source:
    split = Path(name) if _is_split(name) else folder / _slug(name)
    left_out: Counter[str] = Counter()
    parts = {
        part: read_part(split / f"{part}.parquet", base, layout, left_out)
        for part in ("train", "validation", "test")
    }
    if not parts["train"] or not parts["test"]:
        item = "pair" if layout == "paired" else "chain"
        raise DataError(
            f"source {name!r} has no {item} to train on, or none to hold out; left out: "
            f"{dict(left_out) or 'none'}"
        )
    report = json.loads((split / "split.json").read_text(encoding="utf-8"))
    return Source(
        source_name(name),
        weight,
        parts["train"],
        parts["validation"][:MOST_HELD_OUT],
        parts["test"][:MOST_HELD_OUT],
        report,
        left_out,
    )


def _proteins(name: str, weight: float, base: LoadedBase, config: FinetuneConfig) -> Source:
    """Windows of at most ``max_residues``; held out are whole proteins, at random."""
    longest = min(base.max_residues, config.max_residues or base.max_residues)
    chains = list(read_proteins(name.removeprefix("proteins:")))
    n_held_out = max(1, round(HELD_OUT * len(chains)))
    if len(chains) < 3:
        raise DataError(f"source {name!r} has {len(chains)} chains, too few to hold any out")
    order = torch.randperm(len(chains), generator=generator(config.seed, 1)).tolist()

    def windows(indices: Sequence[int]) -> tuple[ProteinRecord, ...]:
        return tuple(
            ProteinRecord(f"{chains[i].sequence_id}:{start}", part)
            for i in indices
            for start in range(0, len(chains[i].sequence_aa), longest)
            if len(part := chains[i].sequence_aa[start : start + longest]) >= longest // 4
        )

    return Source(
        source_name(name),
        weight,
        windows(order[2 * n_held_out :]),
        windows(order[:n_held_out])[:MOST_HELD_OUT],
        windows(order[n_held_out : 2 * n_held_out])[:MOST_HELD_OUT],
        {"by": "random", "seed": config.seed, "n_rows": {"proteins": len(chains)}},
    )


def _is_split(name: str) -> bool:
    return Path(name, "split.json").is_file()


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", source_name(name))
