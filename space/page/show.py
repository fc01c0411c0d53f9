"""Chains, strips, maps and tables as HTML. Everything that comes from outside is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

from hfbio.alphabet import RESIDUES
from hfbio.record import REGIONS

OPEN: Final = "_"
WAITING: Final = "Waiting for the model."
LIABILITIES: Final = "liabilities (IMGT)"
# For a place whose text changes: what is new there is read out.
LIVE: Final = "element.setAttribute('aria-live', 'polite');"
# Steps of colour on either side of the middle; the style sheet has as many.
SHADES: Final = 5


def message(fault: object = "") -> str:
    """What is wrong, to be read out as soon as it shows; nothing at all without a fault."""
    return f'<p class="fault" role="alert">{escape(str(fault))}</p>' if fault else ""


def status(said: str) -> str:
    """What goes on, read out when there is time."""
    return f'<p class="status">{escape(said)}</p>' if said else ""


def signed(number: str) -> str:
    """A number with the minus sign that is as wide as the plus sign."""
    return number.replace("-", "\N{MINUS SIGN}")


def liabilities(found: object) -> str:
    """Liabilities as `hfbio.score.liabilities` names them, in words."""
    return str(found or "none").replace(";", ", ").replace("@", " ").replace("_", " ")


def chain(sequence: str, regions: Sequence[int], *, marked: Iterable[int] = ()) -> str:
    """A chain with its regions told apart by name, weight, underline and colour.

    Args:
        sequence: residues, ``_`` where nothing is decided yet.
        regions: 8 cut points; without them the chain is shown plain.
        marked: residues to be set off, such as those that were designed.
    """
    there = set(marked)
    if len(regions) != len(REGIONS) + 1:
        return f'<span class="chain">{_letters(sequence, 0, there)}</span>'
    parts = []
    for name, start, stop in zip(REGIONS, regions, regions[1:]):
        letters = _letters(sequence[start:stop], start, there)
        parts.append(
            f'<span class="region {name[:3]} {name}"><small>{name.upper()}</small>{letters}</span>'
        )
    return f'<span class="chain">{"".join(parts)}</span>'


def _letters(part: str, start: int, marked: set[int]) -> str:
    shown = []
    for at, letter in enumerate(part, start):
        if letter == OPEN:
            shown.append('<i class="open">·</i>')
        elif at in marked:
            shown.append(f"<b>{escape(letter)}</b>")
        else:
            shown.append(escape(letter))
    return "".join(shown)


def growing(chains: Sequence[str]) -> str:
    """Chains that are being made; the line above them tells those who do not see it."""
    rows = "".join(f"<li>{chain(sequence, ())}</li>" for sequence in chains)
    return f'<ol class="designs making" aria-hidden="true">{rows}</ol>'


def details(pairs: Iterable[tuple[str, object]]) -> str:
    """Names and values, where there is a value."""
    rows = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(str(value))}</dd></div>"
        for name, value in pairs
        if value not in (None, "")
    )
    return f'<dl class="details">{rows}</dl>'


def editor(chains: Sequence[Any], positions: Sequence[Sequence[str]], free: Sequence[bool]) -> str:
    """Numbered chains whose residues and regions are buttons: pressed is free, else frozen.

    Args:
        chains: records, numbered.
        positions: IMGT positions of the residues of each chain.
        free: of all residues, chain behind chain.
    """
    at, shown = 0, []
    for record, labels in zip(chains, positions):
        regions = []
        for name, start, stop in zip(REGIONS, record.regions, record.regions[1:]):
            buttons = []
            inside = free[at + start : at + stop]
            for i in range(start, stop):
                said = f"{record.sequence_aa[i]}, IMGT {labels[i]}, residue {i + 1}"
                buttons.append(
                    f'<button type="button" tabindex="-1" data-at="{at + i}" '
                    f'aria-pressed="{str(free[at + i]).lower()}" title="{said}" '
                    f'aria-label="{said}">{record.sequence_aa[i]}</button>'
                )
            pressed = "mixed" if any(inside) and not all(inside) else str(all(inside)).lower()
            regions.append(
                f'<span class="region {name[:3]} {name}">'
                f'<button type="button" class="name" data-from="{at + start}" '
                f'data-to="{at + stop}" aria-pressed="{pressed}">{name.upper()}</button>'
                f'<span class="residues">{"".join(buttons)}</span></span>'
            )
        heading = f"{escape(record.sequence_id)} · {record.locus}"
        shown.append(
            f'<div role="group" aria-label="{heading}"><p class="heading">{heading}</p>'
            f'<div class="chain editor">{"".join(regions)}</div></div>'
        )
        at += len(record.sequence_aa)
    return "".join(shown)


def strip(
    sequence: str, positions: Sequence[str], nats: Sequence[float], *, most: float, name: str
) -> str:
    """Residues on the colour of what each costs: pale is expected, dark is not.

    Args:
        sequence: residues.
        positions: IMGT labels.
        nats: of each residue, >= 0.
        most: what gets the darkest colour, the same for all strips that are compared.
        name: what the strip is of.
    """
    cells = []
    for letter, position, value in zip(sequence, positions, nats):
        step = min(SHADES, round(SHADES * value / most)) if most > 0 else 0
        cells.append(
            f'<i class="u{step}" title="{letter}{position}: {value:.2f} nats">{letter}</i>'
        )
    mean = sum(nats) / len(nats)
    said = f"{name}: {mean:.3f} nats a residue"
    return (
        f'<figure class="strip"><figcaption>{escape(said)}</figcaption>'
        f'<div class="cells" role="img" aria-label="{escape(said)}">{"".join(cells)}</div></figure>'
    )


def heat(
    sequence: str,
    positions: Sequence[str],
    log_ratio: Sequence[Sequence[float]],
    *,
    most: float,
    name: str,
) -> str:
    """A map of all single mutations, 20 rows by residues.

    Args:
        sequence: residues.
        positions: IMGT labels.
        log_ratio: for each residue of the chain 20 numbers, in nats, > 0 where the model prefers
            the mutation.
        most: what gets the darkest colour on either side, the same for all maps compared.
        name: what the map is of.
    """
    head = "".join(f"<th>{letter}</th>" for letter in sequence)
    rows = []
    for k, residue in enumerate(RESIDUES):
        cells = []
        for i, own in enumerate(sequence):
            if own == residue:
                cells.append("<td>·</td>")
                continue
            value = log_ratio[i][k]
            step = min(SHADES, round(SHADES * abs(value) / most)) if most > 0 else 0
            side = "p" if value > 0 else "m"
            cells.append(
                f'<td class="{side}{step}" title="{own}{positions[i]}{residue} {value:+.1f}"></td>'
            )
        rows.append(f'<tr><th scope="row">{residue}</th>{"".join(cells)}</tr>')
    said = f"{name}: every single mutation, in nats against the residue that is there"
    return (
        f'<figure class="heat"><figcaption>{escape(name)}</figcaption><div class="scroll" '
        f'tabindex="0" role="region" aria-label="{escape(said)}"><table><thead><tr><td></td>{head}'
        f"</tr></thead><tbody>{''.join(rows)}</tbody></table></div></figure>"
    )


def legend(low: str, high: str, *, diverging: bool, most: float) -> str:
    """What the colours of a strip or a map mean, with numbers."""
    if diverging:
        marks = [f"m{i}" for i in range(SHADES, 0, -1)] + ["p0"]
        marks += [f"p{i}" for i in range(1, SHADES + 1)]
        ends = f"−{most:.1f}: {low}", f"+{most:.1f}: {high}"
    else:
        marks = [f"u{i}" for i in range(SHADES + 1)]
        ends = f"0: {low}", f"{most:.1f} or more: {high}"
    swatches = "".join(f'<i class="{mark}"></i>' for mark in marks)
    return (
        f'<p class="legend"><span>{escape(ends[0])}</span>{swatches}<span>{escape(ends[1])}</span>'
        " nats</p>"
    )


def table(header: Sequence[str], rows: Iterable[Sequence[object]], caption: str) -> str:
    """A plain table."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f'<div class="scroll"><table class="plain"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def permalink(query: str) -> str:
    """A link to the same settings; the same settings give the same designs."""
    return (
        f'<p class="permalink"><a href="{escape(query)}">Link to these settings</a> '
        "<span>The same settings and seed give the same result.</span></p>"
    )


def facts(groups: Mapping[str, Iterable[tuple[str, object]]]) -> str:
    """Headed groups of names and values."""
    return "".join(
        f"<h3>{escape(head.capitalize())}</h3>{details(pairs)}" for head, pairs in groups.items()
    )
