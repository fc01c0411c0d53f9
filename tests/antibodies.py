"""Known sequences for the tests of data, and their DNA."""

import random

from hfbio.alphabet import CODONS, RESIDUES
from hfbio.numbering import number
from hfbio.record import AntibodyRecord

# Trastuzumab (Carter et al. 1992; PDB 1N8Z).
HEAVY = (
    "EVQLVESGGGLVQPGGSLRLSCAASGFNIKDTYIHWVRQAPGKGLEWVARIYPTNGYTRYADSVKGRFTISADTSKNTAYLQMNSLRAEDTAVYYC"
    "SRWGGDGFYAMDYWGQGTLVTVSS"
)
KAPPA = (
    "DIQMTQSPSSLSASVGDRVTITCRASQDVNTAVAWYQQKPGKAPKLLIYSASFLYSGVPSRFSGSRSGTDFTLTISSLQPEDFATYYC"
    "QQHYTTPPTFGQGTKVEIK"
)
CDRH3 = "SRWGGDGFYAMDY"
# A6 T-cell receptor, beta chain (PDB 1AO7); human haemoglobin alpha (UniProt P69905).
TCR_BETA = (
    "NAGVTQTPKFQVLKTGQSMTLQCAQDMNHEYMSWYRQDPGMGLRLIHYSVGAGITDQGEVPNGYNVSRSTTEDFPLRLLSAAPSQTSVYFC"
    "ASRPGLAGGRPEQYFGPGTRLTVTE"
)
GLOBIN = (
    "MVLSPADKTNVKAAWGKVGAHAGEYGAEALERMFLSFPTTKTYFPHFDLSHGSAQVKGHGKKVADALTNAVAHVDDMPNALSALSDLHAHKLR"
    "VDPVNFKLLSHCLLVTLAAHLPAEFTPAVHASLDKFLASVSTVLTSKYR"
)
_CODON = {residue: codon for codon, residue in reversed(CODONS.items())}


def back_translate(residues: str) -> str:
    """DNA of a protein, one fixed codon per residue."""
    return "".join(_CODON[residue] for residue in residues)


def heavy_with(cdr3: str) -> str:
    """The heavy chain with another CDR3."""
    return HEAVY.replace(CDRH3, cdr3)


def random_cdr3s(n: int, seed: int = 0, length: int = 12) -> list[str]:
    """CDR3s that are unlike each other: random residues between the usual ends."""
    rng = random.Random(seed)
    return ["AR" + "".join(rng.choices(RESIDUES, k=length - 4)) + "DY" for _ in range(n)]


def mutate(sequence, n, rng):
    """The chain with ``n`` other residues, none of them at its ends."""
    letters = list(sequence)
    for i in rng.sample(range(2, len(letters) - 2), n):
        letters[i] = rng.choice([r for r in RESIDUES if r != letters[i]])
    return "".join(letters)


def record(sequence, **fields):
    """A numbered record of one domain."""
    found = number(sequence)
    fields = {"sequence_id": sequence, **fields}
    return AntibodyRecord(
        sequence_aa=sequence, locus=str(found.locus), regions=found.regions, **fields
    )
