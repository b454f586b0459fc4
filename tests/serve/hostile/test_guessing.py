"""Guessed keys: every wrong one gets the same words, and none of them is kept anywhere."""

from __future__ import annotations

import pytest

from tests.serve.hostile.target import MARK, PNG, Target, fine, statuses


def guesses(key: str) -> list[str]:
    """Keys that are nearly right, and such as are none at all."""
    prefix, key_id, secret = key.split("_", 2)  # a secret may hold "_" itself
    head = f"{prefix}_{key_id}"
    turned = secret[:-2] + ("AA" if secret[-2:] != "AA" else "BA")
    return [
        f"{head}_{turned}",
        f"{head}_{secret[::-1]}",
        f"{head}_{'A' * len(secret)}",
        f"vdt_{'0' * 12}_{secret}",
        key[:-1],
        key + "A",
        key.upper(),
        key.swapcase(),
        head,
        "vdt_",
        "vdt__",
        f"{head}_{secret[:20]}%00{secret[23:]}",
        f"{head}_{secret[:-1]}\u00e9",
        "' OR 1=1 --",
        MARK,
        "a" * 5000,
        "undefined",
    ]


def test_every_wrong_key_gets_the_same_words(target: Target) -> None:
    told = set()
    for guess in guesses(target.key):
        sent = {b"authorization": f"Bearer {guess}".encode(), b"content-type": b"image/png"}
        answer = target.client.post("/v1/scan", content=PNG, headers=sent)

        assert answer.status_code == 401, guess
        assert guess not in answer.text
        error = answer.json()["error"]
        told.add((error["message"], error["code"], error["hint"], len(answer.headers)))
    assert len(told) == 1


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Authorization:",
        "Authorization: Bearer",
        "Authorization: Basic {key}",
        "Authorization: Bearer {key}, Bearer {key}",
        "Authorization: Bearer  {key} {key}",
        "Authorization: {key}",
        "X-Api-Key: {key}",
        "Cookie: Authorization=Bearer {key}",
    ],
)
def test_a_key_counts_in_its_own_place_only(target: Target, header: str) -> None:
    lines = ["POST /v1/scan HTTP/1.1", "Host: a", "Connection: close", "Content-Type: image/png"]
    lines += [header.format(key=target.key)] if header else []
    head = "\r\n".join([*lines, f"Content-Length: {len(PNG)}", "", ""]).encode()

    assert statuses(target.raw(head + PNG)) == [401]


def test_a_key_in_the_address_is_none(target: Target) -> None:
    for query in (f"key={target.key}", f"access_token={target.key}", f"api_key={target.key}"):
        sent = {"content-type": "image/png"}
        answer = target.client.post(f"/v1/scan?{query}", content=PNG, headers=sent)
        assert fine(answer.status_code, answer.content) == "unauthorized"


def test_a_key_does_no_more_than_its_scopes(target: Target) -> None:
    for path in ("/metrics", "/v1/keys", "/v1/audit", "/docs", "/redoc", "/console", "/admin"):
        answer = target.get(path)
        assert answer.status_code in (403, 404), path


def test_five_hundred_guesses_stop_nobody(target: Target) -> None:
    for guess in range(500):
        wrong = {"authorization": f"Bearer {target.key[:17]}{guess:043d}"}
        assert target.client.get("/v1/models", headers=wrong).status_code == 401
    target.is_up()


def test_jobs_of_others_are_not_there(target: Target) -> None:
    for job in ("0" * 32, "019aa6b4c0de5f0c6f2c0c5b4a0f8c7b", "%27%20OR%201=1", "..%2f" + MARK):
        for path in (f"/v1/jobs/{job}", f"/v1/jobs/{job}/results"):
            answer = target.get(path)
            assert fine(answer.status_code, answer.content) in ("not_found", "unknown_name")
