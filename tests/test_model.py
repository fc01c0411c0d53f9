"""`hfbio.load` and what it gives: the same designs, honest refusals, an end to every request."""

import dataclasses
import json
import shutil
from importlib.resources import files

import pytest
from antibodies import HEAVY, KAPPA, heavy_with, random_cdr3s
from bundles import edited, make_bundle
from toys import numbered

import hfbio
from hfbio.errors import (
    AdapterMismatch,
    BundleError,
    DataError,
    SequenceError,
    SettingError,
    UnknownModel,
)
from hfbio.model import load
from hfbio.record import AntibodyRecord
from hfbio.sample import Request

HOLE = HEAVY.replace("SRWGGDGFYAMDY", "_" * 13)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    make_bundle(folder)
    return folder


@pytest.fixture(scope="session")
def tuned(folder):
    return load(folder)


def sequences(designs):
    return [design.sequence_aa for design in designs.kept]


def all_draws(**settings):
    return Request(keep="all", **settings)


# --- same seed, same designs -------------------------------------------------------------------


@pytest.mark.parametrize("order", ["ancestral", "entropy"])
def test_design_i_is_the_same_however_many_are_asked_for_and_whenever(sapiens, order):
    sampler = sapiens.sampler(order=order, steps=3)
    few = sapiens.sample(all_draws(num=8, length=120), sampler=sampler)
    many = sapiens.sample(all_draws(num=64, length=120), sampler=sampler)
    again = sapiens.sample(all_draws(num=8, length=120), sampler=sampler)
    assert sequences(few) == sequences(many)[:8] == sequences(again)
    assert len(set(sequences(many))) == 64
    other = sapiens.sample(all_draws(num=8, length=120, seed=1), sampler=sampler)
    assert not set(sequences(few)) & set(sequences(other))


def test_lengths_of_a_range_are_drawn_evenly_and_belong_to_the_design(sapiens):
    sampler = sapiens.sampler(steps=1)
    many = sapiens.sample(all_draws(num=64, length=(118, 121)), sampler=sampler)
    lengths = [len(sequence) for sequence in sequences(many)]
    assert set(lengths) == {118, 119, 120, 121}
    assert max(lengths.count(n) for n in set(lengths)) < 32  # of 64; evenly gives 16
    few = sapiens.sample(all_draws(num=5, length=(118, 121)), sampler=sampler)
    assert sequences(few) == sequences(many)[:5]


def test_a_scaffold_keeps_its_letters_in_every_design(sapiens):
    for settings in ({"steps": 1}, {"steps": 20, "order": "entropy"}, {"temperature": 3.0}):
        sampler = sapiens.sampler(**{"steps": 4, **settings})
        made = sapiens.sample(all_draws(num=16, scaffold=HOLE), sampler=sampler)
        for sequence in sequences(made):
            assert len(sequence) == len(HOLE)
            assert all(a == b for a, b in zip(HOLE, sequence) if a != "_")
        assert len(set(sequences(made))) > 1


def test_a_redesigned_cdr3_is_a_valid_and_distinct_chain(sapiens):
    sampler = sapiens.sampler(steps=4, temperature=0.8)
    made = sapiens.sample(
        Request(num=5, scaffold=HOLE), sampler=sampler, reference=[numbered(HEAVY)]
    )
    assert made.report.kept == len(set(sequences(made))) == 5
    assert all(design.valid and design.locus == "IGH" for design in made.kept)
    assert made.report.novel == 5
    assert 0.85 < made.report.median_nearest_identity < 1  # 107 of 120 residues are frozen


def test_progress_and_watch_see_the_work(sapiens):
    seen, states = [], []
    sampler = sapiens.sampler(steps=2)
    sapiens.sample(
        all_draws(num=5, length=120),
        sampler=sampler,
        progress=lambda kept, drawn: seen.append((kept, drawn)),
        watch=states.append,
    )
    assert seen == [(k, k) for k in range(1, 6)]
    assert [state.step for state in states] == [1, 2]


# --- an end to every request -------------------------------------------------------------------


def test_asking_for_more_designs_than_there_are_ends_with_what_there_is(sapiens):
    # One open residue has 20 fillings; 21 are asked for.
    one_open = HEAVY[:30] + "_" + HEAVY[31:]
    request = Request(num=21, scaffold=one_open)
    made = sapiens.sample(request, sampler=sapiens.sampler(steps=1, temperature=5.0))
    assert made.report.asked == 21
    assert made.report.drawn == len(made.drawn) == 20  # each once
    assert made.report.exhausted
    assert made.report.kept == made.report.unique == len(set(sequences(made)))


