"""`hfbio data`: tables of antibodies."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from hfbio.errors import SettingError

app = typer.Typer(
    help="Import, simulate, split and describe antibody tables.", no_args_is_help=True
)


@app.command("import")
def import_(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders or globs (AIRR, OAS, 10x, FASTA, CSV, Parquet, JSONL, PDB), "
            "hf://datasets/…, or - for standard input."
        ),
    ],
    output: Annotated[Path, typer.Option(help="Table to write, .parquet.")],
    species: Annotated[
        str, typer.Option(help="Species of rows that name none: human, mouse.")
    ] = "",
    num_proc: Annotated[
        int | None, typer.Option("--num_proc", min=1, help="Processes; default: all cores.")
    ] = None,
    format: Annotated[
        str, typer.Option(help="What the sources are, if their names do not tell: csv, fasta, …")
    ] = "",
    columns: Annotated[
        str, typer.Option(help="What columns hold: heavy=VH_seq,light=VL_seq,id=name.")
    ] = "",
) -> None:
    """Read, number, clean and de-duplicate antibody sequences into one table."""
    from hfbio.data import Source, import_table
    from hfbio.data.columns import parse_columns

    named = [Source(source, format, parse_columns(columns)) for source in sources]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with _telling("hfbio.data.readers"):
        report = import_table(named, output, species=species, num_proc=num_proc or cores or 1)
    typer.echo(report)


@app.command("simulate")
def simulate(
    species: Annotated[str, typer.Option(help="human, mouse, rat, rabbit, rhesus, …")],
    locus: Annotated[str, typer.Option(help="IGH, IGK or IGL.")],
    num: Annotated[int, typer.Option(help="Valid, distinct chains to make.")],
    output: Annotated[Path, typer.Option(help="Table to write, .parquet.")],
    seed: Annotated[int, typer.Option(help="Same seed, same table.")] = 0,
    mutation: Annotated[
        str, typer.Option(help="Share of nucleotides, one level or a range within 0-0.2.")
    ] = "0-0.1",
    clone_size: Annotated[
        float, typer.Option("--clone_size", help="Mean chains per clone; 1 gives no clones.")
    ] = 1.0,
) -> None:
    """Make a table of simulated chains with GenAIRR (hfbio[simulate])."""
    levels = _range(mutation)
    from hfbio.data import simulate_table

    report = simulate_table(
        output,
        species=species,
        locus=locus,
        num=num,
        seed=seed,
        mutation=levels,
        clone_size=clone_size,
    )
    typer.echo(report)


@app.command("stats")
def stats(
    table: Annotated[Path, typer.Argument(help="A table that `hfbio data import` wrote.")],
    output_dir: Annotated[
        Path | None, typer.Option("--output_dir", help="Folder for stats.html and stats.json.")
    ] = None,
) -> None:
    """Count loci, isotypes, V families, lengths and germline identity of a table."""
    from hfbio.data.stats import table_stats

    found = table_stats(table)
    if output_dir is None:
        typer.echo(found)
        return
    from hfbio.report.table import write_stats

    typer.echo(write_stats(found, output_dir))


@app.command("thin")
def thin(
    table: Annotated[Path, typer.Argument(help="A table that `hfbio data import` wrote.")],
    output: Annotated[Path, typer.Option(help="Table to write, .parquet.")],
    per_group: Annotated[int, typer.Option("--per_group", help="Chains or cells of a group.")] = 1,
    by: Annotated[str, typer.Option(help="What makes a group; see `hfbio data split`.")] = "clone",
    seed: Annotated[int, typer.Option(help="Of the choice.")] = 0,
) -> None:
    """Keep a few chains of each clone, cluster or V family, so that no large one rules."""
    from hfbio.data import thin_table

    typer.echo(thin_table(table, output, by=by, per_group=per_group, seed=seed))


@app.command("split")
def split(
    table: Annotated[Path, typer.Argument(help="A table that `hfbio data import` wrote.")],
    output_dir: Annotated[Path, typer.Option("--output_dir", help="Folder for the three tables.")],
    by: Annotated[
        str,
        typer.Option(
            help="clone+cluster, clone, cluster, v_family, subject, column:NAME, time:NAME, "
            "or random (only to measure what leaks)."
        ),
    ] = "clone+cluster",
    seed: Annotated[int, typer.Option(help="Of the assignment of groups.")] = 0,
    max_identity: Annotated[
        float | None,
        typer.Option(
            "--max_identity", help="Drop train chains this like a test chain, such as 0.95."
        ),
    ] = None,
) -> None:
    """Split a table so that no relatives are on two sides, and report what still leaks."""
    from hfbio.data import split_table

    typer.echo(split_table(table, output_dir, by=by, seed=seed, max_identity=max_identity))


@contextmanager
def _telling(name: str) -> Iterator[None]:
    """Print what a part of the library logs, such as the columns that a reader found.

    What is said of many files in the same words is printed for the first of them alone.
    """
    told: set[tuple[str, str]] = set()

    def is_new(record: logging.LogRecord) -> bool:
        said = (record.msg, str(record.args[1:] if isinstance(record.args, tuple) else ""))
        n_told = len(told)
        told.add(said)
        return len(told) > n_told

    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(is_new)
    log = logging.getLogger(name)
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(logging.NOTSET)


def _range(text: str) -> tuple[float, float]:
    low, _, high = text.partition("-")
    try:
        return float(low), float(high or low)
    except ValueError as fault:
        raise SettingError(
            f"--mutation must be a share or a range such as 0-0.1, got {text!r}"
        ) from fault
