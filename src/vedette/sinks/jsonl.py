"""JSONL: one Record a line, appended so that a killed scan can be continued."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

from vedette import wire
from vedette.errors import UsageError, VedetteError
from vedette.sinks.base import replacing
from vedette.types import Record

_FIRST_BYTES = b'{"key": '


def write_jsonl(records: Iterable[Record], path: Path) -> None:
    """All ``records`` to a new file."""
    with replacing(path) as temporary, temporary.open("w", encoding="ascii") as stream:
        for record in records:
            stream.write(wire.to_line(record) + "\n")


class Journal:
    """A JSONL file being appended to, one whole line in one write.

    A process killed at any point leaves whole lines; a machine that loses power may leave a part
    of one, which :meth:`resume` cuts off.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def create(self) -> None:
        """Start an empty file.

        Raises:
            VedetteError: ``write_failed``.
        """
        self._open(os.O_TRUNC)

    def resume(
        self, models: tuple[str, ...], policy: str, calibrated: str | None = None
    ) -> Iterator[Record]:
        """Continue a file; a new one is started if there is none.

        Yields:
            The Records that it already holds; read them all before the first :meth:`append`.

        Raises:
            UsageError: ``resume_mismatch``: other models, another policy or another calibration
                made it;
                ``bad_record``: it is not a file of Records, and is left as it is.
            VedetteError: ``write_failed``.
        """
        if self.path.exists():
            self._cut_partial_line()
            for record in self.records():
                if record.models != models or record.verdict.policy != policy:
                    raise UsageError(
                        f"{self.path} was made with {', '.join(record.models)} under "
                        f"{record.verdict.policy}",
                        code="resume_mismatch",
                    )
                if record.scores is not None and record.scores.calibrated != calibrated:
                    raise UsageError(
                        f"{self.path} was made with the calibration {record.scores.calibrated}",
                        code="resume_mismatch",
                        hint="use the same --calibration, or another --out",
                    )
                yield record
        self._open(0)

    def append(self, record: Record) -> None:
        """Add one Record.

        Raises:
            VedetteError: ``write_failed``.
        """
        assert self._descriptor is not None, "create() or resume() comes first"
        line = memoryview(wire.to_line(record).encode("ascii") + b"\n")
        try:
            while line:  # a full disk may take a part of it, and the next write says why
                line = line[os.write(self._descriptor, line) :]
        except OSError as error:
            raise self._failed(error) from error

    def records(self) -> Iterator[Record]:
        """All Records of the file, read from its start."""
        return wire.read_jsonl(self.path)

    def sync(self) -> None:
        """Wait until what was appended is on the disk.

        Raises:
            VedetteError: ``write_failed``.
        """
        assert self._descriptor is not None, "create() or resume() comes first"
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            if error.errno != errno.EINVAL:  # a device that knows no such thing
                raise self._failed(error) from error

    def close(self) -> None:
        """Flush to the disk and close."""
        if self._descriptor is not None:
            try:
                self.sync()
            finally:
                os.close(self._descriptor)
                self._descriptor = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self, flags: int) -> None:
        try:
            self._descriptor = os.open(
                self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | flags, 0o644
            )
        except OSError as error:
            raise self._failed(error) from error

    def _cut_partial_line(self) -> None:
        try:
            with self.path.open("rb+") as stream:
                # Somebody's own file must not lose a byte to a mistyped name.
                if stream.read(len(_FIRST_BYTES)) != _FIRST_BYTES[: stream.tell()]:
                    raise UsageError(f"{self.path}, line 1: not a Record", code="bad_record")
                end = stream.seek(0, os.SEEK_END)
                keep, step = end, 2**16
                while keep > 0:
                    start = max(0, keep - step)
                    stream.seek(start)
                    at = stream.read(keep - start).rfind(b"\n")
                    if at >= 0:
                        keep = start + at + 1
                        break
                    keep = start
                if keep < end:
                    stream.truncate(keep)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> VedetteError:
        return VedetteError(
            f"cannot write {self.path}: {error.strerror or error}", code="write_failed"
        )
