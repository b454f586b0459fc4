"""Stores to test on: a SQLite file, and a real PostgreSQL that lives and dies with the tests."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vedette.annotate.store import Store
from vedette.extras import require

_NUMBERS = itertools.count()
_START_S = 60


def _program(name: str) -> str | None:
    """Where a program of PostgreSQL is; Debian has them in no PATH."""
    there = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(there[-1]) if there else None)


def _user() -> str | None:
    """PostgreSQL refuses to run as root: somebody else, then."""
    if os.geteuid() != 0:
        return None
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The folder of a server's socket; its superuser is ``postgres``, without a password."""
    initdb, postgres = _program("initdb"), _program("postgres")
    if initdb is None or postgres is None:
        pytest.skip("PostgreSQL is not installed (initdb, postgres)")
    user = _user()
    if os.geteuid() == 0 and user is None:
        pytest.skip("PostgreSQL does not run as root, and there is nobody else")
    # Not below pytest's folder: only its owner may enter that; and a socket's path is short.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    if user is not None:
        shutil.chown(folder, user)
    data = folder / "data"
    options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
    quiet = {"stdout": subprocess.DEVNULL, "cwd": folder, "user": user}
    subprocess.run([initdb, "-D", str(data), *options], check=True, **quiet)  # type: ignore[call-overload]
    settings = ["listen_addresses=", f"unix_socket_directories={folder}", "fsync=off"]
    command = [postgres, "-D", str(data), *(part for s in settings for part in ("-c", s))]
    with (folder / "log").open("wb") as log:
        server: subprocess.Popen[bytes] = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, user=user
        )
    try:
        _wait(folder, server)
        yield str(folder)
    finally:
        server.send_signal(signal.SIGINT)  # fast shutdown
        server.wait(_START_S)
        shutil.rmtree(folder)


def _wait(folder: Path, server: subprocess.Popen[bytes]) -> None:
    psycopg = require("psycopg", extra="annotate")
    end = time.monotonic() + _START_S
    while True:
        try:
            psycopg.connect(host=str(folder), user="postgres", dbname="postgres").close()
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > end:
                pytest.fail((folder / "log").read_text())
            time.sleep(0.05)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty store can be made: each test runs on both kinds."""
    if request.param == "sqlite":
        return str(tmp_path / "annotations.sqlite")
    folder = request.getfixturevalue("postgresql")
    name = f"test_{next(_NUMBERS)}"
    psycopg = require("psycopg", extra="annotate")
    with psycopg.connect(
        host=folder, user="postgres", dbname="postgres", autocommit=True
    ) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql+psycopg://postgres@/{name}?host={folder}"


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    with Store.create(place) as made:
        yield made
