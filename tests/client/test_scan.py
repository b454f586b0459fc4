"""Images through a client and a real service: the same Records as without one."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from tests.client.made import PNG, picture
from tests.serve.doubles import KEY, FixedLists, services_of
from tests.serve.served import Served, served
from vedette import Client, Item, Record, Scanner, ServiceError, wire
from vedette.client.answers import ServedModel
from vedette.client.options import ClientOptions
from vedette.errors import UsageError
from vedette.policy import PRESETS, load_policy
from vedette.serve.services import Listed
from vedette.taxonomy import Category
from vedette.types import Action


def untimed(record: Record) -> str:
    """All of it but its times; and no model is named for what never got to one."""
    models = () if record.sha256 is None else record.models
    return wire.to_line(dataclasses.replace(record, times_ms={}, models=models))


def given(tmp_path: Path) -> list[Any]:
    path = tmp_path / 'odd "name"\r\n ü%.png'
    path.write_bytes(PNG)
    return [
        path,
        str(path),
        PNG,
        PIL.Image.open(io.BytesIO(PNG)),
        np.zeros((9, 7, 3), np.uint8),
        Item("upload/4711", picture((1, 2, 3))),
        b"no picture",
        b"",
        PNG[:40],
        tmp_path / "gone.png",
        tmp_path,
    ]


def test_records_are_those_of_a_scanner(client: Client, tmp_path: Path) -> None:
    with Scanner("dummy") as scanner:
        expected = list(scanner.scan_many(given(tmp_path)))

    found = list(client.scan_many(given(tmp_path)))

    assert [untimed(one) for one in found] == [untimed(one) for one in expected]
    assert [untimed(client.scan(one)) for one in given(tmp_path)] == [untimed(r) for r in expected]


def test_what_failed_is_never_allowed_and_decided_by_the_services_policy(
    client: Client, tmp_path: Path
) -> None:
    missing = tmp_path / "gone.png"

    default, strict = client.scan(missing), client.scan(missing, policy="strict")

    assert default.failure is not None
    assert default.failure.code == "not_found"
    assert (default.verdict.action, default.verdict.policy) == (Action.REVIEW, "default@1")
    assert strict.verdict.action == load_policy("strict").on_failure
    assert strict.verdict.policy == "strict@1"


def test_urls_are_fetched_by_the_service(client: Client) -> None:
    images: list[Any] = [
        "https://images.example/7.png?token=secret",
        PNG,
        "http://images.example/none",
    ]

    there, local, missing = client.scan_many(images)

    assert there.sha256 == local.sha256
    assert there.key == "https://images.example/7.png"
    assert missing.failure is not None
    assert missing.failure.stage == "fetch"
    assert missing.verdict.action is not Action.ALLOW


def test_a_large_batch_becomes_requests_of_fitting_size(client: Client) -> None:
    images = [Item(f"k{i}", picture((i, i, i))) for i in range(37)]

    found = list(client.scan_many(iter(images)))  # 32 in a request; the service takes 8

    assert [record.key for record in found] == [item.key for item in images]
    assert all(record.failure is None for record in found)


def test_an_image_that_is_too_large_for_the_service_has_failed(client: Client) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (400, 400, 3), np.uint8)

    before, large, after = client.scan_many([PNG, noise, PNG])

    assert large.failure is not None
    assert (large.failure.stage, large.failure.code) == ("fetch", "too_large")
    assert large.verdict.action is Action.REVIEW
    assert before.failure is after.failure is None


def test_images_are_read_only_as_they_are_needed(service: Served) -> None:
    taken = 0

    def endless() -> Any:
        nonlocal taken
        while True:
            taken += 1
            yield PNG

    with Client(service.url, KEY, ClientOptions(images=4)) as client:
        found = client.scan_many(endless())
        assert next(found).failure is None
        assert taken == 5  # one more ends the batch
        found.close()


def test_categories_model_and_subject_reach_the_service(service: Served, client: Client) -> None:
    audit: Any = service.services.audit

    outcome = client.judge(
        PNG, model="dummy", policy="strict", categories=["Sexual"], subject="user-7"
    )

    assert outcome.record.verdict.policy == "strict[Sexual]@1"
    assert outcome.listed is None
    assert [d.subject for d in audit.kept if d.id == outcome.decision] == ["user-7"]


def test_a_hash_lists_decision_is_told_and_kept_when_decided_again() -> None:
    import hashlib

    hit = Listed("mine", "block", "sha256", 0, "entry")
    lists = FixedLists({hashlib.sha256(PNG).hexdigest(): hit})
    with served(services_of(lists=lists)) as running, Client(running.url, KEY) as client:
        outcome = client.judge(PNG)
        assert outcome.listed == {"list": "mine", "kind": "block", "match": "sha256"}
        assert outcome.record.verdict.action is Action.BLOCK

        assert client.decide([outcome])[0].verdict.action is Action.BLOCK
        assert client.decide([outcome.record])[0].verdict.action is Action.REVIEW


def test_a_video_has_its_own_endpoint(client: Client, service: Served) -> None:
    buffer = io.BytesIO()
    frames = [PIL.Image.new("RGB", (8, 8), (i * 40, 0, 0)) for i in range(4)]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])

    record = client.scan_video(Item("clip", buffer.getvalue()))

    assert (record.key, record.frames, record.failure) == ("clip", 4, None)


def test_decide_gives_the_same_records_another_verdict(client: Client) -> None:
    first = list(client.scan_many([PNG, b"no picture"]))

    decided = client.decide(first, policy="strict")

    strict = load_policy("strict")
    assert [untimed(one) for one in decided] == [untimed(strict.apply(one)) for one in first]
    assert client.decide([]) == []


def test_models_and_policies_are_those_of_the_service(client: Client) -> None:
    (model,) = client.models()

    assert model == ServedModel(
        "dummy", "dummy@1", model.summary, tuple(Category), "Apache-2.0", "none", True, None
    )
    assert client.policies() == {name: load_policy(name) for name in PRESETS}


def test_a_file_that_changes_on_the_way_is_not_half_sent(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    from vedette.client import wanted
    from vedette.client.body import FilePart

    def measured(given: Path) -> Any:
        part = FilePart(given, given.stat().st_size)
        given.write_bytes(PNG + b"more")
        return part

    monkeypatch.setattr(wanted, "file_part", measured)
    before, changed, after = client.scan_many([PNG, path, PNG])

    assert changed.failure is not None
    assert (changed.failure.stage, changed.failure.code) == ("fetch", "unreadable")
    assert "changed while it was being sent" in changed.failure.message
    assert changed.verdict.action is not Action.ALLOW
    assert before.failure is after.failure is None


def test_refusals_have_the_services_code_hint_and_request(service: Served) -> None:
    for key, code, status in (
        ("wrong", "unauthorized", 401),
        ("vk_test_nothing", "forbidden", 403),
    ):
        with Client(service.url, key) as client, pytest.raises(ServiceError) as caught:
            client.scan(PNG)
        assert (caught.value.code, caught.value.status) == (code, status)
        assert caught.value.request_id
        assert caught.value.hint
        assert key not in f"{caught.value} {caught.value.hint}" or key == "wrong"


def test_unknown_names_are_refused(client: Client) -> None:
    with pytest.raises(ServiceError, match="unknown policy 'strct'") as caught:
        client.scan(PNG, policy="strct")

    assert caught.value.code == "unknown_name"
    assert "strict" in caught.value.hint


def test_what_is_no_image_is_refused_before_anything_is_sent(client: Client) -> None:
    with pytest.raises(UsageError, match="cannot scan a int"):
        client.scan(7)  # type: ignore[arg-type]


def test_a_closed_client_says_so(service: Served) -> None:
    client = Client(service.url, KEY)
    client.close()
    client.close()

    with pytest.raises(UsageError, match="is closed"):
        client.models()


def test_nothing_that_it_prints_has_the_key(client: Client) -> None:
    told = f"{client!r} {client.__dict__!r} {vars(client.jobs)!r} {client._http.headers!r}"

    assert KEY not in told
    assert json.dumps(client.url) in f'"{client.url}"'
