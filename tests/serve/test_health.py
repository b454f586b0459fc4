"""Probes and counters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.pictures import drawn, encoded
from tests.serve.doubles import ADMIN_KEY, SCAN_KEY
from tests.serve.served import Served, served

PNG = encoded(drawn(1))


@pytest.fixture(scope="module")
def service() -> Iterator[Served]:
    with served() as running:
        yield running


def test_the_process_lives_and_is_ready(service: Served) -> None:
    for path in ("/healthz", "/readyz"):
        answer = httpx.get(service.url + path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_counters_are_told_to_this_machine(service: Served) -> None:
    headers = {"Authorization": f"Bearer {SCAN_KEY}"}
    httpx.post(f"{service.url}/v1/scan", files={"a": PNG}, headers=headers)
    httpx.request("SECRETMETHOD", f"{service.url}/secret-path")

    page = httpx.get(f"{service.url}/metrics")

    assert page.headers["content-type"].startswith("text/plain")
    assert 'vedette_requests_total{method="POST",route="/v1/scan",status="200"}' in page.text
    assert re.search(r'vedette_images_total\{action="\w+",model="dummy"\} [1-9]', page.text)
    assert "vedette_waiting 0.0" in page.text
    assert 'method="other",route="unknown",status="404"' in page.text
    assert "secret-path" not in page.text
    assert "secretmethod" not in page.text.lower()


def test_counters_need_a_key_of_an_administrator_from_elsewhere(service: Served) -> None:
    def status(**headers: str) -> int:
        return httpx.get(f"{service.url}/metrics", headers=headers).status_code

    assert status(Host="localhost:1") == status(Host="[::1]:80") == status(Host="[::1]") == 200
    assert status(Host="127.0.0.1.evil.test") == status(Host="evil.test:80") == 401
    assert status(**{"X-Forwarded-For": "203.0.113.9"}) == 401
    assert status(Forwarded="for=203.0.113.9") == 401
    assert status(Authorization=f"Bearer {SCAN_KEY}") == 403
    assert status(Authorization="Bearer vk_wrong") == 401
    assert status(**{"X-Forwarded-For": "1.2.3.4", "Authorization": f"Bearer {ADMIN_KEY}"}) == 200


def test_a_spool_that_cannot_be_written_is_not_ready(tmp_path: Path) -> None:
    from vedette.serve.routes.health import can_write

    assert can_write(tmp_path)
    assert can_write(tmp_path / "to be made")
    assert not can_write(tmp_path / "no" / "way")
