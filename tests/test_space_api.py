"""The page for programs: named endpoints that give what the library gives, as plain data."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from antibodies import CDRH3, HEAVY, KAPPA

import hfbio
from hfbio.model.infill import infill_request
from hfbio.model.optimize import Lead
from hfbio.model.scores import scan
from hfbio.sample import BeamSearch
from hfbio.score.targets import weighted
from page.limits import LIMITS

DRAWN = {"num": 2, "seed": 5, "temperature": 0.3, "steps": 16, "sampler": "unmask, ancestral"}
SAMPLER = {"kind": "unmask", "order": "ancestral", "steps": 16, "temperature": 0.3}
DESIGN = {
    *("sequence_id", "sequence_aa", "locus", "valid", "fault", "cdr3_aa", "v_call", "v_identity"),
    *("training_identity", "training_copy", "perplexity_estimate", "oasis_identity", "charge"),
    *("isoelectric_point", "liabilities", "n_liabilities", "asked_isotype"),
}
FEW = "cdrs,fwr1,fwr3,fwr4,34-45"
MAKING = {"kept", "asked"}


@pytest.fixture(scope="module")
def client(tuned_page):
    return tuned_page.client()


def sequences(designs):
    return [design["sequence_aa"] for design in designs]


def test_the_endpoints_are_those_of_the_tabs_and_say_what_they_take(client):
    told = client.view_api(return_format="dict", print_info=False)
    assert not told["unnamed_endpoints"]
    assert set(told["named_endpoints"]) == {
        *("/generate", "/redesign", "/optimize", "/score", "/map", "/about"),
    }
    for name, endpoint in told["named_endpoints"].items():
        assert endpoint["description"].endswith("."), name
    names = [p["parameter_name"] for p in told["named_endpoints"]["/generate"]["parameters"]]
    assert names == [
        *("num", "seed", "temperature", "steps", "sampler", "guidance", "length", "compare"),
        "tags",
    ]
    needed = {
        name: [p["parameter_name"] for p in e["parameters"] if not p["parameter_has_default"]]
        for name, e in told["named_endpoints"].items()
    }
    assert needed == {
        "/generate": [], "/redesign": ["sequence"], "/optimize": ["sequence"],
        "/score": ["sequence"], "/map": [], "/about": [],
    }  # fmt: skip


def test_generate_gives_what_the_model_samples_and_tells_how_far_it_is(client, tuned_page):
    tags = {"isotype": "IGHG", "species": "human"}
    drawn = DRAWN | {"num": 1, "steps": 32}
    job = client.submit(**drawn, tags=tags, length=120, api_name="/generate")
    answer = job.result(timeout=60)
    model = tuned_page.studio.model
    request = hfbio.Request(num=1, seed=5, conditions=tags, length=120, block_size=LIMITS.block)
    wanted = model.sample(request, sampler=model.blank_sampler(**SAMPLER | {"steps": 32}))
    assert len(wanted.kept) == 1
    assert sequences(answer["designs"]) == [design.sequence_aa for design in wanted.kept]
    assert set(answer) == {"designs", "report"}
    assert answer["report"] == json.loads(json.dumps(wanted.report.to_dict()))
    assert set(answer["designs"][0]) >= DESIGN
    assert answer["designs"][0]["asked_isotype"] == "IGHG"
    steps = job.outputs()[:-1]
    assert steps
    assert all(set(step) == MAKING and step["asked"] == 1 for step in steps)


def test_the_same_seed_gives_the_same_designs_and_another_gives_others(client):
    asked = {"sequence": HEAVY, "num": 2, "temperature": 1.0, "api_name": "/redesign"}
    one, again, other = (client.predict(seed=seed, **asked) for seed in (1, 1, 2))
    assert one == again
    assert not set(sequences(one["designs"])) & set(sequences(other["designs"]))


def test_a_shortfall_is_named(client):
    """One step at a temperature of 2 gives no variable domain."""
    answer = client.predict(num=1, temperature=2.0, steps=1, api_name="/generate")
    assert answer["designs"] == []
    assert answer["report"]["kept"] == 0 < answer["report"]["drawn"]
    assert answer["shortfall"].startswith(
        f"{answer['report']['drawn']} draws gave 0 that are valid"
    )


def test_redesign_gives_what_infilling_gives_and_the_base_beside_it(client, tuned_page):
    asked = {"sequence": f">lead\n{HEAVY}", "free": "cdr3", "shortest": 9, "longest": 12}
    answer = client.predict(
        **asked, **DRAWN, forbid=["nglyc", "M"], compare=True, api_name="/redesign"
    )
    studio = tuned_page.studio
    plain = hfbio.Request(num=2, seed=5, forbid=("nglyc", "M"), block_size=LIMITS.block)
    request = infill_request(HEAVY, "cdr3", [(9, 12)], plain)
    sampler = studio.model.blank_sampler(**SAMPLER)
    wanted = studio.model.sample(request, sampler=sampler).kept
    assert sequences(answer["designs"]) == [design.sequence_aa for design in wanted]
    around = HEAVY.split(CDRH3)
    for design in answer["designs"]:
        chain = design["sequence_aa"]
        assert chain.startswith(around[0])
        assert chain.endswith(around[1])
        assert 9 <= len(design["cdr3_aa"]) <= 12
        assert "M" not in design["cdr3_aa"]
    beside = studio.base.sample(
        replace(request, keep="all"), sampler=studio.base.blank_sampler(**SAMPLER)
    )
    assert sequences(answer["base"]) == [design.sequence_aa for design in beside.kept]
    assert sequences(answer["base"]) != sequences(answer["designs"])


def test_optimize_gives_what_the_search_finds(client, tuned_page):
    asked = {"sequence": HEAVY, "num": 2, "edits": 1, "seed": 3, "freeze": FEW}
    asked["forbid"] = ["M"]
    answer = client.predict(**asked, weights={"charge": 2.0}, charge=3.0, api_name="/optimize")
    found = tuned_page.studio.model.optimize(
        Lead(HEAVY, 2, 3, FEW, ("M",)),
        search=BeamSearch(edits=1, beam=LIMITS.beam),
        guide=weighted({"charge": 2.0}, wanted_charge=3.0),
    )
    assert sequences(answer["variants"]) == [one.variant.sequence for one in found.kept]
    assert answer["lead"]["sequence_aa"] == HEAVY
    assert answer["report"] == json.loads(json.dumps(found.report.to_dict()))
    for variant in answer["variants"]:
        changed = [i for i, (a, b) in enumerate(zip(HEAVY, variant["sequence_aa"])) if a != b]
        assert len(changed) == len(variant["path"]) == 1
    totals = [variant["path"][-1]["total"] for variant in answer["variants"]]
    assert totals == sorted(totals, reverse=True)  # nats; the best first


def test_score_gives_each_mutation_of_model_and_base(client, tuned_page):
    answer = client.predict(sequence=f">a\n{KAPPA}\n>b\n{HEAVY}", api_name="/score")
    assert answer["residues"] == "ACDEFGHIKLMNPQRSTVWY"
    (told,), (base,) = answer["tuned"], answer["base"]
    (wanted,) = scan(tuned_page.studio.model, tuned_page.studio.pick(HEAVY, 0))
    assert told["sequence_aa"] == HEAVY  # the light chain is none that Sapiens-VH reads
    assert told["sequence_id"] == "b"
    assert told["log_p"] == [pytest.approx(row, abs=1e-4) for row in wanted.log_p.tolist()]
    assert told["nats"] == pytest.approx(wanted.nats.tolist(), abs=1e-4)
    assert len(told["positions"]) == len(told["log_p"]) == len(HEAVY)
    assert base["nats"] != told["nats"]


def test_map_places_chains_among_those_of_training(client, tuned_page):
    answer = client.predict(sequence=f">mine\n{HEAVY}", colour="locus", api_name="/map")
    latent = tuned_page.studio.model.latent
    (mine,) = [point for point in answer["points"] if point["origin"] == "pasted"]
    training = [point for point in answer["points"] if point["origin"] == "training"]
    assert [(p["x"], p["y"]) for p in training] == [
        pytest.approx(place, abs=1e-4) for place in latent.points.tolist()
    ]
    assert answer["explained"] == pytest.approx(list(latent.explained))
    assert mine["label"] == "IGH"
    assert HEAVY in mine["told"]
    assert all(HEAVY[:20] not in point["told"] for point in training)  # no training sequence
    assert client.predict(api_name="/map")["points"]  # the training set alone


def test_about_tells_what_can_be_asked_for(client):
    answer = client.predict(api_name="/about")
    assert answer["tags"] == {
        "locus": ["IGH"], "species": ["human", "mouse"], "isotype": ["IGHG", "IGHM"],
    }  # fmt: skip
    assert answer["limits"]["designs"] == LIMITS.designs
    assert "gibbs" in answer["samplers_of_redesign"]
    assert set(answer["targets"]) == {"humanness", "charge"}
    assert ["base", "sapiens-vh"] in answer["facts"]["model"]
