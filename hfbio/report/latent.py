"""The map of vectors as a picture or a page. Computes no coordinate."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jinja2
import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hfbio.data.staging import staged_file
from hfbio.errors import SettingError
from hfbio.score.latent import Projection

FORMATS: Final = (".svg", ".png", ".html")
COLOURS: Final = ("v_family", "isotype", "locus", "species")
_TITLES: Final = {"v_family": "V family"}

# Colours of Okabe and Ito 2008: told apart with any colour vision. Shapes tell them apart in grey.
# The number is the area, relative to a circle, at which a shape looks as large as one.
_STYLES: Final = (
    ("#0072B2", "o", 1.0), ("#E69F00", "s", 0.9), ("#009E73", "^", 1.1), ("#D55E00", "D", 0.75),
    ("#56B4E9", "v", 1.1), ("#CC79A7", "P", 1.7), ("#000000", "*", 1.9), ("#F0E442", "X", 1.6),
)  # fmt: skip
_GREY: Final = {"others": ("#8C8C8C", "o", 0.5), "not known": ("#C8C8C8", "o", 0.5)}
_MANY: Final = 5000  # points that make an SVG slow to open; more are drawn as an image inside it


@dataclass(frozen=True)
class Map:
    """A projection with one label for each of its points."""

    projection: Projection
    label: str  # one of COLOURS
    values: Sequence[str]  # of each point; empty where not known
    caption: str  # what was embedded


def require_map(path: Path, colour: str) -> None:
    """Check what was asked for before the work.

    Raises:
        SettingError: a suffix that is no format of a map, or no such label.
    """
    if path.suffix not in FORMATS:
        raise SettingError(f"{path}: a map is written as {', '.join(FORMATS)}")
    if colour not in COLOURS:
        raise SettingError(f"a map is coloured by one of {', '.join(COLOURS)}, got {colour!r}")


def write_map(drawn: Map, path: Path) -> None:
    """Write the map as ``.svg``, ``.png``, or a page of its own as ``.html``.

    The same map gives the same bytes. The eight largest classes have a colour and a shape, the
    others share grey.
    """
    require_map(path, drawn.label)
    with staged_file(path) as partial:
        if path.suffix == ".png":
            partial.write_bytes(_saved(drawn, "png"))
        elif path.suffix == ".svg":
            partial.write_bytes(_saved(drawn, "svg"))
        else:
            partial.write_text(_page(drawn), encoding="utf-8")


def map_figure(drawn: Map) -> Figure:
    """The map: grey and large classes are drawn first, so that rare ones stay to be seen."""
    points = drawn.projection.points.numpy()
    styles = _styles(drawn.values)
    known = [value or "not known" for value in drawn.values]
    shown = [value if value in styles or value in _GREY else "others" for value in known]
    styles |= _GREY
    counts = Counter(shown)
    figure = Figure(figsize=(8.2, 5.2), layout="constrained")
    axes = figure.subplots()
    size = 34 if len(points) <= 300 else 20 if len(points) <= 3000 else 8  # square points
    handles = {}
    order = sorted(counts, key=lambda value: (value not in _GREY, -counts[value]))
    for depth, value in enumerate(order):
        colour, marker, area = styles[value]
        chosen = [i for i, own in enumerate(shown) if own == value]
        handles[value] = axes.scatter(
            points[chosen, 0],
            points[chosen, 1],
            s=size * area,
            c=colour,
            marker=marker,
            edgecolors="white",
            linewidths=0.3,
            zorder=2 + depth,
            rasterized=len(points) > _MANY,
            label=f"{value}  {counts[value]:,}",
        )
    _name_axes(axes, drawn.projection)
    legend = axes.legend(
        handles=[handles[value] for value in styles if value in handles],
        title=_TITLES.get(drawn.label, drawn.label) + ", chains",
        alignment="left",
        frameon=False,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        markerscale=(40 / size) ** 0.5,
        handletextpad=0.2,
    )
    title = axes.set_title(drawn.caption, loc="left", fontsize=10)
    for text in (title, *legend.get_texts()):
        text.set_parse_math(False)  # names of models may hold a dollar sign
    return figure


def _name_axes(axes: Axes, projection: Projection) -> None:
    if projection.explained is None:
        names = ["UMAP 1", "UMAP 2"]
    else:
        shares = enumerate(projection.explained, 1)
        names = [f"principal component {i}, {share:.1%} of the variance" for i, share in shares]
        axes.set_aspect("equal", adjustable="datalim")  # distances can be compared
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#EEEEEE", linewidth=0.6)
    axes.set_axisbelow(True)


def _styles(values: Sequence[str]) -> dict[str, tuple[str, str, float]]:
    """Colour, shape and area of the largest classes, by name; IGHV11 comes after IGHV2."""
    counts = Counter(value for value in values if value)
    largest = [value for value, _ in counts.most_common(len(_STYLES))]
    return dict(zip(sorted(largest, key=lambda value: (len(value), value)), _STYLES))


def _saved(drawn: Map, format: str) -> bytes:
    buffer = io.BytesIO()
    svg = {"Date": None, "Creator": None, "Title": drawn.caption}
    metadata = svg if format == "svg" else {"Software": None}
    with matplotlib.rc_context({"svg.hashsalt": "hfbio"}):  # else ids in it differ each time
        map_figure(drawn).savefig(buffer, format=format, dpi=160, metadata=metadata)
    return buffer.getvalue()


def _page(drawn: Map) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hfbio.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    svg = _saved(drawn, "svg").decode()
    return environment.get_template("map.html").render(
        caption=drawn.caption,
        method=drawn.projection.method,
        label=_TITLES.get(drawn.label, drawn.label),
        n_chains=len(drawn.values),
        counts=Counter(value or "not known" for value in drawn.values).most_common(),
        figure=svg[svg.index("<svg") :],
    )
