"""`hfbio space create` and `hfbio space launch`."""

from __future__ import annotations

from typing import Annotated

import typer

from hfbio.cli.options import Model

app = typer.Typer(
    help="A page on which others sample from a model.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def create(
    space: Annotated[str, typer.Argument(help="USER/SPACE on the Hub.")],
    model: Annotated[str, typer.Option(help="USER/REPO that `hfbio push` published.")],
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit of the model; main otherwise.")
    ] = None,
    hardware: Annotated[
        str | None, typer.Option(help="Machine, such as cpu-basic or t4-small.")
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="Let everybody see it; private otherwise.")
    ] = False,
    update: Annotated[
        bool, typer.Option("--update", help="Change the Space if it exists already.")
    ] = False,
    duplicate: Annotated[
        str | None, typer.Option(help="Copy this Space, made with hfbio, for another model.")
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=VARIABLE]",
            help="Secret, its value from an environment variable; HF_TOKEN for a private model. "
            "Repeatable.",
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait until it runs.")] = 900.0,
) -> None:
    """Create or update a Space bound to one commit of a model, and wait until it runs.

    The token comes from `hf auth login` or HF_TOKEN; no flag takes one.
    """
    from hfbio.space_repo import create_space

    made = create_space(
        space,
        model,
        revision=revision,
        hardware=hardware,
        public=public,
        update=update,
        duplicate=duplicate,
        secrets=secret or (),
        timeout=timeout,
        say=lambda text: typer.echo(text, err=True),
    )
    typer.echo(made)


@app.command()
def launch(
    model: Model,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the Hub.")] = None,
    port: Annotated[int, typer.Option(help="Of http://127.0.0.1.")] = 7860,
) -> None:
    """Serve the same page on this machine until Ctrl-C."""
    import signal
    import sys

    from hfbio.space_repo import launch_space

    # Killed from outside, end like this too, so that no page stays behind without its command.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    raise typer.Exit(launch_space(model, revision=revision, port=port))
