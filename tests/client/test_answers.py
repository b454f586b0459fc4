"""Whatever answers: an outcome that fits, or an error with a code; never anything else."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.client.made import allowed
from vedette.client import answers
from vedette.client.answers import Reply
from vedette.client.errors import ServiceError
from vedette.errors import CODES
from vedette.types import Action

_NAMES = st.sampled_from(
    [
        *("records", "data", "jobs", "error", "message", "code", "hint", "next", "id", "state"),
        *("key", "action", "scores", "Sexual", "failure", "listed", "reasons", "regions", "frames"),
    ]
)
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from(["allow", "block", "not_found", "running", "k", "Sexual"])
)
_JSON = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=12,
)
_BODIES = st.binary(max_size=40) | _JSON.map(lambda value: json.dumps(value).encode())
_READERS = (
    lambda reply: answers.judged(reply, ["k"]),
    answers.models,
    answers.policies,
    answers.job,
    answers.jobs,
)


def check(reader: Any, reply: Reply) -> Any:
    refused: ServiceError | None = None
    try:
        return reader(reply)
    except ServiceError as error:
        refused = error
    assert refused.code in CODES
    assert refused.hint
    assert refused.message.isprintable()
    assert len(refused.message) < 1000
    return None


@given(body=_BODIES)
def test_any_body_is_an_answer_or_an_error(body: bytes) -> None:
    for reader in _READERS:
        check(reader, Reply(200, {}, body))
    check(lambda reply: answers.result(reply.body), Reply(200, {}, body))


@given(
    status=st.integers(100, 599),
    body=_BODIES,
    after=st.none() | st.text(max_size=12) | st.integers().map(str),
)
def test_any_refusal_is_an_error_with_a_code(status: int, body: bytes, after: str | None) -> None:
    error = answers.refusal(Reply(status, {} if after is None else {"retry-after": after}, body))

    assert error.code in CODES
    assert error.status == status
    assert error.retry_after_s is None or error.retry_after_s >= 0
    assert str(error).isprintable()


@settings(max_examples=300)
@given(st.data())
def test_a_record_with_one_thing_changed_is_read_or_refused(data: st.DataObject) -> None:
    told = allowed("k")
    name = data.draw(st.sampled_from(sorted(told)))
    told[name] = data.draw(_JSON)
    body = json.dumps({"records": [told]}).encode()

    found = check(lambda reply: answers.judged(reply, ["k"]), Reply(200, {}, body))

    if found is not None and found[0].record.verdict.action is Action.ALLOW:
        assert found[0].record.failure is None
        assert found[0].record.scores is not None or found[0].listed is not None


def test_depth_and_size_of_numbers_do_no_harm() -> None:
    for body in (b"[" * 100_000, b'{"records": ' + b"9" * 10_000 + b"}", b'{"a":' * 50_000):
        for reader in _READERS:
            assert check(reader, Reply(200, {}, body)) is None
        assert answers.refusal(Reply(500, {}, body)).code == "internal"


def test_what_it_says_survives_the_way() -> None:
    told = allowed("k", decision_id="0b3a", listed={"list": "a", "kind": "block", "match": "pdq"})

    (found,) = answers.judged(Reply(200, {}, json.dumps({"records": [told]}).encode()), ["k"])

    assert found.decision == "0b3a"
    assert found.listed == told["listed"]
    assert answers.result(json.dumps(told).encode()) == found
