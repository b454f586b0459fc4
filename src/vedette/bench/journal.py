"""What is done already: one line for each part, so that a killed run goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from vedette.errors import VedetteError

_MOST_BYTES = 2**30


class Journal:
    """JSON values by name in a file: a first line that says to which plan, then one for each part.

    A line counts when its end is there: the half line of a killed run is cut off. The file of
    another plan, and one that is damaged, is begun anew.
    """

    def __init__(self, path: Path, plan: str, fits: Callable[[Any], bool]) -> None:
        """Read what is there.

        Args:
            path: of the file; its folder is made.
            plan: a digest of all that the values follow from.
            fits: whether a value is one that this plan writes.

        Raises:
            VedetteError: ``unreadable``.
        """
        self.lines: dict[str, Any] = {}
        """What was kept, by name."""
        self._path = path
        self._plan = plan
        self._fits = fits
        self._stream: BinaryIO | None = None
        self._whole = self._read()

    def __enter__(self) -> Journal:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # "r+" where there is something to keep: what a killed run left half is cut off.
            self._stream = self._path.open("r+b" if self._whole else "wb")
            self._stream.truncate(self._whole)
            self._stream.seek(self._whole)
        except OSError as error:
            raise self._unwritten(error) from error
        if not self._whole:
            self._append({"plan": self._plan})
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def write(self, key: str, said: Any) -> None:
        """Keep one part; it is on its way to the disk on return.

        Raises:
            VedetteError: ``write_failed``.
        """
        self._append({"key": key, "said": said})
        self.lines[key] = said

    def _append(self, line: dict[str, Any]) -> None:
        assert self._stream is not None, "a journal is written inside `with`"
        try:
            self._stream.write(json.dumps(line).encode() + b"\n")
            self._stream.flush()
        except OSError as error:
            raise self._unwritten(error) from error

    def _unwritten(self, error: OSError) -> VedetteError:
        return VedetteError(f"cannot write {self._path}: {error.strerror}", code="write_failed")

    def _read(self) -> int:
        """Fill ``lines``; how many bytes of the file count."""
        try:
            if not self._path.is_file() or self._path.stat().st_size > _MOST_BYTES:
                return 0
            text = self._path.read_bytes()
        except OSError as error:
            raise VedetteError(
                f"cannot read {self._path}: {error.strerror}", code="unreadable"
            ) from error
        whole = 0
        for number, line in enumerate(text.split(b"\n")[:-1]):
            try:
                data = json.loads(line)
                if number == 0:
                    if data != {"plan": self._plan}:
                        return 0
                else:
                    key, said = data["key"], data["said"]
                    if not (isinstance(key, str) and self._fits(said)):
                        break
                    self.lines[key] = said
            except (ValueError, KeyError, TypeError, RecursionError):
                break  # what comes after a damaged line is asked again
            whole += len(line) + 1
        return whole


def digest(told: Any) -> str:
    """Of JSON values: what a plan is told apart by."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
