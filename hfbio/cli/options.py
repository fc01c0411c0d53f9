"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Model = Annotated[str, typer.Argument(help="Run folder, catalogue alias, folder or Hub id.")]
Device = Annotated[str, typer.Option(help="Where to run: cpu, cuda, cuda:1, mps.")]
Base = Annotated[
    str | None, typer.Option(help="Where the base lies, for an adapter on a local folder.")
]
