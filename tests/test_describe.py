"""What is said of given chains: the same as its parts say, and what is missing by name."""

import math
import sys

import pytest
from antibodies import GLOBIN, HEAVY, KAPPA, heavy_with, random_cdr3s
from test_sample_pairs import model as model_of_pairs  # noqa: F401
from toys import numbered

from hfbio.errors import SequenceError
from hfbio.model import describe as module
from hfbio.model.describe import describe
from hfbio.numbering import nearest_germline, number
from hfbio.record import PairedRecord
from hfbio.score.liabilities import liabilities
from hfbio.score.properties import charge, isoelectric_point

PAIR = f"{HEAVY}:{KAPPA}"
CHEAP = {"germline": False, "humanness": False}


def test_a_chain_is_described_as_its_parts_say(sapiens, monkeypatch):
    pytest.importorskip("anarcism")
    monkeypatch.setattr(module, "oasis_identity", lambda chains: [len(c) / 1000 for c in chains])
    other = heavy_with(random_cdr3s(1)[0])
    first, second = describe(sapiens, [HEAVY, other])
    (chain,) = first.chains
    domain = number(HEAVY)
    assert chain.positions == tuple(f"{n}{letter}" for n, letter in domain.positions)
    assert (chain.locus, chain.regions, chain.fault) == ("IGH", domain.regions, "")
    assert [chain.germline] == nearest_germline([HEAVY])
    assert chain.germline.v_gene.startswith("IGHV3-")
    assert (chain.oasis_identity, second.chains[0].oasis_identity) == (0.12, len(other) / 1000)
    (row,) = sapiens.score([numbered(HEAVY)])
    assert first.nats_per_residue == pytest.approx(row["nats_per_residue"])
    assert first.perplexity == chain.perplexity == pytest.approx(row["perplexity"])
    assert second.nats_per_residue != first.nats_per_residue
    assert chain.charge == charge(HEAVY)
    assert chain.isoelectric_point == isoelectric_point(HEAVY)
    assert chain.liabilities == liabilities(numbered(HEAVY))
    assert {site.kind for site in chain.liabilities} >= {"isomerisation", "oxidation"}
    assert first.missing == second.missing == ()
    shown = first.row()
    assert shown["liabilities"].startswith(f"{chain.liabilities[0].kind}@")
    assert (shown["v_call"], shown["locus"]) == (chain.germline.v_gene, "IGH")
    assert first.sequence_aa == HEAVY


def test_what_is_not_asked_for_is_not_there(sapiens):
    (found,) = describe(sapiens, [HEAVY], **CHEAP, likelihood=False)
    (chain,) = found.chains
    values = (chain.germline, chain.oasis_identity, chain.nats_per_residue, chain.unread)
    assert values == (None, None, None, "")
    assert found.nats_per_residue is found.perplexity is None
    assert found.missing == ()
    assert found.row()["perplexity"] == ""


def test_an_extra_that_is_not_installed_is_named_and_the_rest_is_said(sapiens, monkeypatch):
    monkeypatch.setitem(sys.modules, "anarcism", None)
    monkeypatch.setitem(sys.modules, "promb", None)
    from hfbio.score import humanness

    humanness._peptides.cache_clear()
    found = describe(sapiens, [HEAVY, GLOBIN], likelihood=False)
    assert [each.missing for each in found] == [("numbering", "humanness")] * 2
    assert found[0].chains[0].locus == "IGH"
    assert found[0].chains[0].germline is found[0].chains[0].oasis_identity is None
    (found,) = describe(sapiens, [HEAVY], humanness=False, likelihood=False)
    assert found.missing == ("numbering",)


def test_a_chain_with_a_fault_keeps_its_place_and_shifts_nobody(sapiens, monkeypatch):
    pytest.importorskip("anarcism")
    monkeypatch.setattr(module, "oasis_identity", lambda chains: [c.count("W") for c in chains])
    odd = HEAVY[:9] + "X" + HEAVY[10:]
    given = [GLOBIN, HEAVY, "", "EV" + HEAVY, odd, "<b>", heavy_with("ARWWWWWDY"), KAPPA]
    found = [each.chains[0] for each in describe(sapiens, given, likelihood=False)]
    assert [chain.sequence_aa for chain in found] == given
    assert [bool(chain.fault) for chain in found] == [True, False, *[True] * 4, False, False]
    assert "beyond the domain: 2" in found[3].fault
    assert "'X' is not one of" in found[4].fault
    assert all(c.locus == "" and c.positions == c.regions == () for c in found if c.fault)
    assert all(c.germline is c.oasis_identity is None for c in found if c.fault)
    assert [c.oasis_identity for c in found if not c.fault] == [
        sequence.count("W") for sequence in (HEAVY, given[6], KAPPA)
    ]
    assert found[7].germline.v_gene.startswith("IGKV1-")


def test_a_chain_the_model_does_not_read_says_why(sapiens):
    heavy, light = describe(sapiens, [HEAVY, KAPPA], **CHEAP)
    assert heavy.chains[0].unread == ""
    assert light.nats_per_residue is None
    assert light.chains[0].unread == "IGK chain; sapiens-vh knows IGH"
    assert light.chains[0].locus == "IGK"


def test_a_pair_on_a_model_of_chains_is_read_chain_by_chain(sapiens):
    (found,) = describe(sapiens, [PAIR], **CHEAP)
    heavy, light = found.chains
    (alone,) = describe(sapiens, [HEAVY], **CHEAP)
    assert heavy == alone.chains[0]
    assert light.unread
    assert found.sequence_aa == PAIR
    assert found.nats_per_residue is None  # one of two would pass for both
    row = found.row()
    assert (row["locus_heavy"], row["locus_light"]) == ("IGH", "IGK")
    assert row["sequence_aa_light"] == KAPPA


def test_a_model_of_pairs_reads_the_pair(model_of_pairs):  # noqa: F811
    (found,) = describe(model_of_pairs, [PAIR], **CHEAP)
    record = PairedRecord(numbered(HEAVY), numbered(KAPPA))
    (row,) = model_of_pairs.score([record])
    assert found.nats_per_residue == pytest.approx(row["nats_per_residue"], rel=1e-5)
    assert found.perplexity == pytest.approx(math.exp(row["nats_per_residue"]), rel=1e-5)
    heavy, light = found.chains
    assert heavy.nats_per_residue != light.nats_per_residue
    for sequence in (HEAVY, f"{HEAVY}:{GLOBIN}"):
        (found,) = describe(model_of_pairs, [sequence], **CHEAP)
        assert "reads whole pairs" in found.chains[0].unread
        assert found.nats_per_residue is None


def test_chains_the_wrong_way_round_are_a_fault_and_three_are_refused(sapiens):
    (found,) = describe(sapiens, [f"{KAPPA}:{HEAVY}"], **CHEAP)
    assert all("another locus than asked" in chain.fault for chain in found.chains)
    with pytest.raises(SequenceError, match="more than two chains"):
        describe(sapiens, [f"{PAIR}:{HEAVY}"], **CHEAP)
    assert describe(sapiens, []) == []


def test_the_order_of_the_chains_is_of_no_matter(sapiens):
    chains = [heavy_with(cdr3) for cdr3 in random_cdr3s(3)]
    found = describe(sapiens, chains, **CHEAP)
    again = describe(sapiens, chains[::-1], **CHEAP)
    assert again[::-1] == found
