"""What a reader may do with bytes that nobody has written for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from vedette.errors import ModelError

T = TypeVar("T")


def read_or_refused(read: Callable[[], T]) -> T | None:
    """What was read, or ``None`` where it was refused as unusable weights. All else is an error."""
    try:
        return read()
    except ModelError as error:
        if error.code != "weights_unusable":
            raise
        return None
