"""The page for programs: each action as a named endpoint that takes and gives plain data.

An endpoint is an iterator: Gradio ends those, and those alone, when the program has gone. It gives
``{"kept": 3, "asked": 8}`` at each step, and at last the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import gradio as gr

from hfbio.alphabet import RESIDUES
from hfbio.errors import HfbioError
from page import ask, latent, optimise
from page import score as scoring
from page.results import shortfall
from page.studio import Answer, Improvement, Scored, Step, Studio, row

Compute = Callable[[Any], Iterator[Any]]
Told = Iterator[dict[str, Any]]


def publish(studio: Studio, compute: Compute, facts: dict[str, Any], *, optimises: bool) -> None:
    """Add the endpoints to the page that is being built.

    Args:
        studio: the model.
        compute: does what was asked for, step by step.
        facts: what /about answers.
        optimises: whether there is /optimize.
    """
    model = studio.model

    def answered(read: Callable[[], Any], data: Callable[[Any], dict[str, Any]]) -> Told:
        try:
            result = None
            for result in compute(read()):
                if isinstance(result, Step):
                    yield {"kept": result.kept, "asked": result.num}
            yield data(result)
        except HfbioError as error:
            raise gr.Error(str(error), print_exception=False) from None

    def generate(
        num: int = 8,
        seed: int = 0,
        temperature: float | None = None,
        steps: int | None = None,
        sampler: str = "",
        guidance: float = 1.0,
        length: int = 0,
        compare: bool = False,
        tags: dict[str, str] | None = None,
    ) -> Told:
        """Draw new antibody chains.

        Args:
            num: how many designs.
            seed: the same seed and settings give the same designs.
            temperature: 0 to 2; the model's own if absent.
            steps: passes from nothing to a chain.
            sampler: one of those that /about names; the model's own if empty.
            guidance: above 1, the tags weigh more.
            length: residues; 0 as in training.
            compare: draw from the base as well, with the same seed.
            tags: what is asked for, such as {"isotype": "IGHG"}; /about names what there is.
        """
        sent = {
            "num": num, "seed": seed, "temperature": temperature, "steps": steps,
            "sampler": sampler, "guidance": guidance, "length": length, "compare": compare,
            "tags": tags,
        }  # fmt: skip
        yield from answered(lambda: ask.generation(sent, model), _designs)

    def redesign(
        sequence: str,
        free: str = "cdr3",
        chain: int = 0,
        num: int = 8,
        seed: int = 0,
        temperature: float | None = None,
        steps: int | None = None,
        sampler: str = "",
        shortest: int = 0,
        longest: int = 0,
        forbid: list[str] | None = None,
        compare: bool = False,
    ) -> Told:
        """Draw some residues of a given chain anew and keep the others.

        Args:
            sequence: VH, VL, HEAVY:LIGHT, scFv or FASTA.
            free: what is drawn anew: regions or residues, such as "cdr3" or "cdr1,26-33".
            chain: which of the given chains, from 0.
            num: how many designs.
            seed: the same seed and settings give the same designs.
            temperature: 0 to 2; the model's own if absent.
            steps: passes from nothing to a chain.
            sampler: one of those that /about names; the model's own if empty.
            shortest: residues of the shortest filling; 0 as long as now.
            longest: residues of the longest filling; 0 as long as now.
            forbid: motifs that may not be designed, such as ["nglyc", "M"].
            compare: draw from the base as well, with the same seed.
        """
        sent = {
            "sequence": sequence, "free": free, "chain": chain, "num": num, "seed": seed,
            "temperature": temperature, "steps": steps, "sampler": sampler, "shortest": shortest,
            "longest": longest, "forbid": forbid, "compare": compare,
        }  # fmt: skip
        yield from answered(lambda: ask.redesign(sent, model), _designs)

    def optimize(
        sequence: str,
        chain: int = 0,
        num: int = 8,
        seed: int = 0,
        edits: int = 5,
        weights: dict[str, float] | None = None,
        charge: float = 0.0,
        freeze: str = "",
        forbid: list[str] | None = None,
    ) -> Told:
        """Improve a given chain by few substitutions.

        Args:
            sequence: VH, VL or FASTA.
            chain: which of the given chains, from 0.
            num: how many variants.
            seed: the same seed and settings give the same variants.
            edits: most substitutions.
            weights: what one unit of a target is worth in nats, such as {"humanness": 20}.
            charge: wanted net charge at pH 7.4, for the target of that name.
            freeze: what stays: regions or residues.
            forbid: motifs that may not be designed.
        """
        sent = {
            "sequence": sequence, "chain": chain, "num": num, "seed": seed, "edits": edits,
            "weights": weights, "charge": charge, "freeze": freeze, "forbid": forbid,
        }  # fmt: skip
        yield from answered(lambda: ask.optimisation(sent), _variants)

    def score(sequence: str, chain: int = 0) -> Told:
        """Likelihood of each residue of a given chain, and of the 19 others in its place.

        Args:
            sequence: VH, VL or FASTA.
            chain: which of the given chains, from 0.
        """
        sent = {"sequence": sequence, "chain": chain}
        yield from answered(lambda: scoring.asked(sent), _scores)

    def latent_map(sequence: str = "", colour: str = "v_family") -> Told:
        """Places of given chains on the map of the training set.

        Args:
            sequence: VH, VL or FASTA; may be empty.
            colour: v_family, isotype, locus or score.
        """
        sent = {"sequence": sequence, "colour": colour}
        yield from answered(lambda: latent.asked(sent), _points)

    def about() -> dict[str, Any]:
        """What the model is, what it can be asked for, and the limits of this page."""
        return facts

    endpoints: list[tuple[Any, str]] = [
        (generate, "generate"), (redesign, "redesign"), (score, "score"), (latent_map, "map"),
    ]  # fmt: skip
    for function, name in [*endpoints, *([(optimize, "optimize")] if optimises else [])]:
        function.__name__ = name  # what the tools of MCP are called by
        gr.api(function, api_name=name, concurrency_id="model", concurrency_limit=1)
    gr.api(about, api_name="about", queue=False)


def _designs(answer: Answer) -> dict[str, Any]:
    designs = answer.designs
    found: dict[str, Any] = {
        "designs": [row(d, one) for d, one in zip(designs.kept, answer.described, strict=True)],
        "report": designs.report.to_dict(),
    }
    if missing := answer.described[0].missing if answer.described else ():
        found["missing"] = list(missing)  # extras of hfbio without which some numbers are empty
    if designs.report.kept < designs.report.asked:
        found["shortfall"] = shortfall(designs)
    if answer.base is not None:
        found["base"] = [row(design, None) for design in answer.base.kept]
    return found


def _variants(improvement: Improvement) -> dict[str, Any]:
    paths = [one.variant.path for one in improvement.found.kept]
    return {
        "lead": improvement.described[0].row(),
        "variants": [
            {**one, "path": [asdict(step) for step in path]}
            for one, path in zip(optimise.rows_of(improvement), paths, strict=True)
        ],
        "report": improvement.found.report.to_dict(),
    }


def _scores(scored: Scored) -> dict[str, Any]:
    return {
        "residues": RESIDUES,  # the columns of log_p
        "tuned": [scoring.summary(scan) for scan in scored.tuned],
        "base": [scoring.summary(scan) for scan in scored.base],
    }


def _points(placed: latent.Placed) -> dict[str, Any]:
    return {
        "explained": list(placed.explained),
        "points": [
            {"x": p.x, "y": p.y, "origin": p.origin, "label": p.label, "told": p.told}
            for p in placed.points
        ],
    }
