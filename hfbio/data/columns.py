"""Which column of a table holds what: AIRR names first, then the spellings found in the wild.

Reads no values, except a few sequences to tell amino acids from nucleotides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hfbio.errors import DataError, SettingError

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
# The second Fv of a bispecific antibody, as Thera-SAbDab spells it in several exports.
_HEAVY_2: Final = (
    "heavysequence(ifbispec)", "heavy_sequence(ifbispec)", "heavy_sequence_(ifbispec)",
    "heavy_sequence_(if_bispec)", "heavy_2", "heavy2", "vh_2", "vh2",
)  # fmt: skip
_LIGHT_2: Final = tuple(name.replace("heavy", "light").replace("vh", "vl") for name in _HEAVY_2)
_CHAINS: Final[Mapping[str, tuple[str, ...]]] = {
    "heavy": _HEAVY, "light": _LIGHT, "heavy_2": _HEAVY_2, "light_2": _LIGHT_2,
}  # fmt: skip
_ALIGNMENT: Final = ("sequence_alignment",)
_NUCLEOTIDES: Final = ("sequence", "vdj_nt", "nucleotide_sequence", "seq")
_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "sequence_id": (
        "sequence_id", "contig_id", "id", "name", "antibody_id", "antibody_name", "antibody",
        "therapeutic",
    ),
    # The D segment's germline is unsure, so the masked alignment says less and is right more often.
    "germline_alignment": ("germline_alignment_d_mask", "germline_alignment"),
    "germline_alignment_aa": ("germline_alignment_aa",),
    "locus": ("locus", "chain", "chain_type"),
    "species": ("species", "organism"),
    "v_call": ("v_call", "v_gene"),
    "j_call": ("j_call", "j_gene"),
    "c_call": ("c_call", "c_gene", "c_region"),
    "isotype": ("isotype", "c_call", "c_gene", "c_region"),
    "clone_id": ("clone_id", "clonotype_id", "raw_clonotype_id"),
    "subject": ("subject", "subject_id", "donor", "donor_id"),
    "study": ("study", "study_id", "author"),
    "disease": ("disease", "disease_diagnosis"),
    "cell_id": ("cell_id", "barcode"),
    "duplicate_count": ("duplicate_count", "umis", "redundancy", "consensus_count", "reads"),
    "is_cell": ("is_cell",),
    "high_confidence": ("high_confidence",),
    "productive": ("productive",),
    "stop_codon": ("stop_codon",),
    "v_frameshift": ("v_frameshift",),
    "vj_in_frame": ("vj_in_frame",),
}  # fmt: skip
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
_KNOWN: Final = frozenset((*_AMINO, *_ALIGNMENT, *_NUCLEOTIDES, *_HEAVY, *_LIGHT))
_KEYS: Final = ("sequence", *_CHAINS, "id", *(f for f in _FIELDS if f != "sequence_id"))
_NEXT_KEY: Final = re.compile(rf",\s*(?=(?:{'|'.join(_KEYS)})\s*=)")


@dataclass(frozen=True, slots=True)
class ChainColumns:
    """Where one chain of a row is: column index by field name; absent fields are left out.

    Fields are those of `AntibodyRecord`, and ``amino``, ``alignment`` (nucleotides, may be gapped),
    ``nucleotides``, ``germline_alignment``, ``chain_id`` (the id of one chain of a pair) and the
    quality flags of AIRR and 10x.
    """

    chain: str  # "heavy" or "light" in a paired table, with "_2" in a second Fv; else empty
    index: Mapping[str, int]


def parse_columns(text: str) -> dict[str, str]:
    """Column names by what they hold, from ``heavy=VH_seq,light=VL_seq,id=name``.

    Keys: ``sequence``, or ``heavy`` and ``light`` and their ``_2``; ``id``; and the fields of
    `AntibodyRecord`. A comma belongs to a name unless a key follows it.

    Raises:
        SettingError: a part is not ``KEY=NAME``, or its key is unknown or given twice.
    """
    found: dict[str, str] = {}
    for part in _NEXT_KEY.split(text) if text else ():
        key, equals, name = (piece.strip() for piece in part.partition("="))
        if not equals or not name or key not in _KEYS or key in found:
            raise SettingError(
                f"columns: {part!r} is not KEY=NAME with a new key of: {', '.join(_KEYS)}"
            )
        found[key] = name
    return found


def has_sequences(names: Sequence[str], chosen: Mapping[str, str]) -> bool:
    """Whether a header has a column of sequences that `find_columns` would take."""
    plain = set(map(_plain, names))
    wanted = {_plain(name) for key, name in chosen.items() if key in ("sequence", *_CHAINS)}
    return bool(plain & (wanted or _KNOWN))


def find_columns(
    names: Sequence[str],
    examples: Sequence[Sequence[str]],
    *,
    source: str,
    chosen: Mapping[str, str] | None = None,
) -> tuple[ChainColumns, ...]:
    """Find the chains of a table by its column names.

    Args:
        names: the header.
        examples: the first rows, to tell whether a column called ``sequence`` holds amino acids.
        source: for messages.
        chosen: what the user says, see `parse_columns`; it goes before what would be found. With a
            column of sequences among them, no other is looked for.

    Returns:
        One element, or heavy and light for a paired table, twice for one of bispecific antibodies.

    Raises:
        DataError: no column holds a sequence, or there is none of a chosen name.
    """
    place = {_plain(name): i for i, name in reversed(list(enumerate(names)))}
    picked = _picked(place, chosen or {}, names, source)
    pairs = {role: _filled(place, candidates, examples) for role, candidates in _CHAINS.items()}
    if picked.keys() & {"sequence", *_CHAINS}:
        pairs = {role: picked.get(role) for role in _CHAINS}
    fields = {name: at for name, at in picked.items() if name not in ("sequence", *_CHAINS)}
    if "sequence" not in picked and any(at is not None for at in pairs.values()):
        return tuple(
            ChainColumns(role, _chain_index(place, role, at, examples) | fields)
            for role, at in pairs.items()
            if at is not None
        )
    index = _fields(place, "") | fields
    if (at := picked.get("sequence")) is not None:
        index["nucleotides" if _are_nucleotides(at, examples) else "amino"] = at
        return (ChainColumns("", index),)
    for field, candidates in (("alignment", _ALIGNMENT), ("nucleotides", _NUCLEOTIDES)):
        at = _first(place, candidates)
        # Empty so far counts as nucleotides: AIRR defines these columns as such.
        if at is not None and _are_nucleotides(at, examples) is not False:
            index[field] = at
    taken = {index.get("nucleotides"), index.get("alignment")}
    amino = {name: at for name, at in place.items() if at not in taken}
    if (at := _filled(amino, _AMINO, examples)) is not None:
        index["amino"] = at
    if not index.keys() & {"amino", "alignment", "nucleotides"}:
        raise DataError(
            f"{source}: no column of amino acids or nucleotides; found: {', '.join(names)}; "
            f"amino acids may be called {', '.join(_AMINO)}; nucleotides "
            f"{', '.join((*_ALIGNMENT, *_NUCLEOTIDES))}; pairs {_HEAVY[2]} with {_LIGHT[2]}, "
            f"{_HEAVY[3]} with {_LIGHT[3]}; rename the column, or say which it is with --columns"
        )
    return (ChainColumns("", index),)


def describe(chains: Sequence[ChainColumns], names: Sequence[str]) -> str:
    """Which column is taken for what, as `parse_columns` spells it, or its name if that says it."""
    told: dict[str, None] = {}
    for columns in chains:
        for field, at in sorted(columns.index.items(), key=lambda item: item[1]):
            label = field
            if columns.chain and field in ("amino", "nucleotides"):
                label = columns.chain
            elif columns.chain and (field in _PER_CHAIN or field == "chain_id"):
                label = f"{field} of {columns.chain}"
            elif field == "amino":
                label = "sequence"
            elif field == "sequence_id":
                label = "id"
            told[names[at] if names[at] == label else f"{label}={names[at]}"] = None
    return ", ".join(told)


def are_nucleotides(sequences: Iterable[str]) -> bool | None:
    """Whether sequences are nucleotides: 95 % of all their letters are A, C, G, T, U or N.

    These letters make up about a third of an antibody's residues. ``None`` without any letter.
    """
    letters = "".join(sequences).upper()
    if not letters:
        return None
    return sum(letter in _NUCLEOTIDE_LETTERS for letter in letters) >= 0.95 * len(letters)


def _picked(
    place: Mapping[str, int], chosen: Mapping[str, str], names: Sequence[str], source: str
) -> dict[str, int]:
    found = {}
    for key, name in chosen.items():
        at = place.get(_plain(name))
        if at is None:
            raise DataError(f"{source}: no column {name!r} for {key}; found: {', '.join(names)}")
        found["sequence_id" if key == "id" else key] = at
    return found


def _chain_index(
    place: Mapping[str, int], role: str, at: int, examples: Sequence[Sequence[str]]
) -> dict[str, int]:
    # What the other columns say of a heavy chain, they say of the first one.
    index = _fields(place, f"_{role}")
    index["nucleotides" if _are_nucleotides(at, examples) else "amino"] = at
    return index


def _are_nucleotides(column: int, rows: Sequence[Sequence[str]]) -> bool | None:
    return are_nucleotides(row[column] for row in rows if column < len(row))


def _fields(place: Mapping[str, int], suffix: str) -> dict[str, int]:
    found = {}
    for field, candidates in _FIELDS.items():
        names = [name + suffix for name in candidates]
        at = _first(place, names)
        if suffix and field == "sequence_id" and at is not None:
            found["chain_id"], at = at, None
        if at is None and field not in (_PER_CHAIN if suffix else ()):
            at = _first(place, candidates)
        if at is not None:
            found[field] = at
    return found


def _first(place: Mapping[str, int], candidates: Iterable[str]) -> int | None:
    return next((place[name] for name in candidates if name in place), None)


def _filled(
    place: Mapping[str, int], candidates: Iterable[str], rows: Sequence[Sequence[str]]
) -> int | None:
    """The first candidate that holds something in the first rows, or the first of all."""
    found = [place[name] for name in candidates if name in place]
    filled = (at for at in found if any(at < len(row) and row[at] for row in rows))
    return next(filled, found[0] if found else None)


def _plain(name: str) -> str:
    return "_".join(name.strip().lower().split())
