"""The results of a job on their way to its owner: lines as they are, or one Parquet file."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO

from vedette import wire
from vedette.serve.jobs.store import JobStore
from vedette.sinks.parquet import write_parquet
from vedette.types import Record

_PIECE_BYTES = 2**18


async def as_jsonl(store: JobStore, job_id: str) -> AsyncIterator[bytes]:
    """One line for each result that there is, in the order of the images.

    Raises:
        VedetteError: ``no_database``: what has been sent is cut off, and looks so.
    """
    pages = store.results(job_id)
    while (page := await asyncio.to_thread(next, pages, None)) is not None:
        yield "".join(f"{line}\n" for line in page).encode("ascii")


async def as_parquet(store: JobStore, job_id: str) -> AsyncIterator[bytes]:
    """A Parquet file with the columns of ``vedette scan --out FILE.parquet``.

    The file is made before the first byte is sent.

    Raises:
        MissingExtraError: pyarrow is not installed.
        VedetteError: ``no_database``, ``write_failed``.
    """
    stream = await asyncio.to_thread(_parquet, store, job_id)
    with stream:
        while piece := await asyncio.to_thread(stream.read, _PIECE_BYTES):
            yield piece


def _parquet(store: JobStore, job_id: str) -> IO[bytes]:
    with tempfile.TemporaryDirectory(prefix="vedette-") as folder:
        path = Path(folder) / "results.parquet"
        write_parquet(_records(store, job_id), path)
        return path.open("rb")  # it lives on without its name


def _records(store: JobStore, job_id: str) -> Iterator[Record]:
    for page in store.results(job_id):
        for line in page:
            yield wire.from_line(line)
