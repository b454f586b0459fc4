"""Hardened decoding: each file is decoded in a worker process that may die without harm.

A decoder bug, a bomb or an endless loop costs one worker and one Record; the scan goes on with a
fresh worker.
"""

from __future__ import annotations

import json
import math
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

import numpy as np

from vedette.decode import DecodeOptions
from vedette.errors import CODES, DecodeError, FetchError, ItemError, UsageError
from vedette.fetch import open_regular
from vedette.sniff import HEAD_BYTES, sniff
from vedette.types import Failure, Image, Item

_GRACE_S = 2.0
"""How long past its limit a worker may answer, so that its own, better message wins."""
_HEADER_BYTES = 2**16


class HardenedDecoder:
    """Decodes in worker processes, one for each thread that is decoding at the same time."""

    def __init__(self, options: DecodeOptions) -> None:
        if sys.platform == "win32":
            raise UsageError(
                "hardened decoding needs POSIX resource limits",
                hint="leave --hardened out on this system, or run it under WSL",
            )
        self._options = options
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()
        self._closed = False

    def frames(self, item: Item) -> Iterator[Image]:
        """See :class:`vedette.decode.Decoder`.

        Raises:
            ItemError: what plain decoding raises, and ``decoder_crashed`` or ``timeout`` where
                the worker had to be given up.
        """
        if isinstance(item.data, Failure):
            raise FetchError(item.data.message, code=item.data.code)
        seconds = self._seconds(item.data)
        try:
            worker = self._idle.get_nowait()
        except queue.Empty:
            worker = _Worker(self._options)
        reusable = False
        try:
            yield from worker.decode(item.data, seconds)
            reusable = True
        except ItemError as error:
            reusable = error.code not in ("decoder_crashed", "timeout", "out_of_memory")
            raise
        finally:
            if reusable and not self._closed:
                self._idle.put(worker)
            else:
                worker.kill()

    def close(self) -> None:
        """End the idle workers; busy ones end with their iteration."""
        self._closed = True
        with suppress(queue.Empty):
            while True:
                self._idle.get_nowait().kill()

    def _seconds(self, data: bytes | Path) -> float:
        if isinstance(data, bytes):
            head = data[:HEAD_BYTES]
        else:
            with open_regular(data) as stream:
                try:
                    head = stream.read(HEAD_BYTES)
                except OSError as error:
                    raise FetchError(f"{data.name}: {error.strerror}", code="unreadable") from error
        fmt = sniff(head)
        limits = self._options.limits
        return limits.video_seconds if fmt and fmt.kind == "video" else limits.seconds


class _Worker:
    """One child process and the wire to it."""

    def __init__(self, options: DecodeOptions) -> None:
        self._limits = options.limits
        self._wire, theirs = Pipe(duplex=True)
        command = [sys.executable, "-P", "-m", "vedette.decode_worker", str(theirs.fileno())]
        self._process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is the parent's to handle
        )
        theirs.close()
        given = {
            "limits": asdict(options.limits),
            "sampling": asdict(options.sampling),
            "fit": asdict(options.fit) if options.fit else None,
        }
        self._send_json(given)

    def decode(self, data: bytes | Path, seconds: float) -> Iterator[Image]:
        """The frames of one file. After an error that is not the file's own, kill the worker."""
        try:
            self._send_json({} if isinstance(data, bytes) else {"path": str(data)})
            if isinstance(data, bytes):
                self._wire.send_bytes(data)
        except OSError as error:
            raise self._crash() from error
        left = seconds + _GRACE_S
        while True:
            started = time.monotonic()
            message, pixels = self._receive(left)
            left -= time.monotonic() - started
            if "end" in message:
                if "code" in message:
                    raise _error(message)
                return
            assert pixels is not None
            yield _image(message, pixels)

    def kill(self) -> None:
        """End the process and close the wire; never blocks on the worker's good will."""
        self._wire.close()
        self._process.kill()
        self._process.wait()

    def _receive(self, seconds: float) -> tuple[dict[str, Any], bytes | None]:
        # A worker may stop in the middle of a message, where poll() cannot help: the timer kills
        # it, and the read ends with EOF.
        timed_out = threading.Event()

        def give_up() -> None:
            timed_out.set()
            self._process.kill()

        timer = threading.Timer(max(seconds, 0.0), give_up)
        timer.daemon = True
        timer.start()
        try:
            return _read(self._wire, self._limits.pixels)
        except (EOFError, OSError, ValueError, KeyError, TypeError) as error:
            if timed_out.is_set():
                raise DecodeError("the decoder was stopped at its limit", code="timeout") from error
            raise self._crash() from error
        finally:
            timer.cancel()

    def _crash(self) -> DecodeError:
        self._process.kill()
        status = self._process.wait()
        if status == -signal.SIGXCPU:
            return DecodeError("the decoder was stopped at its CPU limit", code="timeout")
        return DecodeError(f"the decoder's process ended (status {status})", code="decoder_crashed")

    def _send_json(self, message: dict[str, Any]) -> None:
        self._wire.send_bytes(json.dumps(message).encode())


def _read(wire: Connection, most_pixels: int) -> tuple[dict[str, Any], bytes | None]:
    message = json.loads(wire.recv_bytes(_HEADER_BYTES))
    if "end" in message:
        return message, None
    height, width = message["shape"]
    if not (0 < height * width <= most_pixels):
        raise ValueError("a frame of impossible size")
    pixels = wire.recv_bytes(height * width * 3)
    if len(pixels) != height * width * 3:
        raise ValueError("a frame cut short")
    return message, pixels


def _image(message: dict[str, Any], pixels: bytes) -> Image:
    height, width = message["shape"]
    time_s = message["time_s"]
    return Image(
        pixels=np.frombuffer(pixels, np.uint8).reshape(height, width, 3),
        sha256=str(message["sha256"]),
        width=int(message["size"][0]),
        height=int(message["size"][1]),
        format=str(message["format"]),
        frame=int(message["place"][0]),
        frames=int(message["place"][1]),
        time_s=float(time_s) if time_s is not None and math.isfinite(time_s) else None,
        view=str(message["view"]),
    )


def _error(message: dict[str, Any]) -> ItemError:
    code = message["code"] if message["code"] in CODES else "decoder_crashed"
    kind = FetchError if message["stage"] == "fetch" else DecodeError
    return kind(str(message["message"]), code=code)
