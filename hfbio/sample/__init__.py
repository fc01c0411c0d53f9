"""Samplers: frozen settings that walk from an open sequence to a decided one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from hfbio.errors import SettingError
from hfbio.sample.beam import BeamSearch, Step, Variant
from hfbio.sample.causal import Causal, CausalTemplate
from hfbio.sample.contrast import Contrast
from hfbio.sample.draw import draw
from hfbio.sample.freeze import freeze
from hfbio.sample.generate import generate
from hfbio.sample.germline_walk import GermlineWalk
from hfbio.sample.gibbs import Gibbs
from hfbio.sample.guide import Guide, Score
from hfbio.sample.partial import partial
from hfbio.sample.reach import Reach
from hfbio.sample.request import Request, causal_template, templates
from hfbio.sample.rules import Rules
from hfbio.sample.state import Sampler, State, Template, begin
from hfbio.sample.unmask import Unmask

__all__ = [
    "SAMPLERS",
    "BeamSearch",
    "Causal",
    "CausalTemplate",
    "Contrast",
    "GermlineWalk",
    "Gibbs",
    "Guide",
    "NamedSampler",
    "Reach",
    "Request",
    "Rules",
    "Sampler",
    "Score",
    "State",
    "Step",
    "Template",
    "Unmask",
    "Variant",
    "begin",
    "build",
    "causal_template",
    "draw",
    "freeze",
    "generate",
    "partial",
    "templates",
]

NamedSampler = Unmask | GermlineWalk | Gibbs | Causal
"""A sampler that a recipe can name."""

SAMPLERS: dict[str, type[NamedSampler]] = {
    "unmask": Unmask,
    "germline_walk": GermlineWalk,
    "causal": Causal,
    "gibbs": Gibbs,
}


def build(settings: Mapping[str, Any]) -> NamedSampler:
    """The sampler ``settings["kind"]`` (``unmask`` if not given) with these settings.

    Raises:
        SettingError: unknown kind, unknown setting, or a value out of its range.
    """
    kind = settings.get("kind", "unmask")
    if kind not in SAMPLERS:
        raise SettingError(f"sampler {kind!r} is not one of: {', '.join(sorted(SAMPLERS))}")
    sampler = SAMPLERS[kind]
    known = {f.name for f in dataclasses.fields(sampler)}
    if unknown := sorted(set(settings) - known):
        raise SettingError(
            f"sampler {kind!r} has no setting {', '.join(map(repr, unknown))}; "
            f"it has: {', '.join(sorted(known - {'kind'}))}"
        )
    try:
        return sampler(**settings)
    except TypeError as error:
        raise SettingError(f"sampler {kind!r}: {error}") from None
