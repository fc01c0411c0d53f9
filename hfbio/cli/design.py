"""`hfbio sample`, `hfbio score` and `hfbio models`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hfbio.cli.function import named_function
from hfbio.cli.options import Base, Device, Model
from hfbio.errors import DataError, SettingError, Shortfall

if TYPE_CHECKING:
    from hfbio.data import Reject


def sample(
    model: Model,
    output: Annotated[Path, typer.Option(help="Designs: .fasta, .csv or .parquet.")],
    num: Annotated[int, typer.Option(help="Valid, distinct designs to make.")] = 32,
    seed: Annotated[int, typer.Option(help="Same seed, same designs.")] = 0,
    locus: Annotated[str, typer.Option(help="IGH, IGK or IGL.")] = "",
    species: Annotated[str, typer.Option(help="human, mouse, …")] = "",
    isotype: Annotated[str, typer.Option(help="IGHG, IGHM, …")] = "",
    v_family: Annotated[str, typer.Option("--v_family", help="IGHV3, …")] = "",
    length: Annotated[str, typer.Option(help="Residues: 120 or 110-130.")] = "",
    scaffold: Annotated[
        str, typer.Option(help="A chain, or HEAVY:LIGHT, with _ at each residue to design.")
    ] = "",
    germline: Annotated[
        str, typer.Option(help="For germline_walk: the germline, _ where the chain has none.")
    ] = "",
    sampler: Annotated[
        str | None, typer.Option(help="unmask, germline_walk or causal; the model's own if not.")
    ] = None,
    order: Annotated[str | None, typer.Option(help="ancestral or entropy.")] = None,
    steps: Annotated[int | None, typer.Option(help="Network passes per design.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Below 1 sharpens.")] = None,
    top_p: Annotated[float | None, typer.Option("--top_p", help="Mass kept, in (0, 1].")] = None,
    guidance: Annotated[
        float | None, typer.Option(help="Above 1 follows the conditions more strictly.")
    ] = None,
    contrast: Annotated[
        float | None, typer.Option(help="Above 1 goes further from the base than training did.")
    ] = None,
    guide: Annotated[
        str, typer.Option(help="Your own function, module:function: sequences to scores.")
    ] = "",
    guide_weight: Annotated[
        float, typer.Option("--guide_weight", help="exp(weight * score) weighs designs.")
    ] = 1.0,
    particles: Annotated[int, typer.Option(help="Candidates per design with a guide.")] = 8,
    reference: Annotated[
        Path | None, typer.Option(help="Table to measure novelty against, such as train.parquet.")
    ] = None,
    keep: Annotated[
        str, typer.Option(help="valid: valid and distinct designs; all: every draw.")
    ] = "valid",
    block_size: Annotated[int, typer.Option("--block_size", help="Rows per network pass.")] = 16,
    base: Base = None,
    device: Device = "cpu",
) -> None:
    """Generate new chains."""
    from hfbio.report.designs import require_writable, write_designs

    require_writable(output)
    from tqdm import tqdm

    from hfbio.data import load_table
    from hfbio.model import load
    from hfbio.sample import Guide, Request

    tags = {"locus": locus, "species": species, "isotype": isotype, "v_family": v_family}
    request = Request(
        num=num,
        seed=seed,
        conditions={name: value for name, value in tags.items() if value},
        length=_length(length),
        scaffold=scaffold.upper() or None,
        keep=keep,
        block_size=block_size,
        germline=germline.upper() or None,
        guidance=guidance,
        contrast=contrast,
    )
    steer = None
    if guide:
        steer = Guide(named_function(guide, "--guide"), guide_weight, particles)
    records = load_table(reference) if reference else ()
    loaded = load(model, base=base, device=device)
    # Who names a sampler is told what it lacks; a model's own does what it can from a blank.
    make = loaded.sampler if sampler or germline else loaded.blank_sampler
    walk = make(kind=sampler, order=order, steps=steps, temperature=temperature, top_p=top_p)
    with tqdm(total=num, unit="design", disable=None) as bar:
        designs = loaded.sample(
            request,
            sampler=walk,
            guide=steer,
            reference=records,
            progress=lambda kept, drawn: bar.update(kept - bar.n),
        )
    typer.echo(write_designs(designs, output))
    if designs.report.kept < num:
        raise Shortfall(
            f"{num} designs were asked for; {designs.report.drawn} draws gave "
            f"{designs.report.kept} valid and distinct ones, which are in {output}"
        )


def score(
    model: Model,
    source: Annotated[str, typer.Argument(help="FASTA, CSV, AIRR TSV or a table.")],
    output: Annotated[Path, typer.Option(help="Table to write, .csv.")],
    base: Base = None,
    device: Device = "cpu",
) -> None:
    """Masked pseudo-log-likelihood of each chain: nats per residue, perplexity, by region."""
    if output.suffix != ".csv":
        raise SettingError(f"{output}: scores are written as .csv")
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
    rows = tqdm(loaded.score(records), total=len(records), unit="chain", disable=None)
    typer.echo(write_scores(rows, rejects, output))


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


def _length(text: str) -> int | tuple[int, int] | None:
    if not text:
        return None
    parts = text.split("-")
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):
        raise SettingError(f"--length must be a number or a range such as 110-130, got {text!r}")
    return int(parts[0]) if len(parts) == 1 else (int(parts[0]), int(parts[1]))
