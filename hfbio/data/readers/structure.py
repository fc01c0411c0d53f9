"""Chains of PDB and mmCIF files: the sequences that were in the crystal, not the atoms seen.

Sources: wwPDB format 3.3 (HEADER, SEQRES); the PDBx/mmCIF dictionary 5 (entity_poly); the STAR
grammar of CIF 1.1 for tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from hfbio.alphabet import UNKNOWN
from hfbio.data.readers.text import Line, read_lines
from hfbio.data.reject import Fault, Reject
from hfbio.errors import DataError
from hfbio.numbering import Numbered, check
from hfbio.record import AntibodyRecord, Locus

_ONE: Final = {
    "ALA": "A", "ARG": "R", "ASN": "N", "ASP": "D", "CYS": "C", "GLN": "Q", "GLU": "E",
    "GLY": "G", "HIS": "H", "ILE": "I", "LEU": "L", "LYS": "K", "MET": "M", "PHE": "F",
    "PRO": "P", "SER": "S", "THR": "T", "TRP": "W", "TYR": "Y", "VAL": "V",
    "MSE": "M", "PCA": "E",
}  # fmt: skip
"""Residues, and two modified ones that stand for what was encoded: selenomethionine, and the
pyroglutamate that a first Gln or Glu becomes (read as Glu; the PDB entry no longer tells which)."""

_CATEGORY: Final = "_entity_poly."
_TOKEN: Final = re.compile(r"'(?:[^']|'(?=\S))*'|\"(?:[^\"]|\"(?=\S))*\"|#.*|\S+")
_PEPTIDE: Final = "polypeptide"

_Chain = tuple[int, str, str]  # line, chain id, residues


def read_structure(path: Path) -> Iterator[AntibodyRecord | Reject]:
    """Read the protein chains of one PDB or mmCIF file, told apart by content.

    Ids are ``ENTRY_CHAIN``. Which heavy chain sits beside which light one is not in the sequences:
    if a file has one heavy and one light sequence, in any number of copies, the first copy of each
    is of one cell, named as the entry; else no chain has a cell. Antigens are read like all others
    and refused by numbering. Nucleic acids are left out. Modified residues are ``X``, but for
    selenomethionine and pyroglutamate.

    Raises:
        DataError: see `read_lines`; or there is neither a SEQRES record nor an ``_entity_poly``.
    """
    entry = path.name.split(".")[0]
    chains: list[_Chain] = []
    rejects: list[Reject] = []
    lines = list[tuple[int, str]]()
    for number, line in _relevant(read_lines(path)):
        if isinstance(line, Reject):
            rejects.append(line)
        else:
            lines.append((number, line))
    is_cif = any(line.startswith(_CATEGORY) for _, line in lines)
    chains = list(_cif_chains(lines) if is_cif else _pdb_chains(lines))
    if not chains:
        raise DataError(f"{path}: no protein in SEQRES or {_CATEGORY.rstrip('.')} records")
    cells = _cell(chains)
    return iter([*(_record(path, entry, chain, cells) for chain in chains), *rejects])


def _relevant(lines: Iterable[Line]) -> Iterator[Line]:
    """SEQRES records, or the block of ``_entity_poly``; coordinates are never held."""
    loop, inside, in_text = False, False, False
    for number, line in lines:
        if isinstance(line, Reject):
            yield number, line
            continue
        if line.startswith(";"):
            in_text = not in_text
        elif not in_text:
            word = line.split(" ", 1)[0]
            starts = line.startswith(_CATEGORY)
            if starts and loop:
                yield number, "loop_"
            if (inside and not starts and word[:1] == "_") or word in ("loop_", "#"):
                inside = False
            inside = inside or starts
            loop = word == "loop_"
        if inside or line.startswith("SEQRES"):
            yield number, line


def _pdb_chains(lines: Iterable[tuple[int, str]]) -> Iterator[_Chain]:
    found: dict[str, tuple[int, list[str]]] = {}
    for number, line in lines:
        if line.startswith("SEQRES"):  # columns 12 and 20-70 of wwPDB 3.3
            found.setdefault(line[11:12], (number, []))[1].extend(line[19:70].split())
    for chain, (number, names) in found.items():
        if any(len(name) == 3 for name in names):  # nucleotides have one or two letters
            yield number, chain.strip(), "".join(_ONE.get(name, UNKNOWN) for name in names)


def _cif_chains(lines: list[tuple[int, str]]) -> Iterator[_Chain]:
    for row in _cif_rows(list(_tokens(lines))):
        first = min((number for number, _ in row.values()), default=1)
        number, letters = row.get("pdbx_seq_one_letter_code_can", (first, ""))
        if not row.get("type", (0, _PEPTIDE))[1].lower().startswith(_PEPTIDE):
            continue
        for chain in row.get("pdbx_strand_id", (0, "?"))[1].split(","):
            yield number, chain.strip(), "".join(letters.split()).upper()


def _cif_rows(tokens: list[tuple[int, str]]) -> list[dict[str, tuple[int, str]]]:
    """One dictionary a row, of ``(line, value)`` by the name of the item."""
    if tokens and tokens[0][1] == "loop_":
        n = 1
        while n < len(tokens) and tokens[n][1].startswith(_CATEGORY):
            n += 1
        names = [name.removeprefix(_CATEGORY) for _, name in tokens[1:n]]
        rows = range(n, len(tokens) - len(names) + 1, len(names) or 1)
        return [dict(zip(names, tokens[at : at + len(names)])) for at in rows]
    names = [name.removeprefix(_CATEGORY) for _, name in tokens[::2]]
    return [dict(zip(names, tokens[1::2]))]


def _tokens(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    begins, text = 0, list[str]()
    for number, line in lines:
        if line.startswith(";") and not begins:
            begins, text = number, [line[1:]]
        elif line.startswith(";"):
            yield begins, "\n".join(text)
            begins = 0
        elif begins:
            text.append(line)
        else:
            for token in _TOKEN.findall(line):
                if not token.startswith("#"):
                    yield number, token[1:-1] if token[0] in "'\"" else token


def _cell(chains: Iterable[_Chain]) -> frozenset[str]:
    """Ids of the chains that are one Fv; none if it cannot be told."""
    first: dict[str, str] = {}
    for _, name, residues in chains:
        first.setdefault(residues, name)
    loci = {
        name: found.locus
        for residues, name in first.items()
        if isinstance(found := check(residues), Numbered)
    }
    n_heavy = sum(locus == Locus.IGH for locus in loci.values())
    return frozenset(loci) if (n_heavy, len(loci)) == (1, 2) else frozenset()


def _record(
    path: Path, entry: str, chain: _Chain, cells: frozenset[str]
) -> AntibodyRecord | Reject:
    number, name, residues = chain
    identity = f"{entry}_{name}" if name else entry
    if not residues:
        return Reject(str(path), number, identity, Fault.NO_SEQUENCE)
    cell = entry if name in cells else ""
    return AntibodyRecord(identity, residues, cell_id=cell, source=f"{path}:{number}")
