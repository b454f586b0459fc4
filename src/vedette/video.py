"""Video to frames: one at every interval and one at every scene change, with its time.

Every frame of the video is decoded and compared with the one before, so that a picture shown for
a single frame is a scene change and is scanned, if it fills enough of the frame to be one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from vedette.decoding import Deadline
from vedette.errors import DecodeError, ItemError
from vedette.extras import require
from vedette.settings import Limits, VideoSampling
from vedette.sniff import MP4, Format, boxes_cut
from vedette.types import Float32, Image

_THUMBNAIL = 32
_HASH_CHUNK = 2**20
_ROUNDING_S = 1e-6
"""0.2 + 0.1 is more than 0.3: without it a frame that is due would be passed over."""


def video_frames(
    stream: IO[bytes],
    fmt: Format,
    limits: Limits,
    sampling: VideoSampling,
    deadline: Deadline,
) -> Iterator[Image]:
    """The sampled frames of a video.

    The file is read through ``stream`` only: FFmpeg never opens a path or an address of its own,
    so that a playlist or a reference inside the file leads nowhere.

    Raises:
        DecodeError: ``too_many_bytes``, ``truncated``, ``corrupt``, ``too_many_pixels``,
            ``too_many_frames``, ``timeout``, ``out_of_memory``, ``unsupported_format``.
        MissingExtraError: PyAV is not installed.
    """
    av = require("av", extra="video")
    sha256 = _hash(stream, limits.video_bytes, deadline)
    stream.seek(0)
    try:
        with av.open(stream, format=fmt.demuxer) as container:
            if not container.streams.video:
                code = "truncated" if _is_cut(fmt, stream) else "unsupported_format"
                raise DecodeError(f"{fmt.name} without a video track", code=code)
            yield from _sample(container, fmt, sha256, limits, sampling, deadline)
    except Exception as error:
        failure = error if isinstance(error, ItemError) else _decode_error(error, fmt, stream)
        failure.sha256, failure.format = sha256, fmt.name
        if failure is error:
            raise
        raise failure from error


@dataclass(slots=True)
class _Track:
    """One video track and how far it has been sampled. A file may hold several, one hidden."""

    stream: Any
    next_s: float = float("-inf")
    before: Float32 | None = None
    frames: int = 0

    def take(self, frame: Any, sampling: VideoSampling) -> float | None:
        """The time of ``frame`` in seconds if it is to be scanned, else None."""
        time_s = float(frame.time) if frame.time is not None else self._nominal_time()
        self.frames += 1
        thumbnail, before = _thumbnail(frame), self.before
        self.before = thumbnail
        cut = before is None or np.abs(thumbnail - before).mean() >= sampling.scene_change
        if not cut and time_s < self.next_s:
            return None
        self.next_s = time_s + sampling.interval_s - _ROUNDING_S
        return time_s

    def _nominal_time(self) -> float:
        return self.frames / float(self.stream.average_rate or 25)


def _sample(
    container: Any,
    fmt: Format,
    sha256: str,
    limits: Limits,
    sampling: VideoSampling,
    deadline: Deadline,
) -> Iterator[Image]:
    streams = container.streams.video
    tracks = {s.index: _Track(s) for s in streams if s.codec_context is not None}
    unknown = DecodeError(f"{fmt.name}: a track of an unknown codec", code="unsupported_format")
    if not tracks:
        raise unknown
    for track in tracks.values():
        track.stream.codec_context.thread_count = 1  # the pipeline's workers are the parallel part
        _check_pixels(track.stream.codec_context, limits)
    declared = sum(track.stream.frames for track in tracks.values())
    scanned, index = 0, -1
    for packet in container.demux([track.stream for track in tracks.values()]):
        deadline.check()
        for frame in packet.decode():
            index += 1
            _check_pixels(frame, limits)
            time_s = tracks[packet.stream.index].take(frame, sampling)
            if time_s is None:
                continue
            if scanned == limits.frames:
                raise DecodeError(
                    f"more than {limits.frames} frames to scan at every {sampling.interval_s:g} s",
                    code="too_many_frames",
                )
            scanned += 1
            pixels = _upright(frame)
            height, width = pixels.shape[:2]
            yield Image(pixels, sha256, width, height, fmt.name, index, declared, time_s)
    # A cut file often just stops. The count in its header tells; it may be off by a few frames
    # (edit lists), so only a clear shortfall is called one.
    if index + 1 < 0.9 * declared - 2:
        raise DecodeError(
            f"{fmt.name}: {index + 1} of {declared} frames are there", code="truncated"
        )
    if len(tracks) < len(streams):
        raise unknown
    if scanned == 0:
        raise DecodeError(f"{fmt.name}: no frame could be decoded", code="corrupt")


def _upright(frame: Any) -> Any:
    """The frame as sRGB [H, W, 3], turned as its display matrix says (phones film sideways)."""
    pixels = frame.to_ndarray(format="rgb24")
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def _thumbnail(frame: Any) -> Float32:
    small = frame.reformat(width=_THUMBNAIL, height=_THUMBNAIL, format="gray")
    return np.asarray(small.to_ndarray(), dtype=np.float32) * np.float32(1 / 255)


def _check_pixels(frame: Any, limits: Limits) -> None:
    """``frame``, or a decoder that will make frames of its size."""
    if frame.width * frame.height > limits.pixels:
        raise DecodeError(
            f"{frame.width} x {frame.height} px is more than {limits.pixels} pixels",
            code="too_many_pixels",
        )


def _hash(stream: IO[bytes], limit: int, deadline: Deadline) -> str:
    digest, size = hashlib.sha256(), 0
    while chunk := stream.read(_HASH_CHUNK):
        size += len(chunk)
        if size > limit:
            raise DecodeError(f"larger than {limit} bytes", code="too_many_bytes")
        digest.update(chunk)
        deadline.check()
    return digest.hexdigest()


def _decode_error(error: Exception, fmt: Format, stream: IO[bytes]) -> DecodeError:
    """What FFmpeg's or PyAV's own exception means. They raise all kinds, so the catch is wide."""
    if isinstance(error, MemoryError):
        return DecodeError(f"{fmt.name}: not enough memory", code="out_of_memory")
    cut = isinstance(error, EOFError) or _is_cut(fmt, stream)
    message = " ".join(str(error).split()) or type(error).__name__
    return DecodeError(f"{fmt.name}: {message}", code="truncated" if cut else "corrupt")


def _is_cut(fmt: Format, stream: IO[bytes]) -> bool:
    """Whether a file that failed ends too early; only ever names the failure."""
    return fmt is MP4 and boxes_cut(stream)
