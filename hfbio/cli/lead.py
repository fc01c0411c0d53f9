"""`hfbio optimize`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hfbio.cli.function import named_function
from hfbio.cli.options import Base, Device, Model
from hfbio.errors import SettingError, Shortfall

if TYPE_CHECKING:
    from hfbio.sample import Score


def optimize(
    model: Model,
    sequence: Annotated[str, typer.Option(help="The lead: one variable domain.")],
    output: Annotated[Path, typer.Option(help="Variants: .fasta, .csv, .tsv (AIRR) or .parquet.")],
    edits: Annotated[int, typer.Option(help="Most substitutions.")] = 5,
    num: Annotated[int, typer.Option(help="Valid, distinct variants to keep.")] = 32,
    freeze: Annotated[str, typer.Option(help="Residues that stay: cdr3,1-5,20, cdrs, …")] = "",
    forbid: Annotated[
        str, typer.Option(help="Not to be made: nglyc, free_cys, N[^P][ST], M, … with commas.")
    ] = "",
    guide: Annotated[
        str, typer.Option(help="module:function, from sequences to scores; larger is better.")
    ] = "",
    target: Annotated[
        list[str] | None,
        typer.Option(help="In place of a guide: humanness=WEIGHT, charge=WEIGHT; may be repeated."),
    ] = None,
    charge: Annotated[float, typer.Option(help="Net charge wanted at pH 7.4.")] = 0.0,
    guide_weight: Annotated[
        float, typer.Option("--guide_weight", help="Nats for one unit of the guide.")
    ] = 1.0,
    shortlist: Annotated[
        int, typer.Option(help="Chains the guide scores in a round, for each place in the beam.")
    ] = 4,
    temperature: Annotated[float, typer.Option(help="Noise in nats; 0 keeps the best.")] = 1.0,
    beam: Annotated[int, typer.Option(help="Chains kept in each round.")] = 64,
    marginals: Annotated[
        Literal["masked", "unmasked"],
        typer.Option(help="unmasked: one pass a chain; masked: one a free residue."),
    ] = "unmasked",
    seed: Annotated[int, typer.Option(help="Same seed, same variants.")] = 0,
    batch_size: Annotated[int, typer.Option("--batch_size", help="Rows of a network pass.")] = 64,
    base: Base = None,
    device: Device = "cpu",
) -> None:
    """Improve a lead by few substitutions, by what a masked model and a guide prefer."""
    from hfbio.report.designs import require_writable
    from hfbio.sample import BeamSearch, Rules

    require_writable(output)
    lead_rules = tuple(text.strip() for text in forbid.split(",")) if forbid else ()
    Rules.parse(lead_rules)
    search = BeamSearch(
        edits=edits,
        beam=beam,
        temperature=temperature,
        guide_weight=guide_weight,
        shortlist=shortlist,
        marginals=marginals,
    )
    scores = _guide(guide, target or [], charge)
    from tqdm import tqdm

    from hfbio.model import Lead, load
    from hfbio.report.leads import write_leads

    lead = Lead(sequence.upper(), num=num, seed=seed, freeze=freeze, forbid=lead_rules)
    loaded = load(model, base=base, device=device)
    with tqdm(total=edits, unit="round", disable=None) as bar:
        optimized = loaded.optimize(
            lead,
            search=search,
            guide=scores,
            batch_size=batch_size,
            progress=lambda done: bar.update(done - bar.n),
        )
    typer.echo(write_leads(optimized, output))
    if optimized.report.kept < num:
        raise Shortfall(
            f"{num} variants were asked for; the search held {optimized.report.found} chains, and "
            f"{optimized.report.kept} of them are valid and in {output}; allow more edits, a wider "
            "beam, or free more residues"
        )


def _guide(guide: str, targets: list[str], charge: float) -> Score | None:
    """What ``--guide`` names, or the sum of what ``--target`` names."""
    if guide and targets:
        raise SettingError(
            "--guide and --target are two scores; give one, or sum them in a function of your own "
            "with hfbio.score.targets.weighted"
        )
    weights: dict[str, float] = {}
    for text in targets:
        name, _, weight = text.partition("=")
        try:
            value = float(weight)
        except ValueError:
            raise SettingError(
                f"--target must be NAME=WEIGHT, such as humanness=1; got {text!r}"
            ) from None
        if name in weights:
            raise SettingError(f"--target {name} is given twice; give one weight")
        weights[name] = value
    if charge and "charge" not in weights:
        raise SettingError("--charge is what --target charge=WEIGHT moves towards; give both")
    if weights:
        from hfbio.score.targets import weighted

        return weighted(weights, wanted_charge=charge)
    return named_function(guide, "--guide") if guide else None
