"""Values of repertoire files in one spelling."""

import pytest

from hfbio.data import values


@pytest.mark.parametrize(
    ("call", "gene"),
    [
        ("Homsap IGHV3-11*05 F", "IGHV3-11*05"),
        ("Homsap IGHV3-11*05 F,Homsap IGHV3-11*06 F", "IGHV3-11*05"),
        ("IGHV1/OR15-1*01", "IGHV1/OR15-1*01"),
        ("IGKV1D-39", "IGKV1D-39"),
        ("ighj4*02", "IGHJ4*02"),
        ("unresolved", ""),
        ("", ""),
    ],
)
def test_the_first_gene_of_a_call_is_taken(call, gene):
    assert values.gene(call) == gene


@pytest.mark.parametrize(
    ("constant", "isotype"),
    [
        ("IGHG1*03", "IGHG"),
        ("Homsap IGHA2*01 F", "IGHA"),
        ("IgM", "IGHM"),
        ("IgG4", "IGHG"),
        ("IGHD", "IGHD"),
        ("IGKC", "IGKC"),
        ("IGLC2", "IGLC"),
        ("Bulk", ""),
        ("PIGEON", ""),
        ("", ""),
    ],
)
def test_isotypes_are_classes(constant, isotype):
    assert values.isotype(constant) == isotype


def test_species_come_from_their_column_or_else_from_gene_calls():
    assert values.species("Homo_sapiens") == "human"
    assert values.species("Mus musculus", "Homsap IGHV3-11*05 F") == "mouse"
    assert values.species("", "Musmus IGHV1-4*01 F") == "mouse"
    assert values.species("", "IGHV1-4*01") == ""
    assert values.species("Axolotl") == "axolotl"


@pytest.mark.parametrize(
    ("name", "locus"),
    [("IGH", "IGH"), ("Heavy", "IGH"), ("kappa", "IGK"), ("L", ""), ("light", ""), ("TRB", "TRB")],
)
def test_a_locus_is_only_named_where_it_is_sure(name, locus):
    assert values.locus(name) == locus


def test_counts_are_whole_and_at_least_one():
    assert [values.count(v) for v in ("3", "3.0", "", "0", "-2", "many", "inf")] == [
        *(3, 3, 1, 1),
        *(1, 1, 1),
    ]
