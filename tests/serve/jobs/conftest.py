"""A store of jobs on either kind of database."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.serve.jobs.made import store_of
from vedette.serve.jobs.store import JobStore


@pytest.fixture
def store(engine: Engine, tmp_path: Path) -> JobStore:
    return store_of(engine, tmp_path / "uploads")
