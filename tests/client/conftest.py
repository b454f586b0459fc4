"""A real service on loopback for a module's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.client.made import PNG
from tests.serve.doubles import KEY, FixedFetcher, RememberedAudit, services_of
from tests.serve.served import Served, served
from vedette import Client
from vedette.serve.options import RequestLimits, ServeOptions

OPTIONS = ServeOptions(models=("dummy",), limits=RequestLimits(body_bytes=100_000, images=8))


@pytest.fixture(scope="module")
def service() -> Iterator[Served]:
    fetcher = FixedFetcher({"https://images.example/7.png?token=secret": PNG})
    made = services_of(OPTIONS, fetcher=fetcher, audit=RememberedAudit())
    with served(made) as running:
        yield running


@pytest.fixture
def client(service: Served) -> Iterator[Client]:
    with Client(service.url, KEY) as made:
        yield made
