"""The `hfbio` command: each verb parses, calls one library function and prints what came back.

Nothing heavy is imported before the arguments are parsed, so that `--help` answers at once.
"""

from __future__ import annotations

import sys
import warnings
from typing import Annotated

import typer

from hfbio import __version__
from hfbio.cli import data, design, hub, latent, lead, learn, sampling, space
from hfbio.errors import HfbioError, HubError, Shortfall

app = typer.Typer(
    name="hfbio",
    help="Fine-tune protein language models on antibodies, and sample from them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(data.app, name="data")
app.add_typer(space.app, name="space")
for training in (learn.finetune, learn.pretrain):
    app.command(
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        epilog="Any other --flag is a setting of the recipe or of transformers.TrainingArguments.",
    )(training)
designing = (sampling.sample, sampling.infill, lead.optimize)
for verb in (learn.evaluate, *designing, design.score, latent.embed, design.models, hub.push):
    app.command()(verb)


def main() -> None:
    """Run the command; a fault prints one line and exits with 2, or 1 if retrying may help."""
    # transformers 5 warns of its own deprecated attribute whenever peft wraps a model.
    warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
    try:
        app()
    except HfbioError as error:
        typer.echo(f"hfbio: {error}", err=True)
        sys.exit(1 if isinstance(error, Shortfall | HubError) else 2)


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
