"""JSON that is huge, deep, ambiguous or no text at all, at every endpoint that takes some."""

from __future__ import annotations

import base64
import json

import pytest

from tests.serve.hostile.target import MARK, PNG, Target, fine

ENDPOINTS = ("/v1/scan", "/v1/scan/video", "/v1/moderations", "/v1/decide", "/v1/jobs")
DATA = base64.b64encode(PNG).decode()
BODIES: dict[str, bytes] = {
    "deep lists": b"[" * 100_000,
    "deep closed lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep in a field": b'{"images":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep in an unknown field": b'{"input":"a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep in a record": b'{"records":[{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}]}",
    "a long number": b'{"images":' + b"9" * 1_000_000 + b"}",
    "a long number in a record": b'{"records":[{"width":' + b"9" * 100_000 + b"}]}",
    "a large exponent": b'{"images":[{"key":1e999999999}]}',
    "NaN": b'{"images":[{"data":NaN}]}',
    "infinities in a record": b'{"records":[{"key":"a","scores":{"Sexual":Infinity}}]}',
    "a long string": b'{"images":[{"key":"' + b"a" * 1_000_000 + b'"}]}',
    "a long name of a field": b'{"' + b"a" * 1_000_000 + b'":1}',
    "many fields": json.dumps({f"{MARK}{place}": place for place in range(50_000)}).encode(),
    "many images": json.dumps({"images": [{"data": ""}] * 100_000}).encode(),
    "many empty objects": b'{"images":[' + b"{}," * 900_000 + b"{}]}",
    "many empty objects nobody wants": b'{"input":"a","x":[' + b"{}," * 900_000 + b"{}]}",
    "many numbers": b'{"input":"a","x":[' + b"0," * 1_400_000 + b"0]}",
    "many inputs": json.dumps({"input": ["a"] * 200_000}).encode(),
    "many categories": json.dumps({"images": [{"data": ""}], "categories": ["a"] * 10**5}).encode(),
    "many records": json.dumps({"records": [{}] * 200_000}).encode(),
    "a long model": json.dumps({"images": [{"data": ""}], "model": MARK * 50_000}).encode(),
    "a path as a policy": json.dumps({"images": [{"data": ""}], "policy": "/etc/passwd"}).encode(),
    "a path as a model": json.dumps({"input": "a", "model": f"../../{MARK}"}).encode(),
    "a policy of text": json.dumps({"records": [], "policy": "[a]\n" * 200_000}).encode(),
    "latin-1": b'{"images":[{"key":"\xe9"}]}',
    "overlong UTF-8": b'{"images":[{"key":"\xc0\xaf"}]}',
    "UTF-16": '{"images":[]}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"images":[]}',
    "half a surrogate": b'{"images":[{"key":"\\ud800","data":""}]}',
    "half a surrogate as an input": b'{"input":"\\udfff"}',
    "nothing": b"",
    "zero bytes": bytes(1000),
    "null": b"null",
    "true": b"true",
    "a string": b'"images"',
    "two values": b"{} {}",
    "never ended": b'{"images":[{"data":"' + DATA.encode(),
    "a comment": b"/* */{}",
    "a prototype": b'{"__proto__":{"images":1},"constructor":1,"__class__":1}',
    "a template": b'{"images":[{"key":"{{7*7}}${7*7}%s%n","data":""}]}',
}


@pytest.mark.parametrize("path", ENDPOINTS)
def test_it_is_refused_or_answered_but_never_a_defect(target: Target, path: str) -> None:
    for name, body in BODIES.items():
        answer = target.post(path, body, "application/json")

        told = answer.content
        assert answer.status_code in (200, 202, 400, 413), (name, told[:300])
        assert len(told) < 3 * len(body) + 10_000, name


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize("piece", [b"{},", b"[],", b"0,"])
def test_small_values_that_take_much_memory_are_refused_unread(
    target: Target, path: str, piece: bytes
) -> None:
    body = b'{"x":[' + piece * (3_000_000 // len(piece)) + b"0]}"
    answer = target.post(path, body, "application/json")

    assert fine(answer.status_code, answer.content) == "too_large"


def test_a_key_that_is_given_twice_counts_once(target: Target) -> None:
    body = f'{{"images":[{{"data":"","data":"{DATA}"}}],"policy":"strict","policy":"default"}}'
    answer = target.post("/v1/scan", body, "application/json")

    (record,) = answer.json()["records"]
    assert record["policy"] == "default@1"


def test_keys_and_subjects_are_only_text(target: Target) -> None:
    keys = ["../../" + MARK, "/etc/passwd", "a\0b", "\x1b[31m", "\u202etxt", "'; DROP TABLE x;--"]
    for first in range(0, len(keys), 3):
        images = [{"data": DATA, "key": key, "subject": key} for key in keys[first : first + 3]]
        answer = target.json("/v1/scan", {"images": images})

        if answer.status_code == 200:
            told = [record["key"] for record in answer.json()["records"]]
            assert told == keys[first : first + 3]
        else:
            assert fine(answer.status_code, answer.content) == "usage"


def test_base64_that_is_none_is_a_failure_of_its_image(target: Target) -> None:
    images = [{"data": "@@@@"}, {"data": "=" * 1_000_000}, {"data_uri": "data:," + "%41" * 10_000}]
    images.append({"data_uri": "data:image/png;base64," * 1000})
    answer = target.json("/v1/scan", {"images": images})

    assert all(record["failure"] for record in answer.json()["records"])
    assert all(record["action"] != "allow" for record in answer.json()["records"])


def test_json_of_another_type_is_not_read(target: Target) -> None:
    for kind in ("text/plain", "application/xml", "application/x-www-form-urlencoded", "*/*", ";"):
        assert target.post("/v1/scan", b'{"images":[]}', kind).status_code == 415
    answer = target.post("/v1/moderations", b'{"input":"a"}', "text/json")
    assert answer.status_code == 415
