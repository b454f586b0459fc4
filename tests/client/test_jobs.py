"""Jobs from end to end: a client, a real service, the real runner, a SQLite file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.made import Answer, stub
from tests.serve.doubles import KEY, FixedFetcher
from tests.serve.jobs.made import picture, pictures, services_with, store_of, zipped
from tests.serve.served import served
from vedette import AsyncClient, Client, ClientOptions, ServiceError
from vedette.client.answers import JobState
from vedette.client.errors import UnansweredError
from vedette.errors import FetchError, UsageError
from vedette.serve.database.store import open_database
from vedette.serve.jobs.runner import JobRunner
from vedette.wire import read_jsonl

URLS = {f"https://images.example/{n}.png": picture(n) for n in range(6)}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("jobs")
    database = open_database(str(folder / "service.sqlite"))
    store = store_of(database, folder / "uploads")
    services = services_with(store, fetcher=FixedFetcher(dict(URLS)))
    runner = JobRunner(services, store)
    try:
        with served(services) as running:
            yield running.url
    finally:
        services.engine.close()
        runner.close()
        database.dispose()


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url, KEY) as made:
        yield made


def test_an_archive_is_scanned_and_its_records_come_back(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "odd & name.zip"
    path.write_bytes(zipped({**pictures(30), "note.txt": b"no picture"}))

    made = client.jobs.submit_archive(path, policy="strict")
    ended = client.jobs.wait(made.id, seconds=60, poll_s=0.05)
    found = list(client.jobs.results(made.id))

    assert (ended.state, ended.items, ended.done, ended.open) == (JobState.DONE, 31, 31, False)
    assert [record.key for record in found[:2]] == [f"{path.name}!/000{n}.png" for n in (0, 1)]
    assert len(found) == 31
    assert {record.verdict.policy for record in found} == {"strict@1"}
    assert sum(ended.actions.values()) == 31
    assert ended.failures == {"unsupported_format": 1}


def test_results_are_written_whole_or_not_at_all(client: Client, tmp_path: Path) -> None:
    made = client.jobs.submit_urls(list(URLS))
    client.jobs.wait(made.id, seconds=60, poll_s=0.05)
    path, table = tmp_path / "out.jsonl", tmp_path / "out.parquet"

    client.jobs.save_results(made.id, path)
    client.jobs.save_results(made.id, table)

    assert list(read_jsonl(path)) == list(client.jobs.results(made.id))
    assert table.read_bytes()[:4] == b"PAR1"
    before = path.read_bytes()
    with pytest.raises(ServiceError):
        client.jobs.save_results("0" * 32, path)
    assert path.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [path, table]
    with pytest.raises(UsageError, match="csv"):
        client.jobs.save_results(made.id, tmp_path / "out.csv")


def test_urls_are_scanned_under_keys_of_ones_own(client: Client) -> None:
    keys = [f"mine-{n}" for n in range(7)]

    made = client.jobs.submit_urls([*URLS, "https://images.example/none"], keys=keys, subject="u")
    client.jobs.wait(made.id, seconds=60, poll_s=0.05)
    found = list(client.jobs.results(made.id))

    assert [record.key for record in found] == keys
    assert [record.failure is None for record in found] == [True] * 6 + [False]
    newest, _ = client.jobs.page(limit=1)
    assert [job.id for job in newest] == [made.id]


def test_pages_lead_to_all_jobs(client: Client) -> None:
    made = [client.jobs.submit_urls(list(URLS)[:1]).id for _ in range(2)]
    for job_id in made:
        client.jobs.wait(job_id, seconds=60, poll_s=0.05)
    first, following = client.jobs.page(limit=1)
    second, _ = client.jobs.page(limit=1, before=following)

    assert [job.id for job in (*first, *second)] == made[::-1]


def test_a_job_can_be_cancelled(client: Client) -> None:
    made = client.jobs.submit_urls(list(URLS))

    assert client.jobs.cancel(made.id).state in (JobState.CANCELLED, JobState.DONE)
    assert not client.jobs.wait(made.id, seconds=60).open


def test_the_one_that_awaits_does_the_same(url: str, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zipped(pictures(5)))

    async def main() -> None:
        async with AsyncClient(url, KEY) as client:
            made = await client.jobs.submit_archive(path)
            ended = await client.jobs.wait(made.id, seconds=60, poll_s=0.05)
            assert [record.key async for record in client.jobs.results(made.id)] == [
                f"a.zip!/000{n}.png" for n in range(5)
            ]
            await client.jobs.save_results(made.id, tmp_path / "out.jsonl")
            assert len(list(read_jsonl(tmp_path / "out.jsonl"))) == 5
            assert ended == await client.jobs.get(made.id)
            assert (await client.jobs.page(limit=1))[0][0].id == made.id
            assert not (await client.jobs.cancel(made.id)).open
            urls = await client.jobs.submit_urls(list(URLS))
            await client.jobs.wait(urls.id, seconds=60, poll_s=0.05)

    asyncio.run(main())


def test_what_is_not_there_is_said(client: Client, tmp_path: Path) -> None:
    with pytest.raises(FetchError):
        client.jobs.submit_archive(tmp_path / "gone.zip")
    with pytest.raises(ServiceError) as caught:
        client.jobs.get("0" * 32)
    assert caught.value.code == "not_found"
    for wrong in ("x", "../../keys", "0" * 31):
        with pytest.raises(UsageError, match="no id of a job"):
            client.jobs.get(wrong)
    with pytest.raises(UsageError, match="list of URLs"):
        client.jobs.submit_urls("https://images.example/7.png")


STATUS = (
    b'{"id": "a", "state": "running", "items": 9, "done": 2, "actions": {}, "failures": {},'
    b' "model": "m", "policy": "p", "webhook": null}'
)


def test_waiting_ends_when_its_time_is_over() -> None:
    with stub([Answer(body=STATUS)]) as made, Client(made.url) as client:
        with pytest.raises(UnansweredError, match="2 of 9") as caught:
            client.jobs.wait("0" * 32, seconds=0.2, poll_s=0.05)
        assert caught.value.code == "request_timeout"
        assert len(made.seen) > 1
        with pytest.raises(UsageError, match="poll_s"):
            client.jobs.wait("0" * 32, poll_s=0)


def test_results_that_break_off_are_none() -> None:
    short = Answer(body=b'{"key": ', headers={"Content-Length": "5000", "Connection": "close"})
    options = ClientOptions(attempts=2)
    with stub([short]) as made, Client(made.url, options=options) as client:
        with pytest.raises(UnansweredError, match="broke off"):
            next(client.jobs.results("0" * 32))
        assert len(made.seen) == 2
