"""When a request is sent again, and when it is not; what came instead of an answer."""

from __future__ import annotations

import io
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.client.made import PNG, Answer, Stub, allowed, records, stub
from vedette import Client, ClientOptions, Item, ServiceError
from vedette.client import requests
from vedette.client.answers import Reply, retry_after
from vedette.client.errors import BadAnswerError, RefusedError, UnansweredError
from vedette.client.exchange import Ask, Lost, Pace, Pause, exchange
from vedette.client.wanted import Choice
from vedette.types import Action

BUSY = Answer(503, b'{"error": {"code": "overloaded", "message": "full"}}', {"Retry-After": "0"})


class Clock:
    """Time that passes only in pauses."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def attempts(
    replies: Sequence[Reply | Lost], options: ClientOptions, again: bool = True
) -> list[float]:
    """The pauses that were made before the exchange ended, or its error."""
    clock = Clock()
    request = requests.Request("POST", "/v1/scan", again=again)
    steps = exchange(request, Pace(options, clock, lambda: 1.0))
    pauses: list[float] = []
    left = iter(replies)
    for step in steps:
        if isinstance(step, Ask):
            step.reply = next(left)
        elif isinstance(step, Pause):
            pauses.append(step.seconds)
            clock.now += step.seconds
    return pauses


def busy(after: str | None = None, status: int = 503) -> Reply:
    return Reply(status, {} if after is None else {"retry-after": after}, b"")


OK = Reply(200, {}, b"{}")


def test_a_service_that_is_busy_twice_is_asked_three_times() -> None:
    with stub([BUSY, BUSY, records(allowed("k"))]) as made, Client(made.url, "key") as client:
        record = client.scan(Item("k", PNG))

    assert record.key == "k"
    assert len(made.seen) == 3
    assert len({body for *_, body in made.seen}) == 1
    assert PNG in made.seen[0][3]
    assert made.seen[2][2]["Authorization"] == "Bearer key"


def test_it_waits_as_long_as_it_is_told_and_a_bit_more() -> None:
    assert attempts([busy("2"), busy("4", 429), OK], ClientOptions()) == [2.5, 5.0]


def test_without_a_time_it_waits_longer_each_time() -> None:
    assert attempts([busy()] * 3 + [OK], ClientOptions()) == [0.5, 1.0, 2.0]


def test_attempts_and_their_time_are_bounded() -> None:
    with pytest.raises(RefusedError) as caught:
        attempts([busy("50")] * 9, ClientOptions(retry_s=60))
    assert caught.value.retry_after_s == 50
    with pytest.raises(RefusedError):
        attempts([busy("0")] * 2, ClientOptions(attempts=2))
    assert attempts([busy("0"), OK], ClientOptions(attempts=2)) == [0.0]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 413, 415, 500, 502, 504])
def test_other_refusals_are_final(status: int) -> None:
    with pytest.raises(ServiceError) as caught:
        attempts([busy("1", status)], ClientOptions())
    assert caught.value.status == status


def test_lost_connections_are_tried_again_where_that_does_no_harm() -> None:
    before, under_way = Lost("unreachable", "no", False), Lost("unreachable", "cut", True)

    assert len(attempts([before, under_way, OK], ClientOptions())) == 2
    assert len(attempts([before, OK], ClientOptions(), again=False)) == 1
    with pytest.raises(UnansweredError, match="cut"):
        attempts([under_way, OK], ClientOptions(), again=False)
    with pytest.raises(UnansweredError, match="slow"):
        attempts([Lost("request_timeout", "slow", True, final=True), OK], ClientOptions())


def test_a_connection_that_breaks_off_is_made_again_but_for_a_new_job(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(b"bytes")
    with stub([Answer(cut=True), records(allowed("k"))]) as made, Client(made.url) as client:
        assert client.scan(Item("k", PNG)).key == "k"
    with stub([Answer(cut=True)]) as made, Client(made.url) as client:
        with pytest.raises(UnansweredError, match="broke off") as caught:
            client.jobs.submit_archive(archive)
        assert len(made.seen) == 1
    assert caught.value.code == "unreachable"


def test_a_service_that_is_not_there_is_named_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    options = ClientOptions(retry_s=0.1)

    with (
        Client(f"http://127.0.0.1:{port}", "key", options) as client,
        pytest.raises(UnansweredError, match="cannot be reached") as caught,
    ):
        client.models()

    assert caught.value.code == "unreachable"
    assert "VEDETTE_URL" in caught.value.hint


def test_a_service_that_says_nothing_times_out_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        options = ClientOptions(answer_s=0.2)
        with Client(url, options=options) as client, pytest.raises(UnansweredError) as caught:
            client.scan(PNG)
    assert caught.value.code == "request_timeout"


def refused(answer: Answer) -> tuple[ServiceError, Stub]:
    with (
        stub([answer]) as made,
        Client(made.url, options=ClientOptions(answer_bytes=5000)) as client,
        pytest.raises(ServiceError) as caught,
    ):
        client.scan(Item("k", PNG))
    return caught.value, made


def test_a_redirect_is_not_followed_with_the_key() -> None:
    error, made = refused(Answer(307, b"", {"Location": "/elsewhere"}))

    assert isinstance(error, BadAnswerError)
    assert len(made.seen) == 1


def test_answers_are_bounded_and_unpacked_by_nobody() -> None:
    large, _ = refused(Answer(body=b" " * 6000))
    packed, _ = refused(Answer(body=b"x", headers={"Content-Encoding": "gzip"}))

    assert large.code == packed.code == "bad_answer"
    assert isinstance(large, BadAnswerError)


@pytest.mark.parametrize(
    "told",
    [
        [],
        [allowed("other")],
        [allowed("k"), allowed("k")],
        [allowed("k", action="allow", scores={}, labels={})],
        [allowed("k", action="allow", failure={"stage": "decode", "code": "empty", "message": ""})],
        [allowed("k", action="permit")],
        [None],
    ],
)
def test_what_does_not_fit_is_no_verdict(told: list[object]) -> None:
    error, _ = refused(records(*told))

    assert error.code == "bad_answer"


def test_an_allow_list_may_allow_what_no_model_saw() -> None:
    hit = {"list": "mine", "kind": "allow", "match": "sha256"}
    told = allowed("k", action="allow", scores={}, labels={}, reasons=[], listed=hit)
    with stub([records(told)]) as made, Client(made.url) as client:
        assert client.scan(Item("k", PNG)).verdict.action is Action.ALLOW


def test_texts_of_a_refusal_are_shown_harmlessly() -> None:
    body = b'{"error": {"message": "\\u001b[31m' + b"a" * 4000 + b'", "code": 7, "hint": ["x"]}}'

    error, _ = refused(Answer(400, body))

    assert error.code == "usage"
    assert len(error.message) < 600
    assert "\x1b" not in error.message


def test_a_page_that_is_not_ours_is_doubted() -> None:
    error, _ = refused(Answer(404, b"<html>nothing</html>"))

    assert error.code == "not_found"
    assert "address of a Vedette service" in error.hint


def test_retry_after_is_read_in_both_forms() -> None:
    now = datetime(2025, 11, 21, 15, 0, tzinfo=UTC)

    assert retry_after(" 7 ", now) == 7
    assert retry_after("Fri, 21 Nov 2025 15:01:00 GMT", now) == 60
    assert retry_after("Fri, 21 Nov 2025 14:00:00 GMT", now) == 0
    for told in (None, "", "soon", "-1", "1e9", "9" * 40, "nan", "²"):
        assert retry_after(told, now) is None


def test_a_file_for_the_answer_is_emptied_before_each_attempt() -> None:
    into = io.BytesIO(b"half an answ")
    steps = exchange(requests.results("0" * 32), Pace(ClientOptions()), into=into)

    next(steps)

    assert into.getvalue() == b""
    steps.close()


def test_requests_name_only_what_is_asked_for() -> None:
    assert requests.job("0" * 32).path == "/v1/jobs/" + "0" * 32
    with pytest.raises(Exception, match="no id of a job"):
        requests.job("../keys")
    with pytest.raises(Exception, match="1 keys for 2 URLs"):
        requests.submit_urls(["a", "b"], ["a"], Choice(), None)
