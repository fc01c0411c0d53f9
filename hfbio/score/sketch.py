"""A hashed sketch of the training chains: is a design a copy, how near is it? Holds no sequence.

One row a chain: 128 bits of a MinHash signature and 32 bits of a digest. That is deliberately
little: a human heavy chain takes some 140 bits to write down (0.8 nats a residue, the model
hfbio-mini-clm), so that many chains fit the signature of one. From a row of 1,024 bits, as
MinHash mostly has, a search that knows letter frequencies gets most of the chain back, and from 128
bits a few residues: `benchmarks/sketch_attack.py` tries it.

What it does not hide: whoever holds a chain can test whether it was trained on. Whoever has a good
guess, from a model or from a relative, can test that too, and as often as they like. Where even
that must not be known, publish no sketch (``training_traces: false``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from hfbio.alphabet import RESIDUES
from hfbio.data.thin import thin
from hfbio.errors import BundleError, DataError
from hfbio.models.untrusted import Entry, read_header, read_note, read_tensors, require_bytes
from hfbio.numbering import Numbered, check
from hfbio.record import REGIONS, Antibody, AntibodyRecord, Locus

N_BITS: Final = 128  # of a signature
MAX_CHAINS: Final = 20_000
MAX_BYTES: Final = 1_000_000  # of the file; 20,000 chains take 440,000
_DIGEST_BYTES: Final = 4  # a wrong answer to `copies` once in 2^32 for a chain of equal signature
_ROW: Final = {"signature": N_BITS // 8, "digest": _DIGEST_BYTES, "locus": 1}
_FORMAT: Final = "1"
_LOCI: Final = tuple(Locus)
_PLACES: Final = 256  # places of a region: 128 counted from its start, 128 from its end
_LETTERS: Final = 32
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio, odd
_BLOCK: Final = 512  # chains whose hashes are in memory at once


@dataclass(frozen=True)
class Sketch:
    """Signatures and digests of chains, in the order of their bytes, which says nothing of them.

    Every sketch is made with the same hash functions. A key for each would hide which chains two
    sketches share, but the two rows of such a chain would tell twice as much of it.
    """

    signatures: NDArray[np.uint8]  # (n, 16), the bits of 128 hash functions
    digests: NDArray[np.uint8]  # (n, 4), the first bytes of the domain's SHA-256
    loci: NDArray[np.uint8]  # (n,) index into `Locus`
    out_of: int  # different training chains; more than n where some had to be left out

    @property
    def n_chains(self) -> int:
        """Rows: different chains that were sketched."""
        return len(self.loci)

    @classmethod
    def of(cls, records: Sequence[Antibody], *, most: int = MAX_CHAINS) -> Sketch:
        """Sketch numbered chains; of pairs each chain by itself.

        Args:
            records: training chains or pairs, numbered.
            most: of more different chains than that, the sketch holds so many, one of each clone
                first (`hfbio.data.thin`); <= 20,000.

        Raises:
            DataError: there is no chain, or one is not numbered.
            ValueError: ``most`` is out of range.
        """
        if not 1 <= most <= MAX_CHAINS:
            raise ValueError(f"most must be in [1, {MAX_CHAINS}], got {most}")
        chains = {(c.locus, c.sequence_aa): c for record in records for c in record.chains}
        if not chains:
            raise DataError("there is no chain to sketch")
        distinct = list(chains.values())
        return cls._made_of([_Domain.of(distinct[i]) for i in thin(distinct, most)], len(distinct))

    def nearest(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        """Estimated identity to the nearest sketched chain of the same locus.

        A signature bit is one bit of the least hash of a chain's (place, residue) features. Two
        chains agree in it with probability ``(1 + J) / 2``, where ``J`` is the share of features
        they have in common. Chains of ``n`` residues that align without gaps and are equal in
        ``e`` places have ``J = e / (2n - e)``, so that their identity ``e / n`` is
        ``2J / (1 + J)``. A gap makes the estimate too high, by less than the gap's share.

        128 bits know an identity of 0.9 to 0.03 (one standard deviation). The nearest of many is
        the one whose errors flatter it: estimates lie too high, the more so the more chains there
        are and the further away they lie. A design looks less new than it is, seldom newer. The
        error against `hfbio.data.identity.nearest_identity` is in ``recipes/RESULTS.md``.

        Args:
            sequences: amino acids; residues outside the domain are ignored.

        Returns:
            ``(S,)`` in [0, 1]; NaN where a sequence is no antibody domain, or where there is no
            chain of its locus. 1 does not mean equal: ask `copies`.

        Source:
            Broder 1997, "On the resemblance and containment of documents"; Li and König 2010,
            "b-bit minwise hashing", theorem 1 with b = 1 and rare features.
        """
        found = np.full(len(sequences), np.nan, np.float32)
        at, domains = _read(sequences)
        for i, domain, signature in zip(at, domains, _signatures(domains)):
            rows = self.signatures[self.loci == _LOCI.index(domain.locus)]
            if len(rows):
                different = int(np.bitwise_count(rows ^ signature).sum(axis=1).min())
                jaccard = max(0.0, 1 - 2 * different / N_BITS)
                found[i] = 2 * jaccard / (1 + jaccard)
        return found

    def copies(self, sequences: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each sequence's domain equals a sketched chain.

        Never false for a copy. Wrongly true once in 4 billion for a chain that has the signature of
        a sketched one, which only near relatives have.

        Args:
            sequences: amino acids; residues outside the domain are ignored.

        Returns:
            ``(S,)``; false for what is no antibody domain.
        """
        found = np.zeros(len(sequences), np.bool_)
        at, domains = _read(sequences)
        known = {row.tobytes() for row in np.hstack([self.signatures, self.digests])}
        asked = np.hstack([_signatures(domains), _digests(domains)])
        found[at] = [row.tobytes() in known for row in asked]
        return found

    def save(self, path: Path) -> None:
        """Write a safetensors file; the same chains give the same bytes."""
        tensors = {
            "signature": self.signatures,
            "digest": self.digests,
            "locus": self.loci[:, None],
        }
        save_file(
            {name: torch.from_numpy(np.ascontiguousarray(t)) for name, t in tensors.items()},
            path,
            metadata={"sketch": json.dumps({"format": _FORMAT, "out_of": self.out_of})},
        )

    @classmethod
    def read(cls, path: Path) -> Sketch:
        """Read what `save` wrote, or a stranger says that it did.

        Raises:
            BundleError: no such file, too large, no safetensors, other tensors than these, of
                another type or shape, or numbers out of range.
        """
        require_bytes(path, MAX_BYTES)
        entries = read_header(path, ("U8",))
        n = entries["locus"].shape[0] if "locus" in entries and entries["locus"].shape else 0
        if entries != {name: Entry((n, width), "U8") for name, width in _ROW.items()} or not (
            1 <= n <= MAX_CHAINS
        ):
            raise BundleError(f"{path} is no sketch of chains: its tensors are not those of one")
        told = read_note(path, "sketch")
        out_of = told.get("out_of")
        if told.get("format") != _FORMAT or type(out_of) is not int or out_of < n:
            raise BundleError(f"{path} is no sketch that this hfbio reads: it says {told!r:.200}")
        tensors = read_tensors(path, _ROW)
        loci = tensors["locus"].numpy()[:, 0]
        if loci.max() >= len(_LOCI):
            raise BundleError(f"{path} holds a chain of locus number {loci.max()}")
        return cls(tensors["signature"].numpy(), tensors["digest"].numpy(), loci, out_of)

    @classmethod
    def _made_of(cls, domains: Sequence[_Domain], out_of: int) -> Sketch:
        loci = np.array([[_LOCI.index(domain.locus)] for domain in domains], np.uint8)
        rows = np.hstack([_signatures(domains), _digests(domains), loci])
        rows = np.unique(rows, axis=0)  # sorted: the order of the table is gone
        edges = np.cumsum(list(_ROW.values()))[:-1]
        signatures, digests, ordered = np.split(rows, edges, axis=1)
        return cls(signatures, digests, ordered[:, 0], out_of)


