"""Leases: nobody works on what another one has, results are stored once, the dead lose theirs."""

from __future__ import annotations

import threading
import time

import pytest
from sqlalchemy import Engine

from tests.serve.jobs.made import of_urls
from vedette.serve.jobs.job import State
from vedette.serve.jobs.leases import ATTEMPTS, Able, Ended, Lease, Leases, Outcome
from vedette.serve.jobs.store import JobStore, new_id

ABLE = Able(("dummy",), ("default",), "none")


def outcomes(lease: Lease, record: str = "{}") -> list[Outcome]:
    return [Outcome(item.place, record, "allow", None) for item in lease.items]


@pytest.fixture
def leases(engine: Engine) -> Leases:
    return Leases(engine, ABLE, 60)


@pytest.fixture
def short(engine: Engine) -> Leases:
    return Leases(engine, ABLE, 0.05)


def made(store: JobStore, count: int) -> str:
    urls = [f"https://example.org/{place}" for place in range(count)]
    return store.create(of_urls(urls), new_id()).id


def test_what_is_leased_is_nobody_elses(store: JobStore, leases: Leases) -> None:
    made(store, 5)

    first, second, third = leases.take(3), leases.take(3), leases.take(3)

    assert first
    assert second
    assert third is None
    assert [item.place for item in (*first.items, *second.items)] == [0, 1, 2, 3, 4]
    assert first.items[0].given.url == "https://example.org/0"
    assert (first.items[0].subject, first.items[0].attempts) == ("who", 1)


def test_the_last_result_ends_the_job(store: JobStore, leases: Leases) -> None:
    job_id = made(store, 3)
    first, second = leases.take(2), leases.take(2)
    assert first
    assert second

    assert not leases.store(first, outcomes(first))
    assert store.get(job_id, None).state is State.RUNNING
    assert leases.store(second, outcomes(second))

    job = store.get(job_id, None)
    assert (job.state, job.done, job.ended is None) == (State.DONE, 3, False)


def test_many_at_once_take_each_image_once_and_see_the_end(store: JobStore, leases: Leases) -> None:
    job_id = made(store, 60)
    taken: list[int] = []
    ended: list[bool] = []

    def work() -> None:
        while (lease := leases.take(4)) is not None:
            taken.extend(item.place for item in lease.items)
            ended.append(leases.store(lease, outcomes(lease)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(taken) == list(range(60))
    assert ended.count(True) == 1
    assert store.get(job_id, None).done == 60


def test_an_expired_lease_is_given_to_others_one_by_one(store: JobStore, short: Leases) -> None:
    made(store, 2)
    lost = short.take(2)
    assert lost is not None
    time.sleep(0.1)

    again = short.take(2)

    assert again is not None
    assert [(item.place, item.attempts) for item in again.items] == [(0, 2)]
    assert again.suspect
    assert not lost.suspect


def test_a_result_is_stored_once_and_only_by_who_has_the_lease(
    store: JobStore, short: Leases
) -> None:
    job_id = made(store, 1)
    lost = short.take(1)
    time.sleep(0.1)
    again = short.take(1)
    assert lost
    assert again

    assert not short.store(lost, outcomes(lost, '"late"'))
    assert short.store(again, outcomes(again, '"first"'))

    assert list(store.results(job_id)) == [['"first"']]
    assert store.get(job_id, None).done == 1
    with pytest.raises(Ended):
        short.store(again, outcomes(again, '"second"'))


def test_renewing_keeps_a_lease(store: JobStore, leases: Leases, engine: Engine) -> None:
    made(store, 1)
    lease = leases.take(1)
    assert lease is not None

    def until() -> float:
        with engine.begin() as connection:
            return float(
                connection.exec_driver_sql("SELECT lease_until FROM job_items").scalar_one()
            )

    before = until()
    time.sleep(0.01)

    assert leases.renew(lease)
    assert until() > before


def test_who_goes_down_in_good_order_costs_no_attempt(store: JobStore, leases: Leases) -> None:
    made(store, 2)
    for _ in range(ATTEMPTS + 2):
        lease = leases.take(2)
        assert lease is not None
        assert [item.attempts for item in lease.items] == [1, 1]
        leases.give_back(lease)


def test_a_cancelled_job_takes_no_results(store: JobStore, leases: Leases) -> None:
    job_id = made(store, 2)
    lease = leases.take(1)
    assert lease is not None
    assert store.cancel(job_id, "k-all").state is State.CANCELLED

    assert leases.take(1) is None
    assert not leases.renew(lease)
    with pytest.raises(Ended):
        leases.store(lease, outcomes(lease))
    assert list(store.results(job_id)) == []


@pytest.mark.parametrize(
    "able", [Able((), ("default",), "none"), Able(("dummy",), ("strict",), "none")]
)
def test_what_a_runner_cannot_do_is_left_to_others(
    store: JobStore, engine: Engine, able: Able
) -> None:
    made(store, 1)

    assert Leases(engine, able, 60).take(1) is None
    assert Leases(engine, ABLE, 60).take(1) is not None


def test_urls_and_subjects_are_gone_once_there_is_a_result(
    store: JobStore, leases: Leases, engine: Engine
) -> None:
    made(store, 2)
    lease = leases.take(1)
    assert lease is not None
    leases.store(lease, outcomes(lease))

    with engine.begin() as connection:
        rows = connection.exec_driver_sql(
            "SELECT given, subject FROM job_items ORDER BY place"
        ).all()
    assert tuple(rows[0]) == ("", None)
    assert tuple(rows[1]) == ('{"url": "https://example.org/1"}', '"who"')
