"""Video to frames: one at every interval and one at every scene change, with its time.

Every frame of the video is decoded and compared with the one before, so that a picture shown for
a single frame is a scene change and is scanned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from vedette.errors import DecodeError
from vedette.extras import require
from vedette.settings import Limits, VideoSampling
from vedette.sniff import Format
from vedette.types import Float32, Image

if TYPE_CHECKING:
    from vedette.decode import Deadline

_THUMBNAIL = 32
_HASH_CHUNK = 2**20


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
            ``too_many_frames``, ``timeout``.
        MissingExtraError: PyAV is not installed.
    """
    av = require("av", extra="video")
    sha256 = _hash(stream, limits.video_bytes, deadline)
    stream.seek(0)
    try:
        with av.open(stream, format=fmt.demuxer) as container:
            yield from _sample(av, container, fmt, sha256, limits, sampling, deadline)
    except (av.error.FFmpegError, ValueError, IndexError, ArithmeticError) as error:
        code = "truncated" if isinstance(error, av.error.EOFError) else "corrupt"
        raise DecodeError(f"{fmt.name}: {error}", code=code) from error
    except MemoryError as error:
        raise DecodeError(f"{fmt.name}: not enough memory", code="out_of_memory") from error


def _sample(
    av: Any,
    container: Any,
    fmt: Format,
    sha256: str,
    limits: Limits,
    sampling: VideoSampling,
    deadline: Deadline,
) -> Iterator[Image]:
    if not container.streams.video:
        raise DecodeError(f"{fmt.name} without a video track", code="unsupported_format")
    track = container.streams.video[0]
    track.codec_context.thread_count = 1  # the pipeline's workers are the parallel part
    scanned = 0
    next_s = float("-inf")
    before: Float32 | None = None
    index = -1
    for index, frame in enumerate(container.decode(track)):
        deadline.check()
        if frame.width * frame.height > limits.pixels:
            raise DecodeError(
                f"{frame.width} x {frame.height} px is more than {limits.pixels} pixels",
                code="too_many_pixels",
            )
        thumbnail = _thumbnail(frame)
        time_s = float(frame.time) if frame.time is not None else _nominal_time(track, index)
        cut = before is None or np.abs(thumbnail - before).mean() >= sampling.scene_change
        before = thumbnail
        if not cut and time_s < next_s:
            continue
        next_s = time_s + sampling.interval_s
        if scanned == limits.frames:
            raise DecodeError(
                f"more than {limits.frames} frames to scan at every {sampling.interval_s:g} s",
                code="too_many_frames",
            )
        scanned += 1
        pixels = _upright(frame)
        height, width = pixels.shape[:2]
        yield Image(pixels, sha256, width, height, fmt.name, index, track.frames, time_s)
    # A cut file often just stops. The count in its header tells; it may be off by a few frames
    # (edit lists), so only a clear shortfall is called one.
    if index + 1 < 0.9 * track.frames - 2:
        raise DecodeError(
            f"{fmt.name}: {index + 1} of {track.frames} frames are there", code="truncated"
        )
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


def _nominal_time(track: Any, index: int) -> float:
    rate = float(track.average_rate or 25)
    return index / rate


def _hash(stream: IO[bytes], limit: int, deadline: Deadline) -> str:
    digest, size = hashlib.sha256(), 0
    while chunk := stream.read(_HASH_CHUNK):
        size += len(chunk)
        if size > limit:
            raise DecodeError(f"larger than {limit} bytes", code="too_many_bytes")
        digest.update(chunk)
        deadline.check()
    return digest.hexdigest()
