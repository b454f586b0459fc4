"""Rates: one limit over all replicas, kept without asking the database every time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serve.postgres import Postgres
from vedette.errors import UsageError, VedetteError
from vedette.serve import limiter as subject
from vedette.serve.database.store import open_database, writing
from vedette.serve.database.tables import metadata
from vedette.serve.limiter import BURST_S, LEASE_S, RETRY_S, SMALLEST_BURST, RateLimiter
from vedette.serve.services import Caller, Scope


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def caller(rate: float | None = 10.0, key_id: str = "a") -> Caller:
    return Caller(key_id, "test", frozenset({Scope.SCAN}), rate)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def postgres(server: Postgres) -> Postgres:
    return server


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    place = str(tmp_path / "service.sqlite")
    if request.param == "postgresql":
        place = request.getfixturevalue("postgres").new_database()
    engine = open_database(place)
    yield engine
    engine.dispose()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Any]:
    engine = open_database(str(tmp_path / "service.sqlite"))
    yield engine
    engine.dispose()


@contextmanager
def limiters(database: Any, clock: Clock, count: int = 1) -> Iterator[list[RateLimiter]]:
    """Of so many replicas; they settle when they must, or when the test says so."""
    made = [RateLimiter(database, None, clock, 30.0, 3600.0) for _ in range(count)]
    try:
        yield made
    finally:
        for limiter in made:
            limiter.close()


def admitted(limiter: RateLimiter, asks: Caller, tries: int) -> int:
    return sum(limiter.admit(asks, 1) == 0 for _ in range(tries))


def counted(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What was taken from the database, each time."""
    taken: list[float] = []
    take = subject._take

    def counting(connection: Any, key_id: str, bucket: Any, amount: float, now: float) -> float:
        taken.append(amount)
        return take(connection, key_id, bucket, amount, now)

    monkeypatch.setattr(subject, "_take", counting)
    return taken


def test_a_burst_then_the_rate(database: Any, clock: Clock) -> None:
    with limiters(database, clock) as (limiter,):
        assert admitted(limiter, caller(), 200) == 100
        assert limiter.admit(caller(), 1) == pytest.approx(0.1)
        assert limiter.admit(caller(), 5) == pytest.approx(0.5)
        clock.now += 0.5
        assert limiter.admit(caller(), 5) == 0
        assert limiter.admit(caller(), 1) > 0
        limiter.settle()
        clock.now += 1000
        assert admitted(limiter, caller(), 200) == 100


def test_the_wait_that_it_names_is_enough(file: Any, clock: Clock) -> None:
    with limiters(file, clock) as (limiter,):
        admitted(limiter, caller(), 200)
        wait = limiter.admit(caller(), 7)
        clock.now += wait + 1e-6
        assert limiter.admit(caller(), 7) == 0


def test_keys_have_buckets_of_their_own(file: Any, clock: Clock) -> None:
    with limiters(file, clock) as (limiter,):
        admitted(limiter, caller(), 200)
        assert limiter.admit(caller(key_id="b"), 1) == 0


def test_without_a_rate_there_is_no_limit(file: Any, clock: Clock) -> None:
    with limiters(file, clock) as (limiter,):
        assert limiter.admit(caller(None), 10**9) == 0
        assert not limiter._buckets


def test_the_default_rate_is_for_keys_that_name_none(file: Any, clock: Clock) -> None:
    limiter = RateLimiter(file, 10.0, clock, 30.0, 3600.0)
    try:
        assert admitted(limiter, caller(None), 200) == 100
        assert admitted(limiter, caller(20.0, "b"), 300) == 200
    finally:
        limiter.close()


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_is_above_zero(file: Any, rate: float) -> None:
    with pytest.raises(UsageError):
        RateLimiter(file, rate)


def test_a_slow_key_can_still_ask_for_one_whole_request(file: Any, clock: Clock) -> None:
    with limiters(file, clock) as (limiter,):
        slow = caller(0.5)
        assert limiter.admit(slow, int(SMALLEST_BURST)) == 0
        assert limiter.admit(slow, 1) == pytest.approx(2.0)


