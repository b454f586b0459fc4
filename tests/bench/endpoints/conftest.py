"""No key of whoever runs the tests gets into them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.endpoints import server
from vedette.bench.endpoints import EndpointOptions

KEYS = (
    *("VEDETTE_ENDPOINT_KEY", "OPENAI_API_KEY", "GOOGLE_API_KEY"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    *("AWS_REGION", "AWS_DEFAULT_REGION"),
)


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def service() -> Iterator[server.Service]:
    with server.serving() as running:
        yield running


@pytest.fixture
def options(service: server.Service, tmp_path: Path) -> EndpointOptions:
    """Quick ones, for the service of the test."""
    return EndpointOptions(
        base_url=service.url,
        rate=1e4,
        timeout_s=10,
        retries=2,
        cache=tmp_path / "cache",
        backoff_s=0.001,
    )
