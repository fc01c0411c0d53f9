"""Many visitors at once, some of whom leave: nobody waits for them, and nothing of them stays."""

from __future__ import annotations

import tempfile
import threading
import uuid

import httpx
import pytest
from antibodies import HEAVY
from pages import served

import hfbio
from page.ask import Generation
from page.limits import LIMITS
from page.studio import Step, Studio
from space_load import load

WAIT = 30.0  # seconds, before a test that would hang fails instead
CHEAP = {"germline": False, "humanness": False}


@pytest.fixture
def held(tuned_page, monkeypatch):
    """The page whose designs never end, unless their visitor leaves: when they began and ended."""
    began, ended = threading.Event(), threading.Event()
    real = tuned_page.studio.generate

    def generate(asked: Generation, tell):
        if asked.drawing.seed != 666:
            return real(asked, tell)
        began.set()
        try:
            pause = threading.Event()
            while True:
                tell(Step(["EV"], 0, asked.drawing.num))
                pause.wait(0.02)
        finally:
            ended.set()

    monkeypatch.setattr(tuned_page.studio, "generate", generate)
    return began, ended


def join(page, name, data, **more):
    """Ask for something as a browser does."""
    session = uuid.uuid4().hex
    (number,) = [
        i
        for i, fn in page.blocks.fns.items()
        if (fn.api_name if fn.api_visibility == "public" else "button") == name
        and len(fn.inputs) == len(data)
        and fn.fn
    ]
    body = {"data": data, "fn_index": number, "session_hash": session, **more}
    joined = httpx.post(f"{page.url}/gradio_api/queue/join", json=body)
    return session, number, joined.json()["event_id"]


def leave_in_the_middle(page, session, began):
    """Read until the work has begun, of which the page's first word does not tell; hang up."""
    url = f"{page.url}/gradio_api/queue/data"
    with httpx.stream("GET", url, params={"session_hash": session}, timeout=WAIT) as events:
        for line in events.iter_lines():
            generating = line.startswith("data:") and "process_generating" in line
            if generating and began.is_set():
                return


def served_next(page):
    """A visitor after that gets designs."""
    answer = page.client().predict(num=1, length=20, steps=1, api_name="/generate")
    assert answer["report"]["asked"] == 1


PROGRAM = ("generate", [2, 666, None, None, "", 1, 0, False, None])
BROWSER = ("button", ["IGH", "any", "any", 2, 666, 0.3, "", 3, 1, 0, False])


