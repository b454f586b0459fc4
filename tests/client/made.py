"""Pictures and stub services to test clients with."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import PIL.Image

from tests.test_wire import FULL
from vedette import wire


def picture(colour: tuple[int, int, int] = (30, 90, 200)) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (16, 12), colour).save(buffer, "PNG")
    return buffer.getvalue()


PNG = picture()


@dataclass(frozen=True)
class Answer:
    """What a stub answers to one request."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    """Close the connection instead of answering."""


@dataclass
class Stub:
    """A tiny HTTP server that answers what it was given, in order, and the last one again."""

    url: str
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)


def allowed(key: str, **changed: Any) -> dict[str, Any]:
    """The JSON of a Record that has been looked at."""
    told = {**wire.to_dict(FULL), "key": key, "failure": None, "decision_id": "d", "listed": None}
    return {**told, **changed}


def records(*told: Any) -> Answer:
    return Answer(body=json.dumps({"records": list(told), "request_id": "r"}).encode())


@contextmanager
def stub(answers: Sequence[Answer]) -> Iterator[Stub]:
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            made.seen.append((self.command, self.path, dict(self.headers), body))
            told = left.pop(0) if len(left) > 1 else left[0]
            if told.cut:
                self.close_connection = True
                return
            self.send_response(told.status)
            for name, value in {"Content-Length": str(len(told.body)), **told.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(told.body)

        do_GET = do_POST = do_DELETE = answer

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Stub(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
