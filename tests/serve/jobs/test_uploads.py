"""The folder of uploads: private, bounded, and empty again."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serve.jobs.made import picture, pictures, zipped
from vedette.errors import FetchError, VedetteError
from vedette.serve.jobs.job import Given, NewItem
from vedette.serve.jobs.store import new_id
from vedette.serve.jobs.uploads import Uploads
from vedette.serve.refusals import Refusal
from vedette.settings import Limits
from vedette.types import Failure

LIMITS = Limits(bytes=2000, archive_bytes=20_000, archive_members=8)


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path / "uploads", LIMITS)


def expand(uploads: Uploads, data: bytes, job_id: str) -> tuple[NewItem, ...]:
    with uploads.incoming(job_id) as incoming:
        with incoming.open() as file:
            incoming.write(file, [data])
        items = incoming.expand("x.zip")
        incoming.keep()
    return items


def modes(folder: Path) -> set[tuple[bool, int]]:
    return {
        (path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in (folder, *folder.rglob("*"))
    }


def tarred(members: dict[str, bytes], compression: str) -> bytes:
    buffer = io.BytesIO()
    mode: Any = f"w:{compression}"
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def test_members_become_items_that_only_the_service_can_read(
    uploads: Uploads, tmp_path: Path
) -> None:
    job_id = new_id()
    old = os.umask(0)
    try:
        items = expand(uploads, zipped(pictures(2)), job_id)
    finally:
        os.umask(old)

    assert [item.key for item in items] == ["x.zip!/0000.png", "x.zip!/0001.png"]
    assert uploads.read(job_id, 1) == picture(1)
    assert modes(tmp_path / "uploads") == {(True, 0o700), (False, 0o600)}
    uploads.forget(job_id, [0])
    with pytest.raises(FetchError):
        uploads.read(job_id, 0)
    uploads.drop(job_id)
    assert [path.name for path in (tmp_path / "uploads").iterdir()] == [".id"]


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
def test_tars_too(uploads: Uploads, compression: str) -> None:
    job_id = new_id()

    items = expand(uploads, tarred(pictures(3), compression), job_id)

    assert len(items) == 3
    assert uploads.read(job_id, 2) == picture(2)


def test_a_member_that_cannot_be_read_costs_only_itself(uploads: Uploads) -> None:
    members = {"a": b"x" * 3000, "b": zipped({"c": b"d"}), "../../e": picture(1)}
    job_id = new_id()

    items = expand(uploads, zipped(members), job_id)

    codes = [item.given.failure and item.given.failure.code for item in items]
    assert codes == ["too_many_bytes", "nested_archive", None]
    assert uploads.read(job_id, 2) == picture(1)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (zipped({str(n): b"x" for n in range(9)}), "archive_bomb"),
        (tarred({str(n): b"x" for n in range(9)}, "gz"), "archive_bomb"),
        (zipped({str(n): bytes(1999) * 1 for n in range(8)})[:-30], "corrupt_archive"),
        (tarred({"a": b"x" * 20}, "gz")[:60], "corrupt_archive"),
        (zipped({}), "usage"),
        (picture(1), "unsupported_media"),
        (b"", "unsupported_media"),
        (b"7z\xbc\xaf\x27\x1c", "unsupported_media"),
    ],
)
def test_an_upload_that_cannot_be_read_whole_is_refused_and_leaves_nothing(
    uploads: Uploads, tmp_path: Path, data: bytes, code: str
) -> None:
    with pytest.raises(Refusal) as refused:
        expand(uploads, data, new_id())

    assert refused.value.code == code
    assert str(tmp_path) not in refused.value.message
    assert [path.name for path in (tmp_path / "uploads").iterdir()] == [".id"]


def test_a_zip_that_expands_without_end_is_refused(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path / "small", Limits(bytes=2**20, archive_bytes=2**20))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(40):
            archive.writestr(str(number), bytes(2**19))
    assert len(buffer.getvalue()) < 2**16

    with pytest.raises(Refusal) as refused:
        expand(uploads, buffer.getvalue(), new_id())

    assert refused.value.code == "archive_bomb"
    assert [path.name for path in (tmp_path / "small").iterdir()] == [".id"]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.integers(0, 400), change=st.binary(max_size=8), cut=st.integers(0, 400))
def test_damaged_archives_are_read_or_refused(
    uploads: Uploads, tmp_path: Path, at: int, change: bytes, cut: int
) -> None:
    whole = zipped(pictures(3))
    data = (whole[:at] + change + whole[at + len(change) :])[: len(whole) - cut]
    job_id = new_id()
    try:
        items = expand(uploads, data, job_id)
    except Refusal:
        items = ()
    for place, item in enumerate(items):
        if item.given.upload:
            uploads.read(job_id, place)
    uploads.drop(job_id)

    assert [path.name for path in (tmp_path / "uploads").iterdir()] == [".id"]


def test_two_replicas_of_one_folder_know_it_by_one_id(tmp_path: Path) -> None:
    ids = {Uploads(tmp_path / "a", LIMITS).id for _ in range(3)}

    assert len(ids) == 1
    assert Uploads(tmp_path / "b", LIMITS).id not in ids


def test_a_folder_that_others_may_read_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    with pytest.raises(VedetteError, match="others than its owner") as refused:
        Uploads(tmp_path, LIMITS)
    assert refused.value.code == "write_failed"


def test_what_is_left_of_old_uploads_is_found(uploads: Uploads, tmp_path: Path) -> None:
    young, old, unfinished = new_id(), new_id(), f".new-{new_id()}"
    for name in (young, old, unfinished):
        (tmp_path / "uploads" / name).mkdir()
    for name in (old, unfinished):
        os.utime(tmp_path / "uploads" / name, (1, 1))

    assert dict(uploads.kept()) == {young: False, old: True}
    assert not (tmp_path / "uploads" / unfinished).exists()


@given(
    st.one_of(
        st.builds(Given, url=st.text()),
        st.just(Given(upload=True)),
        st.builds(Given, failure=st.builds(Failure, st.text(), st.just("corrupt"), st.text())),
    )
)
def test_what_is_given_survives_the_database(one: Given) -> None:
    text = one.to_json()

    assert Given.of_json(text) == one
    assert text.isascii()
