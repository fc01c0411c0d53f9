"""Charge, isoelectric point and hydropathy, against arithmetic done by hand."""

import random
from itertools import pairwise
from math import log10

import pytest
from antibodies import HEAVY, KAPPA

from hfbio.alphabet import RESIDUES
from hfbio.errors import SequenceError, SettingError
from hfbio.score.properties import (
    HYDROPATHY,
    charge,
    hydropathy,
    isoelectric_point,
    side_chain_charge,
)


def test_a_group_is_half_charged_at_its_pk():
    # One group a peptide apart from the ends; pK of Thurlkill et al. 2006, table 2.
    for letter, pk in {"H": 6.54, "K": 10.40, "R": 13.8}.items():
        assert side_chain_charge(letter, pk) == pytest.approx(0.5)
    for letter, pk in {"D": 3.67, "E": 4.25, "C": 8.55, "Y": 9.84}.items():
        assert side_chain_charge(letter, pk) == pytest.approx(-0.5)
    assert side_chain_charge("AFGILMNPQSTVW", 7.4) == 0


def test_the_ends_are_an_amino_and_a_carboxyl_group():
    # Glycine at pH 8: the amino group (pK 8.00) is half charged, the carboxyl group wholly.
    assert charge("G", 8.0) == pytest.approx(0.5 - 1 / (1 + 10 ** (3.67 - 8.0)))
    # At pH 7.4: 1 / (1 + 10 ** -0.6) = 0.79924, and 1 / (1 + 10 ** -3.73) = 0.99981.
    assert charge("GAG") == pytest.approx(0.79924 - 0.99981, abs=1e-5)


def test_the_charge_of_a_peptide_is_the_sum_of_its_groups():
    # Angiotensin II at pH 7.4: D -0.99981, R +1.00000, Y -0.00362, H +0.12131, ends -0.20057.
    assert charge("DRVYIHPF") == pytest.approx(-0.08269, abs=3e-5)


def test_glycine_has_its_isoelectric_point_between_the_two_ends():
    # Two groups: the mean of their pK.
    assert isoelectric_point("G") == pytest.approx((8.00 + 3.67) / 2, abs=0.01)


def test_an_isoelectric_point_lies_between_the_groups_that_balance():
    # Lysine: amino group and side chain share one charge. With a = 10 ** -8.00, b = 10 ** -10.40
    # and the carboxylate whole, h / (h + a) + h / (h + b) = 1 gives h ** 2 = a * b.
    assert isoelectric_point("K") == pytest.approx((8.00 + 10.40) / 2, abs=0.01)
    # Aspartate: two carboxyl groups of one pK share one charge, the amino group whole: half each.
    assert isoelectric_point("D") == pytest.approx(3.67, abs=0.01)


def test_a_chain_of_one_charge_has_its_isoelectric_point_beyond_the_scale():
    # n arginines against one carboxylate: n / (1 + 10 ** (pI - 13.8)) = 1.
    assert isoelectric_point("R" * 1001) == pytest.approx(13.8 + log10(1000), abs=0.01)


@pytest.mark.parametrize("sequence", [HEAVY, KAPPA, "K" * 50, "DE" * 50, "G"])
def test_the_charge_falls_with_ph_and_is_zero_at_the_isoelectric_point(sequence):
    charges = [charge(sequence, ph / 4) for ph in range(57)]
    assert all(a > b for a, b in pairwise(charges))
    point = isoelectric_point(sequence)
    assert charge(sequence, point - 0.01) > 0 > charge(sequence, point + 0.01)


def test_far_from_every_pk_the_charge_is_a_count():
    # At pH 0.5 each carboxyl group has lost 0.0007 of its proton, at pH 14 each thiol all of it.
    bases = 1 + sum(map(HEAVY.count, "HKR"))
    assert charge(HEAVY, 0.5) == pytest.approx(bases, abs=0.01)
    assert charge("DECYDECY", 14.0) == pytest.approx(-9, abs=0.001)


def test_order_changes_nothing():
    letters = list(KAPPA)
    random.Random(0).shuffle(letters)
    assert charge("".join(letters)) == pytest.approx(charge(KAPPA))


def test_the_chains_of_trastuzumab_are_basic():
    # The antibody focuses at pH 8.7 to 9.1; a pK table with its signs exchanged gives acids.
    for sequence in (HEAVY, KAPPA):
        assert charge(sequence, 7.4) > 0.5
        assert 7.5 < isoelectric_point(sequence) < 9.5


def test_hydropathy_is_the_mean_of_the_scale():
    assert set(HYDROPATHY) == set(RESIDUES)
    assert hydropathy("IR") == pytest.approx(0)  # 4.5 and -4.5, the two ends of the scale
    assert hydropathy("AAG") == pytest.approx((1.8 + 1.8 - 0.4) / 3)
    # The scale sums to -9.8 (Kyte and Doolittle 1982, table 2).
    assert hydropathy(RESIDUES) == pytest.approx(-9.8 / 20)


@pytest.mark.parametrize("bad", ["AXA", "ACDx", "AC DE", "АCD", "AC*"])
def test_other_letters_are_named(bad):
    for function in (charge, isoelectric_point, hydropathy):
        with pytest.raises(SequenceError, match=r"at residue \d is not one of"):
            function(bad)


def test_an_empty_chain_has_no_properties():
    for function in (charge, isoelectric_point, hydropathy):
        with pytest.raises(SequenceError, match="empty"):
            function("")


@pytest.mark.parametrize("ph", [-0.1, 14.1, float("nan"), float("inf"), 1e6])
def test_a_ph_is_a_ph(ph):
    for function in (charge, side_chain_charge):
        with pytest.raises(SettingError, match="ph must be"):
            function("ACD", ph)
