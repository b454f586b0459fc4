"""/v1/jobs on a real server, with a runner behind it."""

from __future__ import annotations

import dataclasses
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet
import pytest

from tests.serve.doubles import ADMIN_KEY, KEY, SCAN_KEY, FixedFetcher, FixedKeys
from tests.serve.jobs.made import (
    OPTIONS,
    SIGNER,
    picture,
    pictures,
    services_with,
    wait_for,
    zipped,
)
from tests.serve.jobs.receiver import receiving
from tests.serve.served import Served, served
from vedette.serve.fetching import UrlFetcher
from vedette.serve.jobs.job import Job
from vedette.serve.jobs.runner import JobRunner
from vedette.serve.jobs.store import JobStore
from vedette.serve.options import FetchOptions, RequestLimits, ServeOptions
from vedette.serve.services import Caller, Scope
from vedette.wire import from_dict

pytestmark = pytest.mark.parametrize("place", ["sqlite"], indirect=True)
OTHER_KEY = "vk_test_other"
ZIP = {"Content-Type": "application/zip"}


def keys() -> FixedKeys:
    found = FixedKeys()
    found.known[KEY] = Caller("k-all", "test", frozenset({Scope.JOBS, Scope.SCAN}))
    found.known[OTHER_KEY] = Caller("k-other", "other", frozenset({Scope.JOBS}))
    return found


@contextmanager
def service(store: JobStore, *, work: bool = True, **replaced: object) -> Iterator[httpx.Client]:
    services = services_with(store, keys=keys(), **replaced)
    if work:
        poster = UrlFetcher(
            FetchOptions(private_hosts=("127.0.0.1",), ports=tuple(range(1, 65536)))
        )
        services.closing.append(poster)
        services.closing.append(JobRunner(services, store, poster=poster))
    with served(services) as running, client(running, KEY) as made:
        yield made


