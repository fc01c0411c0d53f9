"""From what a browser or a program sends to what was asked for. Computes nothing.

Anything may be sent, whatever the widgets of the page allow: every value is checked here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from hfbio.errors import SettingError
from hfbio.model import AntibodyModel
from hfbio.sample import Unmask
from hfbio.score.targets import TARGETS
from page.limits import LIMITS

ANY: Final = "any"


@dataclass(frozen=True)
class Drawing:
    """How designs are drawn, from nothing or from a chain."""

    num: int = 8
    seed: int = 0
    temperature: float | None = None  # None: as the model was saved with
    steps: int | None = None
    sampler: str = ""  # a key of `samplers`; empty: the model's own
    guidance: float = 1.0  # 1 changes nothing


@dataclass(frozen=True)
class Generation:
    """New chains."""

    drawing: Drawing
    conditions: Mapping[str, str]
    length: int | None = None  # residues; None: as in training
    compare: bool = False  # draw from the base as well


@dataclass(frozen=True)
class Redesign:
    """A pasted chain, some residues of which are drawn anew."""

    drawing: Drawing
    text: str
    chain: int = 0  # which of those pasted
    free: str = "cdr3"  # see `hfbio.sample.freeze`; of a pair HEAVY:LIGHT
    shortest: int = 0  # residues of what fills each gap; 0: as long as before
    longest: int = 0
    forbid: tuple[str, ...] = ()
    compare: bool = False


@dataclass(frozen=True)
class Optimisation:
    """A pasted chain, improved by few substitutions."""

    text: str
    chain: int = 0
    num: int = 8
    seed: int = 0
    edits: int = 5
    weights: Mapping[str, float] = field(default_factory=dict)  # target -> nats for one unit
    charge: float = 0.0  # wanted, in elementary charges
    freeze: str = ""
    forbid: tuple[str, ...] = ()


def samplers(model: AntibodyModel, *, from_chain: bool = False) -> dict[str, dict[str, str]]:
    """Samplers that serve the model on the page: name to settings, the model's own first."""
    if model.base.family.causal:
        return {"causal": {"kind": "causal"}}
    orders = ("ancestral", "entropy", "planned")
    found = {f"unmask, {order}": {"kind": "unmask", "order": order} for order in orders}
    if from_chain:
        found["gibbs"] = {"kind": "gibbs"}
    own = model.blank_sampler()
    if isinstance(own, Unmask):
        first = f"unmask, {own.order}"
        found = {first: found.pop(first), **found}
    return found


def drawing(sent: Mapping[str, Any], model: AntibodyModel, *, from_chain: bool = False) -> Drawing:
    """Check what all requests for designs have in common.

    Raises:
        SettingError: a value of the wrong type or out of its range.
    """
    known = samplers(model, from_chain=from_chain)
    sampler = choice("sampler", sent.get("sampler") or next(iter(known)), known)
    return Drawing(
        num=whole("number", sent.get("num", 8), 1, LIMITS.designs),
        seed=whole("seed", sent.get("seed", 0), 0, LIMITS.seed),
        temperature=optional(number, "temperature", sent.get("temperature"), 0, LIMITS.temperature),
        steps=optional(whole, "steps", sent.get("steps"), 1, LIMITS.steps),
        sampler=sampler,
        guidance=number("guidance", sent.get("guidance", 1), 0, LIMITS.guidance),
    )


def generation(sent: Mapping[str, Any], model: AntibodyModel) -> Generation:
    """Check a request for new chains.

    Raises:
        SettingError: a value of the wrong type or out of its range, or a tag that the model has
            not learnt.
    """
    tags = sent.get("tags") or {}
    if not isinstance(tags, Mapping):
        raise SettingError("tags must be names with values, such as isotype: IGHG")
    if unknown := [name for name in tags if name not in model.tags.values]:
        known = ", ".join(model.tags.values) or "none"
        raise SettingError(f"this model has learnt the tags: {known}; not {str(unknown[0])[:40]!r}")
    conditions = {
        name: choice(name, value, (ANY, *model.tags.values[name]))
        for name, value in tags.items()
        if value not in (None, "")
    }
    shortest = 0 if model.manifest else 1
    length = whole("length", sent.get("length") or 0, 0, model.base.max_residues)
    if length < shortest:
        raise SettingError("length must be given: this model was not tuned on chains")
    return Generation(
        drawing(sent, model),
        {name: value for name, value in conditions.items() if value != ANY},
        length=length or None,
        compare=flag("compare", sent.get("compare", False)),
    )


