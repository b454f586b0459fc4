"""Databases to test on: a SQLite file, and a real PostgreSQL that lives and dies with the tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.serve import postgres
from vedette.serve.database.store import open_database


@pytest.fixture(scope="session")
def server() -> Iterator[postgres.Postgres]:
    with postgres.running() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a database can be made: each test runs on both kinds."""
    if request.param == "sqlite":
        return str(tmp_path / "service.sqlite")
    url: str = request.getfixturevalue("server").new_database()
    return url


@pytest.fixture
def engine(place: str) -> Iterator[Engine]:
    opened = open_database(place)
    yield opened
    opened.dispose()
