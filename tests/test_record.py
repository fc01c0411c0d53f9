"""The record: regions cut the domain."""

from hfbio.record import REGIONS, AntibodyRecord


def test_regions_cut_the_sequence_without_gap_or_overlap():
    record = AntibodyRecord("a", "ABCDEFGHIJ", regions=(0, 2, 3, 4, 5, 8, 9, 10))
    parts = [record.region(name) for name in REGIONS]
    assert parts == ["AB", "C", "D", "E", "FGH", "I", "J"]
