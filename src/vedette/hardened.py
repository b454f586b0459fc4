"""Hardened decoding: each file is decoded in a worker process that may die without harm.

A decoder bug, a bomb or an endless loop costs one worker and one Record; the scan goes on with a
fresh worker.
"""

from __future__ import annotations

import hashlib
import json
import math
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

import numpy as np

from vedette.decode import DecodeOptions
from vedette.errors import CODES, DecodeError, FetchError, ItemError, UsageError
from vedette.fetch import open_regular, shown
from vedette.sniff import HEAD_BYTES, sniff
from vedette.types import Failure, Image, Item
from vedette.watchdog import Watchdog

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
        self._watchdog = Watchdog()
        self._closed = False

    def frames(self, item: Item) -> Iterator[Image]:
        """See :class:`vedette.decode.Decoder`.

        Raises:
            ItemError: what plain decoding raises, and ``decoder_crashed`` or ``timeout`` where
                the worker had to be given up.
        """
        if isinstance(item.data, Failure):
            kind = DecodeError if item.data.stage == "decode" else FetchError
            raise kind(item.data.message, code=item.data.code)
        seconds = self._seconds(item.data)
        worker = self._worker()
        reusable = False
        try:
            yield from worker.decode(item.data, seconds)
            reusable = True
        except ItemError as error:
            reusable = error.code not in ("decoder_crashed", "timeout", "out_of_memory")
            if error.sha256 is None:  # the worker took it to its grave
                error.sha256 = self._sha256(item.data)
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
        self._watchdog.close()

    def _worker(self) -> _Worker:
        """An idle worker that lives, or a new one."""
        with suppress(queue.Empty):
            while True:
                worker = self._idle.get_nowait()
                if worker.alive():
                    return worker
                worker.kill()
        return _Worker(self._options, self._watchdog)

    def _sha256(self, data: bytes | Path) -> str | None:
        """Of a file that cost a worker: what it takes to recognise it elsewhere."""
        try:
            if isinstance(data, bytes):
                return hashlib.sha256(data).hexdigest()
            with open_regular(data) as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        except (ItemError, OSError):
            return None

    def _seconds(self, data: bytes | Path) -> float:
        if isinstance(data, bytes):
            head = data[:HEAD_BYTES]
        else:
            with open_regular(data) as stream:
                try:
                    head = stream.read(HEAD_BYTES)
                except OSError as error:
                    raise FetchError(
                        f"{shown(data)}: {error.strerror}", code="unreadable"
                    ) from error
        fmt = sniff(head)
        limits = self._options.limits
        return limits.video_seconds if fmt and fmt.kind == "video" else limits.seconds


class _Worker:
    """One child process and the wire to it."""

    def __init__(self, options: DecodeOptions, watchdog: Watchdog) -> None:
        self._limits = options.limits
        self._watchdog = watchdog
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
            "icc": options.icc,
        }
        self._send_json(given)

    def decode(self, data: bytes | Path, seconds: float) -> Iterator[Image]:
        """The frames of one file. After an error that is not the file's own, kill the worker."""
        left = seconds + _GRACE_S
        with self._at_most(left):
            if isinstance(data, bytes):
                self._send_json({})
                self._wire.send_bytes(data)
            else:  # absolute: the program may have changed its folder since the worker started
                self._send_json({"path": str(data.absolute())})
        while True:
            started = time.monotonic()
            with self._at_most(left):
                answer = _read(self._wire, self._limits.pixels)
            left -= time.monotonic() - started
            if answer is None:
                return
            if isinstance(answer, ItemError):
                raise answer
            yield answer

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End the process and close the wire; never blocks on the worker's good will."""
        self._wire.close()
        self._process.kill()
        self._process.wait()

    @contextmanager
    def _at_most(self, seconds: float) -> Iterator[None]:
        """Sends and receives inside end after ``seconds``; what goes wrong is a DecodeError."""
        # A worker may stop in the middle of a message, where poll() cannot help: the watchdog kills
        # it, and the call on the wire ends with an error.
        with self._watchdog.at_most(seconds, self._process.kill) as watch:
            try:
                yield
            except Exception as error:  # a hostile answer may provoke anything
                if not watch.expired:
                    raise self._crash() from error
                told = "the decoder was stopped at its limit"
                raise DecodeError(told, code="timeout") from error

    def _crash(self) -> DecodeError:
        with suppress(subprocess.TimeoutExpired):  # its own end tells more than our kill
            self._process.wait(0.5)
        self._process.kill()
        status = self._process.wait()
        if status == -signal.SIGXCPU:
            return DecodeError("the decoder was stopped at its CPU limit", code="timeout")
        return DecodeError(f"the decoder's process ended (status {status})", code="decoder_crashed")

    def _send_json(self, message: dict[str, Any]) -> None:
        self._wire.send_bytes(json.dumps(message).encode())


def _read(wire: Connection, most_pixels: int) -> Image | ItemError | None:
    """The worker's next frame, its error, or None at the end."""
    message = json.loads(wire.recv_bytes(_HEADER_BYTES))
    if "end" in message:
        return _error(message) if "code" in message else None
    height, width = message["shape"]
    if not (0 < height * width <= most_pixels):
        raise ValueError("a frame of impossible size")
    pixels = wire.recv_bytes(height * width * 3)
    if len(pixels) != height * width * 3:
        raise ValueError("a frame cut short")
    return _image(message, pixels)


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
    error = kind(str(message["message"]), code=code)
    error.sha256, error.format = message.get("sha256"), message.get("format")
    return error
