"""The server's end: what is under way is answered, what is new is refused, and then it is over."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import pytest

from tests.classifiers import Habit
from tests.pictures import drawn, encoded
from tests.serve.doubles import SCAN_KEY, services_of
from tests.serve.served import Served, served
from vedette.serve.engine import Engine
from vedette.serve.options import ServeOptions
from vedette.settings import Settings

PNG = encoded(drawn(1))
HEADERS = {"Authorization": f"Bearer {SCAN_KEY}"}


class Held:
    """A service with one request under way, whose model waits."""

    def __init__(self, running: Served, gate: threading.Event, first: Future[httpx.Response]):
        self.running, self.gate, self.first = running, gate, first

    def scan(self) -> httpx.Response:
        url = f"{self.running.url}/v1/scan"
        return httpx.post(url, files={"a": PNG}, headers=HEADERS, timeout=60)

    def ended(self) -> bool:
        for _ in range(3000):
            try:
                httpx.get(f"{self.running.url}/healthz")
            except httpx.TransportError:
                return True
            time.sleep(0.01)
        return False


@pytest.fixture
def held(request: pytest.FixtureRequest) -> Iterator[Held]:
    gate, reached = threading.Event(), threading.Event()

    def wait(batch: object) -> None:
        reached.set()
        gate.wait(30)

    options = ServeOptions(models=("dummy",), drain_seconds=getattr(request, "param", 20.0))
    engine = Engine([Habit(wait)], Settings(), 8)
    try:
        with (
            ThreadPoolExecutor(1) as pool,
            served(services_of(options, engine=engine)) as running,
        ):
            made = Held(running, gate, Future())
            made.first = pool.submit(made.scan)
            assert reached.wait(30)
            yield made
            gate.set()
    finally:
        gate.set()


def test_sigterm_ends_what_is_under_way_and_takes_nothing_new(held: Held) -> None:
    held.running.server.handle_exit(signal.SIGTERM, None)

    ready = httpx.get(f"{held.running.url}/readyz")
    refused = held.scan()
    alive = httpx.get(f"{held.running.url}/healthz")
    held.running.server.handle_exit(signal.SIGTERM, None)  # a second word changes nothing
    held.gate.set()

    assert (ready.status_code, ready.json()["error"]["code"]) == (503, "shutting_down")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
    assert alive.status_code == 200
    assert held.first.result(60).status_code == 200
    assert held.ended()


@pytest.mark.parametrize("held", [0.3], indirect=True)
def test_what_does_not_end_in_time_is_told_that_the_service_goes_down(held: Held) -> None:
    held.running.server.handle_exit(signal.SIGTERM, None)

    answer = held.first.result(60)

    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "shutting_down")
    held.gate.set()
    assert held.ended()


def test_ctrl_c_twice_ends_at_once(held: Held) -> None:
    held.running.server.handle_exit(signal.SIGINT, None)
    assert not held.running.server.should_exit
    held.running.server.handle_exit(signal.SIGINT, None)
    assert held.running.server.should_exit


def test_without_requests_it_ends_at_once() -> None:
    with served() as running:
        running.server.handle_exit(signal.SIGTERM, None)
        assert Held(running, threading.Event(), Future()).ended()
