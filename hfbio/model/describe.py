"""What can be said of given chains: numbering, properties, germline, likelihood. Draws none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hfbio.alphabet import CHAIN_BREAK, RESIDUES
from hfbio.errors import MissingExtra, SequenceError
from hfbio.model.scores import chain_nats
from hfbio.numbering import Germline, label, nearest_germline, number
from hfbio.record import AntibodyRecord, PairedRecord
from hfbio.score.humanness import oasis_identity
from hfbio.score.liabilities import Liability, liabilities
from hfbio.score.panel import CHAIN_ENDS, Design, examine
from hfbio.score.properties import charge, isoelectric_point
from hfbio.score.sketch import Sketch

if TYPE_CHECKING:
    from hfbio.model.antibody import AntibodyModel


@dataclass(frozen=True)
class DescribedChain:
    """One chain. What was not asked for, or could not be said, is ``None``."""

    sequence_aa: str
    fault: str = ""  # why it is no whole variable domain; empty if it is
    locus: str = ""  # empty beside a fault, and so are the next two
    positions: tuple[str, ...] = ()  # IMGT position of each residue, such as 111A
    regions: tuple[int, ...] = ()  # 8 cut points, as in `AntibodyRecord`
    charge: float | None = None  # net, at pH 7.4, elementary charges
    isoelectric_point: float | None = None  # pH
    liabilities: tuple[Liability, ...] = ()  # sites, in order
    germline: Germline | None = None  # None too where no germline fits
    oasis_identity: float | None = None  # humanness, share of 9-mers in [0, 1]
    training_identity: float | None = None  # estimate, to the nearest sketched training chain
    training_copy: bool | None = None  # whether it is a training chain; None if it may be one
    nats_per_residue: float | None = None  # under the model; one of pairs sees the other chain
    unread: str = ""  # why the model gives none; empty if it does, was not asked, or at a fault

    @property
    def perplexity(self) -> float | None:
        """``exp`` of the nats per residue."""
        return None if self.nats_per_residue is None else math.exp(self.nats_per_residue)

    def row(self) -> dict[str, Any]:
        """Columns for a table; AIRR names where there are any, empty where nothing is known."""
        found = self.germline
        values = {
            "sequence_aa": self.sequence_aa,
            "locus": self.locus,
            "fault": self.fault,
            "charge": self.charge,
            "isoelectric_point": self.isoelectric_point,
            "liabilities": ";".join(f"{s.kind}@{s.position}" for s in self.liabilities),
            "n_liabilities": None if self.fault else len(self.liabilities),
            "v_call": found and found.v_gene,
            "v_identity": found and found.v_identity,
            "j_call": found and found.j_gene,
            "j_identity": found and found.j_identity,
            "oasis_identity": self.oasis_identity,
            "training_identity": self.training_identity,
            "training_copy": self.training_copy,
            "nats_per_residue": self.nats_per_residue,
            "perplexity": self.perplexity,
        }
        return {name: "" if value is None else value for name, value in values.items()}


@dataclass(frozen=True)
class Described:
    """A chain, or a pair, the heavy chain first."""

    chains: tuple[DescribedChain, ...]
    missing: tuple[str, ...] = ()  # extras of hfbio that were asked for and are not installed

    @property
    def sequence_aa(self) -> str:
        """Residues; of a pair ``HEAVY:LIGHT``."""
        return CHAIN_BREAK.join(chain.sequence_aa for chain in self.chains)

    @property
    def nats_per_residue(self) -> float | None:
        """Over all residues of all chains; ``None`` if one has none."""
        nats = [
            (chain.nats_per_residue, len(chain.sequence_aa))
            for chain in self.chains
            if chain.nats_per_residue is not None
        ]
        if len(nats) < len(self.chains):
            return None
        return sum(mean * n for mean, n in nats) / sum(n for _, n in nats)

    @property
    def perplexity(self) -> float | None:
        """``exp`` of the nats per residue."""
        return None if self.nats_per_residue is None else math.exp(self.nats_per_residue)

    def row(self) -> dict[str, Any]:
        """The columns of the chain; of a pair those of both, ending in _heavy and _light."""
        ends = CHAIN_ENDS[1:] if len(self.chains) > 1 else CHAIN_ENDS
        return {
            f"{name}{end}": value
            for chain, end in zip(self.chains, ends)
            for name, value in chain.row().items()
        }


def describe(
    model: AntibodyModel,
    sequences: Sequence[str],
    *,
    germline: bool = True,
    humanness: bool = True,
    likelihood: bool = True,
    species: Sequence[str] = ("human",),
    batch_size: int = 64,
    rows: int | None = None,
) -> list[Described]:
    """Describe chains, or pairs, chain by chain.

    What a package that is not installed would have said is ``None``, and the extra that brings it
    is named in ``missing``. A chain that is no whole variable domain has its fault and no more. How
    near a chain comes to the training chains is estimated where the bundle has a sketch of them.

    The likelihood is that of `AntibodyModel.score`, and dear with a masked model: one network row a
    residue, or fewer with ``rows``, which gives an estimate. Everything else takes milliseconds a
    chain, but for the first humanness of a process, which reads a list
    (`hfbio.score.humanness.oasis_identity`).

    Args:
        model: whose likelihood.
        sequences: residues in upper case, one variable domain each; ``HEAVY:LIGHT`` for a pair.
        germline: find the nearest germline genes (extra ``numbering``).
        humanness: find the OASis identity (extra ``humanness``).
        likelihood: ask the model. One of pairs reads whole pairs alone; another reads the chains
            of a pair one by one.
        species: whose germline genes to compare with.
        batch_size: rows of a network pass.
        rows: of a masked model for each chain; see `hfbio.score.likelihood.masked_log_p`.

    Returns:
        One an entry of ``sequences``, in order.

    Raises:
        SequenceError: an entry of more than two chains.
        ValueError: anarcism does not know a species.
    """
    if not sequences:
        return []  # reading the list of 9-mers for nobody would take seconds
    found = [_numbered(sequence) for sequence in sequences]
    missing: list[str] = []
    if germline:
        try:
            found = _with_germlines(found, species)
        except MissingExtra as error:
            missing.append(error.extra)
    if humanness:
        try:
            found = _with_humanness(found)
        except MissingExtra as error:
            missing.append(error.extra)
    if (sketch := model.sketch) is not None:
        found = _with_novelty(found, sketch)
    if likelihood:
        found = [_with_nats(model, each, batch_size, rows) for each in found]
    return [replace(each, missing=tuple(missing)) for each in found]


def _numbered(sequence: str) -> Described:
    if sequence.count(CHAIN_BREAK) > 1:
        raise SequenceError(
            f"{sequence:.40}… is more than two chains; give a chain, or HEAVY{CHAIN_BREAK}LIGHT"
        )
    design = examine(0, sequence, {}, {})
    return Described(tuple(_chain(chain) for chain in design.chains or (design,)))


def _chain(design: Design) -> DescribedChain:
    sequence = design.sequence_aa
    odd = [letter for letter in sequence if letter not in RESIDUES]
    if design.fault or odd:
        fault = design.fault or f"{odd[0]!r} is not one of {RESIDUES}"
        return DescribedChain(sequence, fault)
    return DescribedChain(
        sequence,
        locus=design.locus,
        positions=tuple(map(label, number(sequence).positions)),
        regions=design.regions,
        charge=charge(sequence),
        isoelectric_point=isoelectric_point(sequence),
        liabilities=liabilities(AntibodyRecord("", sequence)),
    )


def _valid(found: Sequence[Described]) -> list[str]:
    return [chain.sequence_aa for each in found for chain in each.chains if not chain.fault]


def _with_germlines(found: Sequence[Described], species: Sequence[str]) -> list[Described]:
    genes = iter(nearest_germline(_valid(found), species=species))
    return _with(found, lambda chain: replace(chain, germline=next(genes)))


def _with_humanness(found: Sequence[Described]) -> list[Described]:
    shares = iter(oasis_identity(_valid(found)))
    return _with(found, lambda chain: replace(chain, oasis_identity=next(shares)))


def _with_novelty(found: Sequence[Described], sketch: Sketch) -> list[Described]:
    chains = _valid(found)
    told = iter(zip(sketch.nearest(chains).tolist(), sketch.copies(chains).tolist()))

    def change(chain: DescribedChain) -> DescribedChain:
        identity, copy = next(told)
        near = None if math.isnan(identity) else identity  # of a locus that training did not see
        known = copy or sketch.n_chains == sketch.out_of  # else it may be one that was left out
        return replace(chain, training_identity=near, training_copy=copy if known else None)

    return _with(found, change)


def _with(
    found: Sequence[Described], change: Callable[[DescribedChain], DescribedChain]
) -> list[Described]:
    """Every chain without a fault changed, in order."""
    return [
        replace(each, chains=tuple(c if c.fault else change(c) for c in each.chains))
        for each in found
    ]


def _with_nats(
    model: AntibodyModel, each: Described, batch_size: int, rows: int | None
) -> Described:
    if model.layout != "paired":
        return _with([each], lambda chain: _read(model, (chain,), batch_size, rows)[0])[0]
    if len(each.chains) == 1 or any(chain.fault for chain in each.chains):
        unread = f"{model.base.name} reads whole pairs, HEAVY{CHAIN_BREAK}LIGHT"
        return _with([each], lambda chain: replace(chain, unread=unread))[0]
    return replace(each, chains=_read(model, each.chains, batch_size, rows))


def _read(
    model: AntibodyModel, chains: tuple[DescribedChain, ...], batch_size: int, rows: int | None
) -> tuple[DescribedChain, ...]:
    """The chains with what the model says of them when it reads them together."""
    records = [AntibodyRecord("", c.sequence_aa, locus=c.locus, regions=c.regions) for c in chains]
    record = PairedRecord(*records) if len(records) == 2 else records[0]
    if unread := model.base.unreadable(record):
        return tuple(replace(chain, unread=unread) for chain in chains)
    nats = chain_nats(model, record, batch_size=batch_size, rows=rows)
    return tuple(replace(c, nats_per_residue=n.mean().item()) for c, n in zip(chains, nats))