@dataclass(frozen=True)
class _Domain:
    """One variable domain, cut into regions."""

    locus: Locus
    residues: str
    regions: tuple[int, ...]

    @classmethod
    def of(cls, record: AntibodyRecord) -> _Domain:
        if not record.regions:
            raise DataError(f"record {record.sequence_id!r} is not numbered; import it first")
        return cls(Locus(record.locus), record.sequence_aa, record.regions)

    def features(self) -> NDArray[np.uint64]:
        """``(residues,)`` one number for each residue in its place.

        Places are counted as IMGT fills them: a CDR from both ends, so that its middle takes what
        is inserted; fwr1 from its end, since its start may be trimmed; the others from their start.
        """
        places = []
        for region, name in enumerate(REGIONS):
            n = self.regions[region + 1] - self.regions[region]
            from_start = (n + 1) // 2 if name.startswith("cdr") else 0 if name == "fwr1" else n
            for i in range(n):
                place = min(i, 127) if i < from_start else _PLACES - min(n - i, 128)
                places.append((region * _PLACES + place) * _LETTERS)
        letters = [RESIDUES.find(residue) + 1 for residue in self.residues]  # 0: not known
        return np.array(places, np.uint64) + np.array(letters, np.uint64)


def _read(sequences: Sequence[str]) -> tuple[list[int], list[_Domain]]:
    """The antibody domains among sequences, and at which index each stands."""
    at, domains = [], []
    for i, sequence in enumerate(sequences):
        found = check(sequence)
        if isinstance(found, Numbered):
            residues = sequence[found.start : found.stop].upper()
            at.append(i)
            domains.append(_Domain(found.locus, residues, found.regions))
    return at, domains


