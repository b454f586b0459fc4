"""A runner: from what a job is given to its stored Records, whatever goes wrong on the way."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.serve.doubles import FixedFetcher, FixedLists, RememberedAudit
from tests.serve.jobs.made import (
    OPTIONS,
    lines,
    of_urls,
    picture,
    pictures,
    services_with,
    store_of,
    uploaded,
    wait_for,
    zipped,
)
from vedette.data.paths import PathSource
from vedette.models.base import Prepared
from vedette.models.dummy import Dummy
from vedette.pipeline import Scanner
from vedette.serve.engine import Engine
from vedette.serve.jobs.job import Job, State
from vedette.serve.jobs.leases import ATTEMPTS, Able, Leases
from vedette.serve.jobs.runner import JobRunner
from vedette.serve.jobs.store import JobStore, new_id
from vedette.serve.options import RequestLimits
from vedette.serve.services import Listed, Services
from vedette.settings import Settings
from vedette.types import Image, Item, Record
from vedette.wire import from_line

pytestmark = pytest.mark.parametrize("place", ["sqlite"], indirect=True)
"""What depends on the kind of database is in test_leases, test_store and test_replicas."""


@contextmanager
def running(services: Services, store: JobStore) -> Iterator[JobRunner]:
    runner = JobRunner(services, store)
    try:
        yield runner
    finally:
        services.engine.close()
        runner.close()


def ended(store: JobStore, job: Job) -> Callable[[], bool]:
    return lambda: not store.get(job.id, None).state.open


def results(store: JobStore, job: Job) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(store, job.id)]


def test_results_are_those_of_a_scan_of_the_same_files(store: JobStore, tmp_path: Path) -> None:
    members = {
        **pictures(20),
        "text.txt": b"no picture",
        "empty.png": b"",
        "cut.png": picture(3)[:50],
    }
    path = tmp_path / "x.zip"
    path.write_bytes(zipped(members))
    source = PathSource([path])
    with Scanner("dummy") as scanner:
        items = [item for shard in source.shards() for item in source.read(shard)]
        expected = list(scanner.scan_many(items))

    job = uploaded(store, path.read_bytes(), str(path))
    with running(services_with(store), store):
        wait_for(ended(store, job))

    found = [from_line(line) for line in lines(store, job.id)]
    assert [_untimed(record) for record in found] == [_untimed(record) for record in expected]
    assert len(found) == 23


def _untimed(record: Record) -> Record:
    return dataclasses.replace(record, times_ms={})


def test_urls_are_fetched_and_one_that_fails_costs_only_itself(store: JobStore) -> None:
    urls = [f"https://example.org/{name}?secret" for name in ("a", "b", "c")]
    fetcher = FixedFetcher({urls[0]: picture(1)}, {urls[1]})
    audit = RememberedAudit()
    job = store.create(of_urls(urls), new_id())

    with running(services_with(store, fetcher=fetcher, audit=audit), store):
        wait_for(ended(store, job))

    told = results(store, job)
    assert [one["action"] for one in told[1:]] == ["review", "review"]
    codes = [one["failure"] and one["failure"]["code"] for one in told]
    assert codes == [None, "url_refused", "unreadable"]
    assert [decision.subject for decision in audit.kept] == ["who"] * 3
    assert {decision.key_id for decision in audit.kept} == {"k-all"}
    assert [one["decision_id"] for one in told] == [decision.id for decision in audit.kept]
    assert "secret" not in json.dumps(told)


def test_what_a_list_quarantines_is_blocked_and_deleted(store: JobStore) -> None:
    hit = Listed("terror", "quarantine", "sha256", 0, "7")
    lists = FixedLists({hashlib.sha256(picture(1)).hexdigest(): hit})
    gate = threading.Event()

    class Slow(Dummy):
        def prepare(self, image: Image) -> Prepared:
            gate.wait(60)
            return super().prepare(image)

    # The listed one is in a lease of its own, which ends while the others are held up.
    members = {"a.png": picture(1), **{f"a{n}": b"" for n in range(7)}, **pictures(2)}
    job = uploaded(store, zipped(members))
    folder = store.uploads._folder / job.id
    assert (folder / "0").read_bytes() == picture(1)
    engine = Engine((Slow(),), Settings(), 64)

    with running(services_with(store, lists=lists, engine=engine), store):
        wait_for(lambda: bool(lines(store, job.id)))
        wait_for(lambda: not (folder / "0").exists())
        assert (folder / "8").exists()
        gate.set()
        wait_for(ended(store, job))
        wait_for(lambda: not folder.exists())

    first = results(store, job)[0]
    assert (first["action"], first["listed"]["kind"], first["models"]) == (
        "block",
        "quarantine",
        [],
    )


def test_an_image_that_was_begun_too_often_is_a_failure(store: JobStore) -> None:
    job = uploaded(store, zipped(pictures(2)))
    crashing = Leases(store.database, Able(("dummy",), ("default",), store.uploads.id), 0.001)
    for _ in range(ATTEMPTS):  # its worker dies each time
        wait_for(lambda: (crashing.take(1) or None) is not None)
        time.sleep(0.01)
        with store.database.begin() as connection:
            connection.exec_driver_sql("UPDATE job_items SET attempts = 0 WHERE place = 1")
            connection.exec_driver_sql("UPDATE job_items SET lease_until = 9e9 WHERE place = 1")
    with store.database.begin() as connection:
        connection.exec_driver_sql("UPDATE job_items SET lease_until = NULL")

    with running(services_with(store), store):
        wait_for(ended(store, job))

    first, second = results(store, job)
    assert first["failure"]["code"] == "model_failed"
    assert first["action"] == "review"
    assert second["failure"] is None


def test_jobs_come_after_the_requests_that_somebody_waits_for(store: JobStore) -> None:
    held = threading.Event()

    class Held(Dummy):
        def prepare(self, image: Image) -> Prepared:
            held.wait(60)
            return super().prepare(image)

    engine = Engine((Held(),), Settings(), 8)
    services = services_with(store, engine=engine)

    async def busy() -> None:
        items = [Item(str(n), picture(n)) for n in range(6)]
        scanning = asyncio.ensure_future(engine.scan(items, None, services.policies["default"], 60))
        while engine.load.waiting < 6:
            await asyncio.sleep(0.01)
        job = uploaded(store, zipped(pictures(4)))
        with running(services, store):
            await asyncio.sleep(0.5)
            assert engine.load.waiting == 6  # nothing of the job is there
            held.set()
            await scanning
            await asyncio.to_thread(wait_for, ended(store, job))

    asyncio.run(busy())


def test_a_decision_that_cannot_be_kept_is_tried_again(store: JobStore) -> None:
    audit = RememberedAudit(broken=True)
    job = uploaded(store, zipped(pictures(3)))

    with running(services_with(store, audit=audit), store):
        time.sleep(0.3)
        assert store.get(job.id, None).done == 0
        audit.broken = False
        wait_for(ended(store, job))

    assert len(results(store, job)) == len(audit.kept) == 3


def test_an_image_that_takes_too_long_is_a_failure_and_the_others_are_not(
    store: JobStore,
) -> None:
    class Stuck(Dummy):
        def prepare(self, image: Image) -> Prepared:
            if image.sha256 == hashlib.sha256(picture(1)).hexdigest():
                time.sleep(1.0)
            return super().prepare(image)

    options = dataclasses.replace(OPTIONS, limits=RequestLimits(video_seconds=0.5))
    job = uploaded(store, zipped(pictures(3)))
    engine = Engine((Stuck(),), Settings(), 64)

    with running(services_with(store, engine=engine, options=options), store):
        wait_for(ended(store, job))

    codes = [one["failure"] and one["failure"]["code"] for one in results(store, job)]
    assert codes == [None, "timeout", None]


def test_who_goes_down_leaves_the_rest_to_others(store: JobStore) -> None:
    gate = threading.Event()

    class Slow(Dummy):
        def prepare(self, image: Image) -> Prepared:
            gate.wait(0.2)
            return super().prepare(image)

    job = uploaded(store, zipped(pictures(200)))
    with running(services_with(store, engine=Engine((Slow(),), Settings(), 64)), store):
        wait_for(lambda: store.get(job.id, None).done > 0)
    left = store.get(job.id, None)
    assert left.state is State.RUNNING
    assert left.done < 200

    with running(services_with(store), store):  # at once, not after the leases' time
        wait_for(ended(store, job), 20)

    told = results(store, job)
    assert len(told) == 200
    assert all(one["failure"] is None for one in told)


def test_another_folder_of_uploads_is_another_replicas(store: JobStore, tmp_path: Path) -> None:
    job = uploaded(store, zipped(pictures(2)))
    elsewhere = store_of(store.database, tmp_path / "elsewhere")

    with running(services_with(elsewhere), elsewhere):
        time.sleep(0.8)
        assert store.get(job.id, None).state is State.QUEUED
    with running(services_with(store), store):
        wait_for(ended(store, job))
