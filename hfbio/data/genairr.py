"""GenAIRR, compiled for one species and locus. Judges no sequence.

GenAIRR is GPL-3: it is installed by the extra ``simulate``, imported by one function here, and
never a part of hfbio.
"""

from __future__ import annotations

import re
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Any, Final

from hfbio.alphabet import translate
from hfbio.errors import MissingExtra, SettingError

# IMGT's reference sets, as their gene names are those of real tables (OGRDB's: IGHVF8-G30*01).
_CONFIG: Final = re.compile(r"([A-Z]+)_(IG[HKL])_IMGT")
_COMMON: Final = {"dromedary": "camel"}  # GenAIRR's name, and that of `hfbio.data.values`
_LETTERS: Final = frozenset("ACGT")
_J_MOTIF: Final = re.compile("[WF]G.G")  # IMGT positions 118 to 121, the first of fwr4
_KERNEL: Final = {"IGH": "hh_s5f", "IGK": "hkl_s5f", "IGL": "hkl_s5f"}  # human, the only ones


@dataclass(frozen=True)
class Engine:
    """Rearranges founders and mutates them."""

    source: str  # GenAIRR's version and reference set, for messages
    species: str
    locus: str
    founders: Any  # a CompiledExperiment: rearrangement, productive
    mutators: tuple[Any | None, ...]  # one per level, CompiledExperiments; None for level 0


@lru_cache(maxsize=4)
def compile_engine(species: str, locus: str, levels: tuple[float, ...]) -> Engine:
    """Compile one reference set for some levels of mutation, which takes a second or two.

    Args:
        species: a common name.
        locus: IGH, IGK or IGL.
        levels: shares of nucleotides that mutate on average.

    Raises:
        MissingExtra: GenAIRR is not installed.
        SettingError: it has no such species or locus; the message names those it has.
    """
    try:
        import GenAIRR
    except ImportError as missing:
        raise MissingExtra("simulate") from missing
    name = _config(species, locus, GenAIRR.list_configs())
    reference = _sound_alleles(getattr(GenAIRR.data, name))

    def experiment() -> Any:
        # Curatable: several sets misplace Cys104 in their V genes; the validity rule looks itself.
        return GenAIRR.Experiment.on(reference).allow_curatable_refdata()

    def mutator(level: float) -> Any:
        return experiment().mutate(model="s5f", s5f_model=_KERNEL[locus], rate=level).compile()

    return Engine(
        source=f"GenAIRR-{version('GenAIRR')} {name}",
        species=species,
        locus=locus,
        founders=experiment().recombine().productive_only().compile(),
        mutators=tuple(mutator(level) if level else None for level in levels),
    )


def _config(species: str, locus: str, names: list[str]) -> str:
    found = [match for name in names if (match := _CONFIG.fullmatch(name))]
    configs = {(_COMMON.get(m[1].lower(), m[1].lower()), m[2]): m[0] for m in found}
    if (species, locus) in configs:
        return configs[species, locus]
    loci: dict[str, list[str]] = {}
    for its_species, its_locus in sorted(configs):
        loci.setdefault(its_species, []).append(its_locus)
    known = ", ".join(f"{name} ({' '.join(its)})" for name, its in loci.items())
    raise SettingError(f"GenAIRR has no locus {locus!r} of species {species!r}; it has {known}")


def _sound_alleles(reference: Any) -> Any:
    """The reference without alleles that GenAIRR refuses, and without J genes of unknown frame.

    Some sets (mouse IGK, trout IGH) list an allele twice or hold ambiguous letters. A J gene
    without its motif at the place that the set gives would be read in any frame.
    """
    sound = copy(reference)
    for segment in ("v_alleles", "d_alleles", "j_alleles"):
        seen: set[str] = set()
        kept: dict[str, list[Any]] = {}
        for gene, alleles in (getattr(reference, segment) or {}).items():
            for allele in alleles:
                bases = allele.ungapped_seq.upper()
                known = not set(bases) - _LETTERS and allele.name not in seen
                if segment == "j_alleles":
                    fwr4 = translate(bases[allele.anchor :][:12])
                    known = known and _J_MOTIF.match(fwr4) is not None
                if known:
                    seen.add(allele.name)
                    kept.setdefault(gene, []).append(allele)
        setattr(sound, segment, kept)
    return sound
