"""Files that are bombs, two things at once, or not what they are said to be."""

from __future__ import annotations

import gzip
import io
import json
import time
import zipfile

import pytest

from tests import crafted
from tests.pictures import drawn, encoded
from tests.serve.hostile.target import MARK, PNG, Target, fine

JPEG = encoded(drawn(2), "JPEG")
PDF = b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
HTML = b"<html><script>alert(1)</script></html>"
SVG = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    b'<svg xmlns="http://www.w3.org/2000/svg"><text>&e;</text></svg>'
)


def record_of(target: Target, data: bytes, kind: str = "image/png") -> dict[str, object]:
    answer = target.post(content=data, kind=kind)
    assert answer.status_code == 200, answer.text
    (record,) = answer.json()["records"]
    return dict(record)


@pytest.mark.parametrize(
    "data",
    [
        crafted.png_bomb(),
        crafted.gif(65535, 65535, 2),
        crafted.zip_of_zeros("a.png", 1),
        gzip.compress(bytes(50 * 2**20)),
        crafted.png(200, 200, 8, 0, b"\0" * 10),
        b"BM" + b"\xff" * 60,
        PDF,
        HTML,
        SVG,
        b"#!/bin/sh\nexit 1\n",
        b"",
        b"\0" * 2**20,
        b"GIF89a" + b"\xff" * 2**20,
        b"RIFF\xff\xff\xff\xffWEBPVP8 " + b"\xff" * 1000,
        b"\0\0\0\x18ftypavif" + b"\xff" * 1000,
        b"\xff\xd8" + b"\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03" * 1000,
        PNG[:40],
        b"8BPS" + b"\xff" * 1000,
    ],
    ids=[
        *("PNG bomb", "GIF of a huge screen", "zip bomb"),
        *("gzip bomb", "PNG without rows", "BMP", "PDF", "HTML", "SVG with an entity", "script"),
        *("nothing", "zeros", "GIF of noise", "WebP that lies", "AVIF of noise", "JPEG of heads"),
        *("PNG that is cut off", "PSD"),
    ],
)
def test_what_cannot_be_scanned_is_never_allowed(target: Target, data: bytes) -> None:
    record = record_of(target, data)

    assert record["failure"] is not None
    assert record["action"] != "allow"
    assert record["scores"] == {}
    assert "/" not in str(record["failure"])  # no path of the machine


@pytest.mark.parametrize(
    "data",
    [crafted.gif(64, 64, 20_000), crafted.ico(65535, PNG), crafted.tiff(10_000)],
    ids=["GIF", "ICO", "TIFF"],
)
def test_pictures_of_many_frames_cost_their_limit_at_most(target: Target, data: bytes) -> None:
    record = record_of(target, data)

    assert record["failure"] is not None
    assert record["action"] != "allow"


def test_a_file_that_leads_back_to_its_beginning_ends(target: Target) -> None:
    assert record_of(target, crafted.tiff(5, loop=True))["frames"] == 5


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (PNG + PDF, "PNG"),
        (JPEG + PDF, "JPEG"),
        (PNG + crafted.zip_of([("a.txt", b"a")]), "PNG"),
        (JPEG + HTML, "JPEG"),
        (PNG + JPEG, "PNG"),
        (PDF + JPEG, None),
        (HTML + PNG, None),
        (crafted.zip_of([("a.png", PNG)]) + JPEG, None),
    ],
    ids=["PNG+PDF", "JPEG+PDF", "PNG+zip", "JPEG+HTML", "PNG+JPEG", "PDF+JPEG", "HTML+PNG", "zip"],
)
def test_two_files_in_one_are_what_viewers_see_or_nothing(
    target: Target, data: bytes, told: str | None
) -> None:
    record = record_of(target, data, "application/octet-stream")

    if told is None:
        assert record["failure"] is not None
        assert record["action"] != "allow"
    else:
        assert record["format"] == told or record["failure"] is not None


@pytest.mark.parametrize("kind", ["image/gif", "image/svg+xml", "application/octet-stream"])
def test_the_type_that_is_said_is_not_believed(target: Target, kind: str) -> None:
    assert record_of(target, PNG, kind)["format"] == "PNG"
    assert record_of(target, SVG, kind)["failure"] is not None


def test_answers_are_never_a_page(target: Target) -> None:
    answer = target.post(f"/v1/scan?key={HTML.decode()[:30]}", PNG, "image/png")

    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "archive",
    [
        crafted.zip_of_zeros("a.png", 5),
        crafted.zip_of([("../../" + MARK, PNG), ("/etc/" + MARK, PNG)]),
        crafted.zip_of([(f"{place}.png", b"") for place in range(12_000)]),
        crafted.zip_encrypted("a.png"),
        crafted.zip_wrong_checksum("a.png"),
        crafted.zip_unlisted("a.png", MARK),
        crafted.zip_of([("inner.zip", crafted.zip_of_zeros("a.png", 1))]),
        crafted.tar_of([("../" + MARK, PNG)]),
        crafted.tar_of([crafted.tar_special("link.png", b"2", "/etc/passwd")]),
        crafted.tar_claiming("a.png", 2**40),
        crafted.tar_huge_header(2**20),
        gzip.compress(bytes(64 * 2**20)),
        PNG,
        b"",
        b"PK\x03\x04" + b"\xff" * 1000,
        b"PK\x05\x06" + bytes(18),
    ],
    ids=[
        *("zip of 5 GiB", "paths", "12,000 members", "encrypted", "checksum", "unlisted", "nested"),
        *("tar path", "link", "claiming", "huge header", "gzip bomb", "PNG", "nothing", "noise"),
        "empty zip",
    ],
)
def test_archives_that_are_bombs_or_traps_cost_their_limit_at_most(
    target: Target, archive: bytes
) -> None:
    answer = target.post(f"/v1/jobs?name={MARK}", archive, "application/octet-stream")

    if answer.status_code != 202:
        assert fine(answer.status_code, answer.content) is not None
        return
    job = ended(target, answer.json()["id"])
    for line in results(target, job):
        assert line["action"] != "allow" or line["format"] == "PNG"
    made = list(target.folder.parent.rglob(f"*{MARK}*"))
    assert not made


def ended(target: Target, job: str) -> str:
    """The job's id once nothing of it is running, or after it was cancelled."""
    for _ in range(200):
        if target.get(f"/v1/jobs/{job}").json()["state"] != "running":
            return job
        time.sleep(0.05)
    target.client.delete(f"/v1/jobs/{job}", headers=target.headers)
    return job


def results(target: Target, job: str) -> list[dict[str, object]]:
    """The Records of a job."""
    return [json.loads(line) for line in target.get(f"/v1/jobs/{job}/results").text.splitlines()]


def test_a_document_is_not_an_image(target: Target) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
    assert record_of(target, stream.getvalue())["failure"] is not None
