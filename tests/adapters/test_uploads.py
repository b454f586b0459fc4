"""Uploads: what is not accepted never reaches the application."""

from __future__ import annotations

import asyncio
import io
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from tests.adapters.test_diffusers import Failing, Red
from tests.client.made import PNG, picture
from tests.serve.doubles import KEY, services_of
from tests.serve.served import served
from vedette import AsyncClient, Client, ClientOptions, Scanner
from vedette.adapters.uploads import (
    DjangoValidator,
    UploadRefusedError,
    check_upload,
    upload_checker,
)
from vedette.errors import MissingExtraError
from vedette.types import Action

RED = picture((255, 0, 0))
NOWHERE = ClientOptions(attempts=1)


@pytest.fixture(scope="module")
def scanner() -> Iterator[Scanner]:
    with Scanner(Red()) as made:
        yield made


def upload(data: bytes, name: str | None = "a.png") -> UploadFile:
    return UploadFile(io.BytesIO(data), filename=name)


def checked(data: bytes, scanner: Any, **options: Any) -> Any:
    return asyncio.run(check_upload(upload(data), scanner, **options))


def reason(data: bytes, scanner: Any, **options: Any) -> str:
    with pytest.raises(UploadRefusedError) as caught:
        checked(data, scanner, **options)
    assert "Sexual" not in caught.value.message
    return caught.value.reason


def test_an_accepted_upload_can_be_read_from_its_start(scanner: Scanner) -> None:
    async def main() -> None:
        given = upload(PNG)
        await given.read(7)
        record = await check_upload(given, scanner)
        assert (record.key, record.verdict.action) == ("a.png", Action.ALLOW)
        assert await given.read() == PNG

    asyncio.run(main())


def test_others_are_refused_with_a_reason(scanner: Scanner) -> None:
    assert reason(RED, scanner) == "image_refused"
    assert reason(b"no picture", scanner) == "image_unreadable"
    assert reason(b"", scanner) == "image_unreadable"
    assert reason(PNG, scanner, most_bytes=10) == "image_too_large"
    assert checked(PNG, scanner, most_bytes=len(PNG)).failure is None
    # What could not be scanned is refused, however little is to be refused.
    assert reason(PNG[:40], scanner, refuse=Action.BLOCK) == "image_unreadable"
    with Scanner(Failing()) as failing:
        assert reason(PNG, failing, refuse=Action.BLOCK) in ("image_unchecked", "image_unreadable")


def test_clients_of_both_kinds_check_uploads() -> None:
    with served(services_of()) as running:

        async def main() -> None:
            async with AsyncClient(running.url, KEY) as client:
                with pytest.raises(UploadRefusedError) as caught:
                    await check_upload(upload(b"no picture"), client)
            assert caught.value.record is not None
            with Client(running.url, KEY) as waits, pytest.raises(UploadRefusedError) as caught:
                await check_upload(upload(b"no picture"), waits)
            assert caught.value.reason == "image_unreadable"

        asyncio.run(main())


def test_without_an_answer_nothing_is_accepted() -> None:
    with Client("http://127.0.0.1:1", options=NOWHERE) as client:
        assert reason(PNG, client) == "image_unchecked"


def application(scanner: Scanner) -> Starlette:
    check = upload_checker(scanner, most_bytes=100_000)

    async def save(request: Request) -> JSONResponse:
        async with request.form() as form:
            record = await check(form["picture"])  # type: ignore[arg-type]
            return JSONResponse({"key": record.key})

    return Starlette(routes=[Route("/", save, methods=["POST"])])


def test_an_endpoint_answers_for_it(scanner: Scanner) -> None:
    client = TestClient(application(scanner))

    def post(data: bytes) -> Any:
        return client.post("/", files={"picture": ("p.png", data)})

    assert post(PNG).json() == {"key": "p.png"}
    assert (post(RED).status_code, post(RED).text) == (422, "This picture is not accepted.")
    assert post(b"x" * 100_001).status_code == 413


def test_a_dependency_of_fastapi(scanner: Scanner) -> None:
    fastapi: Any = pytest.importorskip("fastapi")
    check = upload_checker(scanner)
    app = fastapi.FastAPI()

    async def accepted(picture: Any) -> Any:
        return await check(picture)

    accepted.__annotations__["picture"] = fastapi.UploadFile

    @app.post("/")  # type: ignore[untyped-decorator]
    async def save(record: Any = fastapi.Depends(accepted)) -> dict[str, str]:  # noqa: B008
        return {"action": record.verdict.action.value}

    client = TestClient(app)

    assert client.post("/", files={"picture": ("p.png", PNG)}).json() == {"action": "allow"}
    answer = client.post("/", files={"picture": ("p.png", RED)})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "This picture is not accepted."


@pytest.fixture
def django_error(monkeypatch: pytest.MonkeyPatch) -> type[Exception]:
    """Django's own ValidationError where it is installed, else one with its signature."""
    try:
        from django.core.exceptions import (  # type: ignore[import-not-found]
            ValidationError,
        )
    except ModuleNotFoundError:

        class ValidationError(Exception):  # type: ignore[no-redef]
            def __init__(self, message: str, code: str | None = None, params: Any = None) -> None:
                super().__init__(message, code, params)
                self.message, self.code = message, code

        module: Any = types.ModuleType("django.core.exceptions")
        module.ValidationError = ValidationError
        monkeypatch.setitem(sys.modules, "django", types.ModuleType("django"))
        monkeypatch.setitem(sys.modules, "django.core", types.ModuleType("django.core"))
        monkeypatch.setitem(sys.modules, "django.core.exceptions", module)
    found: type[Exception] = ValidationError
    return found


class DjangoFile(io.BytesIO):
    """What the validator uses of a Django File."""

    name = "p.png"


def test_djangos_validator(scanner: Scanner, django_error: Any) -> None:
    validate = DjangoValidator(scanner, most_bytes=10_000)
    good = DjangoFile(PNG)
    good.read()

    validate(good)

    assert good.read() == PNG
    for data, code in (
        (RED, "image_refused"),
        (b"no picture", "image_unreadable"),
        (b"x" * 10_001, "image_too_large"),
    ):
        with pytest.raises(django_error) as caught:
            validate(DjangoFile(data))
        assert caught.value.code == code
    with Client("http://127.0.0.1:1", options=NOWHERE) as client:
        with pytest.raises(django_error) as caught:
            DjangoValidator(client)(good)
        assert caught.value.code == "image_unchecked"


def test_a_framework_that_is_missing_is_named(
    scanner: Scanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "django.core.exceptions", None)
    monkeypatch.delitem(sys.modules, "django", raising=False)
    monkeypatch.setattr(sys, "path", [])

    with pytest.raises(MissingExtraError, match="django is not installed") as caught:
        DjangoValidator(scanner)
    assert caught.value.hint == "pip install django"
