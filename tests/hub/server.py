"""A hub of models on this machine's loopback: the part of its protocol that a pull speaks."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NEXT = "89abcdef0123456789abcdef0123456789abcdef"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Hub:
    """Repositories and their states; what goes wrong is set by a test."""

    files: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)
    """(repository, commit) to its files."""
    refs: dict[tuple[str, str], str] = field(default_factory=dict)
    """(repository, branch) to its commit."""
    plain: dict[str, bytes] = field(default_factory=dict)
    """Files at plain addresses."""
    redirects: dict[str, str] = field(default_factory=dict)
    """From a path, to any address."""
    requests: list[Request] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    """Bytes after which the next responses with a body break off."""
    statuses: list[int] = field(default_factory=list)
    """Answered instead to the next GET requests."""
    served: dict[str, bytes] = field(default_factory=dict)
    """Path in a repository to bytes that are sent in the place of the described ones."""
    head_commit: str | None = None
    """Claimed in the place of the true one."""
    no_etag_hash: bool = False
    ignore_range: bool = False
    gated: bool = False
    compressed: bool = False
    url: str = ""

    def publish(
        self, repo: str, commit: str, files: dict[str, bytes], branch: str = "main"
    ) -> None:
        self.files[repo, commit] = files
        self.refs[repo, branch] = commit

    def gets(self) -> list[Request]:
        return [request for request in self.requests if request.method == "GET"]


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    class Handler(_Handler):
        house = hub

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        hub.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    house: Hub
    protocol_version = "HTTP/1.0"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def _answer(self) -> None:
        path = unquote(self.path)
        self.house.requests.append(Request(self.command, path, dict(self.headers)))
        if self.command == "GET" and self.house.statuses:
            self._refuse(self.house.statuses.pop(0))
        elif path in self.house.redirects:
            self.send_response(302)
            self.send_header("Location", self.house.redirects[path])
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif path in self.house.plain:
            self._send(self.house.plain[path], {})
        elif "/resolve/" in path:
            self._resolve(path)
        else:
            self._refuse(404)

    def _resolve(self, path: str) -> None:
        house = self.house
        repo, _, rest = path.lstrip("/").partition("/resolve/")
        revision, _, name = rest.partition("/")
        if house.gated:
            return self._refuse(403, {"X-Error-Code": "GatedRepo"})
        if repo not in {known for known, _ in house.files}:
            return self._refuse(404, {"X-Error-Code": "RepoNotFound"})
        commit = house.refs.get((repo, revision), revision)
        if (repo, commit) not in house.files:
            return self._refuse(404, {"X-Error-Code": "RevisionNotFound"})
        files = house.files[repo, commit]
        if name not in files:
            return self._refuse(404, {"X-Error-Code": "EntryNotFound"})
        data = files[name]
        headers = {"X-Repo-Commit": house.head_commit or commit}
        if house.no_etag_hash:
            headers["ETag"] = '"some-other-kind"'
        elif name.endswith(".json"):
            headers["ETag"] = f'"{git_sha1(data)}"'
        else:
            headers["ETag"] = '"of-the-pointer"'
            headers["X-Linked-Etag"] = f'"{sha256(data)}"'
            headers["X-Linked-Size"] = str(len(data))
        return self._send(house.served.get(name, data), headers)

    def _send(self, data: bytes, headers: dict[str, str]) -> None:
        start = 0
        asked = self.headers.get("Range")
        if asked and not self.house.ignore_range:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(data):
                return self._refuse(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data) - start))
        if self.house.compressed:
            self.send_header("Content-Encoding", "gzip")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            body = data[start:]
            self.wfile.write(body[: self.house.cuts.pop(0)] if self.house.cuts else body)
        return None

    def _refuse(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()
