"""A whole scan into files: resumable after SIGKILL to the same files, outputs derived whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pictures import drawn, encoded, folder_of
from vedette import Scanner
from vedette.data.paths import PathSource
from vedette.errors import UsageError, VedetteError
from vedette.run import Outputs, Summary, run_scan
from vedette.types import Action, Item


def lines(path: Path) -> list[dict[str, Any]]:
    """The Records of a file without their times."""
    out = []
    for line in path.read_text(encoding="ascii").splitlines():
        record = json.loads(line)
        del record["times_ms"]
        out.append(record)
    return out


def scan(folder: Path, outputs: Outputs, policy: str = "default") -> Summary:
    source = PathSource([folder], skip=outputs.files)
    with Scanner("dummy", policy) as scanner:
        return run_scan(source, scanner, outputs)


def wait_for_lines(path: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert process.poll() is None, "the scan ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_killed_and_resumed_is_the_same_as_uninterrupted(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", 2000)
    (folder / "0500.png").write_bytes(b"broken")
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    command = [sys.executable, "-m", "vedette", "scan", str(folder), "--model", "dummy", "--quiet"]
    uninterrupted = subprocess.run([*command, "--out", str(whole)], check=False)
    assert uninterrupted.returncode == 3
    for stop_at in (300, 900):  # killed twice, the second time in the resumed run
        arguments = [*command, "--out", str(cut), "--resume"]
        process = subprocess.Popen(arguments)
        wait_for_lines(cut, stop_at, process)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert cut.read_bytes().endswith(b"\n")
    assert 900 <= len(lines(cut)) < 2000
    with cut.open("ab") as stream:  # what a power cut may leave
        stream.write(b'{"key": "in/19')
    assert subprocess.run([*command, "--out", str(cut), "--resume"], check=False).returncode == 3
    assert lines(cut) == lines(whole)
    assert len(lines(whole)) == 2000


def test_interrupt_leaves_whole_lines_and_says_how_to_go_on(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", 1500)
    out = tmp_path / "r.jsonl"
    command = [sys.executable, "-m", "vedette", "scan", str(folder), "-m", "dummy", "-q"]
    process = subprocess.Popen([*command, "--out", str(out)], stderr=subprocess.PIPE)
    wait_for_lines(out, 50, process)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"--resume" in stderr
    assert b"Traceback" not in stderr
    assert 50 <= len(lines(out)) < 1500


def test_resuming_a_finished_scan_changes_nothing(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", 5)
    outputs = Outputs((tmp_path / "r.jsonl",), resume=True)
    first = scan(folder, outputs)
    before = (tmp_path / "r.jsonl").read_bytes()
    again = scan(folder, outputs)
    assert (tmp_path / "r.jsonl").read_bytes() == before
    assert (first.resumed, again.resumed) == (0, 5)
    assert first.actions == again.actions


def test_resuming_takes_up_new_files(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", 3)
    outputs = Outputs((tmp_path / "r.jsonl",), resume=True)
    scan(folder, outputs)
    (folder / "new.png").write_bytes(encoded(drawn(9)))
    summary = scan(folder, outputs)
    assert summary.total == 4
    assert lines(tmp_path / "r.jsonl")[-1]["key"].endswith("new.png")


def test_existing_output_is_not_touched(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", 1)
    for name in ("r.jsonl", "r.csv"):
        path = tmp_path / name
        path.write_text("precious")
        with pytest.raises(UsageError) as caught:
            scan(folder, Outputs((path,)))
        assert caught.value.code == "output_exists"
        assert path.read_text() == "precious"
        scan(folder, Outputs((path,), overwrite=True))
        assert "precious" not in path.read_text()


@pytest.mark.parametrize("change", ["policy", "model"])
def test_resuming_with_something_else_is_refused(tmp_path: Path, change: str) -> None:
    folder = folder_of(tmp_path / "in", 1)
    out = tmp_path / "r.jsonl"
    scan(folder, Outputs((out,)))
    if change == "model":
        out.write_text(out.read_text().replace("dummy@1", "dummy@0"))
    with pytest.raises(UsageError) as caught:
        scan(folder, Outputs((out,), resume=True), "strict" if change == "policy" else "default")
    assert caught.value.code == "resume_mismatch"


def test_resuming_something_that_is_no_record_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "r.jsonl"
    out.write_text('{"hello": 1}\n')
    with pytest.raises(UsageError, match="line 1") as caught:
        scan(folder_of(tmp_path / "in", 1), Outputs((out,), resume=True))
    assert caught.value.code == "bad_record"


def test_an_unknown_format_is_refused_before_the_scan(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.xlsx"):
        scan(folder_of(tmp_path / "in", 1), Outputs((tmp_path / "r.xlsx",)))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in"]


def test_every_output_of_one_scan(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", 4)
    names = ("r.csv", "r.parquet", "r.jsonl")
    outputs = Outputs(tuple(tmp_path / n for n in names), html=tmp_path / "r.html")
    summary = scan(folder, outputs)
    assert summary.total == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["in", "r.html", *names])


def test_without_jsonl_the_journal_goes_when_all_is_made(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", 4)
    outputs = Outputs((tmp_path / "r.csv",))
    assert outputs.journal == tmp_path / "r.csv.journal.jsonl"
    scan(folder, outputs)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "r.csv"]


class Breaks:
    """A source whose medium fails after some items."""

    def __init__(self, inner: PathSource, after: int) -> None:
        self._inner, self._after = inner, after
        self.shards = inner.shards
        self.find = inner.find

    def read(self, shard: Any) -> Iterator[Item]:
        for number, item in enumerate(self._inner.read(shard)):
            if number == self._after:
                raise OSError("gone")
            yield item


def test_a_csv_scan_that_broke_off_is_resumed_from_its_journal(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", 30)
    outputs = Outputs((tmp_path / "r.csv",))
    with Scanner("dummy") as scanner, pytest.raises(OSError, match="gone"):
        run_scan(Breaks(PathSource([folder]), 20), scanner, outputs)
    assert not (tmp_path / "r.csv").exists()
    assert (tmp_path / "r.csv.journal.jsonl").exists()
    resumed = scan(folder, Outputs((tmp_path / "r.csv",), resume=True))
    assert resumed.total == 30
    scan(folder, Outputs((tmp_path / "whole.csv",)))
    assert (tmp_path / "r.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_scan_does_not_scan_its_own_outputs(tmp_path: Path) -> None:
    folder_of(tmp_path, 3)
    out = tmp_path / "r.jsonl"
    outputs = Outputs((out,), html=tmp_path / "r.html")
    scan(tmp_path, outputs)
    assert [Path(r["key"]).name for r in lines(out)] == ["0000.png", "0001.png", "0002.png"]


def test_an_unwritable_output_is_one_clear_error(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", 1)
    with pytest.raises(VedetteError) as caught:
        scan(folder, Outputs((tmp_path / "missing" / "r.jsonl",)))
    assert caught.value.code == "write_failed"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", 1)
    (tmp_path / "r.jsonl").symlink_to("/dev/full")
    with pytest.raises(VedetteError) as caught:
        scan(folder, Outputs((tmp_path / "r.jsonl",), overwrite=True))
    assert caught.value.code == "write_failed"


def test_exit_status() -> None:
    assert Summary().exit_status == 0
    flagged = Summary()
    flagged.actions[Action.REVIEW] = 1
    assert flagged.exit_status == 1
    flagged.failures["corrupt"] = 1
    assert flagged.exit_status == 3


def test_resuming_a_finished_csv_scan_is_refused_not_redone(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", 4)
    outputs = Outputs((tmp_path / "r.csv",), resume=True)
    scan(folder, outputs)
    before = (tmp_path / "r.csv").read_bytes()
    (folder / "0000.png").unlink()  # as a quarantine would
    with pytest.raises(UsageError) as caught:
        scan(folder, outputs)
    assert caught.value.code == "output_exists"
    assert (tmp_path / "r.csv").read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"precious", b"one line\n", b'{"key": 1}\n', b'[{"key": "a"}]']
)
def test_resuming_leaves_a_file_of_something_else_as_it_is(tmp_path: Path, content: bytes) -> None:
    out = tmp_path / "mine.jsonl"
    out.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        scan(folder_of(tmp_path / "in", 1), Outputs((out,), resume=True))
    assert caught.value.code == "bad_record"
    assert out.read_bytes() == content


@pytest.mark.parametrize("left", range(0, 40, 7))
def test_resuming_after_a_cut_in_the_first_line(tmp_path: Path, left: int) -> None:
    folder = folder_of(tmp_path / "in", 2)
    out = tmp_path / "r.jsonl"
    scan(folder, Outputs((out,)))
    whole = lines(out)
    out.write_bytes(out.read_bytes()[:left])
    scan(folder, Outputs((out,), resume=True))
    assert lines(out) == whole


def test_two_outputs_in_one_file_are_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", 1)
    path = tmp_path / "x.jsonl"
    with pytest.raises(UsageError, match="two outputs are one file"):
        scan(folder, Outputs((path,), html=tmp_path / "in" / ".." / "x.jsonl"))
    assert not path.exists()


@pytest.mark.parametrize("place", ["missing/r.html", "in"])
def test_an_impossible_place_is_told_before_the_scan(tmp_path: Path, place: str) -> None:
    folder = folder_of(tmp_path / "in", 1)
    with pytest.raises(VedetteError) as caught:
        scan(folder, Outputs((tmp_path / "r.jsonl",), html=tmp_path / place))
    assert caught.value.code == "write_failed"
    assert not (tmp_path / "r.jsonl").exists()


def test_equal_keys_are_resumed_by_their_number(tmp_path: Path) -> None:
    """A folder called ``a.zip!`` beside ``a.zip`` gives one key twice."""
    place = tmp_path / "in"
    (place / "a.zip!").mkdir(parents=True)
    (place / "a.zip!" / "x.png").write_bytes(encoded(drawn(1)))
    with zipfile.ZipFile(place / "a.zip", "w") as archive:
        archive.writestr("x.png", encoded(drawn(2)))
    out = tmp_path / "r.jsonl"
    scan(place, Outputs((out,)))
    whole = lines(out)
    assert len({r["key"] for r in whole}) == 1
    assert len({r["sha256"] for r in whole}) == 2
    out.write_text(out.read_text().splitlines(keepends=True)[0])
    scan(place, Outputs((out,), resume=True))
    assert lines(out) == whole
