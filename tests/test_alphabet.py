"""The alphabet and the genetic code."""

from collections import Counter

from hfbio.alphabet import AMBIGUOUS, CODONS, RESIDUES, STOP, UNKNOWN, translate


def test_residues_and_ambiguity_codes_are_the_whole_latin_alphabet():
    assert sorted(RESIDUES + AMBIGUOUS) == [chr(c) for c in range(ord("A"), ord("Z") + 1)]


def test_the_code_has_the_known_degeneracies():
    # NCBI translation table 1: six codons for L, S, R; one for M and W; three stops.
    degeneracy = Counter(CODONS.values())
    assert len(CODONS) == 64
    assert degeneracy["L"] == degeneracy["S"] == degeneracy["R"] == 6
    assert degeneracy["M"] == degeneracy["W"] == 1
    assert degeneracy[STOP] == 3
    assert {c for c, aa in CODONS.items() if aa == STOP} == {"TAA", "TAG", "TGA"}


def test_translation_reads_known_codons_and_drops_a_part_codon():
    assert translate("GAGGTGCAGCTGGTG") == "EVQLV"  # the usual start of IGHV3
    assert translate("GAGGTGCA") == "EV"


def test_an_ambiguous_codon_is_unknown_even_where_its_meaning_is_sure():
    assert translate("GGN") == UNKNOWN  # every GGx is glycine; no guess is made all the same
