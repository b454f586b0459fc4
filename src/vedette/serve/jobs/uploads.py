"""Uploaded images until they are scanned: files in a folder that only the service can read.

::

    FOLDER/.id          the folder's own id: a job says in which folder its images are
    FOLDER/.new-JOB/    an upload that is being received and expanded
    FOLDER/JOB/PLACE    one image

Replicas with one folder share its jobs; one with another folder leaves them alone. An image is
deleted when its result is stored, and a job's folder when the job ends.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from vedette import sniff
from vedette.data.archive import DECOMPRESSORS, read_archive
from vedette.errors import CODES, VedetteError
from vedette.fetch import open_regular, read_bounded
from vedette.serve.jobs.job import Given, NewItem
from vedette.serve.refusals import Refusal
from vedette.settings import Limits
from vedette.types import Failure

_NEW = ".new-"
_JOB = re.compile(r"[0-9a-f]{32}")
_ORPHAN_S = 3600.0
"""Age from which a folder without a job belongs to nobody."""


class Uploads:
    """One folder of uploads. Thread-safe.

    Args:
        folder: made with mode 0700 where there is none.
        limits: ``bytes`` of one image, and ``archive_members`` and ``archive_bytes`` of an upload.

    Raises:
        VedetteError: ``write_failed``: the folder cannot be made, or others may read it.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = folder
        self._limits = limits
        with _writing():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            mode = folder.stat().st_mode
        if mode & 0o077:
            raise VedetteError(
                f"{folder}: others than its owner may read it",
                code="write_failed",
                hint=f"chmod 700 {folder}: uploaded images are kept there",
            )
        self.id = _identity(folder / ".id")

    @contextmanager
    def incoming(self, job_id: str) -> Iterator[Incoming]:
        """A new upload: in place for its job if the block succeeds and has taken it, else gone.

        Raises:
            VedetteError: ``write_failed``.
        """
        made = self._folder / f"{_NEW}{job_id}"
        with _writing():
            made.mkdir(mode=0o700)
        try:
            yield Incoming(made, self._folder / job_id, self._limits)
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def read(self, job_id: str, place: int) -> bytes:
        """One image.

        Raises:
            FetchError: it is not there or cannot be read.
        """
        with open_regular(self._folder / job_id / str(place)) as stream:
            return read_bounded(stream, self._limits.bytes, "the uploaded image")

    def forget(self, job_id: str, places: Iterable[int]) -> None:
        """Delete images of a job."""
        for place in places:
            with suppress(OSError):  # the whole folder goes at the job's end
                (self._folder / job_id / str(place)).unlink(missing_ok=True)

    def drop(self, job_id: str) -> None:
        """Delete a job's images."""
        shutil.rmtree(self._folder / job_id, ignore_errors=True)

    def kept(self) -> Mapping[str, bool]:
        """The jobs that have images here, and whether these are older than an hour.

        A younger folder may be of a job that is not in the database yet. Uploads that were never
        finished and are that old are deleted here.
        """
        found: dict[str, bool] = {}
        for path in self._folder.iterdir():
            job_id = path.name.removeprefix(_NEW)
            if not _JOB.fullmatch(job_id):
                continue
            with suppress(FileNotFoundError):
                old = time.time() - path.stat().st_mtime > _ORPHAN_S
                if job_id == path.name:
                    found[job_id] = old
                elif old:
                    shutil.rmtree(path, ignore_errors=True)
        return found


class Incoming:
    """An upload on its way in. Not thread-safe.

    Args:
        folder: that it is made in.
        target: where its images are to be for their job.
        limits: see :class:`Uploads`.
    """

    def __init__(self, folder: Path, target: Path, limits: Limits) -> None:
        self._folder = folder
        self._target = target
        self._limits = limits
        self._archive = folder / "archive"

    def open(self) -> IO[bytes]:
        """Where the archive's bytes are written to.

        Raises:
            VedetteError: ``write_failed``.
        """
        with _writing():
            return _new_file(self._archive)

    def write(self, file: IO[bytes], pieces: Iterable[bytes]) -> None:
        """Write further bytes of the archive.

        Raises:
            VedetteError: ``write_failed``: the disk is full.
        """
        with _writing():
            file.writelines(pieces)
            file.flush()

    def expand(self, name: str) -> tuple[NewItem, ...]:
        """The members of the archive as items of a job; the archive itself is deleted.

        Args:
            name: of the archive: keys begin with it, as ``vedette scan`` has them.

        Raises:
            Refusal: ``unsupported_media``: no archive; ``archive_bomb``, ``corrupt_archive``: it
                cannot be read to its end within the limits; ``usage``: it is empty.
            VedetteError: ``write_failed``.
        """
        with _writing(), self._archive.open("rb") as stream:
            fmt = sniff.sniff(stream.read(sniff.HEAD_BYTES))
            stream.seek(0)
            if fmt is None or not (fmt is sniff.ZIP or fmt.name in DECOMPRESSORS):
                raise Refusal(
                    "the upload is no zip or tar archive",
                    code="unsupported_media",
                    hint="send .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz; an image: POST /v1/scan",
                )
            items: list[NewItem] = []
            for item in read_archive(stream, fmt, name, self._limits):
                if item.key == name:  # not of a member
                    assert isinstance(item.data, Failure)
                    raise _broken(item.data)
                given = Given(upload=True)
                if isinstance(item.data, bytes):
                    with _new_file(self._folder / str(len(items))) as file:
                        file.write(item.data)
                elif isinstance(item.data, Failure):
                    given = Given(failure=item.data)
                items.append(NewItem(item.key, given))
        if not items:
            raise Refusal("the archive has no members", code="usage")
        self._archive.unlink()
        return tuple(items)

    def keep(self) -> None:
        """Put the images where their job expects them."""
        with _writing():
            os.rename(self._folder, self._target)


def _broken(failure: Failure) -> Refusal:
    """Why an upload is refused whole: nobody could say what is in the rest of it."""
    hint = CODES[failure.code][1]
    if failure.code == "archive_bomb":
        hint = "send it in smaller jobs; see serve.jobs.items and serve.jobs.expanded_bytes"
    return Refusal(failure.message, code=failure.code, hint=hint)


def _new_file(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _identity(path: Path) -> str:
    """The folder's id, made where there is none; of two that make one at once, one counts."""
    with _writing():
        if not path.exists():
            temporary = path.with_name(f".id-{secrets.token_hex(8)}")
            with _new_file(temporary) as file:
                file.write(secrets.token_hex(16).encode())
            with suppress(FileExistsError):
                os.link(temporary, path)  # unlike a rename it never replaces
            temporary.unlink()
        return path.read_text().strip()


@contextmanager
def _writing() -> Iterator[None]:
    """The disk's errors, without the path: a caller may see them.

    Raises:
        VedetteError: ``write_failed``.
    """
    try:
        yield
    except OSError as error:
        raise VedetteError(
            f"the folder of uploads: {error.strerror or error}", code="write_failed"
        ) from error
