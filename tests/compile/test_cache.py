"""What was made once is found again, whole or not at all."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from vedette.compile.cache import cache_root, cached
from vedette.errors import VedetteError


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VEDETTE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Maker:
    def __init__(self, text: str = "made") -> None:
        self.text, self.calls = text, 0

    def __call__(self, path: Path) -> None:
        self.calls += 1
        path.write_text(self.text)
        path.with_name("beside.data").write_text("beside")


def test_it_is_made_once() -> None:
    make = Maker()
    first, second = cached(["a", b"b"], ".onnx", make), cached(["a", b"b"], ".onnx", make)

    assert first == second
    assert make.calls == 1
    assert first.read_text() == "made"
    assert (first.parent / "beside.data").read_text() == "beside"


def test_other_parts_are_another_file() -> None:
    made = {
        cached(parts, ".onnx", Maker(str(k)))
        for k, parts in enumerate((["a", "b"], ["ab"], ["a", "", "b"], ["b", "a"]))
    }

    assert sorted(path.read_text() for path in made) == ["0", "1", "2", "3"]


@pytest.mark.parametrize("name", ["network.onnx", "beside.data", "made.sha256"])
def test_what_was_changed_is_made_again(name: str) -> None:
    make = Maker()
    path = cached(["a"], ".onnx", make)
    (path.parent / name).write_text("changed")

    assert cached(["a"], ".onnx", make).read_text() == "made"
    assert make.calls == 2


def test_a_failure_leaves_nothing(own: Path) -> None:
    def fail(path: Path) -> None:
        path.write_text("half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cached(["a"], ".onnx", fail)

    assert list(own.iterdir()) == []


def test_threads_that_make_the_same_all_get_it() -> None:
    barrier, results = threading.Barrier(4), []

    def run() -> None:
        barrier.wait()
        results.append(cached(["a"], ".onnx", Maker()).read_text())

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["made"] * 4


def test_a_place_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("VEDETTE_CACHE", str(blocked))

    with pytest.raises(VedetteError, match="file") as caught:
        cached(["a"], ".onnx", Maker())
    assert caught.value.code == "write_failed"
    assert "VEDETTE_CACHE" in caught.value.hint


def test_without_a_setting_it_is_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VEDETTE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")

    if sys.platform == "linux":
        assert cache_root() == Path("/elsewhere/vedette")
    else:
        assert cache_root().name == "vedette"
        assert cache_root().is_relative_to(Path.home())


def test_what_another_process_made_meanwhile_is_left_alone() -> None:
    made: list[tuple[Path, int]] = []

    def make(path: Path) -> None:
        if not made:
            made.append((path, 0))
            other = cached(["a"], ".onnx", make)  # it is faster, and reads what it made
            made[0] = (other, other.stat().st_ino)
        path.write_text("made")

    found = cached(["a"], ".onnx", make)

    assert (found, found.stat().st_ino) == made[0]
