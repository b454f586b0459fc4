"""Uploads checked before anybody sees them: a validator for Django, a dependency for FastAPI.

An uploader is told that a picture is not accepted, and not why: which category, which score and
which list would teach how to pass. All of it is in the Record.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from vedette.adapters.scanning import Scans, ScansOne, refused
from vedette.errors import MissingExtraError, VedetteError
from vedette.types import Action, Failure, Item, Record

DEFAULT_BYTES = 32 * 2**20
"""Of an upload, at most."""
_TEXTS = {
    "image_refused": "This picture is not accepted.",
    "image_unreadable": "This file is not a picture that can be checked.",
    "image_too_large": "This file is too large.",
    "image_unchecked": "This picture could not be checked. Try again later.",
}
_STATUS = {
    "image_refused": 422,
    "image_unreadable": 422,
    "image_too_large": 413,
    "image_unchecked": 503,
}


class AsyncUpload(Protocol):
    """An upload of Starlette or FastAPI."""

    async def read(self, size: int = -1, /) -> bytes:
        """Some bytes, or all."""
        ...

    async def seek(self, offset: int, /) -> None:
        """Go to a place."""
        ...


class UploadRefusedError(VedetteError):
    """An upload is not accepted; the message is what the uploader may be told.

    Args:
        reason: ``image_refused``, ``image_unreadable``, ``image_too_large`` or
            ``image_unchecked``.
        record: of the picture, where there is one. For your own eyes, not for the uploader.
    """

    def __init__(self, reason: str, record: Record | None = None) -> None:
        super().__init__(_TEXTS[reason], code="upload_refused")
        self.reason = reason
        self.record = record

    @property
    def status(self) -> int:
        """The HTTP status that fits."""
        return _STATUS[self.reason]


async def check_upload(
    upload: AsyncUpload,
    scanner: ScansOne,
    *,
    refuse: Action = Action.REVIEW,
    most_bytes: int = DEFAULT_BYTES,
) -> Record:
    """The Record of an accepted upload, which can then be read from its start.

    Args:
        upload: as Starlette and FastAPI give it.
        scanner: a Scanner, a Client or an AsyncClient. The first two run in a thread.
        refuse: the mildest action that refuses it. What could not be scanned is always refused.
        most_bytes: of the upload.

    Raises:
        UploadRefusedError: it is not accepted.
    """
    await upload.seek(0)
    data = await upload.read(most_bytes + 1)
    await upload.seek(0)
    if len(data) > most_bytes:
        raise UploadRefusedError("image_too_large")
    item = Item(_name(upload), data)
    try:
        if inspect.iscoroutinefunction(scanner.scan):
            record = await scanner.scan(item)
        else:
            record = await asyncio.to_thread(scanner.scan, item)
    except VedetteError as error:
        raise UploadRefusedError("image_unchecked") from error
    return _accepted(record, refuse)


def upload_checker(
    scanner: ScansOne, *, refuse: Action = Action.REVIEW, most_bytes: int = DEFAULT_BYTES
) -> Callable[[AsyncUpload], Awaitable[Record]]:
    """:func:`check_upload` for endpoints: what is refused becomes their framework's HTTPException.

    Raises:
        MissingExtraError: Starlette is not installed.
    """
    exception = _imported("starlette.exceptions", "starlette").HTTPException

    async def check(upload: AsyncUpload) -> Record:
        try:
            return await check_upload(upload, scanner, refuse=refuse, most_bytes=most_bytes)
        except UploadRefusedError as error:
            # A text: Starlette's own handler takes nothing else.
            raise exception(status_code=error.status, detail=error.message) from error

    return check


class DjangoValidator:
    """A validator for Django's file and image fields.

    A model's field names its validators in migrations, which cannot hold a scanner: give it a
    function of your own module that calls one of these (docs/adapters.md).

    Args:
        scanner: a Scanner or a Client. It is not closed with this.
        refuse: the mildest action that refuses an upload.
        most_bytes: of the upload.

    Raises:
        MissingExtraError: Django is not installed.
    """

    def __init__(
        self,
        scanner: Scans,
        *,
        refuse: Action = Action.REVIEW,
        most_bytes: int = DEFAULT_BYTES,
    ) -> None:
        self._error: Any = _imported("django.core.exceptions", "django").ValidationError
        self._scanner = scanner
        self._refuse = Action(refuse)
        self._most = most_bytes

    def __call__(self, upload: Any) -> None:
        """Check an upload; it can be read from its start afterwards.

        Args:
            upload: a ``django.core.files.File``, as forms and fields give it.

        Raises:
            django.core.exceptions.ValidationError: it is not accepted; its ``code`` says why.
        """
        try:
            self._check(upload)
        except UploadRefusedError as error:
            raise self._error(error.message, code=error.reason) from error

    def _check(self, upload: Any) -> Record:
        upload.seek(0)
        data = upload.read(self._most + 1)
        upload.seek(0)
        if len(data) > self._most:
            raise UploadRefusedError("image_too_large")
        try:
            record = self._scanner.scan(Item(_name(upload), data))
        except VedetteError as error:
            raise UploadRefusedError("image_unchecked") from error
        return _accepted(record, self._refuse)


def _accepted(record: Record, refuse: Action) -> Record:
    if record.failure is not None:
        raise UploadRefusedError(_why(record.failure), record)
    if refused(record, refuse):
        raise UploadRefusedError("image_refused", record)
    return record


def _why(failure: Failure) -> str:
    if failure.code in ("too_large", "too_many_bytes", "too_many_pixels"):
        return "image_too_large"
    return "image_unreadable" if failure.stage == "decode" else "image_unchecked"


def _name(upload: Any) -> str:
    name = getattr(upload, "filename", None) or getattr(upload, "name", None)
    return name if isinstance(name, str) and name else "upload"


def _imported(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != package:
            raise
        hint = f"pip install {package}"
        raise MissingExtraError(f"{package} is not installed", hint=hint) from error