@pytest.mark.parametrize("asked", [PROGRAM, BROWSER], ids=["program", "browser"])
def test_a_visitor_who_goes_away_ends_the_work_and_frees_the_model(
    tuned_page, held, asked, tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    began, ended = held
    threads = set(threading.enumerate())
    session, _, _ = join(tuned_page, *asked)
    leave_in_the_middle(tuned_page, session, began)
    assert began.is_set()
    assert ended.wait(WAIT)
    served_next(tuned_page)
    working = [t for t in set(threading.enumerate()) - threads if "run" in t.name]
    for thread in working:
        thread.join(WAIT)
    assert not [t for t in working if t.is_alive()]
    assert not list(tmp_path.glob("hfbio-*"))


def test_stop_ends_the_work(tuned_page, held):
    began, ended = held
    session, number, event = join(tuned_page, *BROWSER)
    url = f"{tuned_page.url}/gradio_api"
    reading = threading.Thread(target=leave_in_the_middle, args=(tuned_page, session, began))
    reading.start()
    assert began.wait(WAIT)
    body = {"session_hash": session, "fn_index": number, "event_id": event}
    assert httpx.post(f"{url}/cancel", json=body, timeout=WAIT).status_code == 200
    assert ended.wait(WAIT)
    reading.join(WAIT)
    served_next(tuned_page)


def test_who_leaves_the_queue_is_not_computed(tuned_page, held):
    began, ended = held
    first, _, _ = join(tuned_page, *PROGRAM)
    reader = threading.Thread(target=leave_in_the_middle, args=(tuned_page, first, began))
    second, number, event = join(tuned_page, *PROGRAM)
    body = {"session_hash": second, "fn_index": number, "event_id": event}
    httpx.post(f"{tuned_page.url}/gradio_api/cancel", json=body, timeout=WAIT)
    reader.start()
    reader.join(WAIT)
    assert ended.wait(WAIT)
    began.clear()
    served_next(tuned_page)
    assert not began.is_set()


def test_a_request_leaves_no_folder_behind(tuned_page, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    handlers = tuned_page.handlers()
    (redesign,) = [n for n, h in handlers.items() if h.name == "run" and len(h.inputs) == 13]
    sent = [HEAVY, None, "cdr3", 2, 0, 0, [], 1, 0.3, "", 3, 1, False]
    (*_, answer) = tuned_page.send(redesign, sent)
    files = [d["value"] for d in answer["output"]["data"] if isinstance(d, dict) and "value" in d]
    names = [f["path"].rsplit("/", 1)[-1] for f in files if "path" in f]
    assert names == ["designs.fasta", "designs.csv", "designs.tsv"]
    assert not list(tmp_path.glob("hfbio-*"))
    age, every = tuned_page.blocks.delete_cache
    assert age + every <= 7200  # seconds: the page promises two hours


@pytest.fixture(scope="module")
def mini():
    """The page of the cheapest bundled model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hfbio.model.describe.oasis_identity", lambda chains: [0.5] * len(chains))
        with served(Studio(hfbio.load("hfbio-mini-clm"), "mini")) as page:
            yield page


def test_everybody_gets_the_designs_of_their_own_seed(mini):
    found = load(mini.url, clients=4, num=1)
    assert not found.errors
    assert len(found.designs) == 4
    model = mini.studio.model
    for seed, designs in found.designs.items():
        request = hfbio.Request(num=1, seed=seed, block_size=LIMITS.block)
        assert designs == [design.sequence_aa for design in model.sample(request).kept]
    assert len({tuple(designs) for designs in found.designs.values()}) == 4
    assert max(found.positions) >= 1  # they did wait for each other


@pytest.mark.slow
def test_fifty_visitors_at_once(mini):
    found = load(mini.url, clients=50, num=1)
    assert not found.errors
    assert len({tuple(designs) for designs in found.designs.values()}) == 50
    assert max(found.positions) > 40  # who is told their place waits at ease


def test_visitors_of_the_past_are_forgotten(mini, monkeypatch):
    """Gradio keeps about 0.5 MB for each session, and by itself 10,000 of them."""
    holder = mini.blocks.state_holder
    assert LIMITS.waiting < holder.capacity == LIMITS.sessions
    monkeypatch.setattr(holder, "capacity", 3)
    (read, *_) = [n for n, h in mini.handlers().items() if h.name == "read"]
    before = len(holder.session_data)
    for _ in range(before + 3):
        mini.send(read, ["", None, ""])
    # One goes for each that comes: no more than were there, whoever comes.
    assert len(holder.session_data) <= max(before, 3)


def test_a_full_queue_says_so(mini, monkeypatch):
    monkeypatch.setattr(mini.blocks._queue, "max_size", 2)
    release, began = threading.Event(), threading.Event()

    def hold(asked, tell):
        began.set()
        assert release.wait(WAIT)
        raise hfbio.errors.SettingError("over")

    monkeypatch.setattr(mini.studio, "generate", hold)
    client = mini.client()
    jobs = [client.submit(num=1, api_name="/generate")]
    assert began.wait(WAIT)
    data = [1, 0, None, None, "", 1, 0, False, None]
    (number,) = [i for i, fn in mini.blocks.fns.items() if fn.api_name == "generate"]
    for _ in range(3):
        body = {"data": data, "fn_index": number, "session_hash": uuid.uuid4().hex}
        answer = httpx.post(f"{mini.url}/gradio_api/queue/join", json=body)
        if answer.status_code != 200:
            break
    release.set()
    assert answer.status_code == 503
    assert "queue" in answer.text.lower()
    assert "over" in str(jobs[0].exception(timeout=WAIT))
