"""`hfbio finetune` and `hfbio evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hfbio.cli.options import Base, Device, Model


def finetune(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help="Name of a shipped recipe, or a YAML file.")],
) -> None:
    """Fine-tune a model by a recipe; flags win over the recipe.

    With --push_to_hub --hub_model_id USER/REPO it is published as well, privately unless
    --hub_private_repo false.
    """
    from hfbio.resources import recipe as find_recipe

    path = find_recipe(recipe)  # before the slow imports: a misspelt name is told at once
    from hfbio.hub import Publisher
    from hfbio.report import write_report
    from hfbio.train import finetune as run
    from hfbio.train import read_config

    config = read_config(path, context.args)
    publisher = Publisher(config) if config.push_to_hub else None
    finished = run(config, [publisher] if publisher else [])
    config.distributed_state.destroy_process_group()  # nobody waits while the main process pushes
    if config.process_index == 0:
        typer.echo(write_report(finished.metrics, finished.folder))
        if publisher:
            typer.echo(publisher.finish(finished.folder))


def pretrain(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help="Name of a shipped recipe, or a YAML file.")],
) -> None:
    """Train a new model from nothing by a recipe; flags win over the recipe."""
    from hfbio.resources import recipe as find_recipe

    path = find_recipe(recipe)
    from hfbio.report import write_report
    from hfbio.train import pretrain as run
    from hfbio.train import read_config

    config = read_config(path, context.args)
    finished = run(config)
    if config.process_index == 0:
        typer.echo(write_report(finished.metrics, finished.folder))


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
    base: Base = None,
    device: Device = "cpu",
) -> None:
    """Measure base and tuned model side by side on held-out chains, by region."""
    from hfbio.data import load_table
    from hfbio.model import load
    from hfbio.report import write_report

    records = load_table(table)
    reference = load_table(train) if train else ()
    metrics = load(model, base=base, device=device).evaluate(records, train=reference, draws=draws)
    typer.echo(write_report(metrics, output_dir))
