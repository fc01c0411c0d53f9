"""The `hfbio` command: each verb parses, calls one library function and prints what came back.

Nothing heavy is imported before the arguments are parsed, so that `--help` answers at once.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from hfbio import __version__
from hfbio.errors import DataError, HfbioError, SettingError, Shortfall

if TYPE_CHECKING:
    from hfbio.data import Reject

app = typer.Typer(
    name="hfbio",
    help="Fine-tune protein language models on antibodies, and sample from them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data = typer.Typer(help="Import and split antibody tables.", no_args_is_help=True)
app.add_typer(data, name="data")

Model = Annotated[str, typer.Argument(help="Run folder, catalogue alias, folder or Hub id.")]
Device = Annotated[str, typer.Option(help="Where to run: cpu, cuda, cuda:1, mps.")]


def main() -> None:
    """Run the command; a user's fault prints one line and exits with 2."""
    # transformers 5 warns of its own deprecated attribute whenever peft wraps a model.
    warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
    try:
        app()
    except HfbioError as error:
        typer.echo(f"hfbio: {error}", err=True)
        sys.exit(1 if isinstance(error, Shortfall) else 2)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@data.command("import")
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


@data.command("split")
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


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog="Any other --flag is a setting of the recipe or of transformers.TrainingArguments.",
)
def finetune(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help="Name of a shipped recipe, or a YAML file.")],
) -> None:
    """Fine-tune a model by a recipe; flags win over the recipe."""
    from hfbio.resources import recipe as find_recipe

    path = find_recipe(recipe)  # before the slow imports: a misspelt name is told at once
    from hfbio.report import write_report
    from hfbio.train import finetune as run
    from hfbio.train import read_config

    config = read_config(path, context.args)
    finished = run(config)
    if config.process_index == 0:
        typer.echo(write_report(finished.metrics, finished.folder))


@app.command()
def evaluate(
    model: Model,
    table: Annotated[Path, typer.Argument(help="Held-out table (.parquet).")],
    output_dir: Annotated[
        Path, typer.Option("--output_dir", help="For metrics.json and report.html.")
    ],
    train: Annotated[
        Path | None, typer.Option(help="Training table: adds the counting baselines.")
    ] = None,
    draws: Annotated[int, typer.Option(help="Masks per chain.")] = 4,
    device: Device = "cpu",
) -> None:
    """Measure base and tuned model side by side on held-out chains, by region."""
    from hfbio.data import load_table
    from hfbio.model import load
    from hfbio.report import write_report

    records = load_table(table)
    reference = load_table(train) if train else ()
    metrics = load(model, device=device).evaluate(records, train=reference, draws=draws)
    typer.echo(write_report(metrics, output_dir))


@app.command()
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
    scaffold: Annotated[str, typer.Option(help="A chain with _ at each residue to design.")] = "",
    order: Annotated[str | None, typer.Option(help="ancestral or entropy.")] = None,
    steps: Annotated[int | None, typer.Option(help="Network passes per design.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Below 1 sharpens.")] = None,
    top_p: Annotated[float | None, typer.Option("--top_p", help="Mass kept, in (0, 1].")] = None,
    reference: Annotated[
        Path | None, typer.Option(help="Table to measure novelty against, such as train.parquet.")
    ] = None,
    keep: Annotated[
        str, typer.Option(help="valid: valid and distinct designs; all: every draw.")
    ] = "valid",
    block_size: Annotated[int, typer.Option("--block_size", help="Designs per network pass.")] = 16,
    device: Device = "cpu",
) -> None:
    """Generate new chains."""
    from hfbio.report.designs import require_writable, write_designs

    require_writable(output)
    from tqdm import tqdm

    from hfbio.data import load_table
    from hfbio.model import load
    from hfbio.sample import Request

    tags = {"locus": locus, "species": species, "isotype": isotype, "v_family": v_family}
    request = Request(
        num=num,
        seed=seed,
        conditions={name: value for name, value in tags.items() if value},
        length=_length(length),
        scaffold=scaffold.upper() or None,
        keep=keep,
        block_size=block_size,
    )
    records = load_table(reference) if reference else ()
    loaded = load(model, device=device)
    sampler = loaded.sampler(order=order, steps=steps, temperature=temperature, top_p=top_p)
    with tqdm(total=num, unit="design", disable=None) as bar:
        designs = loaded.sample(
            request,
            sampler=sampler,
            reference=records,
            progress=lambda kept, drawn: bar.update(kept - bar.n),
        )
    typer.echo(write_designs(designs, output))
    if designs.report.kept < num:
        raise Shortfall(
            f"{num} designs were asked for; {designs.report.drawn} draws gave "
            f"{designs.report.kept} valid and distinct ones, which are in {output}"
        )


@app.command()
def score(
    model: Model,
    source: Annotated[str, typer.Argument(help="FASTA, CSV, AIRR TSV or a table.")],
    output: Annotated[Path, typer.Option(help="Table to write, .csv.")],
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
    loaded = load(model, device=device)
    records, unread = loaded.readable(numbered, source)
    rejects += unread
    _require_some(source, records, rejects)
    rows = tqdm(loaded.score(records), total=len(records), unit="chain", disable=None)
    typer.echo(write_scores(rows, rejects, output))


@app.command()
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
