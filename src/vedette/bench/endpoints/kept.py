"""Answers that were paid for, kept: a run that is started again asks for none of them twice."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vedette.errors import VedetteError

FILE = "answers.sqlite3"
_WAIT_S = 30.0
"""For another process that writes."""
_TABLE = "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, body TEXT, ms REAL)"


@dataclass(frozen=True, slots=True)
class Kept:
    """One answer as it came."""

    body: Any
    """JSON value."""
    ms: float
    """Time that the service took."""


def key_of(parts: Sequence[str]) -> str:
    """The name of an answer, by everything that it depends on."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


class Answers:
    """A file of answers; each is on the disk before it is used. Threads may share one.

    Args:
        folder: that the file is, or will be, in.

    Raises:
        VedetteError: ``write_failed``: at every use, where the file cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._lock = threading.Lock()
        with self._told():
            folder.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(
                self._path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
            )
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute(_TABLE)

    def get(self, key: str) -> Kept | None:
        """The answer of that name; None where there is none, or where it is damaged."""
        with self._told(), self._lock:
            row = self._database.execute(
                "SELECT body, ms FROM answers WHERE key = ?", (key,)
            ).fetchone()
        try:
            return None if row is None else Kept(json.loads(row[0]), float(row[1]))
        except (ValueError, TypeError, RecursionError):
            return None  # asked for again, and replaced

    def put(self, key: str, kept: Kept) -> None:
        """Keep an answer."""
        body = json.dumps(kept.body, ensure_ascii=True, separators=(",", ":"))
        with self._told(), self._lock:
            self._database.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", (key, body, kept.ms)
            )

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise VedetteError(
                f"cannot use the answers kept in {self._path}: {error}",
                code="write_failed",
                hint="check the disk and the permissions, or set VEDETTE_CACHE to another folder",
            ) from error
