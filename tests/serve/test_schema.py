"""schemathesis over our own OpenAPI: no undocumented answer, and none that breaks its schema.

A real server is asked, with a key. That a request which fits the schema is refused nevertheless is
no failure: a schema cannot say which policies there are, or what a picture is.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.openapi import from_dict
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.serve.doubles import KEY, services_of
from tests.serve.served import Served, served
from tests.serve.test_openapi import specification
from vedette.serve.database.store import open_database
from vedette.serve.jobs.opening import open_jobs
from vedette.serve.options import JobOptions, ServeOptions

PICTURE = Path(__file__).parents[2] / "docs" / "pictures" / "circle.png"
AUTH = {"Authorization": f"Bearer {KEY}"}
SCHEMA = from_dict(specification())
RECORDS = from_dict(specification())
RECORDS.config.phases.update(phases=["examples", "fuzzing"])
"""Each key of a Record, wrong in each way, would be 700 requests: test_decide.py has them."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
    ignored_auth,
]


@schemathesis.serializer(
    *("image/*", "video/*", "application/zip", "application/gzip"),
    *("application/x-tar", "application/x-bzip2", "application/x-xz"),
)
def as_it_is(ctx: schemathesis.SerializationContext, value: object) -> bytes:
    """Bodies of these kinds are bytes."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """With jobs on a real database, and nobody who works on them."""
    folder = tmp_path_factory.mktemp("service")
    jobs = JobOptions(folder=str(folder / "uploads"))
    options = ServeOptions(models=("dummy",), jobs=jobs)
    database = open_database(str(folder / "service.sqlite"))
    with served(services_of(options, jobs=open_jobs(database, options))) as running:
        yield running
    database.dispose()


@SCHEMA.exclude(path="/v1/decide").parametrize()
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
def test_every_answer_is_documented(case: schemathesis.Case[Any], service: Served) -> None:
    case.call_and_validate(base_url=service.url, headers=AUTH, checks=CHECKS, timeout=60)


@RECORDS.include(path="/v1/decide").parametrize()
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
def test_stored_records_are_decided_or_refused(
    case: schemathesis.Case[Any], service: Served
) -> None:
    case.call_and_validate(base_url=service.url, headers=AUTH, checks=CHECKS, timeout=60)


@pytest.fixture(scope="module")
def job(service: Served) -> str:
    """The id of a job that there is."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("circle.png", PICTURE.read_bytes())
    answer = httpx.post(
        f"{service.url}/v1/jobs",
        content=archive.getvalue(),
        headers={**AUTH, "Content-Type": "application/zip"},
    )
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


@SCHEMA.include(path_regex="job_id").parametrize()
@settings(max_examples=10, suppress_health_check=list(HealthCheck))
def test_answers_about_a_job_that_there_is(
    case: schemathesis.Case[Any], service: Served, job: str
) -> None:
    case.path_parameters["job_id"] = job
    case.call_and_validate(base_url=service.url, headers=AUTH, checks=CHECKS, timeout=60)
