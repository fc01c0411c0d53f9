"""Liabilities of a chain: the sites of a known antibody, and what is one and what is not."""

import pytest
from antibodies import HEAVY, KAPPA, heavy_with, random_cdr3s

from hfbio.errors import SequenceError
from hfbio.numbering import number
from hfbio.record import REGIONS, AntibodyRecord
from hfbio.sample.rules import NAMED, Rules
from hfbio.score.liabilities import KINDS, Liability, liabilities


def found(sequence):
    return liabilities(AntibodyRecord("a", sequence))


def of_kind(kind, sequence):
    return [site.motif for site in found(sequence) if site.kind == kind]


def of_loop(kind, cdr3):
    sites = found(heavy_with(cdr3))
    return [site.motif for site in sites if (site.kind, site.region) == (kind, "cdr3")]


def test_the_sites_of_trastuzumab():
    # Harris et al. 2001, J. Chromatogr. B 752, 233-245: deamidated at Asn 55 of the heavy and Asn
    # 30 of the light chain, isomerised at Asp 102 of the heavy chain. The other three are in CDRs
    # and not among those that were seen to change.
    heavy = [(s.kind, s.motif, s.start + 1, s.region, s.position) for s in found(HEAVY)]
    assert heavy == [
        ("isomerisation", "DT", 31, "cdr1", "36"),
        ("deamidation", "NG", 55, "cdr2", "62"),
        ("oxidation", "W", 99, "cdr3", "107"),
        ("isomerisation", "DG", 102, "cdr3", "110"),
        ("oxidation", "M", 107, "cdr3", "115"),
    ]
    assert found(KAPPA) == (Liability("deamidation", "NT", 29, 31, "cdr1", "36"),)


def test_a_sequon_counts_in_frameworks_and_not_before_proline():
    assert of_kind("nglyc", HEAVY) == []
    # In fwr3, SKNTAY: Asn, and a Ser or Thr two further on.
    assert of_kind("nglyc", HEAVY.replace("SKNTAY", "SKNTSY")) == ["NTS"]
    assert of_kind("nglyc", HEAVY.replace("SKNTAY", "SKNPSY")) == []


def test_what_changes_by_itself_is_looked_for_in_cdrs_alone():
    # The frameworks of the heavy chain hold NT, NS, M, W and DT.
    record = AntibodyRecord("a", HEAVY, regions=number(HEAVY).regions)
    framework = "".join(map(record.region, REGIONS[::2]))
    assert all(motif in framework for motif in ("NT", "NS", "M", "W", "DT"))
    for site in (*found(HEAVY), *found(KAPPA)):
        assert site.region.startswith("cdr")
    assert of_loop("fragmentation", "ARDPYYFDY") == ["DP"]
    assert of_kind("fragmentation", HEAVY.replace("AEDTAV", "AEDPAV")) == []


def test_overlapping_sites_are_all_told():
    assert of_loop("deamidation", "ARNNGYFDY") == ["NN", "NG"]
    assert of_loop("isomerisation", "ARDDGYFDY") == ["DD", "DG"]


@pytest.mark.parametrize("motif", ["NG", "NS", "NT", "NA", "NH", "NN"])
def test_asparagine_before_a_small_residue_deamidates(motif):
    assert of_loop("deamidation", f"AR{motif}VYFDY") == [motif]


@pytest.mark.parametrize("motif", ["NV", "NI", "NP", "QG", "SN"])
def test_other_pairs_do_not(motif):
    assert of_loop("deamidation", f"AR{motif}VYFDY") == []


def test_the_two_cysteines_of_the_bridge_are_not_free():
    assert of_kind("free_cys", HEAVY) == of_kind("free_cys", KAPPA) == []
    (site,) = [s for s in found(heavy_with("ARWCGYFDY")) if s.kind == "free_cys"]
    assert (site.region, site.position) == ("cdr3", "108")
    # In a framework too.
    assert of_kind("free_cys", HEAVY.replace("VQPGG", "VQPCG")) == ["C"]


def test_an_inserted_position_has_its_letter():
    sites = found(heavy_with("ARVYYVYYYNGYYVYYVFDY"))
    (site,) = [s for s in sites if (s.kind, s.region) == ("deamidation", "cdr3")]
    positions = number(heavy_with("ARVYYVYYYNGYYVYYVFDY")).positions
    expected = positions[site.start]
    assert expected[1]
    assert site.position == f"{expected[0]}{expected[1]}"


def test_sites_are_sorted_and_say_what_stands_there():
    for loop in random_cdr3s(100, seed=1):
        sequence = heavy_with(loop)
        cuts = number(sequence).regions
        sites = found(sequence)
        assert list(sites) == sorted(sites, key=lambda s: s.start)
        for site in sites:
            assert sequence[site.start : site.stop] == site.motif
            assert site.kind in KINDS
            k = REGIONS.index(site.region)
            assert cuts[k] <= site.start < cuts[k + 1]


def test_a_rule_of_a_name_forbids_liabilities_of_that_name():
    # So that forbidding nglyc and then counting nglyc gives none.
    assert set(NAMED) <= set(KINDS)
    for loop in random_cdr3s(300, seed=2):
        sequence = heavy_with(loop)
        cuts = number(sequence).regions
        free = [cuts[5] <= i < cuts[6] for i in range(len(sequence))]
        broken = Rules.parse(["nglyc"]).broken(sequence, free)
        in_loop = [s for s in found(sequence) if s.kind == "nglyc" and any(free[s.start : s.stop])]
        assert bool(broken) == bool(in_loop)


@pytest.mark.parametrize(
    ("sequence", "match"),
    [
        (HEAVY.replace("GDG", "GXG"), "'X' at residue 102"),
        (HEAVY + "ASTKGP", "1-120 of 126"),
        ("ACDEFG", "not an antibody"),
    ],
)
def test_what_is_no_domain_alone_is_refused(sequence, match):
    with pytest.raises(SequenceError, match=match):
        found(sequence)