def test_every_draw_is_accounted_for(sapiens):
    made = sapiens.sample(
        Request(num=3, length=120, block_size=8), sampler=sapiens.sampler(steps=2, order="entropy")
    )
    account = made.report
    assert account.drawn == len(made.drawn) <= 3 * 20
    assert account.valid + sum(account.faults.values()) == account.drawn
    assert [d.index for d in made.drawn] == list(range(account.drawn))
    kept = [d for d in made.drawn if d.valid and d.duplicate_of is None]
    assert list(made.kept) == kept[:3]


# --- impossible requests -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 143}, "143 residues asked; sapiens-vh reads at most 142"),
        ({"length": (100, 200)}, "200 residues asked"),
        ({"length": 0}, "length must be 1 or more"),
        ({"length": -5}, "length must be 1 or more"),
        ({"length": (130, 110)}, "low before high"),
        ({}, "no chain lengths are known; give a length"),
        ({"scaffold": "EVQ*_"}, r"scaffold: '\*' at residue 3"),
        ({"scaffold": "evq_"}, "scaffold: 'e' at residue 0"),
        ({"scaffold": "X_"}, "scaffold: 'X' at residue 0"),
        ({"scaffold": "A" * 150}, "150 residues asked"),
        ({"length": 120, "conditions": {"isotype": "IGHG"}}, "its tags are: none"),
    ],
)
def test_a_request_the_model_cannot_serve_says_why(sapiens, settings, message):
    with pytest.raises(SettingError, match=message):
        sapiens.sample(Request(num=1, **settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num": 0}, "num must be >= 1"),
        ({"seed": -1}, "seed must be >= 0"),
        ({"keep": "some"}, "keep must be"),
        ({"block_size": 0}, "block_size must be >= 1"),
        ({"length": 120, "scaffold": "A_"}, "a scaffold fixes the length"),
    ],
)
def test_a_request_out_of_range_cannot_be_made(settings, message):
    with pytest.raises(SettingError, match=message):
        Request(**settings)


def test_an_unknown_sampler_setting_is_named(sapiens):
    with pytest.raises(SettingError, match="no setting 'stepz'"):
        sapiens.sampler(stepz=3)


def test_a_chain_that_cannot_be_scored_is_named(sapiens):
    long = dataclasses.replace(numbered(HEAVY, "long"), sequence_aa=HEAVY + "A" * 30)
    for read in (lambda r: list(sapiens.score([r])), lambda r: sapiens.evaluate([r])):
        with pytest.raises(
            SequenceError, match="'long' has 150 residues; sapiens-vh reads at most"
        ):
            read(long)
        with pytest.raises(SequenceError, match="'raw' is not numbered"):
            read(AntibodyRecord("raw", HEAVY))
    with pytest.raises(DataError, match="no chain to evaluate"):
        sapiens.evaluate([])


def test_a_model_or_device_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UnknownModel, match=r"did you mean .*sapiens-vh"):
        load("sapiens-hv")
    with pytest.raises(UnknownModel, match=r"holds no config\.json"):
        load(tmp_path)
    with pytest.raises(SettingError, match="device 'toaster' cannot be used"):
        load("sapiens-vh", device="toaster")


# --- bundles -----------------------------------------------------------------------------------


def test_a_bundle_loads_to_the_same_designs_in_another_place(folder, tuned, tmp_path):
    shutil.copytree(folder, tmp_path / "moved")
    request = all_draws(num=6, conditions={"species": "human", "isotype": "IGHG"})
    one, two = tuned.sample(request), load(tmp_path / "moved").sample(request)
    assert sequences(one) == sequences(two)
    assert {len(sequence) for sequence in sequences(one)} <= {120, 121}
    assert tuned.sampler().steps == 3  # as saved
    assert tuned.sampler(steps=5).temperature == 0.7


def test_the_adapter_and_the_tags_change_what_the_model_says(tuned, sapiens):
    record = numbered(HEAVY, species="human", isotype="IGHG")
    other = dataclasses.replace(record, isotype="IGHM")
    scores = [next(m.score([r])) for m, r in [(sapiens, record), (tuned, record), (tuned, other)]]
    nats = [row["nats_per_residue"] for row in scores]
    assert len({round(value, 4) for value in nats}) == 3


