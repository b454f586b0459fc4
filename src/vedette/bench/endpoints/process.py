"""A program that answers lines with lines: started, asked, and ended, in bounded time."""

from __future__ import annotations

import queue
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from typing import IO

from vedette.text import printable

MOST_LINE = 2**20
"""Bytes of one answer."""
_TOLD_LINES = 5
_TOLD_BYTES = 2_000
_END_S = 2.0


class Broken(Exception):
    """The program gave no answer, and cannot be asked again: start another one."""


class Process:
    """One running program. Its standard error is kept apart, and its end is shown in errors.

    Args:
        words: the program and its arguments; no shell is between.

    Raises:
        Broken: it cannot be started.
    """

    def __init__(self, words: Sequence[str]) -> None:
        try:
            self._process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise Broken(f"cannot be started: {reason}") from error
        self._lines: queue.Queue[bytes | None] = queue.Queue(maxsize=8)
        self._errors: deque[bytes] = deque(maxlen=_TOLD_LINES)
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._listen, daemon=True),
            threading.Thread(target=self._keep_errors, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def ask(self, line: bytes, timeout_s: float) -> bytes:
        """Write a line, and wait for the one that answers it.

        Raises:
            Broken: it ended, took too long, printed what nobody asked for, or too much.
        """
        if not self._lines.empty():
            early = self._lines.get_nowait()
            raise self._broken("it ended" if early is None else "it prints more lines than asked")
        try:
            self._stream(self._process.stdin).write(line + b"\n")
            self._stream(self._process.stdin).flush()
        except OSError as error:
            raise self._broken("it ended") from error
        try:
            answer = self._lines.get(timeout=timeout_s)
        except queue.Empty as error:
            raise self._broken(f"no answer within {timeout_s:g} s") from error
        if answer is None:
            raise self._broken("it ended without an answer")
        if len(answer) > MOST_LINE:
            raise self._broken(f"an answer of more than {MOST_LINE} bytes")
        return answer

    def close(self) -> None:
        """End it: at the end of its input, else by force."""
        self._over.set()
        for stream in (self._process.stdin,):
            try:
                self._stream(stream).close()
            except OSError:
                continue  # it is gone
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(_END_S)
        for output in (self._process.stdout, self._process.stderr):
            self._stream(output).close()

    def _broken(self, reason: str) -> Broken:
        self._over.set()
        if self._process.poll() is None:
            self._process.kill()
        status = self._process.wait()
        self._threads[1].join(_END_S)
        said = b"\n".join(self._errors)[-_TOLD_BYTES:].decode("utf-8", "replace")
        last = printable(" / ".join(line for line in map(str.strip, said.splitlines()) if line))
        return Broken(f"{reason} (exit status {status}{', it says: ' + last if last else ''})")

    def _listen(self) -> None:
        stream = self._stream(self._process.stdout)
        while True:
            line = stream.readline(MOST_LINE + 1)
            while not self._over.is_set():
                try:
                    self._lines.put(line or None, timeout=0.1)
                    break
                except queue.Full:
                    continue  # it prints what nobody takes: it blocks, and memory does not grow
            if not line or self._over.is_set():
                return

    def _keep_errors(self) -> None:
        stream = self._stream(self._process.stderr)
        while line := stream.readline(_TOLD_BYTES):
            self._errors.append(line)

    @staticmethod
    def _stream(stream: IO[bytes] | None) -> IO[bytes]:
        assert stream is not None  # all three are pipes
        return stream
