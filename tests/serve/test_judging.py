"""The one way from items to kept decisions."""

from __future__ import annotations

import asyncio
import time
from hashlib import sha256
from pathlib import Path

import pytest

from tests.pictures import drawn, encoded
from tests.serve.doubles import FixedLists, RememberedAudit, services_of
from vedette.errors import DecodeError, UnknownNameError, UsageError
from vedette.policy import load_policy
from vedette.serve.context import OPEN, Asked
from vedette.serve.hashing import policy_hash
from vedette.serve.judging import Judged, chosen_policy, judge, restricted
from vedette.serve.refusals import Refusal
from vedette.serve.services import Listed, Services
from vedette.taxonomy import Category
from vedette.types import Action, Failure, Item

PNG = encoded(drawn(1))
DEFAULT = load_policy("default")


def judged(services: Services, *items: Item, model: str | None = None) -> list[Judged]:
    async def run() -> list[Judged]:
        asked = Asked("r1", OPEN, time.monotonic() + 30)
        return await judge(services, asked, list(items), model, DEFAULT)

    try:
        return asyncio.run(run())
    finally:
        services.engine.close()


class Blind(FixedLists):
    """Lists that cannot look at a picture."""

    def check(self, item: Item, sha256: str) -> Listed | None:
        raise DecodeError("cannot look", code="corrupt")


def test_a_file_is_looked_for_in_the_lists_too(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    hit = Listed("house", "block", "sha256", 0, "7")

    (one,) = judged(services_of(lists=FixedLists({sha256(PNG).hexdigest(): hit})), Item("a", path))

    assert one.listed is hit
    assert one.record.sha256 == sha256(PNG).hexdigest()
    assert one.record.verdict.action is Action.BLOCK


def test_what_the_lists_cannot_look_at_is_not_allowed() -> None:
    (one,) = judged(services_of(lists=Blind()), Item("a", PNG))

    assert one.record.scores is not None
    assert one.record.failure == Failure("decode", "corrupt", "cannot look")
    assert one.record.verdict.action is Action.REVIEW


def test_items_without_bytes_are_kept_as_failed(tmp_path: Path) -> None:
    audit = RememberedAudit()
    late, gone = Item("a", Failure("fetch", "timeout", "too late")), Item("b", tmp_path / "no")

    records = [one.record for one in judged(services_of(audit=audit), late, gone)]

    assert [record.failure and record.failure.code for record in records] == [
        "timeout",
        "not_found",
    ]
    assert {record.verdict.action for record in records} == {Action.REVIEW}
    assert len(audit.kept) == 2


def test_nothing_is_asked_of_the_model_where_nothing_is_left() -> None:
    assert judged(services_of()) == []


def test_an_unknown_model_is_told() -> None:
    with pytest.raises(UnknownNameError, match="dumy"):
        judged(services_of(), Item("a", PNG), model="dumy")


def test_subjects_are_one_for_each_item() -> None:
    services = services_of()
    asked = Asked("r1", OPEN, time.monotonic() + 30)
    with pytest.raises(UsageError, match="1 subjects for 2 items"):
        asyncio.run(judge(services, asked, [Item("a", PNG)] * 2, None, DEFAULT, ["me"]))
    services.engine.close()


def test_policies_by_name_and_restricted() -> None:
    services = services_of()
    services.engine.close()

    assert chosen_policy(services, None).name == "default"
    assert chosen_policy(services, "strict").name == "strict"
    with pytest.raises(UnknownNameError, match="strickt"):
        chosen_policy(services, "strickt")
    narrow = chosen_policy(services, None, ["SEXUAL", "self_harm", "sexual"])
    assert set(narrow.asks_about) == {Category.SEXUAL, Category.SELF_HARM}
    assert narrow.id == "default[Self-harm+Sexual]@1"
    assert narrow.on_failure is DEFAULT.on_failure
    for wrong in ([], ["nonsense"]):
        with pytest.raises(Refusal):
            restricted(DEFAULT, wrong)


def test_the_hash_of_a_policy_is_of_what_it_decides_by() -> None:
    other = restricted(DEFAULT, ["Sexual"])

    assert policy_hash(DEFAULT) == policy_hash(load_policy("default"))
    assert policy_hash(DEFAULT) != policy_hash(other)
    assert len(policy_hash(other)) == 64