def test_designs_have_the_lengths_of_the_training_chains_with_their_tags(tuned):
    def lengths(**conditions):
        made = tuned.sample(
            all_draws(num=48, conditions=conditions), sampler=tuned.sampler(steps=1)
        )
        return {len(sequence) for sequence in sequences(made)}

    assert lengths(species="mouse") == {117}
    assert lengths(isotype="IGHM") == {115, 117}
    assert lengths(species="human", isotype="IGHM") == {115}
    assert lengths() == {115, 117, 119, 120, 121}


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"isotype": "IGHE"}, "choose one of: IGHG, IGHM"),
        ({"colour": "blue"}, "its tags are: locus, species, isotype"),
        ({"locus": "IGK"}, "choose one of: IGH"),
        ({"species": "mouse", "isotype": "IGHG"}, "was not in the training data"),
    ],
)
def test_conditions_that_were_not_learnt_name_the_choices(tuned, conditions, message):
    with pytest.raises(SettingError, match=message):
        tuned.sample(Request(num=1, conditions=conditions))


def test_a_bundle_is_measured_beside_its_base(tuned):
    chains = [numbered(heavy_with(cdr3), species="human") for cdr3 in random_cdr3s(3)]
    metrics = tuned.evaluate(chains, train=chains, draws=1)
    row = metrics["held_out"][0]
    assert {"base", "tuned", "position", "position_family", "difference"} <= set(row)
    gap = row["tuned"]["nats_per_residue"] - row["base"]["nats_per_residue"]
    assert row["difference"]["nats_per_residue"] == pytest.approx(gap)
    assert row["base"]["nats_per_residue"] < 2.996  # a guess


def test_a_bundle_of_a_local_base_is_loaded_and_measured_with_the_folder_given(folder, tmp_path):
    weights = files("hfbio.models").joinpath("weights", "sapiens-vh")
    shutil.copytree(weights, tmp_path / "elsewhere" / "mine")
    bundle = edited(folder, tmp_path / "bundle", base="mine")
    adapter = json.loads((bundle / "adapter_config.json").read_text())
    named = {**adapter, "base_model_name_or_path": "mine"}
    (bundle / "adapter_config.json").write_text(json.dumps(named))
    with pytest.raises(BundleError, match=r"local folder called 'mine'; .* base='PATH/mine'"):
        load(bundle)
    found = load(bundle, base=str(tmp_path / "elsewhere" / "mine"))
    row = found.evaluate([numbered(HEAVY)], draws=1)["held_out"][0]
    assert row["base"]["nats_per_residue"] < 2.996  # a guess


def test_an_adapter_on_another_base_is_refused(folder, tmp_path):
    with pytest.raises(AdapterMismatch, match="was trained on sapiens-vh, not on sapiens-vl"):
        load(folder, base="sapiens-vl")
    with pytest.raises(AdapterMismatch, match="sapiens-vh, not on sapiens-vl"):
        load(edited(folder, tmp_path / "a", base="sapiens-vl"))
    full = edited(folder, tmp_path / "full")  # without an adapter that names its base again
    (full / "adapter_config.json").unlink()
    with pytest.raises(AdapterMismatch, match="was trained on sapiens-vh, not on sapiens-vl"):
        load(full, base="sapiens-vl")
    plain = {"style": "composite", "values": {}, "seen": []}
    with pytest.raises(AdapterMismatch, match="other tags"):
        load(edited(folder, tmp_path / "b", tags=plain, lengths={"": {"120": 1}}))


def test_a_spoilt_bundle_is_refused(folder, tmp_path):
    with pytest.raises(BundleError, match="format 2"):
        load(edited(folder, tmp_path / "a", format=2))
    gone = edited(folder, tmp_path / "b")
    (gone / "adapter_model.safetensors").unlink()
    with pytest.raises(BundleError, match=r"adapter_model\.safetensors"):
        load(gone)


def test_the_package_gives_its_names_when_they_are_asked_for():
    assert hfbio.load is load
    assert hfbio.Request is Request
    with pytest.raises(AttributeError, match="no attribute 'brew'"):
        hfbio.brew


def test_chains_of_two_kinds_are_told_apart_by_their_score(sapiens):
    heavy, light = sapiens.score([numbered(HEAVY, "h"), numbered(KAPPA, "l")])
    assert (heavy["sequence_id"], light["sequence_id"]) == ("h", "l")
    # A heavy-chain model: a light chain costs about what a guess does, 2.996.
    assert heavy["nats_per_residue"] < 1.1
    assert light["nats_per_residue"] > 2
