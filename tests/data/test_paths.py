from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests import crafted
from tests.samples import sample
from vedette.data.base import read_all
from vedette.data.paths import PathSource
from vedette.settings import Limits
from vedette.types import Failure, Item

PICTURE = sample("png")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in: keys are the paths as they were given."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(*names: str | bytes) -> None:
    for name in names:
        path = Path(os.fsdecode(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PICTURE)


def items(*paths: str, **options: list[str]) -> list[Item]:
    return list(read_all(PathSource(paths, **options)))  # type: ignore[arg-type]


def keys(*paths: str, **options: list[str]) -> list[str]:
    return [item.key for item in items(*paths, **options)]


def codes(*paths: str) -> dict[str, str]:
    """The failures' codes by key."""
    return {item.key: item.data.code for item in items(*paths) if isinstance(item.data, Failure)}


# What is found


def test_a_folder_is_walked_in_sorted_order() -> None:
    put("b.png", "a/z.png", "a/b/c.png", "a.png", "c/d.png", "B.png")

    assert keys(".") == ["B.png", "a/b/c.png", "a/z.png", "a.png", "b.png", "c/d.png"]
    assert keys("a") == ["a/b/c.png", "a/z.png"]
    assert keys(".") == keys(".")


def test_items_name_their_files() -> None:
    put("a/b.png")

    (item,) = items("a")

    assert item == Item("a/b.png", Path("a/b.png"))


def test_paths_may_be_absolute_or_odd(here: Path) -> None:
    put("a/b.png")

    assert keys(str(here / "a")) == [f"{here}/a/b.png"]
    assert keys("./a/../a//b.png") == ["a/../a/b.png"]  # ".." may lead through a link


def test_files_are_taken_whatever_they_are_called() -> None:
    put(
        "no-suffix", ".hidden", "a.txt", ".dir/x.png", "two\nlines.png", "[ab]*.png", b"bad\xff.png"
    )

    assert keys(".") == [
        ".dir/x.png",
        ".hidden",
        "[ab]*.png",
        "a.txt",
        "bad\\xff.png",
        "no-suffix",
        "two\nlines.png",
    ]
    assert keys("[ab]*.png") == ["[ab]*.png"]


def test_a_given_name_may_be_no_text() -> None:
    put(b"bad\xff/a.png")

    assert keys(os.fsdecode(b"bad\xff")) == ["bad\\xff/a.png"]


def test_each_path_is_a_shard_that_can_be_read_by_itself() -> None:
    put("a/x.png", "b/y.png")
    source = PathSource(["a", "b"])

    first, second = source.shards()

    assert [item.key for item in source.read(second)] == ["b/y.png"]
    assert [item.key for item in source.read(first)] == ["a/x.png"]


def test_nothing_given_is_nothing() -> None:
    assert keys() == []


def test_deep_folders_are_walked() -> None:
    depth = sys.getrecursionlimit() + 200
    for _ in range(depth):
        Path("d").mkdir()
        os.chdir("d")
    put("x.png")
    for _ in range(depth):
        os.chdir("..")

    found = keys(".")

    for _ in range(depth):
        os.chdir("d")
    Path("x.png").unlink()
    for _ in range(depth):  # here, because pytest's own tidying up would recurse too deep
        os.chdir("..")
        Path("d").rmdir()
    assert found == ["d/" * depth + "x.png"]


# Patterns


def test_patterns_find_files_and_folders() -> None:
    put("a1.png", "a2.jpg", "b.png", "dir/a3.png", "dir/sub/a4.png", ".a5.png")

    assert keys("*.png") == [".a5.png", "a1.png", "b.png"]
    assert keys("**/*.png") == [".a5.png", "a1.png", "b.png", "dir/a3.png", "dir/sub/a4.png"]
    assert keys("d*") == ["dir/a3.png", "dir/sub/a4.png"]
    assert keys("**") == keys(".")


def test_a_pattern_that_matches_nothing_is_a_failure() -> None:
    assert codes("*.png") == {"*.png": "not_found"}


# Each file once


def test_overlapping_patterns_find_each_file_once() -> None:
    put("a/b.png", "a/c.png", "d.png")

    assert keys("a/b.png", "a/*.png", "*/[bc].png") == ["a/b.png", "a/c.png"]
    assert keys("a/*.png", "a") == ["a/b.png", "a/c.png"]
    assert keys("*.png", "a*") == ["d.png", "a/b.png", "a/c.png"]


def test_each_file_comes_once(here: Path) -> None:
    put("a/b.png", "a/c.png", "d.png")
    once = ["a/b.png", "a/c.png"]

    assert keys("a", "a") == once
    assert keys("a", "./a/") == once
    assert keys("a", "a/b.png") == once
    assert keys("a/b.png", "a") == once
    assert keys("a", str(here / "a")) == once
    assert keys("a/b.png", "d.png", "a/b.png") == ["a/b.png", "d.png"]


def test_names_that_only_begin_alike_are_two() -> None:
    put("a/x.png", "ab/y.png")

    assert keys("a", "ab") == ["a/x.png", "ab/y.png"]


# What is left out


def test_patterns_are_left_out() -> None:
    put("a.png", "b.jpg", "c/a.png", "c/d.txt", "e/f.png")

    assert keys(".", exclude=["*.jpg", "*.txt"]) == ["a.png", "c/a.png", "e/f.png"]
    assert keys(".", exclude=["a.png"]) == ["b.jpg", "c/d.txt", "e/f.png"]
    assert keys(".", exclude=["c"]) == ["a.png", "b.jpg", "e/f.png"]
    assert keys(".", exclude=["c/*.png"]) == ["a.png", "b.jpg", "c/d.txt", "e/f.png"]


def test_a_scans_own_outputs_are_left_out(here: Path) -> None:
    put("a.png", "out.jsonl", "b/out.jsonl")

    source = PathSource(["."], skip=[here / "out.jsonl"])

    assert [item.key for item in read_all(source)] == ["a.png", "b/out.jsonl"]


# What cannot be read


def test_what_is_not_there() -> None:
    put("file")

    assert codes("missing", "file/below", "", "nul\0") == {
        "missing": "not_found",
        "file/below": "not_found",
        "": "not_found",
        "nul\0": "not_found",
    }


def test_links_are_followed_but_not_in_circles() -> None:
    put("a/x.png", "other/y.png")
    Path("a/up").symlink_to("..")
    Path("a/here").symlink_to(".")
    Path("a/other").symlink_to("../other")
    Path("a/link.png").symlink_to("x.png")
    Path("a/broken").symlink_to("nowhere")
    Path("a/self").symlink_to("self")

    assert keys("a") == [
        "a/broken",
        "a/here",
        "a/link.png",
        "a/other/y.png",
        "a/self",
        *("a/up/a", "a/up/other/y.png"),
        "a/x.png",
    ]
    assert codes("a") == {
        "a/broken": "not_found",
        "a/here": "directory_loop",
        "a/self": "not_found",
        "a/up/a": "directory_loop",
    }


def test_what_is_not_a_file() -> None:
    os.mkfifo("pipe")

    assert codes(".") == {"pipe": "not_a_file"}
    assert codes("pipe", "/dev/zero") == {"pipe": "not_a_file", "/dev/zero": "not_a_file"}


def test_what_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    put("open/a.png", "shut/b.png")
    listdir = os.listdir

    def refused(path: str) -> list[str]:  # root may list anything, so permissions are no test
        if os.path.basename(path) == "shut":
            raise PermissionError(13, "Permission denied", path)
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refused)
    Path("secret.png").symlink_to("/proc/self/mem")

    assert codes(".") == {"secret.png": "unreadable", "shut": "unreadable"}
    assert keys(".") == ["open/a.png", "secret.png", "shut"]


