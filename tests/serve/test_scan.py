"""``POST /v1/scan`` on a real server: every form of input, lists, audit, limits, overload."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256

import httpx
import pytest

from tests.classifiers import Habit, slow
from tests.pictures import drawn, encoded
from tests.serve.doubles import (
    KEY,
    SCAN_KEY,
    USELESS_KEY,
    CountingLimiter,
    FixedFetcher,
    FixedLists,
    RememberedAudit,
    presets,
    services_of,
)
from tests.serve.served import Served, served
from vedette.pipeline import Scanner
from vedette.serve.engine import Engine
from vedette.serve.options import RequestLimits, ServeOptions
from vedette.serve.services import Listed
from vedette.settings import ScanOptions, Settings
from vedette.taxonomy import Category
from vedette.types import Action
from vedette.wire import from_dict

PNG = encoded(drawn(1))
OTHER = encoded(drawn(2), "JPEG")
LIMITS = RequestLimits(body_bytes=200_000, json_bytes=300_000, video_bytes=400_000, images=4)
OPTIONS = ServeOptions(models=("dummy",), limits=LIMITS)
HEADERS = {"Authorization": f"Bearer {SCAN_KEY}"}


@pytest.fixture(scope="module")
def service() -> Iterator[Served]:
    fetcher = FixedFetcher({"http://there/": PNG, "http://large/": b"x" * 301_000}, {"http://in/"})
    with served(options=OPTIONS, fetcher=fetcher) as running:
        yield running


@pytest.fixture
def client(service: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, headers=HEADERS, timeout=60) as made:
        yield made


def refusal(answer: httpx.Response, status: int, code: str) -> dict[str, str]:
    assert answer.status_code == status, answer.text
    error: dict[str, str] = answer.json()["error"]
    assert error["code"] == code
    assert set(error) == {"message", "type", "param", "code", "hint", "request_id"}
    assert error["request_id"] == answer.headers["x-request-id"]
    return error


# Forms of input


def test_raw_bytes_give_the_record_of_the_pipeline(client: httpx.Client) -> None:
    with Scanner("dummy") as scanner:
        expected = scanner.scan(PNG)

    for kind in ("image/png", "application/octet-stream", "image/anything"):
        answer = client.post(
            "/v1/scan", content=PNG, headers={"content-type": kind}, params={"key": "a b"}
        )

        (told,) = answer.json()["records"]
        record = replace(from_dict(told), key=expected.key, times_ms=expected.times_ms)
        assert told["key"] == "a b"
        assert record == expected
        assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_a_form_gives_a_record_for_each_file(client: httpx.Client) -> None:
    files = [("image", ("a.png", PNG)), ("b", ("b.jpg", OTHER)), ("image", ("c.png", PNG[:60]))]

    answer = client.post("/v1/scan", files=files, data={"policy": "strict", "model": "dummy"})

    records = answer.json()["records"]
    assert [record["key"] for record in records] == ["a.png", "b.jpg", "c.png"]
    assert {record["policy"] for record in records} == {"strict@1"}
    assert [record["failure"] and record["failure"]["code"] for record in records] == [
        None,
        None,
        "truncated",
    ]
    assert records[2]["action"] == "block"  # what strict does with what it cannot see


def test_json_takes_data_data_uris_and_urls(client: httpx.Client) -> None:
    plain = base64.b64encode(PNG).decode()
    images = [
        {"data": plain},
        {"data_uri": f"data:image/png;base64,{plain}", "key": "mine"},
        {"url": f"DATA:;base64,{plain}"},
        {"url": "http://there/"},
    ]

    records = client.post("/v1/scan", json={"images": images}).json()["records"]

    assert [record["key"] for record in records] == ["0", "mine", "2", "3"]
    assert {record["sha256"] for record in records} == {sha256(PNG).hexdigest()}


def test_what_cannot_be_had_is_failed_and_the_others_are_answered(client: httpx.Client) -> None:
    urls = ["http://there/", "http://nowhere/", "http://in/", "http://large/"]

    answer = client.post("/v1/scan", json={"images": [{"url": url} for url in urls]})

    records = answer.json()["records"]
    assert [record["failure"] and record["failure"]["code"] for record in records] == [
        None,
        "unreadable",
        "url_refused",
        "too_large",
    ]
    assert [record["failure"]["stage"] for record in records[1:]] == ["fetch"] * 3
    assert {record["action"] for record in records[1:]} == {"review"}


def test_bytes_that_are_not_base64_are_a_failure_of_that_image(client: httpx.Client) -> None:
    images = [{"data": "@@"}, {"data_uri": "data:image/png"}, {"data": ""}]

    records = client.post("/v1/scan", json={"images": images}).json()["records"]

    assert [r["failure"]["code"] for r in records] == ["unreadable", "unreadable", "empty"]
    assert {record["action"] for record in records} == {"review"}


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"images": []}',
        '{"images": [{}]}',
        '{"images": [{"url": "http://there/", "data": ""}]}',
        '{"images": [{"url": 7}]}',
        '{"images": [{"data": ""}], "other": 1}',
        '{"images": [{"data": "", "key": "' + "k" * 513 + '"}]}',
        '{"images": [{"data": ""}], "model": "dumy"}',
        '{"images": [{"data": ""}], "policy": "strickt"}',
        '{"images": [{"data": ""}], "categories": []}',
        '{"images": [{"data": ""}], "categories": ["Sexuel"]}',
        '{"images": [{"data": "\\ud800"}], "categories": ["Sexual"]',
        "[" * 10_000,
    ],
)
def test_json_that_is_wrong_is_refused(client: httpx.Client, body: str) -> None:
    answer = client.post("/v1/scan", content=body, headers={"content-type": "application/json"})

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] in ("usage", "unknown_name")


def test_other_bodies_are_refused(client: httpx.Client) -> None:
    refusal(
        client.post("/v1/scan", content=b"a", headers={"content-type": "text/html"}),
        415,
        "unsupported_media",
    )
    refusal(client.post("/v1/scan", content=b"a"), 415, "unsupported_media")
    refusal(client.post("/v1/scan", files={"a": PNG}, data={"colour": "red"}), 400, "usage")
    form = {"content-type": "multipart/form-data"}
    refusal(client.post("/v1/scan", content=b"a", headers=form), 400, "usage")
    raw = {"content-type": "image/png"}
    refusal(client.post("/v1/scan?colour=red", content=PNG, headers=raw), 400, "usage")


def test_a_scope_of_categories_restricts_the_policy(client: httpx.Client) -> None:
    images = [{"data": base64.b64encode(PNG).decode()}]

    answer = client.post("/v1/scan", json={"images": images, "categories": ["self harm", "Hate"]})

    (record,) = answer.json()["records"]
    assert record["policy"] == "default[Hate+Self-harm]@1"
    assert {reason["category"] for reason in record["reasons"]} <= {"Self-harm", "Hate"}


def test_a_category_without_a_threshold_is_refused_not_passed() -> None:
    policy = replace(presets()["default"], name="narrow", regions={})
    policy = replace(policy, categories={Category.HATE: policy.categories[Category.HATE]})
    narrow = services_of(OPTIONS, policies={"narrow": policy})
    body = {"images": [{"data": ""}], "categories": ["Hate", "Spam"]}
    with served(narrow) as running:
        answer = httpx.post(f"{running.url}/v1/scan", json=body, headers=HEADERS)

    assert "no threshold for Spam" in refusal(answer, 400, "usage")["message"]


def test_thresholds_for_other_scores_than_the_models_are_refused() -> None:
    policy = replace(presets()["default"], name="mine", calibrated="platt on 9 labels of mine")
    other = services_of(OPTIONS, policies={"mine": policy})
    with served(other) as running:
        answer = httpx.post(
            f"{running.url}/v1/scan", json={"images": [{"data": ""}]}, headers=HEADERS
        )

    refusal(answer, 400, "bad_calibration")


def test_a_model_that_sees_nothing_of_the_policy_is_refused() -> None:
    blind = Habit(lambda batch: None)
    blind.card = replace(blind.card, labels={"Sexual": (Category.SEXUAL,)})
    body = {"images": [{"data": ""}], "categories": ["Hate"]}
    with served(options=OPTIONS, engine=Engine([blind], Settings(), 8)) as running:
        answer = httpx.post(f"{running.url}/v1/scan", json=body, headers=HEADERS)

    assert "can see nothing" in refusal(answer, 400, "usage")["message"]


# Who may


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        (None, 401, "unauthorized"),
        ("Bearer vk_wrong", 401, "unauthorized"),
        ("Bearer", 401, "unauthorized"),
        (f"Basic {SCAN_KEY}", 401, "unauthorized"),
        (f"Bearer {USELESS_KEY}", 403, "forbidden"),
    ],
)
def test_only_a_key_with_the_scope_may_scan(
    service: Served, header: str | None, status: int, code: str
) -> None:
    headers = {"content-type": "image/png", **({"Authorization": header} if header else {})}
    answer = httpx.post(f"{service.url}/v1/scan", content=PNG, headers=headers)

    refusal(answer, status, code)
    assert ("www-authenticate" in answer.headers) == (status == 401)


def test_an_open_service_answers_without_a_key_but_not_a_wrong_one() -> None:
    headers = {"content-type": "image/png"}
    with served(options=replace(OPTIONS, open=True)) as running:
        url = f"{running.url}/v1/scan"
        assert httpx.post(url, content=PNG, headers=headers).status_code == 200
        wrong = {**headers, "Authorization": "Bearer vk_wrong"}
        refusal(httpx.post(url, content=PNG, headers=wrong), 401, "unauthorized")
        for of_a_stranger in (
            {"Host": "evil.test"},
            {"X-Forwarded-For": "203.0.113.9"},
            {"Sec-Fetch-Site": "cross-site"},
        ):
            answer = httpx.post(url, content=PNG, headers={**headers, **of_a_stranger})
            refusal(answer, 401, "unauthorized")


def test_the_rate_of_a_key_is_limited_by_images() -> None:
    files = [("image", ("a", PNG))] * 2
    with (
        served(options=OPTIONS, limiter=CountingLimiter(3)) as running,
        httpx.Client(base_url=running.url, headers=HEADERS) as client,
    ):
        assert client.post("/v1/scan", files=files).status_code == 200
        answer = client.post("/v1/scan", files=files)

    refusal(answer, 429, "rate_limited")
    assert answer.headers["retry-after"] == "7"


# Lists and audit


def hit(kind: str) -> Listed:
    return Listed("house", kind, "sha256", 0, "entry 7")


def test_lists_decide_before_any_model() -> None:
    seen: list[int] = []
    pictures = [encoded(drawn(seed)) for seed in range(3)]
    kinds = ("block", "quarantine", "allow")
    lists = FixedLists(
        {sha256(p).hexdigest(): hit(k) for p, k in zip(pictures, kinds, strict=True)}
    )
    audit = RememberedAudit()
    model = Habit(lambda batch: seen.append(len(batch)))
    engine = Engine([model], Settings(), 8)
    with served(options=OPTIONS, lists=lists, audit=audit, engine=engine) as running:
        files = [("image", (str(place), data)) for place, data in enumerate([*pictures, PNG])]
        answer = httpx.post(f"{running.url}/v1/scan", files=files, headers=HEADERS)

    records = answer.json()["records"]
    assert [record["action"] for record in records[:3]] == ["block", "block", "allow"]
    assert [record["listed"]["kind"] for record in records[:3]] == list(kinds)
    assert all(set(record["listed"]) == {"list", "kind", "match"} for record in records[:3])
    assert records[3]["listed"] is None or PNG in pictures
    assert sum(seen) == sum(record["listed"] is None for record in records)
    assert [decision.listed and decision.listed.entry for decision in audit.kept[:3]] == [
        "entry 7"
    ] * 3


def test_a_decision_is_kept_before_it_is_told(service: Served, client: httpx.Client) -> None:
    audit = service.services.audit
    assert isinstance(audit, RememberedAudit)
    audit.kept.clear()
    body = {"images": [{"data": base64.b64encode(PNG).decode(), "subject": "user-7"}]}

    answer = client.post("/v1/scan", json=body, headers={"x-request-id": "mine-1"})

    (record,) = answer.json()["records"]
    (kept,) = audit.kept
    assert (kept.id, kept.request_id, kept.key_id, kept.subject) == (
        record["decision_id"],
        "mine-1",
        "k-scan",
        "user-7",
    )
    assert kept.action is Action(record["action"])
    assert kept.policy == record["policy"]
    assert len(kept.policy_sha256) == 64
    assert kept.record["weights_sha256"] == {"dummy@1": None}
    assert json.dumps(dict(kept.record))
    assert PNG not in str(kept).encode()


def test_without_the_audit_there_is_no_verdict() -> None:
    audit = RememberedAudit(broken=True)
    with served(options=OPTIONS, audit=audit) as running:
        answer = httpx.post(f"{running.url}/v1/scan", files={"a": PNG}, headers=HEADERS)

    refusal(answer, 503, "write_failed")
    assert "records" not in answer.text


def test_embeddings_are_told_where_they_are_kept_but_never_stored() -> None:
    audit = RememberedAudit()
    settings = Settings(scan=ScanOptions(embeddings=True))
    with served(options=OPTIONS, settings=settings, audit=audit) as running:
        answer = httpx.post(f"{running.url}/v1/scan", files={"a": PNG}, headers=HEADERS)

    assert len(answer.json()["records"][0]["embedding"]) == 48
    assert "embedding" not in audit.kept[0].record


# Limits and load


def test_too_many_images_are_refused(client: httpx.Client) -> None:
    files = [("image", ("a", b"x"))] * 5
    refusal(client.post("/v1/scan", files=files), 413, "too_large")
    refusal(client.post("/v1/scan", files=files * 9), 413, "too_large")
    body = {"images": [{"data": ""}] * 5}
    refusal(client.post("/v1/scan", json=body), 413, "too_large")


def test_a_video_may_be_larger_than_a_picture(client: httpx.Client) -> None:
    large = PNG + b"\0" * 250_000
    kind = {"content-type": "application/octet-stream"}

    refusal(client.post("/v1/scan", content=large, headers=kind), 413, "too_large")
    assert client.post("/v1/scan/video", content=large, headers=kind).status_code == 200


def test_overload_is_answered_and_everybody_ends() -> None:
    engine = Engine([Habit(slow(0.05))], Settings(scan=ScanOptions(workers=2, batch=1)), 4)
    options = replace(OPTIONS, queue=4)
    with served(services_of(options, engine=engine)) as running:
        limits = httpx.Limits(max_connections=60)
        with (
            httpx.Client(
                base_url=running.url, headers=HEADERS, timeout=60, limits=limits
            ) as client,
            ThreadPoolExecutor(50) as pool,
        ):
            kind = {"content-type": "image/png"}
            asked = [
                pool.submit(client.post, "/v1/scan", content=PNG, headers=kind) for _ in range(50)
            ]
            answers = [one.result() for one in asked]
            after = client.post("/v1/scan", content=PNG, headers=kind)

    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= 4
    for answer in answers:
        if answer.status_code == 503:
            refusal(answer, 503, "overloaded")
            assert int(answer.headers["retry-after"]) >= 1
    assert after.status_code == 200
    assert engine.load.waiting == 0


def test_a_full_service_refuses_before_it_reads_a_body(caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine(["dummy"], Settings(), 2)
    head = (
        "POST /v1/scan HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"
        "Content-Length: 2000000\r\n\r\n"
    )
    with served(services_of(OPTIONS, engine=engine)) as running, caplog.at_level("INFO"):
        with engine.room(2), socket.create_connection(("127.0.0.1", running.port), 30) as line:
            line.sendall(head.encode())  # nothing of the body, and no key
            answer = line.recv(65536)
        after = httpx.post(
            f"{running.url}/v1/scan", content=PNG, headers={**HEADERS, "content-type": "image/png"}
        )

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after" in answer.lower()
    assert after.status_code == 200
    told = [getattr(record, "told", {}) for record in caplog.records]
    assert [one["route"] for one in told if one.get("status") == 503] == ["/v1/scan"]


def test_a_request_past_its_time_is_told_so() -> None:
    options = replace(OPTIONS, limits=replace(LIMITS, seconds=0.2))
    gate = threading.Event()

    def wait(batch: object) -> None:
        gate.wait(30)

    engine = Engine([Habit(wait)], Settings(), 4)
    with served(services_of(options, engine=engine)) as running:
        answer = httpx.post(f"{running.url}/v1/scan", files={"a": PNG}, headers=HEADERS)
        gate.set()

    refusal(answer, 504, "request_timeout")


def test_the_clients_leaving_cancels_what_has_not_begun() -> None:
    gate, reached = threading.Event(), threading.Event()

    def wait(batch: object) -> None:
        reached.set()
        gate.wait(30)

    model = Habit(wait)
    engine = Engine([model], Settings(), 8)
    audit = RememberedAudit()
    with served(services_of(OPTIONS, engine=engine, audit=audit)) as running:
        url = f"{running.url}/v1/scan"
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(httpx.post, url, files={"a": PNG}, headers=HEADERS, timeout=60)
            assert reached.wait(30)
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(url, files=[("a", ("a", PNG))] * 3, headers=HEADERS, timeout=0.3)
            for _ in range(3000):
                if engine.load.waiting == 1:
                    break
                time.sleep(0.01)
            assert engine.load.waiting == 1
            gate.set()
            assert first.result().status_code == 200
    assert sum(model.batches) == 1
    assert len(audit.kept) == 1


def test_every_scope_is_enough_for_an_administrator(service: Served) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}

    answer = httpx.post(f"{service.url}/v1/scan", files={"a": PNG}, headers=headers)

    assert answer.status_code == 200
