"""What is given to a client, as pictures to ask about, and those in requests of fitting size."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from vedette.client.body import FilePart, file_part
from vedette.client.options import ClientOptions
from vedette.data.memory import Scannable, as_item
from vedette.errors import FetchError
from vedette.types import Failure

KEY_LENGTH = 512
"""Characters of a key that the service takes."""
_URL = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Choice:
    """By what images are to be judged; None: the service's default."""

    model: str | None = None
    policy: str | None = None
    categories: Sequence[str] | None = None
    """Only these of the policy's."""
    subject: str | None = None
    """Whom the images are about, so that what is kept of them can be erased."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One image to ask about."""

    key: str
    """The caller's name for it."""
    content: bytes | FilePart | Failure | str
    """Its bytes, its file, why there are none, or the URL where the service is to fetch it."""

    @property
    def kind(self) -> Literal["content", "url", "failure"]:
        """Pictures of one kind can be asked about in one request."""
        if isinstance(self.content, str):
            return "url"
        return "failure" if isinstance(self.content, Failure) else "content"

    @property
    def size(self) -> int:
        """Bytes of it that are sent."""
        if isinstance(self.content, bytes):
            return len(self.content)
        return self.content.size if isinstance(self.content, FilePart) else 0

    def __repr__(self) -> str:
        return f"Picture({self.key!r})"  # its URL's query may be a secret


def picture_of(given: Scannable) -> Picture:
    """``given`` as a picture; a file that cannot be read is one that has failed.

    Raises:
        UsageError: it is nothing that can be scanned.
    """
    if isinstance(given, str) and _URL.match(given):
        return Picture(given.partition("?")[0].partition("#")[0], given)
    item = as_item(given)
    if isinstance(item.data, bytes | Failure):
        return Picture(item.key, item.data)
    try:
        return Picture(item.key, file_part(item.data))
    except FetchError as error:
        return Picture(item.key, error.failure())


def batches(given: Iterable[Scannable], options: ClientOptions) -> Iterator[list[Picture]]:
    """Neighbours of one kind together, within the options' images and bytes; in order.

    ``given`` is read only as far ahead as the request at hand.

    Raises:
        UsageError: something in it is nothing that can be scanned.
    """
    batch: list[Picture] = []
    size = 0
    for one in given:
        picture = picture_of(one)
        if batch and (
            batch[0].kind != picture.kind
            or len(batch) == options.images
            or size + picture.size > options.request_bytes
        ):
            yield batch
            batch, size = [], 0
        batch.append(picture)
        size += picture.size
    if batch:
        yield batch


def sent_key(key: str, place: int) -> str:
    """The name by which the service is told of a picture: cut to what it takes, and never empty."""
    return key[:KEY_LENGTH].encode("utf-8", "replace").decode() or str(place)
