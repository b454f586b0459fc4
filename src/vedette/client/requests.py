"""Every request that a client makes, as data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from vedette import wire
from vedette.client.body import Body, FilePart, form
from vedette.client.wanted import Choice, Picture, sent_key
from vedette.errors import UsageError
from vedette.types import Record

_JOB_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Request:
    """One request, and how it may be treated."""

    method: str
    path: str
    """With its query, below the service's address."""
    body: Body | None = None
    again: bool = True
    """Whether doing it twice does no harm: only then is it sent again after a connection broke
    off under way. An image that is scanned twice has two decisions, both the same."""


def scan(pictures: Sequence[Picture], choice: Choice, path: str = "/v1/scan") -> Request:
    """Scan images whose bytes are here."""
    images = [
        (sent_key(picture.key, place), picture.content)
        for place, picture in enumerate(pictures)
        if isinstance(picture.content, bytes | FilePart)
    ]
    return Request("POST", path, form(_fields(choice), images))


def scan_urls(pictures: Sequence[Picture], choice: Choice, path: str = "/v1/scan") -> Request:
    """Have the service fetch images and scan them."""
    images = [
        {"url": picture.content, "key": sent_key(picture.key, place), **_subject(choice)}
        for place, picture in enumerate(pictures)
    ]
    return Request("POST", path, _json({"images": images, **_scope(choice)}))


def decide(records: Sequence[Mapping[str, Any]], choice: Choice) -> Request:
    """Decide Records again, given as JSON objects; nothing is scanned."""
    scope = _scope(choice)
    scope.pop("model", None)
    return Request("POST", "/v1/decide", _json({"records": list(records), **scope}))


def models() -> Request:
    """List the models."""
    return Request("GET", "/v1/models")


def policies() -> Request:
    """List the policies."""
    return Request("GET", "/v1/policies")


def submit_urls(
    urls: Sequence[str], keys: Sequence[str] | None, choice: Choice, webhook: str | None
) -> Request:
    """Make a job of URLs.

    Raises:
        UsageError: there is not one key for each URL.
    """
    if keys is not None and len(keys) != len(urls):
        raise UsageError(f"{len(keys)} keys for {len(urls)} URLs")
    images = [{"url": url, **_subject(choice)} for url in urls]
    for image, key in zip(images, keys or (), strict=False):
        image["key"] = key
    asked = {"images": images, **_scope(choice)}
    if webhook is not None:
        asked["webhook"] = webhook
    return Request("POST", "/v1/jobs", _json(asked), again=False)


def submit_archive(
    archive: FilePart | bytes, name: str, choice: Choice, webhook: str | None
) -> Request:
    """Make a job of an archive; the body is the archive itself, streamed from its file.

    Raises:
        UsageError: a subject is named, which an archive's images cannot have.
    """
    if choice.subject is not None:
        raise UsageError("the images of an archive cannot have a subject")
    query = {"name": sent_key(name, 0)}
    query |= {name: value for name, value in _fields(choice).items() if name != "subject"}
    if webhook is not None:
        query["webhook"] = webhook
    body = Body("application/octet-stream", (archive,))
    return Request("POST", f"/v1/jobs?{urlencode(query)}", body, again=False)


def job(job_id: str) -> Request:
    """How far a job is."""
    return Request("GET", f"/v1/jobs/{_job_id(job_id)}")


def jobs(limit: int, before: str | None) -> Request:
    """A page of the key's own jobs."""
    query = {"limit": str(limit)} | ({} if before is None else {"before": _job_id(before)})
    return Request("GET", f"/v1/jobs?{urlencode(query)}")


def cancel(job_id: str) -> Request:
    """Cancel a job."""
    return Request("DELETE", f"/v1/jobs/{_job_id(job_id)}")


def results(job_id: str, form: str = "jsonl") -> Request:
    """The results of a job, as ``jsonl`` or ``parquet``."""
    return Request("GET", f"/v1/jobs/{_job_id(job_id)}/results?format={quote(form, safe='')}")


def record_json(record: Record) -> dict[str, Any]:
    """A Record as it is sent to be decided; no policy looks at an embedding."""
    told = wire.to_dict(record)
    told.pop("embedding", None)
    return told


def _job_id(given: str) -> str:
    # It becomes a part of the path.
    if not _JOB_ID.fullmatch(given):
        raise UsageError(f"{given[:40]!r} is no id of a job", hint="give what submit has returned")
    return given


def _json(told: Mapping[str, Any]) -> Body:
    return Body("application/json", (json.dumps(told, allow_nan=False).encode("ascii"),))


def _scope(choice: Choice) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if choice.model is not None:
        found["model"] = choice.model
    if choice.policy is not None:
        found["policy"] = choice.policy
    if choice.categories is not None:
        found["categories"] = [str(name) for name in choice.categories]
    return found


def _subject(choice: Choice) -> dict[str, str]:
    return {} if choice.subject is None else {"subject": choice.subject}


def _fields(choice: Choice) -> dict[str, str]:
    found = _scope(choice)
    if "categories" in found:
        found["categories"] = ",".join(found["categories"])
    return {**found, **_subject(choice)}
