"""`hfbio score` and `hfbio models`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hfbio.cli.options import Base, Device, Model
from hfbio.errors import DataError, SettingError

if TYPE_CHECKING:
    from hfbio.data import Reject


def score(
    model: Model,
    source: Annotated[str, typer.Argument(help="FASTA, CSV, AIRR TSV or a table.")],
    output: Annotated[Path, typer.Option(help="Table to write, .csv.")],
    mutations: Annotated[
        Path | None,
        typer.Option(help="Also write what the model says of all 20 residues everywhere, .csv."),
    ] = None,
    base: Base = None,
    device: Device = "cpu",
) -> None:
    """Likelihood of each chain: nats per residue, perplexity, by region.

    A masked model is asked for each residue given all others (pseudo-likelihood), a causal model
    for each residue given those before it; the column `likelihood` tells which. The two cannot be
    compared.
    """
    if output.suffix != ".csv":
        raise SettingError(f"{output}: scores are written as .csv")
    from hfbio.report.mutations import mutations_file, require_mutations

    if mutations:
        require_mutations(mutations, output)
    from tqdm import tqdm

    from hfbio.data import read_numbered
    from hfbio.model import load
    from hfbio.report.scores import write_scores

    numbered, rejects = read_numbered(source)
    _require_some(source, numbered, rejects)
    loaded = load(model, base=base, device=device)
    records, unread = loaded.readable(numbered, source)
    rejects += unread
    _require_some(source, records, rejects)
    with mutations_file(mutations) if mutations else nullcontext() as scanned:
        rows = loaded.score(records, scanned=scanned)
        bar = tqdm(rows, total=len(records), unit="chain", disable=None)
        written = write_scores(bar, rejects, output)
    typer.echo(f"likelihood: {loaded.likelihood}")
    typer.echo(written)
    if mutations:
        typer.echo(f"mutations  {mutations}")


def models() -> None:
    """List the bases hfbio knows by name; any Hub id of a known architecture works too."""
    from hfbio.models.catalogue import table

    rows = [
        {name: row[name] for name in ("name", "architecture", "parameters", "chains", "licence")}
        | {"needs": row["needs"]}
        for row in table()
    ]
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    for row in [dict(zip(widths, widths)), *rows]:
        typer.echo("  ".join(row[name].ljust(width) for name, width in widths.items()).rstrip())


def _require_some(source: str, records: Sequence[object], rejects: Sequence[Reject]) -> None:
    if not records:
        first = f"; the first: {rejects[0].reason} ({rejects[0].detail})" if rejects else ""
        raise DataError(f"{source}: none of {len(rejects)} chains can be scored{first}")
