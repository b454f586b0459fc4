"""What the attacks share: the service under attack, and what every answer of it must look like."""

from __future__ import annotations

import json
import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.pictures import drawn, encoded

PNG = encoded(drawn(1))
MARK = "hidden-mark-7f3a"
"""Stands in every name, path and query that the attacks send: the log must not have it."""
STATUSES = {400, 401, 403, 404, 405, 408, 413, 415, 429, 503, 504}
"""Of refusals: 500 is not among them, whatever is sent."""
SHAPE = {"message", "type", "param", "code", "hint", "request_id"}
_HEAD = re.compile(rb"HTTP/1\.1 (\d{3}) ")


@dataclass
class Target:
    """The running service."""

    port: int
    key: str
    pid: int
    folder: Path
    client: httpx.Client
    """To its address, without a key."""

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def post(
        self,
        path: str = "/v1/scan",
        content: bytes | str | None = None,
        kind: str = "image/png",
        **headers: str,
    ) -> httpx.Response:
        """A request as a client would send it, with the key; its answer is of the known shape."""
        sent = {"content-type": kind, **self.headers, **headers}
        answer = self.client.post(path, content=content, headers=sent)
        fine(answer.status_code, answer.content)
        return answer

    def get(self, path: str) -> httpx.Response:
        """A request with the key; its answer is of the known shape."""
        answer = self.client.get(path, headers=self.headers)
        fine(answer.status_code, answer.content)
        return answer

    def json(self, path: str, body: object) -> httpx.Response:
        """As :meth:`post`, with a body of JSON."""
        return self.post(path, json.dumps(body), "application/json")

    def connected(self) -> socket.socket:
        """A new connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def raw(self, *pieces: bytes) -> bytes:
        """All that is answered to these very bytes until the connection is closed."""
        answer = b""
        with self.connected() as line:
            with suppress(ConnectionError):  # closed before all of it was sent
                for piece in pieces:
                    line.sendall(piece)
            with suppress(ConnectionError):
                while piece := line.recv(65536):
                    answer += piece
        return answer

    def head(self, *lines: str, path: str = "/v1/scan", method: str = "POST") -> bytes:
        """A request's head with the key; the connection ends after its answer."""
        told = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}"]
        told += [f"Authorization: Bearer {self.key}", "Connection: close", *lines, "", ""]
        return "\r\n".join(told).encode("latin-1")

    def is_up(self) -> None:
        """A harmless picture is scanned as ever."""
        answer = self.post(content=PNG)
        assert answer.status_code == 200, answer.text
        (record,) = answer.json()["records"]
        assert record["failure"] is None

    def resident(self) -> int:
        """Bytes of memory of the service's own process, without its decode workers."""
        told = Path(f"/proc/{self.pid}/statm").read_text().split()
        return int(told[1]) * 4096

    def log(self) -> str:
        """All that it has logged so far."""
        return (self.folder / "log").read_text()


def fine(status: int, body: bytes) -> str | None:
    """The code of a refusal, None of a success; fails on an answer of any other shape."""
    if status < 300:
        return None
    assert status in STATUSES, (status, body[:500])
    error = json.loads(body)["error"]
    assert set(error) == SHAPE
    assert all(error[key] is not None for key in ("message", "type", "code", "hint"))
    told = body.decode()
    assert "Traceback" not in told
    assert len(told) < 4000
    return str(error["code"])


def answers(raw: bytes) -> list[tuple[int, bytes]]:
    """Status and body of each answer on a connection; each of them is of the known shape."""
    found = []
    while raw:
        head, _, rest = raw.partition(b"\r\n\r\n")
        match = _HEAD.match(head)
        assert match is not None, raw[:200]
        status = int(match[1])
        length = re.search(rb"(?i)content-length: (\d+)", head)
        assert length is not None, head
        size = int(length[1])
        body, raw = rest[:size], rest[size:]
        assert len(body) == size
        fine(status, body)
        found.append((status, body))
    return found


def statuses(raw: bytes) -> list[int]:
    """Of each answer on a connection."""
    return [status for status, _ in answers(raw)]
