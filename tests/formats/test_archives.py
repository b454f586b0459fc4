from __future__ import annotations

import stat
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.formats.refusals import read_or_refused
from tests.formats.savedmodels import write_zip
from vedette.errors import ModelError
from vedette.formats import archives
from vedette.formats.archives import read_members

MEMBERS = {"m/saved_model.pb": b"graph" * 99, "m/variables/variables.index": b"index"}


def zipped(members: Mapping[str, bytes], path: Path) -> Path:
    write_zip(path, members)
    return path


def refused(path: Path, why: str, code: str = "weights_unusable") -> None:
    with pytest.raises(ModelError, match=why) as caught:
        read_members(path)
    assert caught.value.code == code


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_an_archive_and_its_folder_read_the_same(tmp_path: Path) -> None:
    path = zipped(MEMBERS, tmp_path / "m.zip")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "out")
    before = everything(tmp_path)

    assert read_members(path) == MEMBERS
    assert read_members(tmp_path / "out") == MEMBERS
    assert everything(tmp_path) == before


def test_what_is_not_there_is_missing(tmp_path: Path) -> None:
    refused(tmp_path / "none.zip", "not there", code="weights_missing")


@pytest.mark.parametrize(
    "name",
    ["../out", "m/../../out", "/etc/out", "\\out", "m\\..\\out", "C:/out", "..", "m/.."],
)
def test_a_member_that_leads_outside_is_refused_and_nothing_written(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "inner" / "m.zip"
    path.parent.mkdir()
    zipped({**MEMBERS, name: b"outside"}, path)
    before = everything(tmp_path)

    refused(path, "leads outside")
    assert everything(tmp_path) == before


def test_a_link_is_refused(tmp_path: Path) -> None:
    path = zipped(MEMBERS, tmp_path / "m.zip")
    link = zipfile.ZipInfo("m/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")

    refused(path, "is a link")


def test_a_link_in_a_folder_is_not_followed(tmp_path: Path) -> None:
    tmp_path.joinpath("secret").write_bytes(b"not a weight")
    folder = tmp_path / "m"
    folder.mkdir()
    folder.joinpath("link").symlink_to(tmp_path / "secret")

    assert read_members(folder) == {}


def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    path = zipped(MEMBERS, tmp_path / "m.zip")
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("m/saved_model.pb", b"another graph")

    refused(path, "there twice")


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = zipped(MEMBERS, tmp_path / "m.zip")
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)

    refused(path, "encrypted")


def test_a_bomb_is_refused_before_it_expands(tmp_path: Path) -> None:
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        zeros = bytes(2**24)
        for k in range(5):
            archive.writestr(str(k), zeros)

    assert path.stat().st_size < 2**20
    refused(path, "expands to more")


def test_a_member_that_expands_to_more_than_it_says_is_refused(tmp_path: Path) -> None:
    path = zipped({"m": bytes(2**20)}, tmp_path / "m.zip")
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\x01\x02")
    data[central + 24 : central + 28] = (100).to_bytes(4, "little")
    path.write_bytes(data)

    refused(path, "not a whole ZIP archive")


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_MOST_MEMBERS", 1)
    path = zipped(MEMBERS, tmp_path / "m.zip")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "out")

    refused(path, "more than weights")
    refused(tmp_path / "out", "more than weights")


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    whole = zipped(MEMBERS, tmp_path / "m.zip").read_bytes()
    path = tmp_path / "cut.zip"

    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        refused(path, "not a whole ZIP archive")


@given(st.data())
def test_flipped_bytes_are_refused_or_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("flipped") / "m.zip"
    whole = bytearray(zipped(MEMBERS, path).read_bytes())
    for at in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=3)):
        whole[at] = data.draw(st.integers(0, 255))
    path.write_bytes(whole)

    found = read_or_refused(lambda: read_members(path))

    # A checksum holds the content; names have none.
    assert not found or len(found) < 2 or list(found.values()) == list(MEMBERS.values())
