"""A scatter of points as SVG: colour says the label, shape says where a point is from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 720
HEIGHT: Final = 480
_MARGIN: Final = 24
_COLOURS: Final = 7  # classes c0 … c6 of the style sheet; others and unknown are grey
SHAPES: Final = {"training": "circle", "pasted": "triangle", "designs": "square"}


@dataclass(frozen=True)
class Point:
    """One chain on the map."""

    x: float
    y: float
    origin: str  # a key of `SHAPES`
    label: str  # empty where not known
    told: str  # what hovering shows, in lines


def scatter(points: Sequence[Point], axes: tuple[str, str], caption: str) -> str:
    """The map; its points tell what they are when hovered."""
    if not points:
        return '<p class="status">There is nothing on the map yet.</p>'
    labels = [name for name, _ in Counter(p.label for p in points if p.label).most_common()]
    colour = {name: f"c{i}" for i, name in enumerate(labels[:_COLOURS])}
    xs, ys = [p.x for p in points], [p.y for p in points]

    left, width = min(xs), (max(xs) - min(xs)) or 1
    top, height = max(ys), (max(ys) - min(ys)) or 1

    def place(p: Point) -> tuple[float, float]:
        x = _MARGIN + (p.x - left) / width * (WIDTH - 2 * _MARGIN)
        return x, _MARGIN + (top - p.y) / height * (HEIGHT - 2 * _MARGIN)

    order = sorted(points, key=lambda p: list(SHAPES).index(p.origin))  # training at the bottom
    marks = "".join(_mark(p, *place(p), colour.get(p.label, "other")) for p in order)
    key = "".join(
        f'<li><i class="{colour.get(name, "other")}"></i>{escape(name)}</li>'
        for name in labels[:_COLOURS]
    )
    if len(labels) > _COLOURS or not all(p.label for p in points):
        key += '<li><i class="other"></i>others, or not known</li>'
    counts = Counter(p.origin for p in points)
    shapes = "".join(
        f'<li><svg width="14" height="14" aria-hidden="true">{_shape(shape, 7, 7, 5)}</svg>'
        f"{escape(origin)}: {counts[origin]}</li>"
        for origin, shape in SHAPES.items()
        if counts[origin]
    )
    return (
        f'<figure class="scatter"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(caption)}">{marks}</svg>'
        f'<p class="axes"><span>↑ {escape(axes[1])}</span><span>{escape(axes[0])} →</span></p>'
        f'<ul class="key">{shapes}</ul><ul class="key">{key}</ul>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _mark(point: Point, x: float, y: float, colour: str) -> str:
    size = 3.2 if point.origin == "training" else 6
    shape = _shape(SHAPES[point.origin], x, y, size)
    return f'<g class="{colour} {point.origin}">{shape}<title>{escape(point.told)}</title></g>'


def _shape(shape: str, x: float, y: float, size: float) -> str:
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}"/>'
    if shape == "square":
        side = 1.7 * size
        return (
            f'<rect x="{x - side / 2:.1f}" y="{y - side / 2:.1f}" width="{side:.1f}" '
            f'height="{side:.1f}"/>'
        )
    corners = ((0, -1.2), (1.1, 0.8), (-1.1, 0.8))
    path = " ".join(f"{x + a * size:.1f},{y + b * size:.1f}" for a, b in corners)
    return f'<polygon points="{path}"/>'
