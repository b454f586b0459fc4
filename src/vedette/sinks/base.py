"""What a sink is, and which one a file name asks for.

Records are first appended to a JSONL journal (:mod:`vedette.sinks.jsonl`), which survives a crash
at any point; every other format is made from the journal in one pass at the end and put in place
whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vedette.errors import UnknownNameError, VedetteError
from vedette.extras import require
from vedette.types import Record

Writer = Callable[[Iterable[Record], Path], None]
"""Writes all records to a new file; one pass, memory flat."""


def writer_for(path: Path) -> Writer:
    """The writer for the suffix of ``path``, ready: what it needs is asked for here.

    Raises:
        UnknownNameError: no writer for that suffix.
        MissingExtraError: the format needs a library that is not installed.
    """
    from vedette.sinks.csv import write_csv
    from vedette.sinks.jsonl import write_jsonl
    from vedette.sinks.parquet import write_parquet

    writers: dict[str, Writer] = {
        ".csv": write_csv,
        ".jsonl": write_jsonl,
        ".parquet": write_parquet,
    }
    suffix = path.suffix.lower()
    if suffix not in writers:
        raise UnknownNameError("output format", path.suffix or path.name, writers)
    if suffix == ".parquet":  # not only after hours of scanning
        require("pyarrow.parquet", extra="parquet")
    return writers[suffix]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path``, moved to ``path`` if the block succeeds, else removed.

    Raises:
        VedetteError: ``write_failed``.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise VedetteError(
            f"cannot write {path}: {error.strerror or error}", code="write_failed"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
