"""What decoding is given besides the bytes: options, and a deadline."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from vedette.errors import DecodeError
from vedette.resize import Fit
from vedette.settings import Limits, VideoSampling
from vedette.types import Image

_NO_LIMITS = Limits()
_DEFAULT_SAMPLING = VideoSampling()


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """All that decoding depends on besides the bytes."""

    limits: Limits = _NO_LIMITS
    sampling: VideoSampling = _DEFAULT_SAMPLING
    fit: Fit | None = None
    """What the model needs; allows a scaled decode of JPEGs. None: full size."""
    icc: bool = True
    """Convert by the picture's ICC profile, as viewers do. False only for parity with tools that
    ignore profiles."""


class Deadline:
    """A time limit on decoding alone: while a frame is out with the consumer, the clock stops."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def check(self) -> None:
        """Raises DecodeError ``timeout`` if the time is over."""
        if time.monotonic() > self._end:
            raise DecodeError(f"decoding took longer than {self._seconds:g} s", code="timeout")

    def lend(self, images: Iterator[Image]) -> Iterator[Image]:
        """Pass ``images`` on, not counting the time until each is taken back."""
        for image in images:
            lent = time.monotonic()
            yield image
            self._end += time.monotonic() - lent
