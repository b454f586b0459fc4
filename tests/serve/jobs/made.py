"""Jobs to test with: tiny pictures, archives of them, a model that says what it has seen."""

from __future__ import annotations

import io
import os
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from PIL import Image as Pillow
from sqlalchemy import Engine as Database

from tests.serve.doubles import services_of
from vedette.models.base import Prepared
from vedette.models.dummy import Dummy
from vedette.serve.engine import Engine
from vedette.serve.jobs.job import Given, Job, NewItem, NewJob
from vedette.serve.jobs.signing import Signer
from vedette.serve.jobs.store import JobStore, new_id
from vedette.serve.jobs.uploads import Uploads
from vedette.serve.options import FetchOptions, JobOptions, ServeOptions
from vedette.serve.services import Services
from vedette.settings import Limits, Settings
from vedette.types import Image

SIGNER = Signer(b"a secret of the tests, long enough")
OPTIONS = ServeOptions(
    models=("dummy",), fetch=FetchOptions(enabled=True), jobs=JobOptions(items=3000, open=3)
)
LIMITS = Limits(bytes=2**20, archive_bytes=2**24, archive_members=3000)


def picture(number: int) -> bytes:
    """A PNG of 8 x 8 px, another one for each number."""
    buffer = io.BytesIO()
    colour = (number % 256, (number // 256) % 256, 7 * number % 256)
    Pillow.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


def zipped(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def pictures(count: int) -> dict[str, bytes]:
    return {f"{number:04d}.png": picture(number) for number in range(count)}


class Seeing(Dummy):
    """The dummy model; writes the hash of each picture that it is shown into a file."""

    def __init__(self, path: Path, seconds: float = 0.0) -> None:
        self._seconds = seconds
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def prepare(self, image: Image) -> Prepared:
        os.write(self._file, f"{image.sha256}\n".encode())
        time.sleep(self._seconds)
        return super().prepare(image)

    def close(self) -> None:
        os.close(self._file)


def store_of(database: Database, folder: Path) -> JobStore:
    return JobStore(database, Uploads(folder, LIMITS), SIGNER, OPTIONS.jobs.open)


def services_with(store: JobStore, **replaced: object) -> Services:
    options = replaced.pop("options", OPTIONS)
    engine = replaced.pop("engine", None) or Engine(("dummy",), Settings(), 64)
    replaced.setdefault("jobs", store)
    return services_of(options, engine=engine, **replaced)  # type: ignore[arg-type]


def of_urls(urls: Iterable[str], key_id: str = "k-all", webhook: str | None = None) -> NewJob:
    items = tuple(
        NewItem(url.rsplit("/")[-1].partition("?")[0], Given(url=url), "who") for url in urls
    )
    return NewJob(key_id, "dummy", "default", items, webhook=webhook)


def uploaded(store: JobStore, archive: bytes, name: str = "x.zip", key_id: str = "k-all") -> Job:
    """A job of an archive, as the endpoint makes one."""
    job_id = new_id()
    with store.uploads.incoming(job_id) as incoming:
        with incoming.open() as file:
            incoming.write(file, [archive])
        items = incoming.expand(name)
        incoming.keep()
    new = NewJob(key_id, "dummy", "default", items, uploads=store.uploads.id)
    return store.create(new, job_id)


def lines(store: JobStore, job_id: str) -> list[str]:
    return [line for page in store.results(job_id) for line in page]


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Against hangs only."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.02)
