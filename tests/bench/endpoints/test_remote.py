"""Endpoints over HTTP: in order, kept, paced, paid for once, and stopped where they must be."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.bench.endpoints import server
from tests.bench.endpoints.pictures import items, red
from tests.bench.endpoints.server import KEY, Reply
from tests.pictures import drawn, encoded
from vedette.bench.endpoints import EndpointOptions, open_endpoint
from vedette.bench.predictor import Answer, Predictor
from vedette.errors import VedetteError
from vedette.settings import Settings
from vedette.taxonomy import Category
from vedette.types import Failure, Item

MODEL = "openai:omni-moderation-latest"


def opened(options: EndpointOptions, name: str = MODEL) -> Predictor:
    return open_endpoint(name, options, Settings())


def answers(options: EndpointOptions, given: list[Item], name: str = MODEL) -> list[Answer]:
    predictor = opened(options, name)
    try:
        return list(predictor.predict(given))
    finally:
        predictor.close()


def into(found: list[Answer], predictor: Predictor, given: list[Item]) -> None:
    """All answers until an error, which comes through."""
    for answer in predictor.predict(given):
        found.append(answer)  # noqa: PERF402 - an error comes in between


def code_of(answer: Answer) -> str | None:
    return answer.failure.code if answer.failure else None


def without_ms(answer: Answer) -> dict[str, Any]:
    return {**dataclasses.asdict(answer), "ms": None}


def test_answers_come_in_order_with_hash_scores_decision_and_time(
    options: EndpointOptions,
) -> None:
    given = items(9)

    found = answers(options, given)

    assert [answer.key for answer in found] == [item.key for item in given]
    for item, answer in zip(given, found, strict=True):
        assert isinstance(item.data, bytes)
        assert answer.sha256 == hashlib.sha256(item.data).hexdigest()
        assert answer.p is not None
        assert answer.p[Category.SEXUAL] == pytest.approx(server.redness(item.data), abs=1e-6)
        assert set(answer.p) == {
            Category.SEXUAL,
            Category.VIOLENCE,
            Category.SHOCKING,
            Category.SELF_HARM,
        }
        # Flagged by the service from 0.3 on: its own decision, not ours at 0.5.
        assert (Category.SEXUAL in (answer.flagged or ())) == (answer.p[Category.SEXUAL] >= 0.3)
        assert answer.ms is not None
        assert answer.ms > 0


def test_the_card_says_who_gets_the_pictures_and_which_model_answers(
    options: EndpointOptions, service: server.Service
) -> None:
    predictor = opened(dataclasses.replace(options, price=0.002))

    card = predictor.card

    host = service.url.removeprefix("http://")
    assert card.name == MODEL
    assert card.model == f"{host}/omni-moderation-latest@omni-moderation-2024-09-26"
    assert card.kind == "endpoint"
    assert card.facts["sends_images_to"] == f"{service.url}/v1/moderations"
    assert card.price_per_1000 == 2
    assert [c.value for c in card.covered] == ["Violence", "Self-harm", "Sexual", "Shocking"]
    json.dumps(dataclasses.asdict(card))
    list(predictor.predict(items(4)))
    assert predictor.card == card, "a card does not change while it is used"
    predictor.close()


def test_opening_sends_nothing_and_the_first_question_is_a_drawn_square(
    options: EndpointOptions, service: server.Service
) -> None:
    predictor = opened(options)
    assert service.requests == []

    assert predictor.card.covered

    (request,) = service.requests
    assert server.redness(server.picture_of(request.body)) == pytest.approx(128 / 255)
    predictor.close()


def test_a_second_run_asks_for_nothing(options: EndpointOptions, service: server.Service) -> None:
    first = answers(options, items(6))
    sent = len(service.requests)

    second = answers(options, items(6))

    assert sent == 7  # the probe too
    assert len(service.requests) == sent
    assert [dataclasses.asdict(a) for a in second] == [dataclasses.asdict(a) for a in first]


def test_the_same_picture_under_two_keys_is_asked_about_once(
    options: EndpointOptions, service: server.Service
) -> None:
    one = dataclasses.replace(options, concurrency=1)

    found = answers(one, [Item("a", red(40)), Item("b", red(40))])

    assert len(service.requests) == 2
    assert found[0].p == found[1].p


def test_answers_are_kept_apart_by_model_and_address(
    options: EndpointOptions, service: server.Service
) -> None:
    answers(options, items(2))
    answers(options, items(2), "openai:another-model")

    assert len(service.requests) == 6


def test_what_cannot_be_decoded_is_a_failure_and_is_never_sent(
    options: EndpointOptions, service: server.Service, tmp_path: Path
) -> None:
    whole = encoded(drawn(1), "JPEG")
    frames = [drawn(seed, 20, 20) for seed in range(3)]
    bad = {
        "empty": b"",
        "truncated": whole[: len(whole) // 2],
        "unsupported_format": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
    }
    given = [Item(name, data) for name, data in bad.items()]
    given.append(Item("not_found", tmp_path / "gone.png"))
    given.append(Item("unreadable", Failure("fetch", "unreadable", "no")))

    found = answers(options, given)

    assert [code_of(answer) for answer in found] == [item.key for item in given]
    assert all(answer.p is None for answer in found)
    assert found[1].sha256 == hashlib.sha256(bad["truncated"]).hexdigest()
    assert len(service.requests) == 1  # the probe


def test_concurrency_changes_no_answer(options: EndpointOptions, tmp_path: Path) -> None:
    runs = [
        answers(
            dataclasses.replace(options, concurrency=n, cache=tmp_path / str(n)),
            [*items(10), Item("bad", b"no picture")],
        )
        for n in (1, 4, 16)
    ]

    assert [without_ms(a) for a in runs[0]] == [without_ms(a) for a in runs[1]]
    assert [without_ms(a) for a in runs[0]] == [without_ms(a) for a in runs[2]]


# What goes wrong for a while


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 529])
def test_a_refusal_that_passes_is_asked_again(
    status: int, options: EndpointOptions, service: server.Service
) -> None:
    service.replies = [Reply(status), Reply(status)]

    found = answers(options, items(1))

    assert code_of(found[0]) is None
    assert len(service.requests) == 4


def test_retry_after_is_waited_for(options: EndpointOptions, service: server.Service) -> None:
    service.replies = [Reply(429, headers={"Retry-After": "1"})]

    answers(options, items(1))

    first, second = (request.at for request in service.requests[:2])
    assert second - first >= 1


def test_a_service_that_asks_to_wait_for_hours_ends_the_run(
    options: EndpointOptions, service: server.Service
) -> None:
    service.replies = [Reply(429, headers={"Retry-After": "7200"})]

    with pytest.raises(VedetteError, match="wait 7200 s") as caught:
        answers(options, items(1))

    assert caught.value.code == "endpoint_refused"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(500, b'{"error": {"message": "try later"}}'), "500 try later"),
        (Reply(200, b"{", cut=0), "broke off"),
        (Reply(200, b"x" * (2**20 + 1)), "larger than"),
        (Reply(200, b"{}", headers={"Content-Encoding": "gzip"}), "compressed"),
    ],
)
def test_retries_end_with_a_failure(
    reply: Reply, reason: str, options: EndpointOptions, service: server.Service
) -> None:
    service.always = reply

    found = answers(options, items(2))

    assert [code_of(answer) for answer in found] == ["no_answer", "no_answer"]
    assert all(answer.failure and reason in answer.failure.message for answer in found)
    assert len(service.requests) == 1 + 2 * 3


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[1", b"\xff\xfe", b'{"results": NaN}', b"[" * 100_000, b"null", b"[]"],
)
def test_an_answer_that_cannot_be_read_is_a_failure_and_is_not_paid_for_again(
    body: bytes, options: EndpointOptions, service: server.Service
) -> None:
    service.always = Reply(200, body)

    found = answers(options, items(1))

    assert code_of(found[0]) == "no_answer"
    assert len(service.requests) == 2


@pytest.mark.parametrize(
    "slow", [Reply(200, b" ", delay_s=3.0), Reply(200, b" " * 200, drip_s=0.06)]
)
def test_a_slow_answer_is_given_up(
    slow: Reply, options: EndpointOptions, service: server.Service
) -> None:
    service.always = slow
    quick = dataclasses.replace(options, timeout_s=0.8, retries=0)

    found = answers(quick, items(1))

    assert found[0].failure is not None
    assert "no answer in time" in found[0].failure.message


def test_headers_that_drip_are_given_up(tmp_path: Path) -> None:
    import socket
    import threading

    def drip(listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
            with connection:
                while True:
                    connection.sendall(b"H")
                    time.sleep(0.05)
        except OSError:
            pass  # the client has left, or the test is over

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=drip, args=(listener,), daemon=True).start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        options = EndpointOptions(base_url=address, timeout_s=0.3, retries=0, cache=tmp_path)
        with pytest.raises(VedetteError, match="no answer in time") as caught:
            answers(options, items(1))
    assert caught.value.code == "endpoint_refused"


def test_an_endpoint_that_is_gone_ends_the_run_after_some_images(
    options: EndpointOptions, service: server.Service
) -> None:
    service.always = Reply(503)
    none = dataclasses.replace(options, retries=0, concurrency=2)
    predictor = opened(none)
    found: list[Answer] = []

    with pytest.raises(VedetteError, match="10 images in a row") as caught:
        into(found, predictor, items(40))
    predictor.close()

    assert caught.value.code == "endpoint_down"
    assert [code_of(answer) for answer in found] == ["no_answer"] * 10
    assert len(service.requests) <= 1 + 10 + 4


def test_no_server_at_all_is_told(tmp_path: Path) -> None:
    options = EndpointOptions(
        base_url="http://127.0.0.1:9", retries=0, cache=tmp_path, backoff_s=0.001
    )

    with pytest.raises(VedetteError, match=r"127\.0\.0\.1:9") as caught:
        answers(options, items(1))

    assert caught.value.code == "endpoint_refused"


# What ends a run


@pytest.mark.parametrize("status", [401, 403, 404, 402, 301, 302, 303, 307, 308])
def test_a_refusal_for_good_ends_the_run_and_keeps_what_was_answered(
    status: int, options: EndpointOptions, service: server.Service
) -> None:
    one = dataclasses.replace(options, concurrency=1)
    answers(one, items(3))
    sent = len(service.requests)
    service.always = Reply(status, headers={"Location": f"{service.url}/other"})
    predictor = opened(one)
    found: list[Answer] = []

    with pytest.raises(VedetteError) as caught:
        into(found, predictor, [*items(3), Item("new", red(7)), Item("more", red(9))])
    predictor.close()

    assert caught.value.code == "endpoint_refused"
    assert [answer.key for answer in found] == ["000.png", "001.png", "002.png"]
    assert all(request.path == "/v1/moderations" for request in service.requests)
    assert len(service.requests) <= sent + 2


def test_an_image_that_is_refused_costs_that_image_only(
    options: EndpointOptions, service: server.Service
) -> None:
    bad = Reply(400, b'{"error": {"message": "the picture\\u202e is too small"}}')
    service.choke_on = lambda p: bad if p > 0.9 else None

    found = answers(options, items(5))

    assert [code_of(answer) for answer in found] == [None] * 4 + ["no_answer"]
    assert found[4].failure is not None
    assert "is too small" in found[4].failure.message
    assert "\u202e" not in found[4].failure.message


def test_a_model_that_changes_under_its_name_ends_the_run(
    options: EndpointOptions, service: server.Service
) -> None:
    moved = {**server.openai_answer(0.5), "model": "omni-moderation-2027"}
    service.always = Reply(200, json.dumps(moved).encode())

    with pytest.raises(VedetteError, match="omni-moderation-2027") as caught:
        answers(options, items(1))

    assert caught.value.code == "endpoint_refused"
    assert "VEDETTE_CACHE" in caught.value.hint


def test_an_answer_that_covers_less_than_the_first_is_a_failure(
    options: EndpointOptions, service: server.Service
) -> None:
    less = server.openai_answer(0.0)
    less["results"][0]["category_applied_input_types"]["sexual"] = []
    service.always = Reply(200, json.dumps(less).encode())

    found = answers(options, items(1))

    assert code_of(found[0]) == "no_answer"
    assert found[0].failure is not None
    assert "Sexual" in found[0].failure.message


# Money


def test_the_cap_is_not_passed_and_what_was_answered_is_kept(
    options: EndpointOptions, service: server.Service
) -> None:
    capped = dataclasses.replace(options, price=0.1, max_cost=0.5, concurrency=3)
    predictor = opened(capped)
    found: list[Answer] = []

    with pytest.raises(VedetteError, match=r"0\.5 USD \(5 paid") as caught:
        into(found, predictor, items(9))
    predictor.close()

    assert caught.value.code == "cost_cap"
    assert len(service.requests) == 5
    rest = answers(dataclasses.replace(capped, max_cost=0.5), items(9))
    assert len(service.requests) == 10  # nine pictures and the probe, each once
    assert [code_of(answer) for answer in rest] == [None] * 9


def test_refusals_are_not_counted_as_paid(
    options: EndpointOptions, service: server.Service
) -> None:
    capped = dataclasses.replace(options, price=1.0, max_cost=2.0, concurrency=1)
    service.replies = [Reply(429), Reply(500)]

    found = answers(capped, items(1))

    assert code_of(found[0]) is None


def test_an_answer_that_did_not_arrive_is_counted_as_paid(
    options: EndpointOptions, service: server.Service
) -> None:
    capped = dataclasses.replace(options, price=1.0, max_cost=2.0, concurrency=1)
    service.replies = [Reply(200, b"{}", cut=0)]

    with pytest.raises(VedetteError) as caught:
        answers(capped, items(1))

    assert caught.value.code == "cost_cap"
    assert len(service.requests) == 2


# Keys


def test_the_key_goes_to_the_endpoint_and_nowhere_else(
    options: EndpointOptions,
    service: server.Service,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("VEDETTE_ENDPOINT_KEY", KEY)
    echo = json.dumps({"error": {"message": f"bad picture for {KEY}"}}).encode()
    service.choke_on = lambda p: Reply(400, echo) if p > 0.9 else None
    predictor = opened(options)

    found = list(predictor.predict(items(3)))
    told = repr((found, predictor, predictor.card, vars(predictor)))
    predictor.close()

    assert service.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in told
    assert "[key]" in told
    assert KEY not in "".join(capfd.readouterr())
    for file in (options.cache or Path()).rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes()


def test_a_refused_key_is_not_in_the_error(
    options: EndpointOptions, service: server.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEDETTE_ENDPOINT_KEY", KEY)
    body = json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}"}}).encode()
    service.replies = [Reply(401, body)]

    with pytest.raises(VedetteError) as caught:
        answers(options, items(1))

    assert caught.value.code == "endpoint_refused"
    assert "Incorrect API key" in caught.value.message
    assert KEY not in f"{caught.value!r} {caught.value.hint}"


# A kill

RUN = """
import sys
from pathlib import Path
from tests.bench.endpoints.pictures import items
from vedette.bench.endpoints import EndpointOptions, open_endpoint
from vedette.settings import Settings
options = EndpointOptions(base_url=sys.argv[1], rate=50.0, cache=Path(sys.argv[2]), concurrency=2)
predictor = open_endpoint("openai:m", options, Settings())
for answer in predictor.predict(items(40)):
    print(answer.key, flush=True)
"""


def test_after_a_kill_nothing_is_sent_twice_that_was_answered(
    service: server.Service, tmp_path: Path
) -> None:
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", RUN, service.url, str(tmp_path)]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}
    )
    assert child.stdout is not None
    with child.stdout:
        for _ in range(8):
            assert child.stdout.readline()
        child.send_signal(signal.SIGKILL)
    child.wait()
    first = {json.dumps(request.body) for request in service.requests}
    sent = len(service.requests)
    assert 9 <= sent < 41

    options = EndpointOptions(base_url=service.url, rate=1e4, cache=tmp_path)
    found = answers(options, items(40), "openai:m")

    again = [request for request in service.requests[sent:] if json.dumps(request.body) in first]
    assert [code_of(answer) for answer in found] == [None] * 40
    assert len(again) <= 2, "at most what was under way when it was killed"
    assert len(service.requests) - len(again) == 41
