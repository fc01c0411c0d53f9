"""Text from data as Markdown that shows itself and does nothing. Knows no card."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import jinja2

_MAX: Final = 300  # characters of one value
_NO_BREAK: Final = "\N{NO-BREAK SPACE}"
# What HTML, Markdown, math, mentions and bare links are spelled with. `_` is emphasis only beside
# something else than letters and digits; parentheses, quotes and `!` mean nothing once brackets do
# not; `#`, bullets and ordinals count at the start of a line, where no template puts a text.
_ACTIVE: Final = re.compile(
    r"[&<>`|*\[\]~$\\@]|(?<![^\W_])_|_(?![^\W_])|:(?=/)|(?<=www)\.", re.IGNORECASE
)


class Escaped(str):
    """Text that is Markdown already; templates print it as it is."""

    def __html__(self) -> str:
        """Jinja's question to a value that needs no escaping."""
        return self


def plain(value: object) -> str:
    """``value`` as one line of visible characters, 300 at most."""
    visible = "".join(c if c.isprintable() else " " for c in str(value))
    line = re.sub(" +", " ", visible)
    return line if len(line) <= _MAX else line[: _MAX - 1] + "…"


def text(value: object) -> Escaped:
    """``value`` as one line in which no character has a meaning; what is escaped stays."""
    if hasattr(value, "__html__"):  # Escaped, or what a template has put together of it
        return Escaped(value)
    return Escaped(_ACTIVE.sub(lambda found: f"&#{ord(found[0])};", plain(value)))


def code(value: object) -> Escaped:
    """``value`` in a code span. Not between backticks, where nothing can be escaped."""
    return Escaped(f"<code>{text(value)}</code>")


def fence(content: str, language: str = "") -> Escaped:
    """Lines as a code block that they cannot close."""
    lines = "".join(c if c.isprintable() or c == "\n" else " " for c in content).strip("\n")
    longest = max(map(len, re.findall("`+", lines)), default=0)
    bar = "`" * max(3, longest + 1)
    return Escaped(f"{bar}{language}\n{lines}\n{bar}")


def signed(value: float) -> str:
    """Three decimals with a sign, and a minus that no line breaks after."""
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")


def interval(gap: Mapping[str, float]) -> Escaped:
    """A ``difference`` of metrics.json in one piece: ``−0.077 [−0.087, −0.065]``."""
    low, high = signed(gap["low"]), signed(gap["high"])
    return Escaped(f"{signed(gap['nats_per_residue'])} [{low}, {high}]".replace(" ", _NO_BREAK))


def share(masked: float) -> Escaped:
    """A share of masked residues in one piece: 0.15 -> ``15 %``."""
    return Escaped(f"{100 * masked:g}{_NO_BREAK}%")


def duration(seconds: float) -> str:
    """``158 s``; from two hours on ``3.4 hours``."""
    return f"{seconds:,.0f} s" if seconds < 7200 else f"{seconds / 3600:,.1f} hours"


def environment() -> jinja2.Environment:
    """Templates of this room. Every value they print goes through `text`."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("hfbio.card"),
        autoescape=True,
        finalize=text,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {
        "code": code,
        "count": lambda n: f"{n:,}",
        "nats": lambda value: f"{value:.3f}",
        "percent": lambda part: Escaped(f"{100 * part:.1f}{_NO_BREAK}%"),
        "duration": duration,
        "interval": interval,
        "share": share,
    }
    return made