def _signatures(domains: Sequence[_Domain]) -> NDArray[np.uint8]:
    """``(S, 16)`` one bit of the least hash under each of 128 functions."""
    found = np.empty((len(domains), N_BITS // 8), np.uint8)
    for start in range(0, len(domains), _BLOCK):
        features = [domain.features() for domain in domains[start : start + _BLOCK]]
        known, index = np.unique(np.concatenate(features), return_inverse=True)
        hashes = _hashes(known)  # (features, 128)
        stops = np.cumsum([len(own) for own in features])
        least = [hashes[own].min(axis=0) for own in np.split(index, stops[:-1])]
        bits = _mix(np.array(least)) & np.uint64(1)  # mixed again: the least are small numbers
        found[start : start + _BLOCK] = np.packbits(bits.astype(np.uint8), axis=1)
    return found


def _hashes(features: NDArray[np.uint64], n_bits: int = N_BITS) -> NDArray[np.uint64]:
    """``(F, n_bits)``: the first numbers of SplitMix64, started from each feature's own hash."""
    steps = np.arange(1, n_bits + 1, dtype=np.uint64) * _GOLDEN
    return _mix(_mix(features)[:, None] + steps)


def _mix(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64: whole numbers modulo 2^64, alike on every machine.

    Source:
        Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", figure 16
        with the constants of Stafford's variant 13.
    """
    mixed = numbers ^ (numbers >> np.uint64(30))
    mixed = mixed * np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _digests(domains: Sequence[_Domain]) -> NDArray[np.uint8]:
    """``(S, 4)`` the first bytes of the SHA-256 of each domain."""
    found = [hashlib.sha256(d.residues.encode()).digest()[:_DIGEST_BYTES] for d in domains]
    return np.frombuffer(b"".join(found), np.uint8).reshape(len(domains), _DIGEST_BYTES)