def test_more_than_a_burst_is_owed(file: Any, clock: Clock) -> None:
    with limiters(file, clock) as (limiter,):
        assert limiter.admit(caller(), 2000) == 0
        assert limiter.admit(caller(), 1) == pytest.approx((2000 - 100 + 1) / 10)
        limiter.settle()
        assert limiter.admit(caller(), 1) == pytest.approx((2000 - 100 + 1) / 10)


def test_two_replicas_share_a_limit(database: Any, clock: Clock) -> None:
    with limiters(database, clock, 2) as (one, other):
        let_in = 0
        for _ in range(200):
            let_in += admitted(one, caller(), 1) + admitted(other, caller(), 1)
        lease = 10 * LEASE_S
        assert 100 <= let_in <= 100 + 2 * lease


def test_what_one_replica_has_let_in_another_one_learns(database: Any, clock: Clock) -> None:
    with limiters(database, clock, 2) as (one, other):
        admitted(one, caller(), 200)
        one.settle()
        assert admitted(other, caller(), 200) <= 10 * LEASE_S


def test_far_from_the_limit_the_database_is_asked_once_a_lease(
    file: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = counted(monkeypatch)
    with limiters(file, clock) as (limiter,):
        for _ in range(500):
            assert limiter.admit(caller(100.0), 1) == 0
            clock.now += 0.011
        limiter.settle()

    assert sum(taken) == 500
    assert len(taken) <= 500 / 50 + 2, "half a lease of 100 is settled at a time"


def test_at_the_limit_the_database_is_not_asked_for_every_refusal(
    file: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with limiters(file, clock) as (limiter,):
        admitted(limiter, caller(), 200)
        limiter.settle()
        taken = counted(monkeypatch)
        assert admitted(limiter, caller(), 1000) == 0
        assert not taken


def test_threads_share_a_bucket(file: Any, clock: Clock) -> None:
    with limiters(file, clock) as (limiter,), ThreadPoolExecutor(8) as pool:
        counts = pool.map(lambda _: admitted(limiter, caller(), 50), range(8))
        assert sum(counts) == 100


def test_replicas_in_threads_share_a_limit(database: Any, clock: Clock) -> None:
    with limiters(database, clock, 3) as made, ThreadPoolExecutor(6) as pool:
        counts = pool.map(lambda one: admitted(one, caller(), 100), made * 2)
        assert 100 <= sum(counts) <= 100 + 3 * 10 * LEASE_S


def test_the_thread_settles_by_itself(file: Any) -> None:
    limiter = RateLimiter(file, every_s=0.05)
    try:
        limiter.admit(caller(), 3)
        settled = threading.Event()
        for _ in range(200):
            with writing(file) as connection:
                row = connection.execute(metadata().tables["rates"].select()).first()
            if row is not None and row.allowance == pytest.approx(97, abs=0.5):
                settled.set()
                break
            settled.wait(0.02)
        assert settled.is_set()
    finally:
        limiter.close()


def test_closing_settles_what_is_open(file: Any, clock: Clock) -> None:
    with limiters(file, clock) as (limiter,):
        limiter.admit(caller(), 3)

    with writing(file) as connection:
        assert connection.execute(metadata().tables["rates"].select()).one().allowance == 97


def test_a_key_whose_rate_was_changed_has_a_new_bucket_and_its_old_debt(
    file: Any, clock: Clock
) -> None:
    with limiters(file, clock) as (limiter,):
        admitted(limiter, caller(100.0), 2000)
        assert limiter.admit(caller(10.0), 1) > 0
        clock.now += 1
        # What was not settled yet is taken from a bucket that holds no more than the new burst.
        # When the settling thread comes in between decides which part of it is owed how long.
        waited = 0.0
        while wait := limiter.admit(caller(10.0), 10):
            assert wait <= LEASE_S
            clock.now += wait + 1e-6
            waited += wait
            assert waited <= 2000 / 100.0, "it owes more than the old rate had let in"


def test_idle_keys_are_forgotten(file: Any, clock: Clock) -> None:
    with limiters(file, clock) as (limiter,):
        for number in range(50):
            limiter.admit(caller(10.0, str(number)), 1)
        limiter.settle()
        clock.now += 3600
        limiter.settle()
        assert not limiter._buckets


def test_a_clock_that_goes_back_gives_no_tokens(file: Any, clock: Clock) -> None:
    with limiters(file, clock) as (limiter,):
        admitted(limiter, caller(), 200)
        limiter.settle()
        for _ in range(5):
            clock.now -= 3
            assert limiter.admit(caller(), 1) > 0
            clock.now += 3
            assert limiter.admit(caller(), 1) > 0


# The database is away


def test_without_the_database_each_process_keeps_the_rate(
    file: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def gone(*_: Any) -> float:
        asked.append(1)
        raise VedetteError("gone", code="no_database")

    with limiters(file, clock) as (limiter,):
        monkeypatch.setattr(subject, "_take", gone)
        assert admitted(limiter, caller(), 300) == 100
        for _ in range(20):
            clock.now += 1
            assert admitted(limiter, caller(), 30) == 10
        assert len(asked) <= 2 + 20 / RETRY_S + 1, "it is left alone for a while"


def test_when_the_database_is_back_an_outage_need_not_be_paid(
    file: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any) -> float:
        raise VedetteError("gone", code="no_database")

    with limiters(file, clock) as (limiter,):
        with monkeypatch.context() as away:
            away.setattr(subject, "_take", gone)
            for _ in range(600):
                limiter.admit(caller(), 5)
                clock.now += 1
                limiter.settle()
        clock.now += RETRY_S
        limiter.settle()
        let_in = admitted(limiter, caller(), 200)
        assert 90 <= let_in <= 100


def test_a_slow_database_does_not_hold_requests_up(
    file: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = threading.Event()
    entered = []

    def waiting(*_: Any) -> float:
        entered.append(1)
        slow.wait(20)
        raise VedetteError("gone", code="no_database")

    monkeypatch.setattr(subject, "_take", waiting)
    limiter = RateLimiter(file, None, clock, 0.05, 3600.0)
    try:
        assert admitted(limiter, caller(), 200) == 100  # one of them waited, the others did not
        assert len(entered) == 1
    finally:
        slow.set()
        limiter.close()


# The bound


@settings(max_examples=40)
@given(
    rate=st.sampled_from([1.0, 4.0, 50.0]),
    replicas=st.integers(1, 3),
    steps=st.lists(
        st.tuples(
            st.integers(0, 2),  # whom
            st.integers(1, 8),  # images
            st.integers(1, 12),  # times
            st.sampled_from([0.0, 0.0, 0.1, 1.0, 3.0, 40.0]),  # seconds afterwards
            st.booleans(),  # whether that one settles then
        ),
        max_size=40,
    ),
)
def test_never_more_than_the_bound(
    bounded: Any, rate: float, replicas: int, steps: list[tuple[int, int, int, float, bool]]
) -> None:
    clock = Clock()
    began = clock.now
    lease = max(rate * LEASE_S, 8)
    burst = max(rate * BURST_S, SMALLEST_BURST)
    with writing(bounded) as connection:
        connection.execute(metadata().tables["rates"].delete())
    let_in = 0
    with limiters(bounded, clock, replicas) as made:
        for whom, images, times, seconds, settles in steps:
            limiter = made[whom % replicas]
            for _ in range(times):
                if limiter.admit(caller(rate), images) == 0:
                    let_in += images
                assert let_in <= burst + rate * (clock.now - began) + replicas * lease + 1e-6
            if settles:
                limiter.settle()
            clock.now += seconds


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    engine = open_database(str(tmp_path_factory.mktemp("rates") / "service.sqlite"))
    yield engine
    engine.dispose()
