"""A line of a set's manifest: one image, what is known of it, or why it is not there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vedette.errors import VedetteError
from vedette.taxonomy import Category, parse_category
from vedette.types import Failure, Item

_HASH = re.compile(r"[0-9a-f]{64}")
_FORMAT = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entry:
    """What was imported under one key."""

    key: str
    sha256: str | None
    """Of the image's bytes; None where they could not be read."""
    size: int
    """In bytes."""
    format: str | None
    width: int | None
    """px"""
    height: int | None
    """px"""
    frames: int
    labels: frozenset[Category] | None
    unsafe: bool | None
    meta: Mapping[str, str] = field(default_factory=dict)
    failure: Failure | None = None
    """Why it was not, or not wholly, decoded. Its bytes are not kept then."""

    def item(self, data: Any) -> Item:
        """As a source yields it."""
        return Item(self.key, data, self.labels, self.meta, self.unsafe)

    def to_line(self) -> bytes:
        """As JSON, without a line's end."""
        labels = None if self.labels is None else [c.value for c in Category if c in self.labels]
        failure = self.failure and {
            "stage": self.failure.stage,
            "code": self.failure.code,
            "message": self.failure.message,
        }
        told = {
            "key": self.key,
            "sha256": self.sha256,
            "bytes": self.size,
            "format": self.format,
            "width": self.width,
            "height": self.height,
            "frames": self.frames,
            "labels": labels,
            "unsafe": self.unsafe,
            "meta": dict(self.meta),
            "failure": failure,
        }
        return json.dumps(told, allow_nan=False).encode("ascii")


def from_line(line: bytes) -> Entry:
    """The entry of a line.

    Raises:
        VedetteError: ``bad_vault``: it is none.
    """
    try:
        told = json.loads(line)
        labels, failure, sha256 = told["labels"], told["failure"], told["sha256"]
        if sha256 is not None and not _HASH.fullmatch(sha256):
            raise ValueError("a hash that is none")
        if told["format"] is not None and not _FORMAT.fullmatch(told["format"]):
            raise ValueError("a format that is none")  # it becomes a suffix of exported files
        for side in ("width", "height"):
            if not isinstance(told[side], int | None):
                raise ValueError(f"a {side} that is no number")
        if not isinstance(told["unsafe"], bool | None):
            raise ValueError("a label that is none")
        return Entry(
            str(told["key"]),
            sha256,
            int(told["bytes"]),
            told["format"],
            told["width"],
            told["height"],
            int(told["frames"]),
            None if labels is None else frozenset(map(parse_category, labels)),
            told["unsafe"],
            {str(name): str(value) for name, value in told["meta"].items()},
            failure and Failure(failure["stage"], failure["code"], failure["message"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise VedetteError(
            f"a line of a set's manifest is not what an import writes: {error}", code="bad_vault"
        ) from error
