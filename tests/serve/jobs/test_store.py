"""Jobs in the database: whose they are, how many there may be, when they go."""

from __future__ import annotations

import threading
import time

import pytest

from tests.serve.jobs.made import of_urls
from vedette.serve.jobs.job import Given, NewItem, NewJob, State
from vedette.serve.jobs.leases import Able, Leases, Outcome
from vedette.serve.jobs.store import JobStore, new_id
from vedette.serve.refusals import Refusal

URLS = ("https://example.org/a.png", "https://example.org/b.png")


def create(store: JobStore, key_id: str = "k-all") -> str:
    return store.create(of_urls(URLS, key_id=key_id), new_id()).id


def finish(store: JobStore) -> None:
    leases = Leases(store.database, Able(("dummy",), ("default",), ""), 60)
    while (lease := leases.take(8)) is not None:
        kinds = [("allow", None), ("review", "truncated")]
        leases.store(
            lease, [Outcome(i.place, f"[{i.place}]", *kinds[i.place]) for i in lease.items]
        )


def test_a_job_is_its_owners(store: JobStore) -> None:
    job_id = create(store, "k-one")

    assert store.get(job_id, "k-one").items == 2
    assert store.get(job_id, None).id == job_id
    for job, key in ((job_id, "k-two"), (new_id(), "k-one")):
        with pytest.raises(Refusal, match="no job of that id") as refused:
            store.get(job, key)
        assert refused.value.code == "not_found"
        with pytest.raises(Refusal):
            store.cancel(job, key)
    assert store.get(job_id, None).state is State.QUEUED


def test_pages_are_the_keys_own_newest_first(store: JobStore) -> None:
    made = []
    for key in ("k-one", "k-two", "k-one"):
        made.append(create(store, key))
        time.sleep(0.002)

    assert [job.id for job in store.page(None, None, 9)] == made[::-1]
    assert [job.id for job in store.page("k-one", None, 9)] == [made[2], made[0]]
    assert [job.id for job in store.page("k-one", made[2], 9)] == [made[0]]
    assert len(store.page(None, None, 2)) == 2


def test_a_key_has_so_many_open_jobs_also_when_all_come_at_once(store: JobStore) -> None:
    refused: list[str] = []

    def make() -> None:
        try:
            create(store)
        except Refusal as refusal:
            refused.append(refusal.code)

    threads = [threading.Thread(target=make) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert refused == ["rate_limited"] * 3
    with pytest.raises(Refusal):
        store.check_open("k-all")
    store.check_open("k-other")
    store.cancel(store.page(None, None, 1)[0].id, None)
    create(store)


def test_counts_by_action_and_failure(store: JobStore) -> None:
    job_id = create(store)
    assert store.counts([job_id])[job_id].actions == {}
    finish(store)

    counts = store.counts([job_id])[job_id]

    assert counts.actions == {"allow": 1, "review": 1}
    assert counts.failures == {"truncated": 1}
    assert [line for page in store.results(job_id) for line in page] == ["[0]", "[1]"]


def test_old_jobs_end_and_go(store: JobStore) -> None:
    done, late = create(store), ""
    finish(store)
    late = create(store)
    time.sleep(0.05)

    assert store.expire(60) == []
    assert store.expire(0.01) == [late]
    assert store.get(late, None).state is State.EXPIRED
    assert store.purge(60) == 0
    time.sleep(0.05)
    assert store.purge(0.01) == 2
    assert store.page(None, None, 9) == []
    assert dict(store.states([done, late])) == {}


def test_names_may_hold_any_character(store: JobStore) -> None:
    odd = "a\0b\ud800\U0001f600'\""
    item = NewItem(odd, Given(url=f"https://example.org/?{odd}"), odd)
    store.create(NewJob("k", "dummy", "default", (item,)), new_id())

    lease = Leases(store.database, Able(("dummy",), ("default",), ""), 60).take(1)

    assert lease is not None
    assert (lease.items[0].key, lease.items[0].subject) == (odd, odd)
    assert lease.items[0].given == item.given
    assert "example.org" not in repr(lease)


def test_cancelling_twice_changes_nothing(store: JobStore) -> None:
    job_id = create(store)
    first = store.cancel(job_id, "k-all")

    assert store.cancel(job_id, "k-all") == first
    assert first.state is State.CANCELLED