def client(running: Served, key: str) -> httpx.Client:
    return httpx.Client(base_url=running.url, headers=bearer(key), timeout=60, trust_env=False)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def job_of(made: httpx.Client, job_id: str) -> dict[str, Any]:
    answer = made.get(f"/v1/jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def upload(made: httpx.Client, count: int = 5, query: str = "") -> dict[str, Any]:
    answer = made.post(f"/v1/jobs{query}", content=zipped(pictures(count)), headers=ZIP)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    return job


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_an_archive_from_upload_to_results(store: JobStore, tmp_path: Path) -> None:
    with service(store) as made:
        job = upload(made, 20, "?name=batch.zip&policy=strict&categories=Sexual,Violence")
        assert (job["items"], job["policy"], job["categories"]) == (
            20,
            "strict",
            ["Sexual", "Violence"],
        )
        wait_for(lambda: job_of(made, job["id"])["state"] == "done")
        ended = job_of(made, job["id"])
        found = made.get(f"/v1/jobs/{job['id']}/results")
        table = made.get(f"/v1/jobs/{job['id']}/results?format=parquet")

    lines = [json.loads(line) for line in found.text.splitlines()]
    assert found.headers["content-type"].startswith("application/x-ndjson")
    assert [one["key"] for one in lines] == [f"batch.zip!/{name}" for name in pictures(20)]
    assert {one["policy"] for one in lines} == {"strict[Sexual+Violence]@1"}
    assert ended["done"] == 20
    assert sum(ended["actions"].values()) == 20
    assert ended["failures"] == {}
    assert all(from_dict(one).failure is None for one in lines)
    (tmp_path / "r.parquet").write_bytes(table.content)
    rows = pyarrow.parquet.read_table(tmp_path / "r.parquet").to_pylist()
    assert [(row["key"], row["action"]) for row in rows] == [
        (one["key"], one["action"]) for one in lines
    ]


def test_urls(store: JobStore) -> None:
    url = "https://images.example.org/1.png?token=hidden"
    body = {"images": [{"url": url, "key": "a", "subject": "s"}, {"url": "gopher://x"}]}
    with service(store, fetcher=FixedFetcher({url: picture(1)})) as made:
        answer = made.post("/v1/jobs", json=body)
        assert answer.status_code == 202
        job_id = answer.json()["id"]
        wait_for(lambda: job_of(made, job_id)["state"] == "done")
        told = made.get(f"/v1/jobs/{job_id}/results").text

    assert [json.loads(line)["key"] for line in told.splitlines()] == ["a", "1"]
    assert "hidden" not in told + answer.text


def test_results_while_it_runs_and_after_it_was_cancelled(store: JobStore) -> None:
    with service(store, work=False) as made:
        job_id = upload(made)["id"]
        assert (store.uploads._folder / job_id).exists()
        empty = made.get(f"/v1/jobs/{job_id}/results")
        early = made.get(f"/v1/jobs/{job_id}/results?format=parquet")
        odd = made.get(f"/v1/jobs/{job_id}/results?format=xml")
        cancelled = made.delete(f"/v1/jobs/{job_id}")
        again = made.delete(f"/v1/jobs/{job_id}")
        late = made.get(f"/v1/jobs/{job_id}/results?format=parquet")

    assert (empty.status_code, empty.text) == (200, "")
    assert code(early) == code(odd) == (400, "usage")
    assert cancelled.json()["state"] == "cancelled"
    assert again.json() == cancelled.json()
    assert late.status_code == 200
    assert not (store.uploads._folder / job_id).exists()


def test_a_key_sees_its_own_jobs_and_admin_all(store: JobStore) -> None:
    with service(store, work=False) as made:
        job_id = upload(made)["id"]
        for path in ("", "/results"):
            for key, expected in ((OTHER_KEY, 404), (SCAN_KEY, 403), ("nobody", 401)):
                answer = made.get(f"/v1/jobs/{job_id}{path}", headers=bearer(key))
                assert answer.status_code == expected
        assert made.delete(f"/v1/jobs/{job_id}", headers=bearer(OTHER_KEY)).status_code == 404
        assert made.get("/v1/jobs", headers=bearer(OTHER_KEY)).json() == {"jobs": [], "next": None}
        assert made.get(f"/v1/jobs/{job_id}", headers=bearer(ADMIN_KEY)).status_code == 200
        assert job_of(made, job_id)["state"] == "queued"
        assert made.get("/v1/jobs/..%2Fx").status_code == 404


def test_paging(store: JobStore) -> None:
    with service(store, work=False) as made:
        ids = [upload(made, 1)["id"] for _ in range(3)]
        first = made.get("/v1/jobs?limit=2").json()
        second = made.get(f"/v1/jobs?limit=2&before={first['next']}").json()
        for query in ("limit=0", "limit=x", "limit=101", "before=x"):
            assert code(made.get(f"/v1/jobs?{query}")) == (400, "usage")

    told = [job["id"] for page in (first, second) for job in page["jobs"]]
    assert told == sorted(ids, reverse=True)
    assert second["next"] is None


def test_so_many_open_jobs(store: JobStore) -> None:
    with service(store, work=False) as made:
        for _ in range(OPTIONS.jobs.open):
            upload(made, 1)
        answer = made.post("/v1/jobs", content=zipped(pictures(1)), headers=ZIP)

    assert code(answer) == (429, "rate_limited")
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (400, "usage")),
        ({"images": []}, (400, "usage")),
        ({"images": [{"url": 7}]}, (400, "usage")),
        ({"images": [{"url": "u" * 5000}]}, (400, "usage")),
        ({"images": [{"url": "u"}], "more": 1}, (400, "usage")),
        ({"images": [{"url": "u"}] * 3001}, (413, "too_large")),
        ({"images": [{"url": "u"}], "model": "nobody"}, (400, "unknown_name")),
        ({"images": [{"url": "u"}], "policy": "nobody"}, (400, "unknown_name")),
        ({"images": [{"url": "u"}], "categories": ["nobody"]}, (400, "usage")),
        ({"images": [{"url": "u"}], "webhook": "file:///etc/passwd"}, (400, "url_refused")),
    ],
)
def test_json_that_is_refused(store: JobStore, body: object, expected: tuple[int, str]) -> None:
    with service(store, work=False) as made:
        assert code(made.post("/v1/jobs", json=body)) == expected
        assert made.get("/v1/jobs").json()["jobs"] == []


