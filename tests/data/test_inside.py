from __future__ import annotations

from pathlib import Path

import pytest

from vedette.data.inside import inside
from vedette.types import Failure


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "set"
    (home / "deep").mkdir(parents=True)
    (home / "a.png").write_bytes(b"a")
    (home / "deep" / "b..c.png").write_bytes(b"b")
    (tmp_path / "secret").write_bytes(b"s")
    (home / "in.png").symlink_to("a.png")
    (home / "out.png").symlink_to("../secret")
    (home / "up").symlink_to("..")
    (home / "loop").symlink_to("loop")
    return home


@pytest.mark.parametrize("name", ["a.png", "deep/b..c.png", "./a.png", "in.png"])
def test_files_of_the_set(folder: Path, name: str) -> None:
    assert inside(folder, name) == folder / name


@pytest.mark.parametrize(
    "name",
    [
        *("../secret", "deep/../../secret", "..", "..\\secret", "out.png", "up/secret"),
        *("/etc/hostname", "\\\\host\\share", "C:\\x.png", "c:/x.png"),
    ],
)
def test_what_leads_out_is_refused(folder: Path, name: str) -> None:
    found = inside(folder, name)

    assert isinstance(found, Failure)
    assert (found.stage, found.code) == ("fetch", "unsafe_path")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("gone.png", "not_found"),
        ("", "not_found"),
        ("a\0b", "not_found"),
        ("loop", "not_found"),
        ("\ud800.png", "not_found"),
        ("a.png/x", "not_found"),
        ("x" * 5000, "unreadable"),
        ("deep", "not_a_file"),
        (".", "not_a_file"),
    ],
)
def test_what_cannot_be_read_says_why(folder: Path, name: str, code: str) -> None:
    found = inside(folder, name)

    assert isinstance(found, Failure)
    assert found.code == code


def test_a_set_that_is_itself_behind_a_link(folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder)

    assert inside(link, "a.png") == link / "a.png"
