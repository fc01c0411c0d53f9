"""Humanness by 9-mers, on antibodies whose origin is known."""

import sys

import pytest

from hfbio.errors import MissingExtra, SequenceError
from hfbio.models.verify import TRASTUZUMAB_VH
from hfbio.score import humanness
from hfbio.score.humanness import oasis_identity

# Muromonab (OKT3), a murine antibody: its heavy chain as in the INN listing.
MUROMONAB_VH = (
    "QVQLQQSGAELARPGASVKMSCKASGYTFTRYTMHWVKQRPGQGLEWIGYINPSRGYTNYNQKFKDKATLTTDKSSSTAYMQLSSLTSEDSAVYYC"
    "ARYYDDHYCLDYWGQGTTLTVSS"
)


@pytest.mark.slow  # the list takes 20 s to read
def test_a_humanised_chain_is_more_human_than_a_murine_one_and_noise():
    noise = "".join(reversed(TRASTUZUMAB_VH))
    humanised, murine, backwards = oasis_identity([TRASTUZUMAB_VH, MUROMONAB_VH, noise])
    # 79 of the 112 9-mers of trastuzumab, as promb itself counts them.
    assert humanised == pytest.approx(79 / 112)
    assert backwards < murine < humanised
    assert backwards < 0.02


def test_a_chain_without_a_9_mer_is_refused():
    with pytest.raises(SequenceError, match="sequence 1 has 8 residues"):
        oasis_identity([TRASTUZUMAB_VH, "EVQLVESG"])


def test_without_promb_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "promb", None)
    humanness._peptides.cache_clear()
    with pytest.raises(MissingExtra, match=r"hfbio\[humanness\]"):
        oasis_identity([TRASTUZUMAB_VH])