def test_uploads_that_are_refused(store: JobStore) -> None:
    good = zipped(pictures(1))
    with service(store, work=False) as made:
        for query, data, headers, expected in (
            ("", picture(1), ZIP, (415, "unsupported_media")),
            ("", good, {"Content-Type": "text/plain"}, (415, "unsupported_media")),
            ("", good[:-9], ZIP, (400, "corrupt_archive")),
            ("?name=", good, ZIP, (400, "usage")),
            ("?nme=x", good, ZIP, (400, "usage")),
            ("?model=a&model=b", good, ZIP, (400, "usage")),
            ("?model=nobody", good, ZIP, (400, "unknown_name")),
        ):
            answer = made.post(f"/v1/jobs{query}", content=data, headers=headers)
            assert code(answer) == expected

        assert [path.name for path in store.uploads._folder.iterdir()] == [".id"]


def test_an_upload_that_is_too_large_or_breaks_off_leaves_nothing(store: JobStore) -> None:
    limits = dataclasses.replace(OPTIONS, limits=RequestLimits(upload_bytes=500))
    with service(store, work=False, options=limits) as made:
        answer = made.post("/v1/jobs", content=zipped(pictures(20)), headers=ZIP)
        assert code(answer) == (413, "too_large")

        with socket.create_connection(("127.0.0.1", made.base_url.port or 0)) as connection:
            head = f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
            connection.sendall(f"{head}Content-Type: application/zip\r\n".encode())
            connection.sendall(b"Content-Length: 400\r\n\r\nPK")
            wait_for(lambda: any(store.uploads._folder.glob(".new-*")))
        wait_for(lambda: [one.name for one in store.uploads._folder.iterdir()] == [".id"])
        assert made.get("/v1/jobs").json()["jobs"] == []


def test_urls_where_they_are_not_fetched_and_a_service_without_jobs(store: JobStore) -> None:
    with service(store, work=False, options=ServeOptions(models=("dummy",))) as made:
        answer = made.post("/v1/jobs", json={"images": [{"url": "https://example.org"}]})
        assert code(answer) == (400, "url_refused")
    with service(store, work=False, jobs=None) as made:
        assert code(made.get("/v1/jobs")) == (404, "not_found")


def test_webhooks_end_to_end(store: JobStore) -> None:
    with receiving(200) as receiver, service(store) as made:
        assert made.get("/v1/webhook-secret").json() == {"secret": SIGNER.secret("k-all")}
        job = upload(made, 2, f"?webhook={receiver.url}")
        assert "token" not in json.dumps(job)
        wait_for(lambda: job_of(made, job["id"])["webhook"] == "delivered")
        told = json.loads(receiver.bodies[0])["job"]
        now = job_of(made, job["id"])

    assert told == {key: value for key, value in now.items() if key != "webhook"}
    assert told["state"] == "done"


def test_webhooks_are_off_without_a_secret(store: JobStore) -> None:
    store.signer = None
    with service(store, work=False) as made:
        assert code(made.get("/v1/webhook-secret")) == (404, "not_found")
        answer = made.post("/v1/jobs?webhook=https://x.org", content=b"", headers=ZIP)
        assert code(answer) == (400, "usage")


def test_a_database_that_does_not_answer_keeps_no_scan_waiting(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering = threading.Event()
    look = store.get

    def slow(job_id: str, key_id: str | None) -> Job:
        answering.wait(60)
        return look(job_id, key_id)

    with service(store, work=False) as made, ThreadPoolExecutor(40) as many:
        job = upload(made, 1)
        monkeypatch.setattr(store, "get", slow)
        try:
            looks = [many.submit(made.get, f"/v1/jobs/{job['id']}") for _ in range(40)]
            time.sleep(0.5)  # they arrive
            picture_of = {"Content-Type": "image/png"}
            scanned = made.post("/v1/scan", content=picture(1), headers=picture_of, timeout=20)
        finally:
            answering.set()
        found = [one.result().status_code for one in looks]

    assert scanned.status_code == 200
    assert found == [200] * 40
