"""A few of many chains: every clone has its turn."""

import numpy as np
import pytest
from antibodies import heavy_with, random_cdr3s
from toys import numbered

from hfbio.data import thin as thinning
from hfbio.data.thin import thin


def chains(sizes):
    """Clones of the given sizes, one after another; light differences keep the sequences apart."""
    found = []
    for clone, (size, cdr3) in enumerate(zip(sizes, random_cdr3s(len(sizes)), strict=True)):
        for i in range(size):
            varied = heavy_with(cdr3)[:-1] + "SATGVLIMFYWHKRNQDEPC"[i]
            found.append(numbered(varied, f"{clone}.{i}"))
    return found


def test_all_are_kept_where_there_is_room():
    assert thin(chains([3, 1]), 4).tolist() == [0, 1, 2, 3]


def test_a_clone_has_its_first_before_any_has_its_second():
    kept = thin(chains([9, 1, 4, 1]), 6)
    names = [chains([9, 1, 4, 1])[i].sequence_id for i in kept]
    assert names == ["0.0", "0.1", "1.0", "2.0", "2.1", "3.0"]


def test_too_many_clones_are_taken_from_all_over_the_table():
    kept = thin(chains([1] * 40), 10)
    assert kept.tolist() == list(range(0, 40, 4))


def test_clones_are_looked_for_among_some_of_very_many_chains(monkeypatch):
    monkeypatch.setattr(thinning, "_GROUPED", 8)
    kept = thin(chains([16]), 4)
    assert len(set(kept)) == 4
    assert set(kept) <= set(np.arange(8) * 2)


@pytest.mark.parametrize("most", [1, 5, 13])
def test_as_many_as_asked_for_each_once_in_order(most):
    kept = thin(chains([9, 1, 4, 1]), most)
    assert len(kept) == most
    assert (np.diff(kept) > 0).all()
