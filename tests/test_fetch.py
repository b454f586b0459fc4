from __future__ import annotations

import errno
import io
import os
import socket
from pathlib import Path

import pytest

from vedette.errors import FetchError
from vedette.fetch import fetch_error, open_regular, read_bounded, shown


class _Failing:
    """A stream that raises in the middle."""

    def __init__(self, error: Exception) -> None:
        self._error: Exception | None = None
        self._next = error

    def read(self, size: int, /) -> bytes:
        if self._error is not None:
            raise self._error
        self._error = self._next
        return b"a part"


def test_a_regular_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")

    for name in ("file", "link"):
        with open_regular(tmp_path / name) as stream:
            assert stream.read() == b"content"


@pytest.mark.parametrize("name", ["missing", "file/below", "broken", "self", "nul\0"])
def test_what_is_not_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "self").symlink_to("self")

    with pytest.raises(FetchError) as caught:
        open_regular(tmp_path / name)

    assert caught.value.code == "not_found"


def test_what_is_not_a_file_does_not_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")

        for name in ("pipe", "socket", "/dev/zero", "."):
            with pytest.raises(FetchError) as caught:
                open_regular(Path(name))
            assert caught.value.code == "not_a_file", name


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(5):
        with pytest.raises(FetchError):
            open_regular(tmp_path / "pipe")

    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("size", [0, 1, 9, 10])
def test_up_to_the_limit_is_read(size: int) -> None:
    assert read_bounded(io.BytesIO(bytes(size)), 10, "name") == bytes(size)


def test_past_the_limit_is_refused_without_reading_on() -> None:
    stream = io.BytesIO(bytes(2**20))

    with pytest.raises(FetchError, match="name is larger than 10 bytes") as caught:
        read_bounded(stream, 10, "name")

    assert caught.value.code == "too_many_bytes"
    assert stream.tell() == 11


def test_a_large_limit_sets_no_memory_aside() -> None:
    assert read_bounded(io.BytesIO(b"small"), 2**62, "name") == b"small"


def test_short_reads_are_put_together() -> None:
    class Dripping:
        def __init__(self) -> None:
            self.left = [b"a", b"bc", b"d"]

        def read(self, size: int, /) -> bytes:
            return self.left.pop(0) if self.left else b""

    assert read_bounded(Dripping(), 4, "name") == b"abcd"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.EIO, "Input/output error"), "unreadable"),
        (OSError("CRC check failed"), "corrupt"),  # what gzip raises
        (MemoryError(), "out_of_memory"),
    ],
)
def test_an_error_on_the_way_has_its_code(error: Exception, code: str) -> None:
    with pytest.raises(FetchError) as caught:
        read_bounded(_Failing(error), 100, "name")

    assert caught.value.code == code


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOENT, "not_found"),
        (errno.ENOTDIR, "not_found"),
        (errno.ELOOP, "not_found"),
        (errno.ENXIO, "not_a_file"),
        (errno.EACCES, "unreadable"),
        (errno.EIO, "unreadable"),
        (errno.ENAMETOOLONG, "unreadable"),
    ],
)
def test_system_errors_have_their_codes(number: int, code: str) -> None:
    error = fetch_error(Path("a/b.jpg"), OSError(number, os.strerror(number)))

    assert error.code == code
    assert error.message == f"b.jpg: {os.strerror(number)}"


def test_names_are_shown_in_one_line_of_text() -> None:
    assert shown(Path("a/plain ünï.jpg")) == "plain ünï.jpg"
    assert shown(Path("two\nlines\x1b[31m.jpg")) == "two\\nlines\\x1b[31m.jpg"
    assert shown(Path(os.fsdecode(b"bad\xff"))) == "bad\\udcff"
