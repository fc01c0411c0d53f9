"""Which column of a table holds what: AIRR names first, then the spellings found in the wild.

Reads no values, except a few sequences to tell amino acids from nucleotides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hfbio.errors import DataError

# Sources: AIRR Rearrangement schema 1.5; headers of OAS, SAbDab and Thera-SAbDab exports, FLAb,
# CoV-AbDab and Hub data sets. Compared in lower case with blanks as underscores; first match wins.
_AMINO: Final = (
    "sequence_alignment_aa", "sequence_aa", "vdj_aa", "init_seq", "aa_sequence",
    "protein_sequence", "amino_acid_sequence", "sequence", "seq",
)  # fmt: skip
_HEAVY: Final = (
    "sequence_alignment_aa_heavy", "sequence_aa_heavy", "heavy", "vh", "vh_sequence", "heavy_seq",
    "heavy_sequence", "heavysequence", "vh_protein_sequence", "vhorvhh", "hc", "sequence_heavy",
)  # fmt: skip
_LIGHT: Final = (
    "sequence_alignment_aa_light", "sequence_aa_light", "light", "vl", "vl_sequence", "light_seq",
    "light_sequence", "lightsequence", "vl_protein_sequence", "lc", "sequence_light",
)  # fmt: skip
_ALIGNMENT: Final = ("sequence_alignment",)
_NUCLEOTIDES: Final = ("sequence", "vdj_nt", "nucleotide_sequence", "seq")
_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "sequence_id": ("sequence_id", "id", "name", "antibody_id", "antibody_name", "therapeutic"),
    # The D segment's germline is unsure, so the masked alignment says less and is right more often.
    "germline_alignment": ("germline_alignment_d_mask", "germline_alignment"),
    "germline_alignment_aa": ("germline_alignment_aa",),
    "locus": ("locus", "chain", "chain_type"),
    "species": ("species", "organism"),
    "v_call": ("v_call", "v_gene"),
    "j_call": ("j_call", "j_gene"),
    "c_call": ("c_call", "c_gene", "c_region"),
    "isotype": ("isotype", "c_call", "c_gene", "c_region"),
    "clone_id": ("clone_id", "clonotype_id"),
    "subject": ("subject", "subject_id", "donor", "donor_id"),
    "cell_id": ("cell_id", "barcode"),
    "duplicate_count": ("duplicate_count", "redundancy", "consensus_count"),
    "productive": ("productive",),
    "stop_codon": ("stop_codon",),
    "v_frameshift": ("v_frameshift",),
    "vj_in_frame": ("vj_in_frame",),
}
_PER_CHAIN: Final = frozenset(
    {
        "germline_alignment",
        "germline_alignment_aa",
        "locus",
        "v_call",
        "j_call",
        "c_call",
        "isotype",
    }
)  # in a paired table, a column without suffix does not say which chain it means
_NUCLEOTIDE_LETTERS: Final = frozenset("ACGTUN.-")


@dataclass(frozen=True, slots=True)
class ChainColumns:
    """Where one chain of a row is: column index by field name; absent fields are left out.

    Fields are those of `AntibodyRecord`, and ``amino``, ``alignment`` (nucleotides, may be gapped),
    ``nucleotides``, ``germline_alignment`` and AIRR's quality flags.
    """

    chain: str  # "heavy" or "light" in a paired table, else empty
    index: Mapping[str, int]


def find_columns(
    names: Sequence[str], examples: Sequence[Sequence[str]], *, source: str
) -> tuple[ChainColumns, ...]:
    """Find the chains of a table by its column names.

    Args:
        names: the header.
        examples: the first rows, to tell whether a column called ``sequence`` holds amino acids.
        source: for messages.

    Returns:
        One element, or heavy and light for a paired table.

    Raises:
        DataError: no column holds a sequence.
    """
    place = {_plain(name): i for i, name in reversed(list(enumerate(names)))}
    paired = {"heavy": _first(place, _HEAVY), "light": _first(place, _LIGHT)}
    if any(at is not None for at in paired.values()):
        return tuple(
            ChainColumns(chain, _chain_index(place, chain, at, examples))
            for chain, at in paired.items()
            if at is not None
        )
    index = _fields(place, "")
    for field, candidates in (("alignment", _ALIGNMENT), ("nucleotides", _NUCLEOTIDES)):
        at = _first(place, candidates)
        # Empty so far counts as nucleotides: AIRR defines these columns as such.
        if at is not None and _are_nucleotides(at, examples) is not False:
            index[field] = at
    taken = {index.get("nucleotides"), index.get("alignment")}
    amino = {name: at for name, at in place.items() if at not in taken}
    if (at := _first(amino, _AMINO)) is not None:
        index["amino"] = at
    if not index.keys() & {"amino", "alignment", "nucleotides"}:
        raise DataError(
            f"{source}: no column of amino acids or nucleotides; found: {', '.join(names)}; "
            f"amino acids may be called {', '.join(_AMINO)}; nucleotides "
            f"{', '.join((*_ALIGNMENT, *_NUCLEOTIDES))}; pairs {_HEAVY[2]} with {_LIGHT[2]}, "
            f"{_HEAVY[3]} with {_LIGHT[3]}; rename the column"
        )
    return (ChainColumns("", index),)


def are_nucleotides(sequences: Iterable[str]) -> bool | None:
    """Whether sequences are nucleotides: 95 % of all their letters are A, C, G, T, U or N.

    These letters make up about a third of an antibody's residues. ``None`` without any letter.
    """
    letters = "".join(sequences).upper()
    if not letters:
        return None
    return sum(letter in _NUCLEOTIDE_LETTERS for letter in letters) >= 0.95 * len(letters)


def _chain_index(
    place: Mapping[str, int], chain: str, at: int, examples: Sequence[Sequence[str]]
) -> dict[str, int]:
    index = _fields(place, f"_{chain}")
    index["nucleotides" if _are_nucleotides(at, examples) else "amino"] = at
    return index


def _are_nucleotides(column: int, rows: Sequence[Sequence[str]]) -> bool | None:
    return are_nucleotides(row[column] for row in rows if column < len(row))


def _fields(place: Mapping[str, int], suffix: str) -> dict[str, int]:
    found = {}
    for field, candidates in _FIELDS.items():
        names = [name + suffix for name in candidates]
        shared = candidates if suffix and field not in _PER_CHAIN else ()
        at = _first(place, [*names, *shared])
        if at is not None:
            found[field] = at
    return found


def _first(place: Mapping[str, int], candidates: Iterable[str]) -> int | None:
    return next((place[name] for name in candidates if name in place), None)


def _plain(name: str) -> str:
    return "_".join(name.strip().lower().split())
