"""Decisions on the local disk until the database has them.

A folder with, for each process that writes (the *writer*), a lock file that it holds while it
lives, and segments: files of lines (:mod:`vedette.serve.audit.entry`), appended to and never
changed. A segment that is finished is moved into the database by its writer; those of a writer
that has died, by whoever gets its lock.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from vedette.errors import VedetteError
from vedette.serve.audit.entry import Entry, from_line

_SEGMENT_BYTES = 16 * 2**20
"""A segment is finished at this size, so that what was moved into the database frees the disk."""
_LINE_BYTES = 64 * 2**20
"""Of one decision, at most: it is in memory as a whole."""
_LOG = logging.getLogger("vedette.serve.audit")


class Spool:
    """The spool of one process. Thread-safe.

    Args:
        folder: made if it is missing, readable by its owner only. Processes of one machine share
            it; replicas of other machines have their own.

    Raises:
        VedetteError: ``write_failed``: the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.appended = 0
        """Lines that are on the disk, or were."""
        self._mutex = threading.Lock()
        self._writing = threading.Lock()
        self._pending = _Batch()
        self._segment: int | None = None
        self._size = 0
        self._number = 0
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.writer, self._lock = _new_writer(folder)
            _sync_folder(folder)
        except OSError as error:
            raise _failed(folder, error) from error

    def append(self, lines: Sequence[bytes]) -> None:
        """Put lines on the disk: they survive a kill and a loss of power once this returns.

        Threads that come while another one waits for the disk share the next wait.

        Raises:
            VedetteError: ``write_failed``: the disk does not take them.
        """
        if not lines:
            return
        if max(map(len, lines)) > _LINE_BYTES:
            raise VedetteError("a decision is too large to be stored", code="write_failed")
        with self._mutex:
            batch = self._pending
            leads = not batch.lines
            batch.lines.extend(lines)
        if not leads:
            batch.done.wait()
        else:
            try:
                with self._writing:
                    self._take(batch)
                    self._write(b"".join(batch.lines))
                    self.appended += len(batch.lines)
                    batch.written = True
            except OSError as error:
                batch.error = error
            finally:  # whatever happens here, nobody waits for ever
                self._take(batch)
                batch.done.set()
        if not batch.written:
            raise _failed(self.folder, batch.error) from batch.error

    def _take(self, batch: _Batch) -> None:
        """Nobody joins this batch any more."""
        with self._mutex:
            if self._pending is batch:
                self._pending = _Batch()

    def _write(self, data: bytes) -> None:
        if self._segment is None:
            self._segment = self._new_segment()
            self._size = 0
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(self._segment, left) :]
            os.fsync(self._segment)
        except OSError:
            # What stands there is unknown. Cut it off, and never append behind it.
            with suppress(OSError):
                os.ftruncate(self._segment, self._size)
            self._finish()
            raise
        self._size += len(data)
        if self._size >= _SEGMENT_BYTES:
            self._finish()

    def _new_segment(self) -> int:
        self._number += 1
        path = self.folder / f"{self.writer}.{self._number:010d}.spool"
        segment = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
        try:
            _sync_folder(self.folder)
        except OSError:
            os.close(segment)
            raise
        return segment

    def _finish(self) -> None:
        if self._segment is not None:
            segment, self._segment = self._segment, None
            with suppress(OSError):  # it was synced, or its writers have been told
                os.close(segment)

    def finished(self) -> list[Path]:
        """This process's segments, oldest first; what is appended from now on goes to another."""
        with self._writing:
            self._finish()
            # Looked for before anybody can begin a new one, which is not to be read yet.
            return _segments(self.folder, self.writer)

    @contextmanager
    def orphaned(self, writer: str) -> Iterator[list[Path]]:
        """The segments of a writer that has died, ours while the block runs; else none."""
        path = self.folder / f"{writer}.lock"
        lock = _lock(path)
        if lock is None:
            yield []
            return
        try:
            yield _segments(self.folder, writer)
            if not _segments(self.folder, writer):
                path.unlink(missing_ok=True)
        finally:
            os.close(lock)

    def others(self) -> list[str]:
        """Writers that have something in the folder, alive or not, without this one."""
        names = {
            path.name.partition(".")[0]
            for pattern in ("*.lock", "*.spool")
            for path in self.folder.glob(pattern)
        }
        return sorted(names - {self.writer})

    def close(self) -> None:
        """Let go of the folder; segments that are left go to the next process that looks."""
        with self._writing:
            self._finish()
            if self._lock >= 0:
                if not _segments(self.folder, self.writer):
                    (self.folder / f"{self.writer}.lock").unlink(missing_ok=True)
                os.close(self._lock)
                self._lock = -1


class Segment:
    """One segment, read once from its begin to its end; :attr:`damaged` is known then."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = 0
        """Lines that cannot be read, without a torn one at the end: nobody was told that that is
        kept."""

    def __iter__(self) -> Iterator[Entry]:
        bad, torn = 0, False
        with self.path.open("rb") as file:
            while line := file.readline(_LINE_BYTES):
                entry = from_line(line)
                if entry is None:
                    bad += 1
                    torn = not line.endswith(b"\n")
                else:
                    yield entry
        self.damaged = bad - (1 if bad and torn else 0)

    def remove(self) -> None:
        """Away with it: the database has all of it. One that is damaged is kept under a name."""
        if self.damaged:
            kept = self.path.with_suffix(".damaged")
            self.path.replace(kept)
            _LOG.error("%d decisions cannot be read from %s", self.damaged, kept)
        else:
            self.path.unlink(missing_ok=True)


class _Batch:
    """Lines that are written together, and what their threads wait for."""

    __slots__ = ("done", "error", "lines", "written")

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.done = threading.Event()
        self.written = False
        self.error: OSError | None = None


def _segments(folder: Path, writer: str) -> list[Path]:
    return sorted(folder.glob(f"{writer}.*.spool"))


def _new_writer(folder: Path) -> tuple[str, int]:
    while True:
        writer = uuid4().hex
        lock = _lock(folder / f"{writer}.lock")
        if lock is not None:  # else somebody looked whether its owner is dead, before we had it
            return writer, lock


def _lock(path: Path) -> int | None:
    """The lock file, held until it is closed or the process ends; None: another one holds it."""
    import fcntl  # Linux and macOS: what locks a file elsewhere does not end with a process

    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    held = False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held it may have removed it meanwhile: then it is no lock any more.
        held = os.stat(path).st_ino == os.fstat(descriptor).st_ino
    except (BlockingIOError, FileNotFoundError):
        return None
    finally:
        if not held:
            os.close(descriptor)
    return descriptor if held else None


def _sync_folder(folder: Path) -> None:
    """A new name in a folder survives a loss of power only when the folder is synced, too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _failed(folder: Path, error: OSError | None) -> VedetteError:
    why = "interrupted" if error is None else error.strerror or str(error)
    return VedetteError(f"cannot write to the spool {folder}: {why}", code="write_failed")
