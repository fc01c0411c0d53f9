"""What is said of designs, one by one and as a set."""

import pytest
from antibodies import GLOBIN, HEAVY, KAPPA, TCR_BETA, heavy_with, random_cdr3s
from toys import numbered

from hfbio.record import REGIONS
from hfbio.score.panel import add_novelty, examine, report

ANY = {"locus": "*"}


def examined(sequences, conditions=ANY):
    seen = {}
    return [examine(i, s, seen, conditions) for i, s in enumerate(sequences)]


def test_a_domain_is_valid_and_its_regions_are_found():
    (design,) = examined([HEAVY])
    assert design.valid
    assert design.locus == "IGH"
    assert design.sequence_id == "design-000000"
    row = design.row()
    assert row["cdr3_aa"] == "SRWGGDGFYAMDY"
    assert "".join(row[f"{name}_aa"] for name in REGIONS) == HEAVY
    assert row["valid"] is True
    assert row["fault"] == row["duplicate_of"] == row["nearest_identity"] == ""
    assert row["asked_locus"] == "*"


def test_a_design_with_more_than_its_domain_is_not_valid():
    (design,) = examined(["MKWVT" + HEAVY + "ASTKG"])
    assert design.fault == "residues beyond the domain: 10"


@pytest.mark.parametrize(
    "sequence", ["", "A", "ACDEFGHIKL" * 12, GLOBIN, TCR_BETA, HEAVY[:60], HEAVY.replace("C", "S")]
)
def test_what_is_no_antibody_domain_has_a_fault_and_no_regions(sequence):
    (design,) = examined([sequence])
    assert not design.valid
    assert design.fault
    assert design.regions == ()
    assert design.locus == design.row()["cdr3_aa"] == ""


def test_another_locus_than_asked_is_a_fault():
    heavy, light = examined([HEAVY, KAPPA], {"locus": "IGH", "species": "human"})
    assert heavy.valid
    assert light.fault == "another locus than asked: IGK, not IGH"


def test_a_repeat_names_its_first_draw_whether_valid_or_not():
    designs = examined([HEAVY, "AAA", HEAVY, "AAA", HEAVY])
    assert [design.duplicate_of for design in designs] == [None, None, 0, 1, 0]
    assert [design.index for design in designs] == list(range(5))


def test_the_counts_of_a_report_add_up():
    designs = examined([HEAVY, "AAA", HEAVY, KAPPA, "CCC", heavy_with("ARDYW")], {"locus": "IGH"})
    kept = [d for d in designs if d.valid and d.duplicate_of is None]
    counts = report(4, designs, kept)
    assert (counts.asked, counts.drawn, counts.valid, counts.unique, counts.kept) == (4, 6, 3, 2, 2)
    assert counts.valid + sum(counts.faults.values()) == counts.drawn
    assert counts.faults["another locus than asked"] == 1
    assert counts.novel is None  # nothing to compare with
    assert counts.median_nearest_identity is None
    assert counts.to_dict()["faults"] == counts.faults


def test_a_design_is_novel_unless_it_equals_a_reference_chain():
    designs = examined([HEAVY, heavy_with("ARDYW"), "AAA", "Q" + HEAVY[1:]])
    compared = add_novelty(designs, [numbered(HEAVY)])
    assert [d.index for d in compared] == [0, 1, 2, 3]
    identity = [d.nearest_identity for d in compared]
    assert identity[0] == 1
    assert identity[2] is None
    assert identity[3] == pytest.approx(119 / 120)
    assert 0.8 < identity[1] < 1
    counts = report(4, compared, compared)
    assert counts.novel == 2
    assert counts.median_nearest_identity == pytest.approx(119 / 120)


def test_a_design_of_a_locus_that_the_reference_lacks_is_novel():
    designs = add_novelty(examined([KAPPA, HEAVY]), [numbered(s) for s in (HEAVY,)])
    assert [d.nearest_identity for d in designs] == [0, 1]
    assert report(2, designs, designs).novel == 1


def test_the_nearest_of_many_reference_chains_counts():
    cdr3s = random_cdr3s(5)
    design = examined([heavy_with(cdr3s[0])])
    reference = [numbered(heavy_with(cdr3)) for cdr3 in cdr3s]
    assert add_novelty(design, reference)[0].nearest_identity == 1
    assert add_novelty(design, reference[1:])[0].nearest_identity < 1
