from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.serve.audit.made import SECRET, decision
from vedette.errors import VedetteError
from vedette.serve.audit import spool as module
from vedette.serve.audit.entry import entry_of, to_line
from vedette.serve.audit.spool import Segment, Spool


def line(name: str) -> bytes:
    return to_line(entry_of(decision(name), SECRET))


def read(paths: list[Path]) -> list[str]:
    return [entry.id for path in paths for entry in Segment(path)]


def test_lines_come_back_in_their_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a" / "spool")
    for name in ("one", "two", "three"):
        spool.append([line(name), line(name + "b")])

    assert read(spool.finished()) == ["one", "oneb", "two", "twob", "three", "threeb"]
    spool.append([line("four")])
    assert [read([path]) for path in spool.finished()][1:] == [["four"]]
    modes = {path.stat().st_mode & 0o777 for path in spool.folder.iterdir()}
    assert (modes, spool.folder.stat().st_mode & 0o777) == ({0o600}, 0o700)
    spool.close()


def test_threads_share_a_wait_and_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        syncs.append(descriptor)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    spool = Spool(tmp_path)
    read_: list[str] = []
    stop = threading.Event()

    def drain() -> None:
        while not stop.is_set():
            for path in spool.finished():
                read_.extend(read([path]))
                Segment(path).remove()

    def work(thread: int) -> None:
        for number in range(100):
            spool.append([line(f"{thread}-{number}")])

    drainer = threading.Thread(target=drain)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for one in (drainer, *threads):
        one.start()
    for one in threads:
        one.join()
    stop.set()
    drainer.join()
    read_.extend(read(spool.finished()))

    assert len(syncs) < 1600  # group commit: fewer than there were calls
    assert sorted(read_) == sorted(f"{t}-{n}" for t in range(16) for n in range(100))
    for thread in range(16):
        own = [name for name in read_ if name.startswith(f"{thread}-")]
        assert own == [f"{thread}-{n}" for n in range(100)]
    spool.close()


def test_a_torn_end_is_cut(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append([line("one"), line("two")])
    (path,) = spool.finished()
    path.write_bytes(path.read_bytes()[:-20])
    segment = Segment(path)

    assert [entry.id for entry in segment] == ["one"]
    segment.remove()
    assert list(tmp_path.glob("*.spool")) == []
    assert list(tmp_path.glob("*.damaged")) == []
    spool.close()


def test_damage_in_the_middle_is_told_and_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(tmp_path)
    spool.append([line("one"), line("two"), line("three")])
    (path,) = spool.finished()
    path.write_bytes(path.read_bytes().replace(b"two", b"tow"))
    segment = Segment(path)

    assert [entry.id for entry in segment] == ["one", "three"]
    assert segment.damaged == 1
    segment.remove()
    assert [path.suffix for path in tmp_path.iterdir()] != [".lock"]
    assert "1 decisions cannot be read" in caplog.text
    assert spool.finished() == []
    spool.close()


def test_a_full_disk_is_told_to_everybody_who_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)
    spool.append([line("before")])
    real = os.write
    full = threading.Event()
    full.set()

    def write(descriptor: int, data: Any) -> int:
        if full.is_set():
            real(descriptor, data[:10])  # some of it stands there
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    errors: list[VedetteError] = []

    def keep() -> None:
        try:
            spool.append([line("lost")])
        except VedetteError as error:
            errors.append(error)

    threads = [threading.Thread(target=keep) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    full.clear()
    spool.append([line("after")])

    assert {error.code for error in errors} == {"write_failed"}
    assert len(errors) == 8
    assert "No space left" in errors[0].message
    assert read(spool.finished()) == ["before", "after"]
    spool.close()


def test_a_sync_that_fails_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path)
    spool.append([line("before")])

    def fsync(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        with pytest.raises(VedetteError, match="Input/output error"):
            spool.append([line("lost")])
    spool.append([line("after")])

    assert read(spool.finished()) == ["before", "after"]
    assert spool.appended == 2
    spool.close()


def test_long_spools_are_cut_into_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SEGMENT_BYTES", 2000)
    spool = Spool(tmp_path)
    for number in range(20):
        spool.append([line(str(number))])

    paths = spool.finished()
    assert len(paths) > 3
    assert read(paths) == [str(number) for number in range(20)]
    spool.close()


def test_a_decision_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LINE_BYTES", 100)
    spool = Spool(tmp_path)
    with pytest.raises(VedetteError, match="too large"):
        spool.append([line("one")])
    spool.close()


def test_only_the_dead_are_taken_over(tmp_path: Path) -> None:
    living, dead, looking = Spool(tmp_path), Spool(tmp_path), Spool(tmp_path)
    living.append([line("living")])
    dead.append([line("dead")])
    dead.close()

    assert looking.others() == sorted({living.writer, dead.writer})
    with looking.orphaned(living.writer) as paths:
        assert paths == []
    with looking.orphaned(dead.writer) as paths:
        assert read(paths) == ["dead"]
        third = Spool(tmp_path)
        with third.orphaned(dead.writer) as none:
            assert none == []
        third.close()
    assert dead.writer in looking.others()  # not removed: it is not in the database yet
    with looking.orphaned(dead.writer) as paths:
        for path in paths:
            Segment(path).remove()
    assert looking.others() == [living.writer]
    living.close()
    looking.close()


def test_segments_without_a_lock_are_taken_over(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    (tmp_path / "lost.0000000001.spool").write_bytes(line("lost"))
    assert spool.others() == ["lost"]
    with spool.orphaned("lost") as paths:
        assert read(paths) == ["lost"]
    spool.close()


def test_a_spool_that_is_done_leaves_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.close()
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VedetteError) as caught:
        Spool(tmp_path / "file")
    assert caught.value.code == "write_failed"
