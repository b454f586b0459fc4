"""A throw-away PostgreSQL that tests start, stop and start again.

``with running() as server:`` gives one with ``new_database()``, ``stop()``, ``start()`` and
``restart()``. Tests that only need a database use the fixtures of tests/serve/conftest.py: one
server for a whole session, a database for each test.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vedette.extras import require

_START_S = 60
_NUMBERS = itertools.count()


class Postgres:
    """A server on a socket in a folder of its own; superuser ``postgres``, no password."""

    def __init__(self, folder: Path, user: str | None) -> None:
        self.folder = folder
        self._user = user
        self._server: subprocess.Popen[bytes] | None = None

    def url(self, database: str) -> str:
        """As the service's setting ``database`` takes it."""
        return f"postgresql+psycopg://postgres@/{database}?host={self.folder}"

    def new_database(self) -> str:
        """The URL of a place without tables, which nobody else has.

        A schema, not a database of its own: the server would copy a thousand files for each.
        """
        name = f"test_{next(_NUMBERS)}"
        psycopg = require("psycopg", extra="serve")
        with psycopg.connect(
            host=str(self.folder), user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        return f"{self.url('postgres')}&options=-csearch_path%3D{name}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = ["listen_addresses=", f"unix_socket_directories={self.folder}", "fsync=off"]
        options = [part for setting in settings for part in ("-c", setting)]
        command = [str(_program("postgres")), "-D", str(self.folder / "data"), *options]
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, user=self._user
            )
        self._wait(self._server)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server at once: connections are cut, transactions under way are rolled back.

        Args:
            how: SIGINT is PostgreSQL's "fast"; SIGQUIT its "immediate", which writes nothing more.
        """
        if self._server is not None:
            self._server.send_signal(how)
            self._server.wait(_START_S)
            self._server = None

    def restart(self, away_s: float = 0.0) -> None:
        """Stop the server, leave it so for ``away_s`` seconds, and start it again."""
        self.stop()
        time.sleep(away_s)
        self.start()

    def _wait(self, server: subprocess.Popen[bytes]) -> None:
        psycopg = require("psycopg", extra="serve")
        end = time.monotonic() + _START_S
        while True:
            try:
                psycopg.connect(host=str(self.folder), user="postgres", dbname="postgres").close()
                return
            except psycopg.OperationalError:
                if server.poll() is not None or time.monotonic() > end:
                    pytest.fail((self.folder / "log").read_text())
                time.sleep(0.05)


@contextmanager
def running() -> Iterator[Postgres]:
    """A server that has started; gone with all its data afterwards. Skips where there is none."""
    initdb = _program("initdb")
    if initdb is None or _program("postgres") is None:
        pytest.skip("PostgreSQL is not installed (initdb, postgres)")
    user = _another_user()
    # Not below pytest's folder: only its owner may enter that; and a socket's path is short.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    server = Postgres(folder, user)
    try:
        if user is not None:
            shutil.chown(folder, user)
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(
            [initdb, "-D", str(folder / "data"), *options],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=folder,
            user=user,
        )
        server.start()
        yield server
    finally:
        server.stop(signal.SIGQUIT)
        shutil.rmtree(folder)


def _program(name: str) -> str | None:
    """Where a program of PostgreSQL is; Debian has them in no PATH."""
    there = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(there[-1]) if there else None)


def _another_user() -> str | None:
    """PostgreSQL refuses to run as root: somebody else, then."""
    if os.geteuid() != 0:
        return None
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    found = next((name for name in ("postgres", "nobody") if name in names), None)
    if found is None:
        pytest.skip("PostgreSQL does not run as root, and there is nobody else")
    return found
