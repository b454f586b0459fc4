"""Stored Records under another policy, over HTTP; nothing in them can break or pass the service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serve.doubles import SCAN_KEY, USELESS_KEY, CountingLimiter, RememberedAudit
from tests.serve.served import served
from tests.test_wire import FULL
from vedette import wire
from vedette.policy import load_policy
from vedette.serve.refusals import Refusal
from vedette.serve.routes.decide import MOST_BYTES, MOST_RECORDS, again

CIRCLE = Path(__file__).parents[2] / "docs" / "pictures" / "circle.png"
RECORD = wire.to_dict(FULL)
UNSEEN = {**RECORD, "scores": {}, "regions": [], "reasons": [], "failure": None}
ALLOWED = {"list": "known", "kind": "allow", "match": "sha256"}


@pytest.fixture(scope="module")
def audit() -> RememberedAudit:
    return RememberedAudit()


@pytest.fixture(scope="module")
def client(audit: RememberedAudit) -> Iterator[httpx.Client]:
    auth = {"Authorization": f"Bearer {SCAN_KEY}"}
    with (
        served(audit=audit) as running,
        httpx.Client(base_url=running.url, headers=auth, timeout=60) as made,
    ):
        yield made


def decided(client: httpx.Client, **body: object) -> httpx.Response:
    return client.post("/v1/decide", json=body)


def code(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"])


@pytest.mark.parametrize("policy", ["default", "strict", "permissive", "children"])
def test_a_record_is_decided_as_the_policy_decides_it(client: httpx.Client, policy: str) -> None:
    answer = decided(client, records=[RECORD, RECORD], policy=policy)

    assert answer.status_code == 200
    expected = wire.to_dict(load_policy(policy).apply(FULL))
    assert answer.json()["records"] == [{**expected, "listed": None}] * 2
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_what_a_scan_answered_is_decided_again(
    client: httpx.Client, audit: RememberedAudit
) -> None:
    scanned = client.post(
        "/v1/scan", content=CIRCLE.read_bytes(), headers={"Content-Type": "image/png"}
    ).json()["records"]
    kept = len(audit.kept)

    (record,) = decided(client, records=scanned, policy="strict").json()["records"]

    assert record["policy"] == "strict@1"
    assert record["scores"] == scanned[0]["scores"]
    assert "decision_id" not in record  # nothing was scanned, and nothing is kept
    assert len(audit.kept) == kept == 1


def test_categories_restrict_the_policy(client: httpx.Client) -> None:
    (record,) = decided(client, records=[RECORD], categories=["Spam"]).json()["records"]

    assert record["policy"] == "default[Spam]@1"
    assert {reason["category"] for reason in record["reasons"]} <= {"Spam"}


@pytest.mark.parametrize(
    ("kind", "action"), [("block", "block"), ("quarantine", "block"), ("allow", "allow")]
)
def test_what_a_hash_list_decided_stays(client: httpx.Client, kind: str, action: str) -> None:
    listed = {"list": "known", "kind": kind, "match": "sha256"}
    unseen = {**UNSEEN, "listed": listed}

    (record,) = decided(client, records=[unseen], policy="permissive").json()["records"]

    assert record["action"] == action
    assert record["listed"] == listed


def test_a_record_without_evidence_is_never_allowed(client: httpx.Client) -> None:
    (record,) = decided(client, records=[{**UNSEEN, "action": "allow"}]).json()["records"]

    assert record["action"] == "review"


@pytest.mark.parametrize(
    "change",
    [
        {"scores": {"Sexual": 1.5}},
        {"scores": {"Sexual": "0.1"}},
        {"scores": {"Sexual": None}},
        {"scores": {"Other": 0.1}},
        {"scores": []},
        {"action": "maybe"},
        {"regions": {}},
        {"regions": [{"label": "x", "score": 0.5, "box": [1, 2, 3]}]},
        {"failure": {"stage": "decode", "code": "none", "message": ""}},
        {"frames": True},
        {"times_ms": {"decode": 1e400}},
        {"embedding": [1e39]},
        {"listed": "x"},
        {"listed": {"list": "x", "kind": "other", "match": "pdq"}},
        {"listed": {"list": 1, "kind": "allow", "match": "pdq"}},
        {"listed": {"kind": ["allow"]}},
        # A list that allows hides neither what a model has seen nor that nobody has looked.
        {**UNSEEN, "scores": {"Sexual": 0.99}, "listed": ALLOWED},
        {**UNSEEN, "regions": RECORD["regions"], "listed": ALLOWED},
        {**UNSEEN, "failure": RECORD["failure"], "listed": ALLOWED},
        {"timeline": [1]},
        {"labels": []},
    ],
    ids=str,
)
def test_what_is_no_record_is_refused_and_named(
    client: httpx.Client, change: dict[str, object]
) -> None:
    body = json.dumps({"records": [RECORD, {**RECORD, **change}]})
    answer = client.post("/v1/decide", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == 400
    assert code(answer) in ("bad_record", "usage")
    assert "records.1" in answer.json()["error"]["message"] or "Infinity" in body


@pytest.mark.parametrize(
    ("body", "status", "wrong"),
    [
        ({"records": []}, 400, "usage"),
        ({"records": [RECORD], "policy": "none"}, 400, "unknown_name"),
        ({"records": [RECORD], "categories": ["none"]}, 400, "usage"),
        ({"records": [RECORD], "categories": []}, 400, "usage"),
        ({"records": [RECORD], "polciy": "strict"}, 400, "usage"),
        ({"records": [{}] * (MOST_RECORDS + 1)}, 400, "usage"),
        ({"records": RECORD}, 400, "usage"),
        ({"records": ["x" * MOST_BYTES]}, 413, "too_large"),
    ],
    ids=[str(n) for n in range(8)],
)
def test_wrong_requests(
    client: httpx.Client, body: dict[str, object], status: int, wrong: str
) -> None:
    answer = decided(client, **body)

    assert answer.status_code == status
    assert code(answer) == wrong


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[",
        b"null",
        b'{"records": [' + b"[" * 10_000,
        b'{"records": [{"key": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}]}",
        b'{"records": [{"width": ' + b"9" * 100_000 + b"}]}",
        b'{"records": [{"key": "\\ud800"}]}',
        b'{"records": [{"p": NaN}]}',
    ],
    ids=[str(n) for n in range(8)],
)
def test_hostile_json_is_refused(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/v1/decide", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == 400


def test_scopes_and_rates() -> None:
    with (
        served(limiter=CountingLimiter(allowance=1)) as running,
        httpx.Client(base_url=running.url, timeout=60) as client,
    ):
        assert decided(client, records=[RECORD]).status_code == 401
        client.headers["Authorization"] = f"Bearer {USELESS_KEY}"
        assert decided(client, records=[RECORD]).status_code == 403
        client.headers["Authorization"] = f"Bearer {SCAN_KEY}"
        assert decided(client, records=[RECORD]).status_code == 200
        often = decided(client, records=[RECORD])

    assert often.status_code == 429
    assert often.headers["retry-after"] == "7"


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["allow", "block", "Sexual", "Hate", "sha256"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)
CHANGES = st.dictionaries(st.sampled_from([*RECORD, "listed", "embedding"]), VALUES, max_size=3)


@given(CHANGES)
@settings(max_examples=300)
def test_any_object_is_decided_or_refused(change: dict[str, Any]) -> None:
    policy = load_policy("default")
    refused: Refusal | None = None
    record: dict[str, Any] = {}
    try:
        record = again({**RECORD, **change}, policy, "records.0")
    except Refusal as refusal:
        refused = refusal

    if refused is None:
        json.dumps(record, allow_nan=False)
        assert record["policy"] == policy.id
    else:
        assert refused.code == "bad_record"
        assert len(refused.message) < 300
