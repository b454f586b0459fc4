"""The application: defects are told without their words, and what it documents is what it does."""

from __future__ import annotations

import logging

import httpx
import pytest

from tests.pictures import drawn, encoded
from tests.serve.doubles import SCAN_KEY, FixedKeys, FixedLists, services_of
from tests.serve.served import served
from vedette.errors import CODES, VedetteError
from vedette.serve.app import create_app
from vedette.serve.refusals import status_of
from vedette.serve.services import Caller, Listed
from vedette.types import Item

PNG = encoded(drawn(1))
HEADERS = {"Authorization": f"Bearer {SCAN_KEY}"}


class Broken(FixedLists):
    """Fails in a way that nobody has foreseen."""

    def check(self, item: Item, sha256: str) -> Listed | None:
        raise RuntimeError("a secret of the inside")


class Away(FixedKeys):
    """Fails as a database does."""

    def caller(self, presented: str) -> Caller | None:
        raise VedetteError("postgresql://secret@inside is away", code="no_database")


def test_a_defect_is_told_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "vedette.serve")
    with served(lists=Broken()) as running:
        answer = httpx.post(f"{running.url}/v1/scan", files={"a": PNG}, headers=HEADERS)
        alive = httpx.get(f"{running.url}/healthz")

    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert alive.status_code == 200
    defect = next(record for record in caplog.records if record.message == "defect")
    assert defect.told["error"] == "RuntimeError"  # type: ignore[attr-defined]
    assert "secret" not in answer.text
    assert "secret" not in caplog.text


def test_what_is_wrong_inside_is_told_without_its_words() -> None:
    with served(keys=Away()) as running:
        answer = httpx.post(f"{running.url}/v1/scan", files={"a": PNG}, headers=HEADERS)

    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "no_database"
    assert "secret" not in answer.text


def test_every_status_is_of_a_code_that_there_is() -> None:
    from vedette.serve.refusals import _STATUS

    assert set(_STATUS) <= set(CODES)
    assert status_of("usage") == 400


def test_the_openapi_documents_bodies_answers_and_errors_with_examples() -> None:
    services = services_of()
    document = create_app(services).openapi()
    services.engine.close()

    for path in ("/v1/scan", "/v1/scan/video"):
        post = document["paths"][path]["post"]
        assert set(post["responses"]) == {
            *("200", "400", "401", "403", "408", "413", "415"),
            *("429", "500", "503", "504"),
        }
        assert {"multipart/form-data", "application/json", "application/octet-stream"} <= set(
            post["requestBody"]["content"]
        )
        assert post["responses"]["200"]["content"]["application/json"]["example"]["records"]
        assert post["security"]
    assert set(document["paths"]["/metrics"]["get"]["responses"]) >= {"200", "401", "403"}


def test_there_are_no_pages_that_load_scripts() -> None:
    with served() as running:
        for path in ("/docs", "/redoc"):
            assert httpx.get(running.url + path).status_code == 404
