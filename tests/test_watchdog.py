"""Who is late is given up once, who is in time never; the thread is there while it is needed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from vedette.watchdog import Watchdog

LONG = 60.0


def threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "vedette-watchdog"]


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.01)


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    wait_for(lambda: not threads())  # of decoders that other tests have closed
    made = Watchdog()
    yield made
    made.close()


def test_who_is_late_is_given_up_once(watchdog: Watchdog) -> None:
    calls: list[float] = []
    began = time.monotonic()
    with watchdog.at_most(0.05, lambda: calls.append(time.monotonic() - began)) as watch:
        wait_for(lambda: bool(calls))
        time.sleep(0.1)

    assert watch.expired
    assert len(calls) == 1
    assert calls[0] >= 0.05


def test_who_is_in_time_is_left_alone(watchdog: Watchdog) -> None:
    calls: list[str] = []
    with watchdog.at_most(0.05, lambda: calls.append("a")) as watch:
        pass
    time.sleep(0.15)

    assert not watch.expired
    assert not calls


def test_who_comes_later_may_be_due_first(watchdog: Watchdog) -> None:
    first, second = threading.Event(), threading.Event()
    with (
        watchdog.at_most(LONG, first.set) as slow,
        watchdog.at_most(LONG / 2, first.set),
        watchdog.at_most(0.05, second.set) as quick,
    ):
        assert second.wait(20)
        assert len(threads()) == 1

    assert quick.expired
    assert not slow.expired
    assert not first.is_set()


def test_no_time_at_all_is_late_at_once_and_endless_time_never(watchdog: Watchdog) -> None:
    late = threading.Event()
    with watchdog.at_most(float("inf"), late.set) as endless, watchdog.at_most(-1, late.set):
        assert late.wait(20)

    assert not endless.expired
    watchdog.close()
    wait_for(lambda: not threads())


def test_a_call_that_fails_leaves_the_others_watched(watchdog: Watchdog) -> None:
    late = threading.Event()

    def fails() -> None:
        raise OSError("there is no such process")

    with watchdog.at_most(0.02, fails), watchdog.at_most(0.1, late.set):
        assert late.wait(20)


def test_the_thread_ends_with_the_last_and_comes_again_with_the_next(watchdog: Watchdog) -> None:
    assert not threads()
    with watchdog.at_most(0.3, lambda: None):
        assert len(threads()) == 1
    wait_for(lambda: not threads())

    late = threading.Event()
    with watchdog.at_most(0.05, late.set):
        assert late.wait(20)


def test_a_thread_that_cannot_be_started_is_not_taken_for_one(
    watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_room)
        with pytest.raises(RuntimeError), watchdog.at_most(LONG, lambda: None):
            raise AssertionError("nobody watches")

    late = threading.Event()
    with watchdog.at_most(0.05, late.set):
        assert late.wait(20)


def test_closed_it_still_watches_who_is_not_done(watchdog: Watchdog) -> None:
    late = threading.Event()
    with watchdog.at_most(0.2, late.set):
        watchdog.close()
        assert late.wait(20)

    with watchdog.at_most(LONG, lambda: None):
        pass
    watchdog.close()
    wait_for(lambda: not threads())
