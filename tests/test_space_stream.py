"""Work told step by step: what the reader gets, and what becomes of work that nobody reads."""

from __future__ import annotations

import threading

import pytest

from hfbio.errors import SettingError
from page.stream import stream

WAIT = 20.0  # seconds, before a test that would hang fails instead


def test_a_reader_gets_steps_in_order_and_the_result_last():
    def work(tell):
        for step in range(500):
            tell(step)
        return "done"

    found = list(stream(work, seconds=WAIT))
    assert found[-1] == "done"
    assert found[:-1] == sorted(set(found[:-1]))


def test_a_slow_reader_misses_steps_but_neither_the_last_one_nor_the_result():
    told_all = threading.Event()

    def work(tell):
        for step in range(100):
            tell(step)
        told_all.set()
        return "done"

    reader = stream(work, seconds=WAIT)
    found = [next(reader)]
    assert told_all.wait(WAIT)
    found += reader
    assert found[-2:] == [99, "done"]
    assert len(found) <= 3


def test_none_is_a_result():
    assert list(stream(lambda tell: None, seconds=WAIT)) == [None]


@pytest.mark.parametrize("error", [SettingError("too long a loop"), ZeroDivisionError("a bug")])
def test_what_the_work_raises_reaches_the_reader(error):
    def work(tell):
        tell("a step")
        raise error

    with pytest.raises(type(error), match=str(error)):
        list(stream(work, seconds=WAIT))
    assert list(stream(lambda tell: "next", seconds=WAIT)) == ["next"]  # and nothing is locked


def test_work_ends_at_its_next_step_once_the_reader_is_gone():
    go_on, ended = threading.Event(), threading.Event()
    steps = []

    def work(tell):
        try:
            for step in range(1000):
                steps.append(step)
                tell(step)
                assert go_on.wait(WAIT)
        finally:
            ended.set()

    reader = stream(work, seconds=WAIT)
    assert next(reader) == 0
    reader.close()  # returns although the work is in the middle of a step
    assert not ended.is_set()
    go_on.set()
    assert ended.wait(WAIT)
    assert steps == [0, 1]


def test_work_cannot_swallow_its_end():
    ended = threading.Event()

    def work(tell):
        try:
            while True:
                try:
                    tell("step")
                except Exception:  # as a careless library would
                    continue
        finally:
            ended.set()

    reader = stream(work, seconds=WAIT)
    next(reader)
    reader.close()
    assert ended.wait(WAIT)


def test_two_works_never_compute_at_once_even_when_the_first_was_left():
    computing, most, ended = [], [], threading.Event()
    first_goes_on = threading.Event()

    def work(tell):
        computing.append(1)
        most.append(len(computing))
        try:
            tell("here")
            assert first_goes_on.wait(WAIT)
            tell("there")
            return "done"
        finally:
            computing.pop()
            ended.set()

    first = stream(work, seconds=WAIT)
    next(first)
    first.close()
    second = stream(work, seconds=WAIT)
    got = []
    reading = threading.Thread(target=lambda: got.extend(second))
    reading.start()
    first_goes_on.set()
    reading.join(WAIT)
    assert got[-1] == "done"
    assert most == [1, 1]


def test_too_long_a_computation_is_told_to_ask_for_less():
    def work(tell):
        while True:
            tell("step")

    with pytest.raises(SettingError, match=r"more than 0 s; ask for fewer"):
        list(stream(work, seconds=0.05))


def test_time_in_the_queue_is_not_computing():
    """The clock starts when the work does, not when it is asked for."""
    holding, let_go = threading.Event(), threading.Event()

    def long(tell):
        holding.set()
        assert let_go.wait(WAIT)
        return "long"

    found = {}
    first = threading.Thread(target=lambda: found.update(a=list(stream(long, seconds=WAIT))))
    first.start()
    assert holding.wait(WAIT)

    def short(tell):
        tell("step")
        return "short"

    second = threading.Thread(target=lambda: found.update(b=list(stream(short, seconds=0.3))))
    second.start()
    second.join(0.5)  # longer than the second one may compute
    assert second.is_alive()
    let_go.set()
    first.join(WAIT)
    second.join(WAIT)
    assert found["b"][-1] == "short"
