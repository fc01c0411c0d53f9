"""`hfbio data`: tables of antibodies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

app = typer.Typer(help="Import and split antibody tables.", no_args_is_help=True)


@app.command("import")
def import_(
    sources: Annotated[
        list[str], typer.Argument(help="Files (AIRR TSV, FASTA, CSV, Parquet), hf://datasets/…")
    ],
    output: Annotated[Path, typer.Option(help="Table to write, .parquet.")],
    species: Annotated[
        str, typer.Option(help="Species of rows that name none: human, mouse.")
    ] = "",
) -> None:
    """Read, number, clean and de-duplicate antibody sequences into one table."""
    from hfbio.data import import_table

    typer.echo(import_table(sources, output, species=species))


@app.command("split")
def split(
    table: Annotated[Path, typer.Argument(help="A table that `hfbio data import` wrote.")],
    output_dir: Annotated[Path, typer.Option("--output_dir", help="Folder for the three tables.")],
    by: Annotated[
        str, typer.Option(help="clone, or random (only to measure what leaks).")
    ] = "clone",
    seed: Annotated[int, typer.Option(help="Of the assignment of groups.")] = 0,
) -> None:
    """Split a table so that no clone is on two sides, and report what still leaks."""
    from hfbio.data import split_table

    typer.echo(split_table(table, output_dir, by=cast(Any, by), seed=seed))
