"""The attackers' web server, and a listener inside the network that must never be asked."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.serve.hostile.target import PNG


class Site:
    """``site.test`` of the service's names; ``/to?URL`` redirects there, all else is a picture."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        """Host headers of what came to the site."""
        self.intrusions: list[str] = []
        """What came to the listener inside: there must be nothing."""
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.headers["Host"])
                path, _, query = self.path.partition("?")
                self.send_response(302 if path == "/to" else 200)
                if path == "/to":
                    self.send_header("Location", query)
                body = b"" if path == "/to" else PNG
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nothing on standard error."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._inside = socket.create_server(("127.0.0.1", 0))
        self.inside: int = self._inside.getsockname()[1]
        self._ending = False
        self._threads = [
            threading.Thread(target=self._server.serve_forever, args=(0.05,)),
            threading.Thread(target=self._guard),
        ]

    def _guard(self) -> None:
        while True:
            line, _ = self._inside.accept()
            with line:
                if self._ending:
                    return
                self.intrusions.append(str(line.getpeername()))

    def __enter__(self) -> Site:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending = True
        socket.create_connection(("127.0.0.1", self.inside), timeout=10).close()
        self._server.shutdown()
        for thread in self._threads:
            thread.join()
        self._server.server_close()
        self._inside.close()
