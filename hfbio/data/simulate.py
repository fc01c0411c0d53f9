"""Simulated chains: GenAIRR makes them, the import path judges them. Reads no files.

For pretraining and for tests, not as evidence: alleles are drawn evenly, not as a donor uses them,
and selection is no more than the validity rule.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, Final

import torch

from hfbio.alphabet import STOP
from hfbio.data import values
from hfbio.data.clean import clean_record
from hfbio.data.columns import ChainColumns
from hfbio.data.duplicates import Duplicates
from hfbio.data.genairr import Engine, compile_engine
from hfbio.data.intake import ImportReport, table_path, write_table
from hfbio.data.readers.rearrangement import read_chain
from hfbio.data.reject import Reject
from hfbio.errors import DataError, SettingError, Shortfall
from hfbio.record import AntibodyRecord
from hfbio.rng import generator

MUTATION: Final = (0.0, 0.1)
"""Mutation levels, as shares of nucleotides: from naive cells to strongly mutated ones."""

_HIGHEST: Final = 0.2  # at 0.15, 22 of 300 mutants of human IGH are valid (measured)
_LEVELS: Final = 6  # evenly spaced over the range; each takes GenAIRR 0.1 to 0.3 s to compile
_TRIES: Final = 100  # mutants drawn for one member of a clone, at most
_SPARE: Final = 200  # attempts before the share of valid chains counts
_ATTEMPTS: Final = 40  # attempts for each valid chain; beyond it, a shortfall
_FIELDS: Final = (
    "sequence_id", "amino", "alignment", "germline_alignment", "locus", "species", "v_call",
    "j_call", "clone_id", "productive", "stop_codon",
)  # fmt: skip
_COLUMNS: Final = ChainColumns("", {name: i for i, name in enumerate(_FIELDS)})


@dataclass(frozen=True)
class _Settings:
    """What to simulate, checked."""

    species: str
    locus: str
    num: int
    seed: int
    mutation: tuple[float, float]
    clone_size: float

    def __post_init__(self) -> None:
        low, high = self.mutation
        if self.num < 1:
            raise SettingError(f"num must be at least 1, got {self.num}")
        if not 0 <= low <= high <= _HIGHEST:
            raise SettingError(f"mutation must be within 0 and {_HIGHEST}, got {low} to {high}")
        if not 1 <= self.clone_size < math.inf:
            raise SettingError(f"clone_size must be at least 1, got {self.clone_size}")

    def engine(self) -> Engine:
        low, high = self.mutation
        levels = sorted({low + (high - low) * i / (_LEVELS - 1) for i in range(_LEVELS)})
        locus = values.locus(self.locus) or self.locus
        return compile_engine(values.species(self.species), locus, tuple(levels))


def simulate_table(
    output: str | Path,
    *,
    species: str,
    locus: str,
    num: int,
    seed: int = 0,
    mutation: tuple[float, float] = MUTATION,
    clone_size: float = 1.0,
    progress: bool = True,
) -> ImportReport:
    """Write a table of ``num`` chains of `simulate`, as `import_table` writes those of a file.

    Every attempt is accounted for: mutants that are unproductive or break the validity rule are
    rejects, and most attempts are. Same arguments and same versions: same bytes.

    Args:
        output: the table, ``.parquet``; replaced if it exists. Rejects are listed beside it.
        species: see `simulate`.
        locus: see `simulate`.
        num: rows.
        seed: see `simulate`.
        mutation: see `simulate`.
        clone_size: see `simulate`.
        progress: see `import_table`.

    Raises:
        SettingError: see `simulate`.
        DataError: the output is not called ``.parquet``.
        Shortfall: fewer chains could be made; the table holds them. With none there is no table.
        MissingExtra: GenAIRR is not installed.
    """
    path = table_path(output)
    settings = _Settings(species, locus, num, seed, mutation, clone_size)
    engine = settings.engine()
    items = _attempts(engine, settings)
    try:
        report = write_table(items, path, sources=[engine.source], n_wanted=num, progress=progress)
    except DataError as nothing_kept:
        raise Shortfall(str(nothing_kept)) from nothing_kept
    if report.n_kept < num:
        reasons = "; ".join(f"{reason}: {n:,}" for reason, n in report.rejected.items())
        raise Shortfall(
            f"{num} chains were asked for; {report.n_read} attempts of {engine.source} gave "
            f"{report.n_kept} valid and distinct ones, which are in {path} ({reasons})"
        )
    return report


def simulate(
    *,
    species: str,
    locus: str,
    num: int,
    seed: int = 0,
    mutation: tuple[float, float] = MUTATION,
    clone_size: float = 1.0,
) -> Iterator[AntibodyRecord]:
    """Valid, distinct, numbered chains, one by one.

    All alleles of GenAIRR's IMGT reference set are equally likely. Mutations follow S5F, that of
    human heavy or light chains whatever the species; they substitute only. A mutant that is not
    valid is drawn again at the same level. ``v_call`` and ``j_call`` are the alleles that a chain
    was made of and ``clone_id`` is its rearrangement. The germline is known in V and J, not in D
    and the N regions, as in an imported table.

    Args:
        species: human, mouse, rat, rabbit, rhesus, ...; an unknown one is answered with all.
        locus: IGH, IGK or IGL.
        num: chains.
        seed: any integer; a longer run begins with the chains of a shorter one.
        mutation: lowest and highest level, shares of nucleotides in [0, 0.2]. A chain takes one of
            six, evenly spaced, and a Poisson number of mutations about it.
        clone_size: mean number of chains that share a rearrangement and mutate each by itself, not
            along a tree; >= 1, which gives no clones. Sizes are geometric; members that come out
            alike are one row.

    Raises:
        SettingError: no such species or locus, or a number out of its range; at once, not while
            iterating.
        MissingExtra: GenAIRR is not installed; at once.
        Shortfall: fewer chains could be made; after the last.

    Source:
        Yaari et al. 2013, Frontiers in Immunology 4:358 (S5F).
    """
    settings = _Settings(species, locus, num, seed, mutation, clone_size)
    engine = settings.engine()

    def records() -> Iterator[AntibodyRecord]:
        duplicates = Duplicates()
        for item in _attempts(engine, settings):
            kept = item if isinstance(item, Reject) else duplicates.admit(item)
            if isinstance(kept, Reject):
                continue
            yield kept
            if len(duplicates.counts) == num:
                return
        raise Shortfall(f"{num} chains of {engine.source}: only {len(duplicates.counts)} were made")

    return records()


def _attempts(engine: Engine, settings: _Settings) -> Iterator[AntibodyRecord | Reject]:
    """Numbered chains and rejects, repeats too, until trying on makes no sense."""
    n_valid = 0
    items = (item for index in count() for item in _clone(engine, settings, index))
    for n_attempts, item in enumerate(items, start=1):
        yield item
        n_valid += isinstance(item, AntibodyRecord)
        if n_attempts >= _SPARE + _ATTEMPTS * min(n_valid, settings.num):
            return


def _clone(engine: Engine, settings: _Settings, index: int) -> Iterator[AntibodyRecord | Reject]:
    """All attempts at rearrangement ``index`` and its members, a function of seed and index."""
    rng = generator(settings.seed, index)
    founder = engine.founders.simulator.run(_engine_seed(rng))
    ancestor = founder.final_simulation()
    judge = _Judge(engine, founder, settings.seed, index)
    unmutated = judge(founder, 0)
    if isinstance(unmutated, Reject):  # a pseudogene, or cut too short: its mutants are no better
        yield unmutated
        return
    for member in range(_clone_size(settings.clone_size, rng)):
        mutator = engine.mutators[int(torch.randint(len(engine.mutators), (1,), generator=rng))]
        first_seed = _engine_seed(rng)
        if mutator is None:
            yield replace(unmutated, sequence_id=judge.name(member))
            continue
        for member_seed in range(first_seed, first_seed + _TRIES):
            item = judge(mutator.simulator.run_from(ancestor, member_seed), member)
            yield item
            if isinstance(item, AntibodyRecord):
                break


class _Judge:
    """Sends the chains of one founder through the path of an AIRR row."""

    def __init__(self, engine: Engine, founder: Any, seed: int, index: int) -> None:
        self._refdata = engine.founders.refdata
        self._place = (engine.source, index + 1)
        self._clone_id = f"{engine.species}_{engine.locus}_{seed}_{index}"
        ancestor = founder.final_simulation()
        # All of the founder. The calls of a mutant are those that an aligner would make, and its
        # germline is out of step, as GenAIRR forgets what the rearrangement trimmed. Mutations only
        # substitute, so the founder's germline stays base against base.
        self._shared = {
            "germline_alignment": founder.airr_record(self._refdata)["germline_alignment_d_mask"],
            "v_call": self._refdata.v_allele(ancestor.v_allele_id()).name,
            "j_call": self._refdata.j_allele(ancestor.j_allele_id()).name,
            "locus": engine.locus,
            "species": engine.species,
            "clone_id": self._clone_id,
        }

    def name(self, member: int) -> str:
        return f"{self._clone_id}_{member}"

    def __call__(self, outcome: Any, member: int) -> AntibodyRecord | Reject:
        row = outcome.airr_record(self._refdata)
        fields = {
            **self._shared,
            "sequence_id": self.name(member),
            "amino": row["sequence_aa"],
            "alignment": row["sequence"],
            "productive": row["productive"],
            # GenAIRR's own flag sees the junction only.
            "stop_codon": STOP in row["sequence_aa"],
        }
        read = read_chain(_COLUMNS, [fields[name] for name in _FIELDS], *self._place)
        return read if isinstance(read, Reject) else clean_record(read)


def _engine_seed(rng: torch.Generator) -> int:
    return int(torch.randint(1 << 62, (1,), generator=rng))


def _clone_size(mean: float, rng: torch.Generator) -> int:
    """A geometric number from 1 on."""
    if mean == 1:
        return 1
    uniform = float(torch.rand(1, dtype=torch.float64, generator=rng))
    return 1 + int(math.log(1 - uniform) / math.log(1 - 1 / mean))
