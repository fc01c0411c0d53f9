"""What may not be drawn: residues, motifs, too many cysteines. Draws nothing itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from hfbio.alphabet import RESIDUES
from hfbio.errors import SettingError
from hfbio.motifs import (
    FAST_DEAMIDATION,
    FAST_ISOMERISATION,
    SEQUON,
    Motif,
    occurrences,
    parse,
)

NAMED: Final = {
    "nglyc": SEQUON,
    "deamidation": FAST_DEAMIDATION,
    "isomerisation": FAST_ISOMERISATION,
}
"""Rules with a name, as motifs; `FREE_CYS` is another."""

FREE_CYS: Final = "free_cys"
MAX_CYS: Final = 2
"""1st-CYS and 2nd-CYS of a variable domain (Lefranc et al. 2003, table 1), which pair up."""

_CYS: Final = RESIDUES.index("C")


@dataclass(frozen=True)
class Rules:
    """Motifs that may not be completed at an open position, and whether cysteines are counted.

    A motif that lies in frozen residues alone is the user's and stands. So do frozen cysteines,
    however many; ``free_cys`` counts them and lets no more than two be in the chain otherwise.
    Which two is not its concern: a chain that spends them elsewhere is no valid domain.

    Rules look at what is decided, not ahead: where several meet, the residues decided last may be
    left with none that breaks nothing. Such a residue is drawn as if there were no rules, and
    `broken` names what it broke: ask it of every finished chain, and reject what it names.
    """

    motifs: tuple[tuple[str, Motif], ...] = ()  # text of the rule, motif
    count_cys: bool = False

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Rules:
        """Rules from what a user wrote, one text a rule.

        Args:
            texts: a residue (``M``), a motif (``N[^P][ST]``; ``.`` is any residue), or a name
                (``nglyc``, ``deamidation``, ``isomerisation``, ``free_cys``).

        Raises:
            SettingError: anything else, or a rule that no chain can keep or break.
        """
        motifs: list[tuple[str, Motif]] = []
        for text in texts:
            if text != FREE_CYS:
                motifs += [(text, _motif(motif, text)) for motif in NAMED.get(text, (text,))]
        return cls(tuple(motifs), FREE_CYS in texts)

    def allowed(self, residues: Sequence[int], at: int) -> Tensor:
        """The residues that may stand at ``at`` without breaking a rule.

        Args:
            residues: the whole chain as indices into `alphabet.RESIDUES`; -1 where nothing is
                decided, or what stands there is no residue. A motif is complete, and forbidden,
                only where all its places hold residues.
            at: a place in ``residues``; what stands there does not matter.

        Returns:
            ``(20,)`` bool, in the order of the alphabet; all false if every residue breaks a rule.
        """
        forbidden: set[int] = set()
        for _, motif in self.motifs:
            for place, letters in enumerate(motif):
                first = at - place
                if first < 0 or first + len(motif) > len(residues):
                    continue
                if all(
                    residues[first + i] in others for i, others in enumerate(motif) if i != place
                ):
                    forbidden |= letters
        if self.count_cys and _others(residues, at) >= MAX_CYS:
            forbidden.add(_CYS)
        result = torch.ones(len(RESIDUES), dtype=torch.bool)
        result[list(forbidden)] = False
        return result

    def broken(self, sequence: str, free: Iterable[bool]) -> tuple[str, ...]:
        """The rules that a finished chain breaks, as they were written, each once.

        Args:
            sequence: residues; other letters match nothing.
            free: one value a residue, true where it was designed. A motif counts if it has such a
                residue; cysteines if there are more than two, one of them designed.
        """
        designed = list(free)
        if len(designed) != len(sequence):
            raise ValueError(f"{len(sequence)} residues and {len(designed)} values in free")
        chain = [RESIDUES.find(letter) for letter in sequence]
        found = [text for text, motif in self.motifs if _occurs(motif, chain, designed)]
        new_cys = any(new for new, residue in zip(designed, chain) if residue == _CYS)
        if self.count_cys and new_cys and chain.count(_CYS) > MAX_CYS:
            found.append(FREE_CYS)
        return tuple(dict.fromkeys(found))


def _others(residues: Sequence[int], at: int) -> int:
    """Cysteines at other places than ``at``."""
    return sum(residue == _CYS for i, residue in enumerate(residues) if i != at)


def _occurs(motif: Motif, chain: Sequence[int], designed: Sequence[bool]) -> bool:
    return any(any(designed[at : at + len(motif)]) for at in occurrences(motif, chain))


def _motif(pattern: str, text: str) -> Motif:
    try:
        return parse(pattern)
    except ValueError as fault:
        raise SettingError(
            f"rule {text!r:.80}: {fault}; write a residue such as M, a motif such as N[^P][ST] "
            f"(. is any residue), or one of {', '.join((*NAMED, FREE_CYS))}"
        ) from fault