def test_a_failure_is_one_line_of_text() -> None:
    name = os.fsdecode(b"bad\xff\nname")
    Path(name).symlink_to("nowhere")

    (item,) = items(".")

    assert isinstance(item.data, Failure)
    assert item.data.message == "bad\\udcff\\nname: No such file or directory"


# Archives


def test_archives_are_read_in_their_place() -> None:
    put("a.png", "z.png")
    Path("m.jpg").write_bytes(crafted.zip_of([("in.png", PICTURE), ("text", b"prose")]))

    assert keys(".") == ["a.png", "m.jpg!/in.png", "m.jpg!/text", "z.png"]
    assert items("m.jpg")[0].data == PICTURE


def test_limits_reach_the_archives() -> None:
    Path("a.zip").write_bytes(crafted.zip_of([("x", b"1"), ("y", b"2")]))

    (item,) = read_all(PathSource(["a.zip"], Limits(archive_members=1)))

    assert item.key == "a.zip"
    assert isinstance(item.data, Failure)
    assert item.data.code == "archive_bomb"


# By key


def test_every_item_is_found_by_its_key() -> None:
    put("a.png", "sub/b.png", b"bad\xff.png", "odd!/c.png", "looks\\x41.png")
    members = [("in.png", PICTURE), ("x!/y.png", b"other"), ("bad\udcff", b"third")]
    Path("odd!/m.tar").write_bytes(crafted.tar_of(members))
    source = PathSource(["."])

    found = list(read_all(source))

    assert len(found) == 8
    for item in found:
        assert source.find(item.key) == item


def test_what_is_gone_is_none() -> None:
    put("a.png")
    Path("m.zip").write_bytes(crafted.zip_of([("in.png", PICTURE)]))
    source = PathSource(["."])

    for key in ("b.png", "m.zip!/out.png", "n.zip!/in.png", "a.png!/x", "nul\0", "!/"):
        assert source.find(key) is None


def test_links_among_folders_are_not_multiplied() -> None:
    """A link farm: without a bound, 2 ** 12 paths lead to the one file."""
    put("l00/a.png")
    for level in range(1, 13):
        Path(f"l{level:02d}").mkdir()
        for name in "xy":
            Path(f"l{level:02d}", name).symlink_to(Path(f"../l{level - 1:02d}"))

    assert sum(key.endswith("a.png") for key in keys("l12")) == 1
    assert list(codes("l12").values()) == ["directory_loop"] * 12


def test_outputs_are_left_out_through_links_too(here: Path) -> None:
    put("in/a.png", "in/r.jsonl")
    Path("link").symlink_to("in")

    found = [i.key for i in read_all(PathSource(["link"], skip=[here / "in" / "r.jsonl"]))]

    assert found == ["link/a.png"]


def test_dots_behind_a_link_lead_where_the_link_leads() -> None:
    put("far/away/x.png", "far/y.png", "z.png")
    Path("link").symlink_to("far/away")

    assert keys("link/../y.png") == ["link/../y.png"]
    assert codes("link/../y.png") == {}