def redesign(sent: Mapping[str, Any], model: AntibodyModel) -> Redesign:
    """Check a request for a redesign; the text itself is read later.

    Raises:
        SettingError: a value of the wrong type or out of its range.
    """
    most = model.base.max_residues
    shortest = whole("shortest", sent.get("shortest") or 0, 0, most)
    longest = whole("longest", sent.get("longest") or 0, 0, most)
    if (shortest == 0) != (longest == 0) or shortest > longest:
        raise SettingError(
            f"shortest and longest must both be 0, or a range; got {shortest} to {longest}"
        )
    return Redesign(
        drawing(sent, model, from_chain=True),
        text("sequence", sent.get("sequence"), LIMITS.characters),
        chain=whole("chain", sent.get("chain") or 0, 0, LIMITS.chains),
        free=text("free", sent.get("free", "cdr3"), 2000),
        shortest=shortest,
        longest=longest,
        forbid=motifs(sent.get("forbid")),
        compare=flag("compare", sent.get("compare", False)),
    )


def optimisation(sent: Mapping[str, Any]) -> Optimisation:
    """Check a request for the improvement of a lead.

    Raises:
        SettingError: a value of the wrong type or out of its range.
    """
    weights = sent.get("weights") or {}
    if not isinstance(weights, Mapping):
        raise SettingError("weights must be names with numbers, such as humanness: 20")
    for name in weights:
        choice("target", name, TARGETS)
    return Optimisation(
        text("sequence", sent.get("sequence"), LIMITS.characters),
        chain=whole("chain", sent.get("chain") or 0, 0, LIMITS.chains),
        num=whole("number", sent.get("num", 8), 1, LIMITS.beam),
        seed=whole("seed", sent.get("seed", 0), 0, LIMITS.seed),
        edits=whole("edits", sent.get("edits", 5), 1, LIMITS.edits),
        weights={name: number(f"weight of {name}", w, 0, 100) for name, w in weights.items()},
        charge=number("charge", sent.get("charge", 0), -30, 30),
        freeze=text("freeze", sent.get("freeze", ""), 2000),
        forbid=motifs(sent.get("forbid")),
    )


def link(tab: str, sent: Mapping[str, Any]) -> str:
    """The query of an address that brings a visitor to the same settings."""
    flat: list[tuple[str, str]] = [("tab", tab)]
    for name, value in sent.items():
        if isinstance(value, Mapping):
            flat += [(f"{name}.{key}", str(v)) for key, v in value.items()]
        elif isinstance(value, list | tuple):
            flat.append((name, ",".join(map(str, value))))
        elif value not in (None, ""):
            flat.append((name, str(value)))
    return "?" + urlencode(flat)


# Single values


def whole(name: str, value: object, low: int, high: int) -> int:
    """A whole number in a range, both ends included."""
    found = _finite(value)
    if found is None or found != int(found):
        told = "" if found is None else f", got {found:g}"
        raise SettingError(f"{name} must be a whole number from {low} to {high}{told}")
    if not low <= found <= high:
        raise SettingError(f"{name} must be from {low} to {high}, got {found:g}")
    return int(found)


def number(name: str, value: object, low: float, high: float) -> float:
    """A finite number in a range, both ends included."""
    found = _finite(value)
    if found is None:
        raise SettingError(f"{name} must be a number from {low:g} to {high:g}")
    if not low <= found <= high:
        raise SettingError(f"{name} must be from {low:g} to {high:g}, got {found:g}")
    return found


def _finite(value: object) -> float | None:
    """Nothing for what is no number, or none that a float holds: JSON has integers of any size."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def optional(check: Any, name: str, value: object, low: float, high: float) -> Any:
    """What `whole` or `number` make of a value; ``None`` stays."""
    return None if value is None else check(name, value, low, high)


def choice(name: str, value: object, known: Sequence[str] | Mapping[str, Any]) -> str:
    """One of some names."""
    if not isinstance(value, str) or value not in known:
        raise SettingError(f"{name} must be one of {', '.join(known)}; got {str(value)[:40]!r}")
    return value


def flag(name: str, value: object) -> bool:
    """Yes or no."""
    if not isinstance(value, bool):
        raise SettingError(f"{name} must be true or false, got {str(value)[:40]!r}")
    return value


def text(name: str, value: object, most: int) -> str:
    """Characters, not too many."""
    if not isinstance(value, str):
        raise SettingError(f"{name} must be text")
    if len(value) > most:
        raise SettingError(f"{name} has {len(value):,} characters; the page takes {most:,}")
    return value


def motifs(value: object) -> tuple[str, ...]:
    """Forbidden motifs: a list, or text with commas between them."""
    if value is None:
        return ()
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise SettingError("forbidden motifs must be texts such as nglyc or N[^P][ST]")
    found = tuple(part.strip() for part in parts if part.strip())
    if len(found) > LIMITS.motifs:
        raise SettingError(f"{len(found)} motifs are forbidden; the page takes {LIMITS.motifs}")
    for motif in found:
        text("a forbidden motif", motif, 40)
    return found
