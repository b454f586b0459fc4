"""Two processes and one database: each image once, also where one of them is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.serve.doubles import RememberedAudit
from tests.serve.jobs.made import (
    Seeing,
    lines,
    pictures,
    services_with,
    store_of,
    uploaded,
    wait_for,
    zipped,
)
from tests.serve.postgres import Postgres
from vedette import wire
from vedette.serve.database.store import open_database
from vedette.serve.engine import Engine
from vedette.serve.jobs.job import State
from vedette.serve.jobs.runner import JobRunner
from vedette.serve.jobs.store import JobStore
from vedette.settings import Settings

IMAGES = int(os.environ.get("VEDETTE_TEST_JOB_IMAGES", "200"))
"""docs/jobs.md has what 2,000 gave."""
IN_FLIGHT = 32
"""Four lanes of eight images."""


@contextmanager
def replica(place: str, folder: Path, seen: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.serve.jobs.replica"]
    process = subprocess.Popen(
        [*command, place, str(folder), str(seen), "0.01"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def ready(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"


def seen_by(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def slow_engine(seen: Path) -> Engine:
    return Engine((Seeing(seen, 0.01),), Settings(), 64)


def check_results(store: JobStore, job_id: str) -> Counter[str]:
    """Every image has its one result; returns the hashes."""
    records = [wire.from_line(line) for line in lines(store, job_id)]

    assert [record.key for record in records] == [f"x.zip!/{name}" for name in pictures(IMAGES)]
    assert all(record.failure is None for record in records)
    return Counter(record.sha256 or "" for record in records)


@pytest.mark.parametrize("killed", [False, True])
def test_two_replicas_scan_each_image_once(place: str, tmp_path: Path, killed: bool) -> None:
    database = open_database(place)
    store = store_of(database, tmp_path / "uploads")
    first, second = tmp_path / "first", tmp_path / "second"
    with (
        replica(place, tmp_path / "uploads", first) as one,
        replica(place, tmp_path / "uploads", second) as two,
    ):
        ready(one, two)
        job = uploaded(store, zipped(pictures(IMAGES)))
        wait_for(lambda: bool(seen_by(first)) and bool(seen_by(second)))
        if killed:
            wait_for(lambda: len(seen_by(first)) >= IMAGES // 8)
            one.send_signal(signal.SIGKILL)
        wait_for(lambda: store.get(job.id, None).state is State.DONE, 300)
        # By who stored the last result, and after it: while the replicas are still there.
        wait_for(lambda: not (tmp_path / "uploads" / job.id).exists())

    hashes = check_results(store, job.id)
    seen = Counter([*seen_by(first), *seen_by(second)])
    twice = sum(seen.values()) - len(seen)
    assert seen.keys() == hashes.keys()
    assert 0 < len(seen_by(first)) < IMAGES
    assert len(seen_by(second)) > 0
    print(f"{len(seen)} images, {twice} of them twice, {len(seen_by(first))} by the first")
    assert twice <= (IN_FLIGHT if killed else 0)
    assert max(seen.values()) <= 2
    database.dispose()


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
def test_a_database_that_goes_away_and_comes_back_costs_no_result(
    place: str, server: Postgres, tmp_path: Path
) -> None:
    store = store_of(open_database(place), tmp_path / "uploads")
    audit = RememberedAudit()
    services = services_with(store, audit=audit, engine=slow_engine(tmp_path / "seen"))
    runner = JobRunner(services, store)
    try:
        job = uploaded(store, zipped(pictures(IMAGES)))
        wait_for(lambda: store.get(job.id, None).done > 0)
        server.restart(away_s=1)
        wait_for(lambda: not store.get(job.id, None).state.open, 120)
    finally:
        services.engine.close()
        runner.close()

    check_results(store, job.id)
    assert len(seen_by(tmp_path / "seen")) == len(audit.kept) == IMAGES
    store.database.dispose()
