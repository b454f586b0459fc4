"""The OpenAPI says all that a user has to know, and docs/api.md is made from it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from tests.serve.doubles import SCAN_KEY
from tests.serve.served import Served, served

DOCS = Path(__file__).parents[2] / "docs"


@cache
def api_page() -> Any:
    spec = importlib.util.spec_from_file_location("api_page", DOCS / "api_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@cache
def specification() -> Any:
    return api_page().specification()


def operations() -> list[Any]:
    return [
        pytest.param(told, id=f"{method.upper()} {path}")
        for path, methods in specification()["paths"].items()
        for method, told in methods.items()
    ]


def examples() -> list[Any]:
    """Every example beside its schema."""
    found = []
    for path, methods in specification()["paths"].items():
        for method, told in methods.items():
            parts = {**told["responses"], "body": told.get("requestBody", {})}
            for where, part in parts.items():
                for kind, content in part.get("content", {}).items():
                    if "example" in content:
                        name = f"{method.upper()} {path} {where} {kind}"
                        found.append(pytest.param(content, id=name))
    return found


def test_the_page_is_made_from_the_service() -> None:
    made = api_page().page(specification())

    assert (DOCS / "api.md").read_text(encoding="utf-8") == made, "run: python docs/api_page.py"


def test_it_says_what_it_is() -> None:
    told = specification()

    assert told["openapi"].startswith("3.1")
    assert told["info"]["title"] == "Vedette"
    assert told["info"]["version"]
    assert told["info"]["description"]


def test_the_key_is_a_bearer_token() -> None:
    (scheme,) = specification()["components"]["securitySchemes"].values()

    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")


def test_the_endpoints_that_other_programs_know_are_there() -> None:
    assert {
        "/v1/moderations",
        "/v1/scan",
        "/v1/scan/video",
        "/v1/decide",
        "/v1/models",
        "/v1/policies",
        "/healthz",
        "/readyz",
        "/metrics",
    } <= set(specification()["paths"])


@pytest.mark.parametrize("told", operations())
def test_every_operation_is_described(told: Any) -> None:
    assert told["description"]
    assert told["tags"]
    done = [answer for status, answer in told["responses"].items() if int(status) < 400]
    assert done
    for answer in done:
        for kind, content in answer["content"].items():
            assert "example" in content or kind != "application/json"
    for name in ("400", "500", "503"):
        assert name in told["responses"]


@pytest.mark.parametrize("told", operations())
def test_every_error_has_the_one_shape(told: Any) -> None:
    for status, answer in told["responses"].items():
        if int(status) >= 400:
            (content,) = _contents(answer)
            assert content["schema"]["required"] == ["error"]
            assert answer["description"]


@pytest.mark.parametrize("told", operations())
def test_what_needs_a_key_says_so_and_says_what_is_answered_without(told: Any) -> None:
    assert bool(told.get("security")) <= {"401", "403"}.issubset(told["responses"])


@pytest.mark.parametrize("content", examples())
def test_every_example_fits_its_schema(content: Any) -> None:
    schema = {**content["schema"], "components": specification().get("components", {})}

    jsonschema_rs.validate(schema, content["example"])


def test_examples_keep_what_is_null() -> None:
    answer = specification()["paths"]["/v1/scan"]["post"]["responses"]["200"]
    (record,) = answer["content"]["application/json"]["example"]["records"]

    assert record["failure"] is None


def curls() -> list[Any]:
    """The curl lines of the page, with the body that ``request.json`` holds; jobs have tests."""
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    found = []
    for section in page.split("\n## ")[1:]:
        line = re.search(r"^```sh\n(curl.*?)^```$", section, re.M | re.S)
        body = re.search(r"`request.json` is:\n\n```json\n(.*?)^```$", section, re.M | re.S)
        if line and "/v1/jobs" not in line[1] and "/v1/webhook" not in line[1]:
            text = body[1] if body else ""
            found.append(pytest.param(line[1], text, id=section.partition("\n")[0]))
    return found


@pytest.fixture(scope="module")
def service() -> Iterator[Served]:
    with served() as running:
        yield running


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
@pytest.mark.parametrize(("line", "body"), curls())
def test_curl_lines_work(service: Served, line: str, body: str, tmp_path: Path) -> None:
    for name in ("picture.jpg", "film.mp4", "file"):
        (tmp_path / name).write_bytes((DOCS / "pictures" / "gradient.jpg").read_bytes())
    (tmp_path / "request.json").write_text(body, encoding="utf-8")
    line = line.replace("http://127.0.0.1:8080", service.url).replace("MODEL", "dummy")
    command = line.replace("curl -sS", "curl -sS --max-time 60 --write-out '\\n%{http_code}'", 1)

    done = subprocess.run(
        ["sh", "-c", command],
        cwd=tmp_path,
        env={**os.environ, "VEDETTE_KEY": SCAN_KEY, "no_proxy": "*"},
        capture_output=True,
        text=True,
        check=False,
    )

    answer, _, status = done.stdout.rpartition("\n")
    assert (status, done.stderr) == ("200", ""), answer


def test_it_can_be_sent() -> None:
    assert json.loads(json.dumps(specification(), allow_nan=False)) == specification()


def _contents(answer: Any) -> list[Any]:
    return list(answer.get("content", {}).values())
