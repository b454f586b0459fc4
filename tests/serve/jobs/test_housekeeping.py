"""What every replica clears away."""

from __future__ import annotations

import os

from tests.serve.jobs.made import pictures, uploaded, zipped
from vedette.serve.jobs.housekeeping import Housekeeping
from vedette.serve.jobs.job import State
from vedette.serve.jobs.store import JobStore, new_id
from vedette.serve.options import JobOptions


def test_uploads_of_jobs_that_are_over_go_and_those_of_others_stay(store: JobStore) -> None:
    folder = store.uploads._folder
    is_open, over = (uploaded(store, zipped(pictures(1))).id for _ in range(2))
    store.cancel(over, None)
    arriving, orphan = new_id(), new_id()
    for name in (arriving, orphan):
        (folder / name).mkdir()
    os.utime(folder / orphan, (1, 1))
    os.utime(folder / is_open, (1, 1))

    Housekeeping(store, JobOptions(), None).sweep()

    assert {path.name for path in folder.iterdir()} == {".id", is_open, arriving}


def test_jobs_that_take_too_long_are_ended_with_their_uploads(store: JobStore) -> None:
    job = uploaded(store, zipped(pictures(1)))

    Housekeeping(store, JobOptions(hours=1e-9), None).sweep()

    assert store.get(job.id, None).state is State.EXPIRED
    assert not (store.uploads._folder / job.id).exists()


def test_old_jobs_are_deleted(store: JobStore) -> None:
    job = uploaded(store, zipped(pictures(1)))
    store.cancel(job.id, None)

    Housekeeping(store, JobOptions(retention_days=1e-12), None).sweep()

    assert store.page(None, None, 9) == []
