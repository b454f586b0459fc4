from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.layouts import class_zip, tar
from vedette.data import archive_names
from vedette.data.archive_names import tar_names, zip_names


def test_a_zips_names_are_the_directorys(tmp_path: Path) -> None:
    path = class_zip(tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"PK\1\2 a comment"

    assert list(zip_names(path)) == zipfile.ZipFile(path).namelist()


def test_of_a_long_directory_the_end_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = class_zip(tmp_path / "a.zip", each=20)
    monkeypatch.setattr(archive_names, "_MOST_BYTES", 300)

    names = list(zip_names(path))

    with zipfile.ZipFile(path) as archive:
        assert names == archive.namelist()[-len(names) :]
    assert 1 <= len(names) <= 5


def test_a_tars_first_names(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", {f"{n}.jpg": bytes(n) for n in range(500, 600)})

    assert list(tar_names(path)) == [f"{n}.jpg" for n in range(500, 516)]


@given(st.binary(max_size=600), st.sampled_from([b"", b"PK\5\6", b"PK\1\2"]))
def test_nothing_is_raised_whatever_the_file(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, mark: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    for made in (b"PK" + data + mark + data, data.ljust(257, b"\0") + b"ustar" + bytes(250)):
        path.write_bytes(made)

        assert len(list(zip_names(path))) <= 1000
        assert len(list(tar_names(path))) <= 16


def test_no_file_no_names(tmp_path: Path) -> None:
    assert [*zip_names(tmp_path), *tar_names(tmp_path / "gone")] == []
