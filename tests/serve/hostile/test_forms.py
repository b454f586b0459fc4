"""Forms: thousands of parts, names that are paths, boundaries that are traps."""

from __future__ import annotations

import pytest

from tests.serve.hostile.target import MARK, PNG, Target, fine

BOUNDARY = "b0undary"
KIND = f"multipart/form-data; boundary={BOUNDARY}"


def part(disposition: str, data: bytes, *more: str) -> bytes:
    lines = [f"--{BOUNDARY}", f"Content-Disposition: form-data; {disposition}", *more, "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + data + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


FILE = part('name="image"; filename="a.png"', PNG)


@pytest.mark.parametrize(
    "body",
    [
        form(*[part(f'name="f{place}"; filename="{place}"', b"") for place in range(5_000)]),
        form(*[part(f'name="{MARK}{place}"', b"a") for place in range(5_000)]),
        form(*[part('name="policy"', b"strict")] * 5_000, FILE),
        form(part('name="policy"', b"strict"), part('name="policy"', b"default"), FILE),
        form(part('name="policy"', b"a" * 1_000_000), FILE),
        form(part('name="model"', b"\xff\xfe\0" * 100), FILE),
        form(part('name="image"; filename="a"', PNG, *[f"X-{n}: a" for n in range(10_000)])),
        form(part('name="image"; filename="a"', PNG, "X: " + "a" * 1_000_000)),
        form(part("name=" + '"' * 100_000, PNG)),
        form(part('name="a' + "\\" * 100_000, PNG)),
        FILE,
        FILE[:-20],
        b"",
        b"--" * 500_000,
        f"--{BOUNDARY}\r\n".encode() * 100_000,
        f"\r\n--{BOUNDARY}".encode() * 100_000,
        f"--{BOUNDARY}--".encode(),
        f"--{BOUNDARY}\r\n\r\n{BOUNDARY}".encode(),
        (f"\r\n--{BOUNDARY}"[:-1] + "x").encode() * 100_000,
    ],
    ids=[
        *("files", "unknown fields", "one field", "twice", "long value", "no text", "head lines"),
        *("long head", "quotes", "backslashes", "no end", "cut off", "nothing", "dashes"),
        *("empty parts", "boundaries", "only the end", "no head", "nearly boundaries"),
    ],
)
def test_forms_that_are_none_are_refused(target: Target, body: bytes) -> None:
    answer = target.post(content=body, kind=KIND)

    assert fine(answer.status_code, answer.content) in ("usage", "too_large", "unknown_name")


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; boundary=" + "a" * 20_000,
        "multipart/form-data; boundary=" + "a" * 70 + "; boundary=b",
        'multipart/form-data; boundary="(.*)*$"',
        "multipart/mixed; boundary=" + BOUNDARY,
    ],
    ids=lambda kind: kind[:40],
)
def test_boundaries_that_are_traps_are_refused(target: Target, kind: str) -> None:
    answer = target.post(content=form(FILE), kind=kind)

    assert answer.status_code in (400, 415)


@pytest.mark.parametrize(
    "name",
    [
        f"../../../{MARK}.png",
        f"/etc/{MARK}",
        f"C:\\{MARK}.png",
        f"{MARK}\0.png",
        f"{MARK}\r.png",
        "a.png\x1b]0;" + MARK,
        "CON",
        ".",
        "..",
        "\u202egnp.exe",
        "=cmd|' /C calc'!A0",
        "<script>alert(1)</script>",
        "%2e%2e%2f",
        "é" * 500,
    ],
)
def test_a_files_name_is_only_a_key(target: Target, name: str) -> None:
    answer = target.post(content=form(part(f'name="image"; filename="{name}"', PNG)), kind=KIND)

    assert answer.headers["content-type"] == "application/json"
    if answer.status_code == 200:
        (record,) = answer.json()["records"]
        assert record["failure"] is None
        assert b"\x1b" not in answer.content
        assert b"\0" not in answer.content
    made = [path.name for path in target.folder.parent.rglob(f"*{MARK}*")]
    assert not made


def test_a_files_name_that_is_very_long_is_refused(target: Target) -> None:
    answer = target.post(content=form(part(f'name="a"; filename="{"a" * 7000}"', PNG)), kind=KIND)

    assert fine(answer.status_code, answer.content) == "usage"


def test_more_images_than_allowed_are_refused(target: Target) -> None:
    answer = target.post(content=form(*[FILE] * 5), kind=KIND)

    assert fine(answer.status_code, answer.content) == "too_large"
