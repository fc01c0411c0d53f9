"""Free residues of a chain or pair, as text and as places. Draws no design."""

from __future__ import annotations

from collections.abc import Sequence

from hfbio.errors import SettingError
from hfbio.record import REGIONS, Antibody
from hfbio.sample import freeze


def open_places(antibody: Antibody, free: str) -> list[bool]:
    """Which residues are free, chain behind chain; of a pair ``free`` is as in ``cdr3:cdr1``.

    Raises:
        SettingError: it names what is not there.
    """
    parts = free.split(":")
    if len(parts) > len(antibody.chains):
        raise SettingError(
            f"{free[:80]!r} speaks of {len(parts)} chains; there are {len(antibody.chains)}"
        )
    parts += [""] * (len(antibody.chains) - len(parts))
    return [
        bool(place)
        for part, record in zip(parts, antibody.chains)
        for place in freeze(part, record).tolist()
    ]


def in_words(antibody: Antibody, places: Sequence[bool]) -> str:
    """Free residues as text that `open_places` reads: regions by name, the rest by number."""
    at, parts = 0, []
    for record in antibody.chains:
        mine = list(places[at : at + len(record.sequence_aa)])
        at += len(mine)
        words = []
        for name, start, stop in zip(REGIONS, record.regions, record.regions[1:]):
            if all(mine[start:stop]):
                words.append(name)
                mine[start:stop] = [False] * (stop - start)
        starts = [i for i, free in enumerate(mine) if free and not (i and mine[i - 1])]
        for start in starts:
            stop = start
            while stop + 1 < len(mine) and mine[stop + 1]:
                stop += 1
            words.append(str(start + 1) if start == stop else f"{start + 1}-{stop + 1}")
        parts.append(",".join(words))
    return ":".join(parts)
