"""`hfbio push`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def push(
    run: Annotated[Path, typer.Argument(help="A run folder that `hfbio finetune` wrote.")],
    repo: Annotated[str, typer.Argument(help="USER/REPO on the Hub.")],
    public: Annotated[
        bool, typer.Option("--public", help="Let everybody see it; private otherwise.")
    ] = False,
    merge: Annotated[
        bool, typer.Option("--merge", help="Full weights with the adapter folded in.")
    ] = False,
    base: Annotated[
        str | None, typer.Option(help="Where the base lies, to merge an adapter on your folder.")
    ] = None,
    create_pr: Annotated[
        bool, typer.Option("--create_pr", help="Open a pull request instead of pushing.")
    ] = False,
    revision: Annotated[str, typer.Option(help="Branch; made from main if it is new.")] = "main",
    tag: Annotated[str | None, typer.Option(help="Name the commit, such as v1.0.")] = None,
    collection: Annotated[
        str | None, typer.Option(help="Title of your collection, or USER/SLUG of one.")
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="Training table for the novelty of designs, if not in the run."),
    ] = None,
    license: Annotated[
        str | None, typer.Option(help="The Hub's identifier; follows from base and data.")
    ] = None,
    allow_non_commercial: Annotated[
        bool,
        typer.Option(
            "--allow_non_commercial", help="Publish what was made from non-commercial parts."
        ),
    ] = False,
) -> None:
    """Publish a run on the Hub, with its card; loaded back and compared before it counts.

    The token comes from `hf auth login` or HF_TOKEN; no flag takes one.
    """
    from hfbio.hub import Target
    from hfbio.hub import push as publish

    target = Target(
        repo,
        public=public,
        revision=revision,
        create_pr=create_pr,
        tag=tag,
        collection=collection,
        license=license,
        allow_non_commercial=allow_non_commercial,
    )
    pushed = publish(
        run,
        target,
        merge=merge,
        base=base,
        reference=reference,
        say=lambda text: typer.echo(text, err=True),
    )
    typer.echo(pushed)
