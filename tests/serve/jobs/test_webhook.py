"""Webhooks: signed, told at least once, by one replica at a time, to public addresses alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.serve.jobs.made import SIGNER, of_urls
from tests.serve.jobs.receiver import Receiver, receiving
from vedette.errors import FetchError, UsageError
from vedette.serve.fetching import UrlFetcher
from vedette.serve.jobs.housekeeping import Housekeeping
from vedette.serve.jobs.job import Job
from vedette.serve.jobs.signing import Signer, load_signer
from vedette.serve.jobs.store import JobStore, new_id
from vedette.serve.jobs.webhook import GIVE_UP_S, Outbox
from vedette.serve.options import FetchOptions, JobOptions
from vedette.serve.refusals import Refusal

on_sqlite = pytest.mark.parametrize("place", ["sqlite"], indirect=True)
"""What does not depend on the kind of database."""
ROOT = Path(__file__).parents[3]


def cancelled(store: JobStore, webhook: str) -> Job:
    """A job that has ended, of which nobody has been told."""
    new = of_urls(["https://example.org/a?token=1"], webhook=webhook)
    job_id = store.create(new, new_id()).id
    return store.cancel(job_id, None)


def tell(store: JobStore, receiver: Receiver, *, private: bool = True) -> bool:
    """One round of a replica that may, or may not, call private addresses."""
    hosts = ("127.0.0.1",) if private else ()
    fetcher = UrlFetcher(FetchOptions(private_hosts=hosts, ports=(receiver.port,)))
    try:
        return asyncio.run(Housekeeping(store, JobOptions(), fetcher).call_one())
    finally:
        fetcher.close()


def make_due(store: JobStore, ended: float = 0.0) -> None:
    with store.database.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET webhook_due = 0")
        connection.exec_driver_sql(f"UPDATE jobs SET ended = ended - {ended}")


def documented_check() -> str:
    """The snippet of docs/jobs.md."""
    page = (ROOT / "docs" / "jobs.md").read_text(encoding="utf-8")
    (found,) = [b for b in page.split("```python\n")[1:] if "def is_ours" in b]
    return found.partition("```")[0]


def test_the_owner_is_told_once_and_can_check_by_whom(store: JobStore) -> None:
    with receiving(200) as receiver:
        job = cancelled(store, receiver.url)

        assert tell(store, receiver)
        assert not tell(store, receiver)

    (body,), (headers,) = receiver.bodies, receiver.headers
    event = json.loads(body)
    assert (event["id"], event["type"]) == (f"{job.id}.ended", "job.ended")
    assert (event["job"]["id"], event["job"]["state"]) == (job.id, "cancelled")
    assert b"token" not in body
    assert b"http" not in body
    names: dict[str, object] = {}
    exec(documented_check(), names)
    check = names["is_ours"]
    signature = headers["x-vedette-signature"]
    assert check(SIGNER.secret("k-all"), signature, body)  # type: ignore[operator]
    assert not check(SIGNER.secret("k-other"), signature, body)  # type: ignore[operator]
    assert not check(SIGNER.secret("k-all"), signature, body + b" ")  # type: ignore[operator]
    old = SIGNER.header("k-all", body, 1000)
    assert not check(SIGNER.secret("k-all"), old, body)  # type: ignore[operator]
    for odd in ("", "t=1", "v1=aa,t=x", "t=1,v1=é"):
        assert not check(SIGNER.secret("k-all"), odd, body)  # type: ignore[operator]
    told = store.get(job.id, None)
    assert (told.webhook_state, told.webhook) == ("delivered", "")


@on_sqlite
@pytest.mark.parametrize("status", [500, 404, 302])
def test_who_does_not_say_yes_is_told_again_later(store: JobStore, status: int) -> None:
    with receiving(status, 204) as receiver:
        job = cancelled(store, receiver.url)
        assert tell(store, receiver)
        assert not tell(store, receiver)  # not at once
        waiting = store.get(job.id, None)
        make_due(store)
        assert tell(store, receiver)

    assert (waiting.webhook_state, waiting.webhook_attempts) == ("waiting", 1)
    assert receiver.bodies[0] == receiver.bodies[1]
    assert store.get(job.id, None).webhook_state == "delivered"


@on_sqlite
def test_after_a_day_it_has_failed(store: JobStore) -> None:
    with receiving(500) as receiver:
        job = cancelled(store, receiver.url)
        make_due(store, GIVE_UP_S + 1)
        assert tell(store, receiver)

    assert store.get(job.id, None).webhook_state == "failed"


@on_sqlite
def test_who_is_gone_is_not_told_again(store: JobStore) -> None:
    with receiving(410) as receiver:
        job = cancelled(store, receiver.url)
        assert tell(store, receiver)

    assert store.get(job.id, None).webhook_state == "failed"


@on_sqlite
def test_an_address_inside_the_network_is_never_called(store: JobStore) -> None:
    with receiving(200) as receiver:
        job = cancelled(store, receiver.url)
        assert tell(store, receiver, private=False)

    assert receiver.bodies == []
    assert store.get(job.id, None).webhook_state == "waiting"


def test_of_two_replicas_one_calls(store: JobStore) -> None:
    cancelled(store, "https://example.org/hook")

    claims = [Outbox(store.database).claim() for _ in range(3)]

    assert [claim is not None for claim in claims] == [True, False, False]


@on_sqlite
def test_waits_grow(store: JobStore) -> None:
    job = cancelled(store, "https://example.org/hook")
    outbox = Outbox(store.database, first_s=100)
    waits = []
    for _ in range(8):
        make_due(store)
        claimed = outbox.claim()
        assert claimed is not None
        assert job.ended is not None
        outbox.failed(claimed)
        waits.append((store.get(job.id, None).webhook_due or 0) - job.ended)

    for attempt, wait in enumerate(waits):
        longest = min(100 * 2**attempt, 3600)
        assert longest / 2 - 1 <= wait <= longest + 60


@on_sqlite
def test_a_job_without_a_webhook_has_nobody_to_tell(store: JobStore) -> None:
    job_id = store.create(of_urls(["https://example.org/a"]), new_id()).id
    store.cancel(job_id, None)

    assert Outbox(store.database).claim() is None


def test_posting_is_bound_by_the_rules_of_fetching() -> None:
    async def post(options: FetchOptions, url: str) -> int:
        fetcher = UrlFetcher(options)
        try:
            return await fetcher.post(url, b"{}", {"X-Test": "1"})
        finally:
            fetcher.close()

    with receiving(302) as receiver:
        allowed = FetchOptions(private_hosts=("127.0.0.1",), ports=(receiver.port,))
        assert asyncio.run(post(allowed, receiver.url)) == 302  # and no further
        assert len(receiver.bodies) == 1
        with pytest.raises(Refusal):
            asyncio.run(post(FetchOptions(ports=(receiver.port,)), receiver.url))
        with pytest.raises(Refusal):
            asyncio.run(post(FetchOptions(private_hosts=("127.0.0.1",)), receiver.url))
    with pytest.raises(FetchError):
        asyncio.run(post(allowed, receiver.url))  # nobody is there any more


SECRET = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("environ", [{"VEDETTE_WEBHOOK_KEY": "short"}, {"VEDETTE_WEBHOOK_KEY": ""}])
def test_a_short_secret_is_refused(environ: Mapping[str, str]) -> None:
    with pytest.raises(UsageError, match="32 characters"):
        load_signer(environ)


def test_the_secret_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")

    given = load_signer({"VEDETTE_WEBHOOK_KEY": SECRET})
    read = load_signer({"VEDETTE_WEBHOOK_KEY_FILE": str(path)})

    assert given
    assert read
    assert given.secret("k") == read.secret("k") != given.secret("l")
    assert SECRET not in repr(given) + given.secret("k")
    assert load_signer({}) is None
    with pytest.raises(UsageError, match="cannot read"):
        load_signer({"VEDETTE_WEBHOOK_KEY_FILE": str(tmp_path)})


def test_the_signature_is_hmac_sha256() -> None:
    header = Signer(b"s" * 32).header("k", b'{"id":"1"}', 1700000000)

    assert header.startswith("t=1700000000,v1=")
    assert len(header.rpartition("=")[2]) == 64
