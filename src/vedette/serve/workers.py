"""Several processes that serve one address; one that dies is replaced."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from vedette.errors import VedetteError
from vedette.serve.logs import log_to_stderr
from vedette.serve.options import ServeOptions
from vedette.serve.sockets import own
from vedette.settings import Settings

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess
    from multiprocessing.synchronize import Event
    from types import FrameType

log = logging.getLogger("vedette.serve")
_POLL_S = 0.2
_LEAST_LIFE_S = 2.0
"""A worker that dies younger waits that long for its successor: no storm of restarts."""
_UNUSABLE = 3
"""Exit status of a worker that could not start; at the start the next one could not either."""


def serve_with_workers(
    settings: Settings,
    options: ServeOptions,
    workers: int,
    listening: socket.socket,
    ready: Callable[[], None],
) -> None:
    """Run ``workers`` processes until SIGTERM or Ctrl-C, each with its own models and queue.

    Args:
        settings: of the pipeline.
        options: of the service; ``queue`` is that of each process.
        workers: how many.
        listening: of :func:`vedette.serve.start.listen`, for several; closed at the end.
        ready: called once all of them take requests.

    Raises:
        VedetteError: ``backend_failed``: a worker cannot start; it has said why.
    """
    log_to_stderr()
    herd = _Herd(settings, options, listening)
    before = {one: signal.signal(one, herd.end) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        with listening:
            herd.run(workers, ready)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


class _Worker:
    def __init__(self, settings: Settings, options: ServeOptions, listening: socket.socket) -> None:
        # Spawned: a fork would take this process's signal handlers and locks along.
        context = get_context("spawn")
        self.ready: Event = context.Event()
        self.started = time.monotonic()
        self.process: SpawnProcess = context.Process(
            target=_work, args=(settings, options, listening, self.ready), name="vedette-worker"
        )
        self.process.start()


class _Herd:
    def __init__(self, settings: Settings, options: ServeOptions, listening: socket.socket) -> None:
        self._given = (settings, options, listening)
        self._ending = False
        self._started = False
        self._workers: list[_Worker] = []

    def end(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        self._ending = True

    def run(self, count: int, ready: Callable[[], None]) -> None:
        try:
            self._workers = [_Worker(*self._given) for _ in range(count)]
            while not self._ending:
                if not self._started and all(worker.ready.is_set() for worker in self._workers):
                    self._started = True
                    ready()
                if wait([worker.process.sentinel for worker in self._workers], _POLL_S):
                    self._replace()
        finally:
            for worker in self._workers:
                worker.process.terminate()
            for worker in self._workers:
                worker.process.join()
                worker.process.close()

    def _replace(self) -> None:
        for place, worker in enumerate(self._workers):
            status = worker.process.exitcode
            if status is None:
                continue
            # Once all have started only what is around them has changed, such as a database that
            # is away: the others go on, and the next try may succeed.
            if status == _UNUSABLE and not self._started:
                raise VedetteError("a worker cannot start", code="backend_failed")
            log.warning("worker ended", extra={"told": {"status": status}})
            age = time.monotonic() - worker.started
            if age < _LEAST_LIFE_S:
                time.sleep(_LEAST_LIFE_S - age)
            worker.process.close()
            if self._ending:
                del self._workers[place]
                return
            self._workers[place] = _Worker(*self._given)


def _end_with_parent() -> None:
    """End in good order when the parent is killed: nobody would replace or stop this process."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


def _work(
    settings: Settings, options: ServeOptions, listening: socket.socket, ready: Event
) -> None:
    """One worker's process."""
    from vedette.serve.start import serve

    threading.Thread(target=_end_with_parent, name="vedette-parent", daemon=True).start()
    # Ctrl-C reaches the whole group: until uvicorn's own handlers stand, the parent's word counts.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        serve(settings, options, own(listening), ready.set)
    except VedetteError as error:
        print(f"error: {error.message} [{error.code}] - {error.hint}", file=sys.stderr)
        raise SystemExit(_UNUSABLE) from error
