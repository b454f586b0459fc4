"""Uploads: what is not accepted never reaches the application."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Iterator
from typing import Any

import django
import pytest
from django import forms
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
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


@pytest.fixture(scope="module")
def django_forms() -> Any:
    """Django's forms, with no more settings than they need."""
    if not settings.configured:
        settings.configure(USE_I18N=False)
        django.setup()
    return forms


def codes(form: Any) -> list[str]:
    """Why a form is not valid; its field is ``picture``."""
    assert form.is_valid() == (not form.errors)
    return [error.code for error in form.errors.as_data().get("picture", ())]


def test_a_form_of_django_takes_what_is_accepted_and_names_what_is_not(
    scanner: Scanner, django_forms: Any
) -> None:
    class Avatar(django_forms.Form):  # type: ignore[misc]
        picture = django_forms.FileField(validators=[DjangoValidator(scanner, most_bytes=10_000)])

    def sent(data: bytes) -> Any:
        return Avatar(files={"picture": SimpleUploadedFile("p.png", data, "image/png")})

    good = sent(PNG)

    assert codes(good) == []
    assert good.cleaned_data["picture"].read() == PNG
    for data, code in (
        (RED, "image_refused"),
        (b"no picture", "image_unreadable"),
        (b"x" * 10_001, "image_too_large"),
    ):
        form = sent(data)
        assert codes(form) == [code]
        assert "Sexual" not in str(form.errors)


def test_a_field_of_djangos_models_takes_a_function_of_it(
    scanner: Scanner, django_forms: Any
) -> None:
    from django.core.exceptions import ValidationError
    from django.db.models import FileField

    check = DjangoValidator(scanner)

    def validate_picture(upload: Any) -> None:
        check(upload)

    field = FileField(validators=[validate_picture])

    field.run_validators(SimpleUploadedFile("p.png", PNG))
    with pytest.raises(ValidationError) as caught:
        field.run_validators(SimpleUploadedFile("p.png", RED))
    assert [error.code for error in caught.value.error_list] == ["image_refused"]


def test_a_service_that_does_not_answer_accepts_nothing_in_django(django_forms: Any) -> None:
    from django.core.exceptions import ValidationError

    with (
        Client("http://127.0.0.1:1", options=NOWHERE) as client,
        pytest.raises(ValidationError) as caught,
    ):
        DjangoValidator(client)(SimpleUploadedFile("p.png", PNG))
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
