"""A real uvicorn on loopback, in a thread, over given Services."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.serve.doubles import services_of
from vedette.serve.services import Services


@dataclass
class Served:
    """A running service."""

    url: str
    """``http://127.0.0.1:PORT``"""
    port: int
    services: Services
    server: Any
    """The uvicorn server: ``begin_drain()`` is what SIGTERM does."""


@contextmanager
def served(services: Services | None = None, **replaced: object) -> Iterator[Served]:
    """The service while the block runs; at its end it must go down in an orderly way.

    Args:
        services: by default the dummy model and the doubles, with the known keys of doubles.py.
        replaced: fields of the default Services.
    """
    from vedette.serve.app import create_app
    from vedette.serve.server import run_on_loop, server_for

    made = services or services_of(**replaced)  # type: ignore[arg-type]
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    server = server_for(create_app(made), made.options, made.engine)
    ended: list[BaseException] = []

    def run() -> None:
        try:
            run_on_loop(server.serve(sockets=[listening]))
        except BaseException as error:  # noqa: BLE001 - told in the test's own thread
            ended.append(error)

    thread = threading.Thread(target=run, name="served")
    thread.start()
    try:
        while not server.started and thread.is_alive():
            thread.join(0.01)
        yield Served(f"http://127.0.0.1:{port}", port, made, server)
    finally:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive(), "the service does not end"
        listening.close()
    if ended:
        raise ended[0]
