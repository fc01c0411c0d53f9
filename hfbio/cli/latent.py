"""`hfbio embed`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hfbio.cli.options import Base, Device, Model
from hfbio.errors import DataError, SettingError

if TYPE_CHECKING:
    from hfbio.data import Reject


def embed(
    model: Model,
    source: Annotated[str, typer.Argument(help="FASTA, CSV, AIRR TSV or a table.")],
    output: Annotated[Path, typer.Option(help="Table to write, .parquet.")],
    layer: Annotated[int, typer.Option(help="0 is the embedding, -1 the last layer.")] = -1,
    region: Annotated[str, typer.Option(help="all, cdrs, or one such as cdr3.")] = "all",
    own_tags: Annotated[
        bool, typer.Option("--own_tags", help="Show each chain behind its own condition tags.")
    ] = False,
    map_path: Annotated[
        Path | None, typer.Option("--map", help="Map to draw: .svg, .png or .html.")
    ] = None,
    map_by: Annotated[str, typer.Option("--map_by", help="pca, or umap (hfbio[umap]).")] = "pca",
    colour: Annotated[
        str, typer.Option(help="Of the map: v_family, isotype, locus or species.")
    ] = "v_family",
    probe: Annotated[
        bool, typer.Option("--probe", help="Tell labels from the vectors, base beside tuned.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the folds of the probe, and of UMAP.")] = 0,
    batch_size: Annotated[int, typer.Option("--batch_size", help="Chains per network pass.")] = 64,
    base: Base = None,
    device: Device = "cpu",
) -> None:
    """One vector for each chain; a map of them, and what a linear probe reads from them."""
    if own_tags and probe:
        raise SettingError("--probe would read the labels off the tags; leave --own_tags out")
    if batch_size < 1:
        raise SettingError(f"--batch_size must be >= 1, got {batch_size}")
    from hfbio.report.embeddings import require_output, write_embeddings
    from hfbio.score.embed import parts_of

    require_output(output, source)
    parts_of(region)
    if map_path:
        from hfbio.report.latent import Map, require_map, write_map
        from hfbio.score.latent import projector

        require_map(map_path, colour)
        project = projector(map_by, seed=seed)
    from tqdm import tqdm

    from hfbio.data import read_numbered
    from hfbio.data.encode import record_tag
    from hfbio.model import load
    from hfbio.model.probe import probe_model
    from hfbio.report.probe import write_probe
    from hfbio.score.folds import plan_tasks

    numbered, rejects = read_numbered(source)
    _require_some(source, numbered, rejects)
    loaded = load(model, base=base, device=device)
    records, unread = loaded.readable(numbered, source, region=region)
    rejects += unread
    _require_some(source, records, rejects)
    tasks = plan_tasks(records, seed=seed) if probe else ()
    with tqdm(total=len(records), unit="chain", disable=None) as bar:
        vectors = loaded.embed(
            records,
            layer=layer,
            region=region,
            own_tags=own_tags,
            batch_size=batch_size,
            progress=lambda done: bar.update(done - bar.n),
        )
    made_by = {
        "base": loaded.base.name,
        "base_revision": loaded.base.revision,
        "tuned": loaded.manifest is not None,
        "layer": layer,
        "region": region,
        "own_tags": own_tags,
    }
    if map_path:
        labels = [record_tag(record, colour) for record in records]
        drawn = Map(project(vectors), colour, labels, _caption(made_by))
    if probe:
        report = probe_model(
            loaded, records, tasks, vectors, layer=layer, region=region, batch_size=batch_size
        )
    typer.echo(write_embeddings(records, vectors, rejects, output, made_by=made_by))
    if map_path:
        write_map(drawn, map_path)
        typer.echo(f"map         {map_path}")
    if probe:
        typer.echo(write_probe(report, output.with_suffix(".probe.json")))


def _require_some(source: str, records: Sequence[object], rejects: Sequence[Reject]) -> None:
    if not records:
        first = f"; the first: {rejects[0].reason} ({rejects[0].detail})" if rejects else ""
        raise DataError(f"{source}: none of {len(rejects)} chains can be embedded{first}")


def _caption(made_by: Mapping[str, object]) -> str:
    model = f"{made_by['base']}{', tuned' if made_by['tuned'] else ''}"
    tags = ", behind their own tags" if made_by["own_tags"] else ""
    layer = "last layer" if made_by["layer"] == -1 else f"layer {made_by['layer']}"
    residues = "all residues" if made_by["region"] == "all" else str(made_by["region"]).upper()
    return f"{model}: {layer}, mean over {residues}{tags}"
