"""What held-out numbers say: better, worse, or beaten by something simple. Measures nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hfbio.card.markdown import Escaped, interval, share, text
from hfbio.report.task import masks
from hfbio.report.text import cell_name, own_name

_COUNTING: Final = ("position", "position_family")
_SIMPLER: Final = {
    "base_calibrated": "the calibrated base",
    "position": "counting by position",
    "position_family": "counting with the V family",
}

Row = Mapping[str, Any]  # of ``held_out`` in metrics.json


@dataclass(frozen=True)
class Findings:
    """A table in words: lists of its rows, ready to print, empty where there is none."""

    compared: int  # rows with an interval
    better: int  # of them, the whole interval below 0
    unclear: Escaped  # rows whose interval holds 0
    worse: Escaped  # rows above the base; of those with an interval, the whole of it
    confidence: Escaped  # shares of masks where calibration alone is half of the gain or more
    simpler: Escaped  # rows where the calibrated base or counting is better


def find(metrics: Mapping[str, Any]) -> Findings:
    """Compare the model with base, calibrated base and counting, row by row."""
    own = own_name(metrics)
    rows = [{**row, "tuned": row[own], "at": _at(metrics, row)} for row in metrics["held_out"]]
    gaps = [row for row in rows if "difference" in row]
    whole = [row for row in rows if row["region"] == row["status"] == "all"]
    return Findings(
        compared=len(gaps),
        better=sum(row["difference"]["high"] < 0 for row in gaps),
        unclear=listed(_by_cell((row for row in gaps if _holds_zero(row)), _interval)),
        worse=listed(_by_cell((row for row in rows if _is_worse(row)), _step)),
        confidence=listed([_calibration(row) for row in whole if _is_mostly_confidence(row)]),
        simpler=listed(
            [
                Escaped(f"{words} on {listed(cells)}")
                for name, words in _SIMPLER.items()
                if (cells := _by_cell((row for row in rows if _beats(name, row)), _beside(name)))
            ]
        ),
    )


def best_counting(row: Row) -> float | None:
    """Nats per residue of the better frequency table; ``None`` if none was measured."""
    return min((_value(row, name) for name in _COUNTING if name in row), default=None)


def listed(names: Sequence[str]) -> Escaped:
    """``a``, ``a and b``, ``a, b and c``."""
    parts = [text(name) for name in names]
    return Escaped(" and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]])))


def _by_cell(rows: Iterable[Row], show: Callable[[Row], str]) -> list[Escaped]:
    """``CDR3 (… at 15 %, … at 50 %)`` for each region or status."""
    cells: dict[str, list[str]] = {}
    for row in rows:
        name = cell_name(row) + (" residues" if row["status"] != "all" else "")
        cells.setdefault(name, []).append(f"{show(row)}{row['at']}")
    return [Escaped(f"{text(name)} ({', '.join(shown)})") for name, shown in cells.items()]


def _at(metrics: Mapping[str, Any], row: Row) -> str:
    """At which share of masks, where there are several."""
    return f" at {share(row['masked'])}" if masks(metrics) else ""


def _holds_zero(row: Row) -> bool:
    return bool(row["difference"]["low"] <= 0 <= row["difference"]["high"])


def _is_worse(row: Row) -> bool:
    if "difference" in row:
        return bool(row["difference"]["low"] > 0)
    return "base" in row and _value(row, "tuned") > _value(row, "base")


def _beats(name: str, row: Row) -> bool:
    return name in row and _value(row, name) < _value(row, "tuned")


def _is_mostly_confidence(row: Row) -> bool:
    if "base_calibrated" not in row:
        return False
    base, calibrated = _value(row, "base"), _value(row, "base_calibrated")
    gain = base - _value(row, "tuned")
    return gain > 0 and base - calibrated >= gain / 2


def _calibration(row: Row) -> Escaped:
    calibrated, tuned = _nats(row, "base_calibrated"), _nats(row, "tuned")
    return Escaped(f"{calibrated} against {tuned}{row['at']}")


def _interval(row: Row) -> str:
    return interval(row["difference"])


def _step(row: Row) -> str:
    return f"{_nats(row, 'base')} → {_nats(row, 'tuned')}"


def _beside(name: str) -> Callable[[Row], str]:
    return lambda row: f"{_nats(row, name)} against {_nats(row, 'tuned')}"


def _value(row: Row, name: str) -> float:
    return float(row[name]["nats_per_residue"])


def _nats(row: Row, name: str) -> str:
    return f"{_value(row, name):.3f}"
