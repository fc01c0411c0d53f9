"""`hfbio sample` and `hfbio infill`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hfbio.cli.function import named_function
from hfbio.cli.options import Base, Device, Model
from hfbio.errors import SettingError, Shortfall

if TYPE_CHECKING:
    from hfbio.sample import Request

Output = Annotated[Path, typer.Option(help="Designs: .fasta, .csv, .tsv (AIRR) or .parquet.")]
Num = Annotated[int, typer.Option(help="Valid, distinct designs to make.")]
Seed = Annotated[int, typer.Option(help="Same seed, same designs.")]
Locus = Annotated[str, typer.Option(help="IGH, IGK or IGL.")]
Species = Annotated[str, typer.Option(help="human, mouse, …")]
Isotype = Annotated[str, typer.Option(help="IGHG, IGHM, …")]
VFamily = Annotated[str, typer.Option("--v_family", help="IGHV3, …")]
Forbid = Annotated[
    str, typer.Option(help="Not to be made: nglyc, free_cys, N[^P][ST], M, … with commas.")
]
Sampler = Annotated[
    str | None,
    typer.Option(help="unmask, germline_walk, gibbs or causal; the model's own if not given."),
]
Order = Annotated[str | None, typer.Option(help="unmask: ancestral, entropy or planned.")]
Steps = Annotated[int | None, typer.Option(help="Network passes per design.")]
Remask = Annotated[float | None, typer.Option(help="unmask: 0 to 1, how much is masked again.")]
Sweeps = Annotated[int | None, typer.Option(help="gibbs: times that each residue is redrawn.")]
Temperature = Annotated[float | None, typer.Option(help="Below 1 sharpens.")]
TopP = Annotated[float | None, typer.Option("--top_p", help="Mass kept, in (0, 1].")]
Guidance = Annotated[
    float | None, typer.Option(help="Above 1 follows the conditions more strictly.")
]
Contrast = Annotated[
    float | None, typer.Option(help="Above 1 goes further from the base than training did.")
]
Guide = Annotated[
    str, typer.Option(help="Your own function, module:function: sequences to scores.")
]
GuideWeight = Annotated[
    float, typer.Option("--guide_weight", help="exp(weight * score) weighs designs.")
]
Particles = Annotated[int, typer.Option(help="Candidates per design with a guide.")]
Reference = Annotated[
    Path | None, typer.Option(help="Table to measure novelty against, such as train.parquet.")
]
Keep = Annotated[str, typer.Option(help="valid: valid and distinct designs; all: every draw.")]
BlockSize = Annotated[int, typer.Option("--block_size", help="Rows per network pass.")]


def sample(
    model: Model,
    output: Output,
    num: Num = 32,
    seed: Seed = 0,
    locus: Locus = "",
    species: Species = "",
    isotype: Isotype = "",
    v_family: VFamily = "",
    length: Annotated[str, typer.Option(help="Residues: 120 or 110-130.")] = "",
    scaffold: Annotated[str, typer.Option(help="A chain, or HEAVY:LIGHT, with _ to design.")] = "",
    sequence: Annotated[
        str, typer.Option(help="A chain to vary: all of it but what --freeze names.")
    ] = "",
    freeze: Annotated[
        str, typer.Option(help="With --sequence: residues that stay, as cdr3,1-5,20, fwrs, …")
    ] = "",
    germline: Annotated[
        str, typer.Option(help="For germline_walk: the germline, _ where the chain has none.")
    ] = "",
    forbid: Forbid = "",
    sampler: Sampler = None,
    order: Order = None,
    steps: Steps = None,
    remask: Remask = None,
    sweeps: Sweeps = None,
    temperature: Temperature = None,
    top_p: TopP = None,
    guidance: Guidance = None,
    contrast: Contrast = None,
    guide: Guide = "",
    guide_weight: GuideWeight = 1.0,
    particles: Particles = 8,
    reference: Reference = None,
    keep: Keep = "valid",
    block_size: BlockSize = 16,
    base: Base = None,
    device: Device = "cpu",
) -> None:
    """Generate new chains."""
    from hfbio.report.designs import require_writable

    require_writable(output)
    from hfbio.model.infill import varied
    from hfbio.sample import Request

    if freeze and not sequence:
        raise SettingError("--freeze names residues of --sequence; give the chain as well")
    if sequence and scaffold:
        raise SettingError("--sequence and --scaffold both say what stays; give one of the two")
    request = Request(
        num=num,
        seed=seed,
        conditions=_conditions(locus, species, isotype, v_family),
        length=_range(length, "--length") if length else None,
        scaffold=scaffold.upper() or None,
        keep=keep,
        block_size=block_size,
        germline=germline.upper() or None,
        forbid=_rules(forbid),
        guidance=guidance,
        contrast=contrast,
    )
    if sequence:
        request = varied(sequence.upper(), freeze, request)
    shape = {"temperature": temperature, "top_p": top_p}
    walk = {"kind": sampler, "order": order, "steps": steps, "remask": remask, "sweeps": sweeps}
    steering = (guide, guide_weight, particles)
    _run(model, request, {**walk, **shape}, steering, output, reference, base, device)


def infill(
    model: Model,
    sequence: Annotated[str, typer.Option(help="The chain: one variable domain.")],
    regions: Annotated[str, typer.Option(help="What to redesign: cdr3, cdrs, 26-33, …")],
    output: Output,
    length: Annotated[
        str, typer.Option(help="Residues of each gap: 12, 10-16 or 8,10-16; as before if not.")
    ] = "",
    num: Num = 32,
    seed: Seed = 0,
    species: Species = "",
    isotype: Isotype = "",
    v_family: VFamily = "",
    forbid: Forbid = "",
    sampler: Sampler = None,
    order: Order = None,
    steps: Steps = None,
    remask: Remask = None,
    sweeps: Sweeps = None,
    temperature: Temperature = None,
    top_p: TopP = None,
    guidance: Guidance = None,
    contrast: Contrast = None,
    guide: Guide = "",
    guide_weight: GuideWeight = 1.0,
    particles: Particles = 8,
    reference: Reference = None,
    keep: Keep = "valid",
    block_size: BlockSize = 16,
    base: Base = None,
    device: Device = "cpu",
) -> None:
    """Redesign regions of a chain, and keep all the rest."""
    from hfbio.report.designs import require_writable

    require_writable(output)
    from hfbio.model.infill import infill_request
    from hfbio.sample import Request

    request = Request(
        num=num,
        seed=seed,
        conditions=_conditions("", species, isotype, v_family),
        keep=keep,
        block_size=block_size,
        forbid=_rules(forbid),
        guidance=guidance,
        contrast=contrast,
    )
    lengths = [_range(part, "--length") for part in length.split(",")] if length else []
    request = infill_request(sequence.upper(), regions, lengths, request)
    shape = {"temperature": temperature, "top_p": top_p}
    walk = {"kind": sampler, "order": order, "steps": steps, "remask": remask, "sweeps": sweeps}
    steering = (guide, guide_weight, particles)
    _run(model, request, {**walk, **shape}, steering, output, reference, base, device)


def _run(
    model: str,
    request: Request,
    settings: Mapping[str, Any],
    steering: tuple[str, float, int],
    output: Path,
    reference: Path | None,
    base: str | None,
    device: str,
) -> None:
    from tqdm import tqdm

    from hfbio.data import load_table
    from hfbio.model import load
    from hfbio.report.designs import write_designs
    from hfbio.sample import Guide

    guide, weight, particles = steering
    steer = Guide(named_function(guide, "--guide"), weight, particles) if guide else None
    records = load_table(reference) if reference else ()
    loaded = load(model, base=base, device=device)
    # Who names a sampler is told what it lacks; a model's own does what it can from a blank.
    named = settings["kind"] or request.germline
    walk = (loaded.sampler if named else loaded.blank_sampler)(**settings)
    with tqdm(total=request.num, unit="design", disable=None) as bar:
        designs = loaded.sample(
            request,
            sampler=walk,
            guide=steer,
            reference=records,
            progress=lambda kept, drawn: bar.update(kept - bar.n),
        )
    typer.echo(write_designs(designs, output))
    counts = designs.report
    if counts.kept < request.num:
        tried = (
            f"there are no more than {counts.drawn} fillings, and"
            if counts.exhausted
            else f"{counts.drawn} draws gave"
        )
        raise Shortfall(
            f"{request.num} designs were asked for; {tried} {counts.kept} valid and distinct ones"
            f"{' among them' if counts.exhausted else ''}, which are in {output}"
        )


def _conditions(locus: str, species: str, isotype: str, v_family: str) -> dict[str, str]:
    tags = {"locus": locus, "species": species, "isotype": isotype, "v_family": v_family}
    return {name: value for name, value in tags.items() if value}


def _rules(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",")) if text else ()


def _range(text: str, flag: str) -> tuple[int, int]:
    parts = text.split("-")
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):
        raise SettingError(f"{flag} must be a number or a range such as 110-130, got {text!r}")
    return int(parts[0]), int(parts[-1])
