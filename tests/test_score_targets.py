"""Targets and their sums: direction, unit, weights, and a search that follows them."""

import json
import math

import pytest
from antibodies import HEAVY, KAPPA
from test_cli import hfbio  # noqa: F401
from test_optimize import SMALL

from hfbio.errors import SettingError
from hfbio.model import Lead
from hfbio.sample import BeamSearch
from hfbio.score import targets
from hfbio.score.properties import charge
from hfbio.score.targets import TARGETS, charge_nearness, human_percent, weighted

LYSINES = HEAVY[:-1] + "KK"  # two positive charges more, a serine less


@pytest.fixture
def oasis(monkeypatch):
    """Shares that stand for the list of promb, which takes seconds to read."""

    def share(sequences):
        return [s.count("S") / len(s) for s in sequences]

    monkeypatch.setattr(targets, "oasis_identity", share)
    return share


def test_a_target_tells_its_unit_and_its_direction():
    assert set(TARGETS) == {"humanness", "charge"}
    assert all(target.unit and target.direction for target in TARGETS.values())


def test_humanness_is_in_per_cent(oasis):
    assert human_percent([HEAVY, KAPPA]) == [100 * share for share in oasis([HEAVY, KAPPA])]


def test_charge_rises_towards_what_is_wanted_from_either_side():
    at = charge(HEAVY)
    assert charge_nearness([HEAVY], at) == [0.0]
    above, below = charge_nearness([HEAVY], at + 3)[0], charge_nearness([HEAVY], at - 2)[0]
    assert (above, below) == pytest.approx((-3, -2))
    plus = charge_nearness([LYSINES], at + 3)[0]
    assert plus == pytest.approx(above + 2, abs=0.01)


def test_a_sum_weighs_each_target(oasis):
    chains = [HEAVY, LYSINES]
    guide = weighted({"humanness": 2.0, "charge": 0.5}, wanted_charge=5.0)
    by_hand = [
        2 * human + 0.5 * near
        for human, near in zip(human_percent(chains), charge_nearness(chains, 5.0))
    ]
    assert guide(chains) == pytest.approx(by_hand)
    assert weighted({"charge": 1.0})(chains) == charge_nearness(chains)
    assert guide([]) == []


def test_a_weight_of_nothing_asks_nobody(monkeypatch):
    monkeypatch.setattr(targets, "oasis_identity", lambda chains: 1 / 0)
    assert weighted({"humanness": 0.0})([HEAVY]) == [0.0]


@pytest.mark.parametrize(
    ("weights", "settings", "message"),
    [
        ({}, {}, "name at least one target: humanness, charge"),
        ({"pretty": 1.0}, {}, "no target 'pretty'; choose from humanness, charge"),
        ({"charge": -1.0}, {}, "weight of charge must be >= 0 and finite, got -1"),
        ({"charge": math.nan}, {}, "must be >= 0 and finite, got nan"),
        ({"charge": 1.0}, {"wanted_charge": math.inf}, "charge wanted must be finite"),
    ],
)
def test_what_is_no_sum_of_targets_is_told(weights, settings, message):
    with pytest.raises(SettingError, match=message):
        weighted(weights, **settings)


def test_a_search_moves_the_charge_where_it_is_wanted(sapiens):
    wanted = charge(HEAVY) - 2
    guide = weighted({"charge": 20.0}, wanted_charge=wanted)
    search = BeamSearch(edits=2, beam=6, shortlist=400, temperature=0.0)
    made = sapiens.optimize(Lead(HEAVY, num=1, freeze="cdrs"), search=search, guide=guide)
    (best,) = made.kept
    assert charge(best.design.sequence_aa) == pytest.approx(wanted, abs=0.3)
    assert best.variant.guide == pytest.approx(guide([best.design.sequence_aa])[0])
    gain = best.variant.guide - best.lead_guide
    assert best.variant.total == pytest.approx(best.variant.log_ratio + gain)
    assert made.report.settings["guide"] == repr(guide)
    plain = sapiens.optimize(Lead(HEAVY, num=1, freeze="cdrs"), search=SMALL).kept[0]
    assert abs(charge(plain.design.sequence_aa) - wanted) > 1


# --- the command -------------------------------------------------------------------------------


def test_targets_of_the_command_are_the_guide(hfbio, tmp_path, monkeypatch, sapiens, oasis):  # noqa: F811
    monkeypatch.setattr("hfbio.model.load", lambda *_, **__: sapiens)
    code, out, _ = hfbio(
        *["optimize", "sapiens-vh", "--sequence", HEAVY, "--edits", 1, "--beam", 4, "--num", 1],
        *["--target", "humanness=3", "--target", "charge=0.5", "--charge", 4, "--output", "d.csv"],
    )
    assert code == 0
    expected = weighted({"humanness": 3.0, "charge": 0.5}, wanted_charge=4.0)
    assert f"guide {expected([HEAVY])[0]:.4g}" in out
    account = json.loads((tmp_path / "d.report.json").read_text())
    assert account["settings"]["guide"] == repr(expected)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--target", "humanness"], "--target must be NAME=WEIGHT"),
        (["--target", "humanness=much"], "--target must be NAME=WEIGHT"),
        (["--target", "beauty=1"], "there is no target 'beauty'"),
        (["--target", "charge=-1"], "must be >= 0 and finite"),
        (["--target", "charge=1", "--target", "charge=2"], "charge is given twice"),
        (["--target", "humanness=1", "--charge", 3], "is what --target charge=WEIGHT"),
        (["--target", "charge=1", "--guide", "math:fsum"], "are two scores; give one"),
    ],
)
def test_a_faulty_target_is_told_before_the_work(hfbio, tmp_path, flags, message):  # noqa: F811
    code, _, err = hfbio(
        *["optimize", "sapiens-vh", "--sequence", HEAVY, "--output", "d.csv", *flags]
    )
    assert code == 2
    assert message in err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
