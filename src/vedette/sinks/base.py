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

from vedette.errors import UnknownNameError, UsageError, VedetteError
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


def check_places(paths: Iterable[Path], *, overwrite: bool) -> None:
    """Refuse, before any work, what would only fail or destroy something at its end.

    Raises:
        UsageError: two outputs in one file; ``output_exists``, unless ``overwrite``.
        VedetteError: ``write_failed``: a place that no file can be made in.
    """
    seen: set[Path] = set()
    for path in paths:
        if path.resolve() in seen:
            raise UsageError("two outputs are one file", hint="give each a name of its own")
        seen.add(path.resolve())
        if path.is_dir() or not path.parent.is_dir():
            where = "it is a folder" if path.is_dir() else f"there is no folder {path.parent}"
            raise VedetteError(f"cannot write {path}: {where}", code="write_failed")
        if path.exists() and not overwrite:
            raise UsageError(f"{path} is already there", code="output_exists")


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
