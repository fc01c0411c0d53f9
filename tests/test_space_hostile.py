"""Whatever is sent to the page, it answers in words: no traceback, no path, nothing that runs."""

from __future__ import annotations

import re

import httpx
import pytest
from antibodies import HEAVY
from gradio_client.exceptions import AppError
from pages import texts

# What names a place of this machine, or code that failed there.
PLACES = re.compile(r"/(home|root|usr|opt|tmp|site-packages)/|Traceback|File \\?\"|\.py\b")
SCRIPT = "<script>alert(1)</script>"
TEMPLATE = "{{constructor}}${alert(1)}"
ANYTHING = [
    *(None, float("nan"), -1, 10**400, True, "", SCRIPT, TEMPLATE, [], {}, [[[1]]]),
    {"free": {"a": [None]}},
]


def refused(client, **asked):
    """The words of a refusal."""
    with pytest.raises(AppError) as told:
        client.predict(**asked)
    assert not PLACES.search(told.value.message)
    return told.value.message


@pytest.fixture(scope="module")
def client(tuned_page):
    return tuned_page.client()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"num": 65}, "number must be from 1 to 64, got 65"),
        ({"num": 0}, "number must be from 1 to 64, got 0"),
        ({"num": 1.5}, "must be a whole number"),
        ({"num": "1; drop"}, "must be a whole number"),
        ({"num": True}, "must be a whole number"),
        ({"num": [1]}, "must be a whole number"),
        ({"num": None}, "must be a whole number"),
        ({"seed": -1}, "seed must be from 0"),
        ({"seed": 10**400}, "seed must be a whole number"),
        ({"length": 143}, "length must be from 0 to 142"),
        ({"temperature": 2.1}, "temperature must be from 0 to 2, got 2.1"),
        ({"temperature": "hot"}, "temperature must be a number"),
        ({"steps": 0}, "steps must be from 1 to 128"),
        ({"guidance": -0.5}, "guidance must be from 0 to 5"),
        ({"guidance": 2}, "guidance strengthens conditions, and none was asked for"),
        ({"compare": "yes"}, "compare must be true or false"),
        ({"sampler": SCRIPT}, "sampler must be one of"),
        ({"tags": {"isotype": SCRIPT}}, "isotype must be one of any, IGHG, IGHM"),
        ({"tags": {"isotype": {"a": 1}}}, "isotype must be one of"),
        ({"tags": {SCRIPT: "IGHG"}}, "this model has learnt the tags"),
        ({"tags": ["IGHG"]}, "tags must be names with values"),
        ({"tags": {"species": "mouse", "isotype": "IGHG"}}, "was not in the training data"),
    ],
    ids=str,
)
def test_numbers_and_names_that_no_widget_would_send(client, asked, words):
    assert words in refused(client, **asked, api_name="/generate")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"sequence": ""}, "sequence is empty"),
        ({"sequence": None}, "sequence must be text"),
        ({"sequence": [HEAVY]}, "sequence must be text"),
        ({"sequence": "A" * 50_001}, "50,001 characters; the page takes 50,000"),
        ({"sequence": ">a\nA\n" * 9_000}, "9,000 chains were pasted; at most 50"),
        ({"sequence": HEAVY.replace("E", "\u0415")}, "U+0415 (CYRILLIC CAPITAL LETTER IE)"),
        ({"sequence": HEAVY[:60] + "\u202e" + HEAVY[60:]}, "U+202E (RIGHT-TO-LEFT OVERRIDE)"),
        ({"sequence": f"{HEAVY}!"}, "'!' at residue 121"),
        ({"sequence": SCRIPT}, "'<' at residue 1"),
        ({"sequence": TEMPLATE}, "'{' at residue 1"),
        ({"sequence": "MKV" * 30}, "only 2 residues resemble one"),
        ({"sequence": HEAVY, "chain": 3}, "chain 4 was asked for, and 1 can be read"),
        ({"sequence": HEAVY, "chain": -1}, "chain must be from 0"),
        ({"sequence": HEAVY, "free": "1-99999999999"}, "names no residues"),
        ({"sequence": HEAVY, "free": TEMPLATE}, "names no residues"),
        ({"sequence": HEAVY, "free": ""}, "nothing to redesign"),
        ({"sequence": HEAVY, "free": "a" * 2001}, "free has 2,001 characters"),
        ({"sequence": HEAVY, "forbid": ["("]}, "rule '('"),
        ({"sequence": HEAVY, "forbid": ["."]}, "every chain would break it"),
        ({"sequence": HEAVY, "forbid": {"a": 1}}, "forbidden motifs must be texts"),
        ({"sequence": HEAVY, "forbid": ["M"] * 11}, "11 motifs are forbidden"),
        ({"sequence": HEAVY, "shortest": 3}, "must both be 0, or a range"),
        ({"sequence": HEAVY, "shortest": 9, "longest": 3}, "must both be 0, or a range"),
        ({"sequence": HEAVY, "shortest": 100, "longest": 130}, "reads at most 142"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_chains_that_are_none(client, asked, words):
    assert words in refused(client, **asked, api_name="/redesign")


def test_other_endpoints_refuse_in_words_too(client):
    weights = {"sequence": HEAVY, "weights": {SCRIPT: 1}, "api_name": "/optimize"}
    assert "target must be one of" in refused(client, **weights)
    assert "charge must be from -30" in refused(
        client, sequence=HEAVY, charge=99, api_name="/optimize"
    )
    assert "sequence must be text" in refused(client, sequence={}, api_name="/score")
    assert "colour must be one of" in refused(client, colour=SCRIPT, api_name="/map")


def test_fields_of_the_page_take_anything_from_anybody(tuned_page, capfd):
    """The handlers of buttons are no endpoints, but whoever knows their number can call them."""
    silent = []
    for number, handler in tuned_page.handlers().items():
        for value in ANYTHING:
            answers = tuned_page.send(number, [value] * len(handler.inputs), event_data=value)
            told = texts(answers)
            assert not PLACES.search(told), (handler.name, value)
            assert SCRIPT not in told, (handler.name, value)
            if not answers[-1].get("success"):
                silent.append((handler.name, value, answers[-1]))
    assert not silent
    assert "Traceback" not in capfd.readouterr().err


def test_names_are_shown_as_they_are_written(tuned_page):
    """The page's own HTML holds no tag and no template of a visitor's."""
    (score,) = [
        number
        for number, handler in tuned_page.handlers().items()
        if handler.name == "run" and len(handler.inputs) == 2
    ]
    answers = tuned_page.send(score, [f">{SCRIPT}{TEMPLATE}\n{HEAVY}", None])
    told = texts(answers)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in told
    assert SCRIPT not in told
    assert TEMPLATE in told  # as it is, not worked out


def test_what_the_editor_never_sends_changes_nothing(tuned_page):
    (pressed,) = [n for n, h in tuned_page.handlers().items() if h.name == "pressed"]
    for data in (None, 3, {"free": 3}, {"free": {"0": 1}}, [0], "free"):
        (*_, answer) = tuned_page.send(pressed, [HEAVY, None], event_data=data)
        assert answer["success"]
        assert not [update for update in answer["output"]["data"] if "value" in update]
    out = {"free": [0, 1, 2, -5, 10**9, "4", None, [5], 0.5]}
    (*_, answer) = tuned_page.send(pressed, [HEAVY, None], event_data=out)
    assert answer["output"]["data"][0] == "1-3"


def test_ten_megabytes_are_refused_before_they_are_read(tuned_page):
    body = b'{"data": ["' + b"A" * 10_000_000 + b'"]}'
    url = f"{tuned_page.url}/gradio_api/call/score"
    answer = httpx.post(url, content=body)
    assert answer.status_code == 413
    assert answer.json() == {"detail": "a request may have 1,000,000 bytes"}

    def pieces():
        for start in range(0, len(body), 100_000):
            yield body[start : start + 100_000]

    assert httpx.post(url, content=pieces()).status_code == 413  # without a Content-Length


def test_the_page_takes_no_files(tuned_page):
    files = {"files": ("a.txt", b"A")}
    answer = httpx.post(f"{tuned_page.url}/gradio_api/upload", files=files)
    assert answer.status_code == 403


def test_nobody_computes_beside_the_queue(tuned_page):
    url = f"{tuned_page.url}/gradio_api/run/generate"
    answer = httpx.post(url, json={"data": [1, 0, None, None, "", 1, 0, False, None]})
    assert answer.status_code == 404
    assert "queue" in answer.json()["detail"]


def test_a_fault_of_the_page_shows_no_place_of_the_machine(tuned_page, client, monkeypatch):
    def broken(*asked):
        raise FileNotFoundError("/home/somebody/model.safetensors")

    monkeypatch.setattr(tuned_page.studio, "generate", broken)
    with pytest.raises(AppError) as told:
        client.predict(num=1, api_name="/generate")
    assert "somebody" not in str(told.value)
    handlers = tuned_page.handlers()
    number = next(n for n, h in handlers.items() if h.name == "run" and len(h.inputs) == 11)
    sent = ["IGH", "any", "any", 1, 0, 0.3, "", 3, 1, 0, False]
    answers = tuned_page.send(number, sent)
    assert not answers[-1]["success"]
    assert "somebody" not in texts(answers)


def test_links_fill_in_nothing_that_the_page_does_not_offer(tuned_page):
    (fill,) = [n for n, h in tuned_page.handlers().items() if h.name == "fill"]
    many = "&".join(f"a{i}=1" for i in range(100))
    for query in (
        *("tab=nothing", "tab=generate&num=NaN&seed=-1&temperature=1e999", many),
        "tab=generate&tags.isotype=%3Cscript%3E&sampler=x",
    ):
        answer = httpx.get(f"{tuned_page.url}/?{query}")
        assert answer.status_code == 200
        session = {"data": [], "fn_index": fill, "session_hash": "links"}
        url = f"{tuned_page.url}/gradio_api/run/predict"
        told = httpx.post(url, params=dict(httpx.QueryParams(query)), json=session)
        assert told.status_code == 200, told.text
        changed = [update for update in told.json()["data"] if update != {"__type__": "update"}]
        assert changed in ([], [{"selected": "generate", "__type__": "update"}])
