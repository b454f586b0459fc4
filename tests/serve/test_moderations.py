"""The official ``openai`` client, unchanged but for base_url, against a real server."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import hashlib
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.serve.doubles import (
    SCAN_KEY,
    USELESS_KEY,
    CountingLimiter,
    FixedFetcher,
    FixedLists,
    RememberedAudit,
    services_of,
)
from tests.serve.served import Served, served
from vedette.serve.fetching import UrlFetcher
from vedette.serve.openai_form import COUNTED, IMAGE_KEYS, KEYS
from vedette.serve.options import FetchOptions, RequestLimits, ServeOptions
from vedette.serve.services import Listed

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
SHAPES = (PICTURES / "shapes.png").read_bytes()
CIRCLE = (PICTURES / "circle.png").read_bytes()
URL = "http://pictures.test/shapes.png?signature=secret"
LISTED_URL = "http://pictures.test/listed.png"
ALLOWED_URL = "http://pictures.test/allowed.png"
LISTED, ALLOWED = b"stands on a block-list", b"stands on an allow-list"


def uri(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def image(url: str) -> Any:
    return {"type": "image_url", "image_url": {"url": url}}


def text(words: str) -> Any:
    return {"type": "text", "text": words}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(scope="module")
def service() -> Iterator[Served]:
    pages = {URL: SHAPES, LISTED_URL: LISTED, ALLOWED_URL: ALLOWED}
    hits = {
        sha256(LISTED): Listed("known", "block", "sha256", 0, "7"),
        sha256(ALLOWED): Listed("ours", "allow", "sha256", 0, "8"),
    }
    with served(fetcher=FixedFetcher(pages), lists=FixedLists(hits)) as running:
        yield running


@pytest.fixture(scope="module")
def client(service: Served) -> Iterator[openai.OpenAI]:
    with client_of(service) as made:
        yield made


def client_of(service: Served, key: str = SCAN_KEY) -> openai.OpenAI:
    """A client that checks every answer against its types, which by default it does not."""
    return openai.OpenAI(
        base_url=f"{service.url}/v1",
        api_key=key,
        max_retries=0,
        timeout=60,
        _strict_response_validation=True,
    )


def own(result: Any) -> Any:
    return result.model_extra["vedette"]


def test_a_data_uri(client: openai.OpenAI) -> None:
    answer = client.moderations.create(model="omni-moderation-latest", input=[image(uri(SHAPES))])

    (result,) = answer.results
    (record,) = own(result)["records"]
    assert answer.id.startswith("modr-")
    assert answer.model == "dummy@1"
    assert record["sha256"] == sha256(SHAPES)
    assert result.flagged == (record["action"] != "allow")
    assert result.category_scores.sexual == record["scores"]["Sexual"]
    assert result.category_scores.violence_graphic == record["scores"]["Shocking"]
    assert result.category_scores.illicit == record["scores"]["Illegal activity"]
    flagged = {reason["category"] for reason in record["reasons"]}
    told = result.categories.model_dump(by_alias=True)
    assert flagged
    assert {key for key, is_flagged in told.items() if is_flagged} == {
        key for key, category in COUNTED.items() if category in flagged
    }
    assert own(result)["scanned"] is True
    assert own(result)["not_scanned"] == []


def test_an_http_url_on_a_host_that_is_fetched(client: openai.OpenAI) -> None:
    by_url = client.moderations.create(input=[image(URL)]).results[0]
    by_uri = client.moderations.create(input=[image(uri(SHAPES))]).results[0]

    assert by_url.category_scores == by_uri.category_scores
    assert by_url.flagged == by_uri.flagged


@pytest.fixture
def pictures_host() -> Iterator[str]:
    """An HTTP server of one's own, at its address."""

    class Pictures(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(SHAPES)))
            self.end_headers()
            self.wfile.write(SHAPES)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Pictures) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/shapes.png"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("is_listed", [True, False])
def test_the_real_fetcher_asks_a_host_that_is_allow_listed_and_no_other(
    pictures_host: str, is_listed: bool
) -> None:
    port = int(pictures_host.split(":")[2].partition("/")[0])
    hosts = ("127.0.0.1",) if is_listed else ()
    options = FetchOptions(enabled=True, hosts=hosts, private_hosts=hosts, ports=(port,))
    fetcher = UrlFetcher(options)
    with (
        closing(fetcher),
        served(fetcher=fetcher) as running,
        client_of(running) as client,
    ):
        (result,) = client.moderations.create(input=[image(pictures_host)]).results

    (record,) = own(result)["records"]
    if is_listed:
        assert record["sha256"] == sha256(SHAPES)
    else:
        assert record["failure"]["code"] == "url_refused"
        assert result.flagged is True


def test_every_key_is_there_and_what_cannot_be_judged_never_is(client: openai.OpenAI) -> None:
    (result,) = client.moderations.create(input=[image(uri(SHAPES))]).results

    for part in (result.categories, result.category_scores, result.category_applied_input_types):
        assert set(part.model_dump(by_alias=True)) == set(COUNTED)
    applied = result.category_applied_input_types.model_dump(by_alias=True)
    assert {key for key, types in applied.items() if types == ["image"]} == {
        key
        for key, category in COUNTED.items()
        if category and (key in IMAGE_KEYS or key not in KEYS)
    }
    assert result.categories.sexual_minors is False
    assert result.category_scores.sexual_minors == 0.0
    assert "hate" in own(result)["covered"]
    assert "sexual/minors" not in own(result)["covered"]


def test_a_text_is_not_scanned_and_never_safe(client: openai.OpenAI) -> None:
    (result,) = client.moderations.create(input="hello").results

    assert result.flagged is True
    assert not any(result.categories.model_dump().values())
    assert not any(result.category_scores.model_dump().values())
    assert not any(result.category_applied_input_types.model_dump().values())
    assert own(result)["scanned"] is False
    assert own(result)["action"] == "review"
    assert [one["type"] for one in own(result)["not_scanned"]] == ["text"]


def test_each_text_of_a_list_has_its_result(client: openai.OpenAI) -> None:
    results = client.moderations.create(input=["one", "two", ""]).results

    assert [result.flagged for result in results] == [True, True, True]
    assert not any(own(result)["scanned"] for result in results)


def test_a_text_alone_is_flagged_even_where_text_is_ignored(client: openai.OpenAI) -> None:
    (result,) = client.moderations.create(input="hello", extra_body={"text": "ignore"}).results

    assert result.flagged is True


@pytest.fixture(scope="module")
def lenient(service: Served) -> str:
    """A policy by which a picture is allowed, so that only the text can be what flags it."""
    for name in service.services.policies:
        with client_of(service) as client:
            if (
                not client.moderations.create(
                    input=[image(uri(CIRCLE))], extra_body={"policy": name}
                )
                .results[0]
                .flagged
            ):
                return name
    raise AssertionError("the dummy model finds something in every picture")


def test_text_beside_an_image_is_flagged_unless_it_is_moderated_elsewhere(
    client: openai.OpenAI, lenient: str
) -> None:
    parts = [text("a caption"), image(uri(CIRCLE))]
    body = {"policy": lenient}

    strict = client.moderations.create(input=parts, extra_body=body).results[0]
    ignoring = client.moderations.create(input=parts, extra_body={**body, "text": "ignore"})
    by_header = client.moderations.create(
        input=parts, extra_headers={"X-Vedette-Policy": lenient, "X-Vedette-Text": "ignore"}
    )
    empty = client.moderations.create(input=[text(" \n"), parts[1]], extra_body=body)

    assert strict.flagged is True
    assert own(strict)["not_scanned"][0] == {
        "index": 0,
        "type": "text",
        "why": "no model for text: only images are scanned here",
    }
    for answer in (ignoring, by_header):
        assert answer.results[0].flagged is False
        assert own(answer.results[0])["scanned"] is False  # it says so nevertheless
    assert empty.results[0].flagged is False
    assert own(empty.results[0])["scanned"] is True


def test_several_images_are_one_input(client: openai.OpenAI) -> None:
    each = [client.moderations.create(input=[image(uri(x))]).results[0] for x in (SHAPES, CIRCLE)]

    (both,) = client.moderations.create(input=[image(uri(SHAPES)), image(uri(CIRCLE))]).results

    assert both.flagged == any(one.flagged for one in each)
    assert both.category_scores.sexual == max(one.category_scores.sexual for one in each)
    assert both.category_scores.hate == max(one.category_scores.hate for one in each)
    assert [record["key"] for record in own(both)["records"]] == ["0", "1"]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (uri(b"not a picture"), "unsupported_format"),
        (uri(SHAPES[: len(SHAPES) // 2]), "truncated"),
        ("http://pictures.test/none.png", "unreadable"),
    ],
)
def test_an_image_that_is_not_scanned_is_flagged(
    client: openai.OpenAI, url: str, why: str, lenient: str
) -> None:
    (result,) = client.moderations.create(
        input=[image(uri(CIRCLE)), image(url)], extra_body={"policy": lenient}
    ).results

    assert result.flagged is True
    (missing,) = own(result)["not_scanned"]
    assert missing["index"] == 1
    assert why in missing["why"]


def test_what_a_hash_list_decides(client: openai.OpenAI) -> None:
    blocked = client.moderations.create(input=[image(LISTED_URL)]).results[0]
    allowed = client.moderations.create(input=[image(ALLOWED_URL)]).results[0]

    assert blocked.flagged is True
    assert allowed.flagged is False
    for result in (blocked, allowed):
        assert not any(result.category_applied_input_types.model_dump().values())
        assert "hash list" in own(result)["not_scanned"][0]["why"]


def test_decisions_are_kept_with_whom_they_are_about() -> None:
    audit = RememberedAudit()
    with served(audit=audit) as running, client_of(running) as client:
        answer = client.moderations.create(
            input=[text("x"), image(uri(SHAPES))], extra_body={"subject": "user-7"}
        )

    (kept,) = audit.kept
    assert kept.subject == "user-7"
    assert kept.id == own(answer.results[0])["records"][0]["decision_id"]
    assert answer.id == f"modr-{kept.request_id}"


def test_categories_restrict_the_policy(client: openai.OpenAI) -> None:
    (result,) = client.moderations.create(
        input=[image(uri(SHAPES))], extra_body={"policy": "strict", "categories": ["spam"]}
    ).results

    assert own(result)["policy"] == "strict[Spam]@1"
    told = result.categories.model_dump(by_alias=True)
    assert {key for key, is_flagged in told.items() if is_flagged} <= {"spam"}


@pytest.mark.parametrize("name", ["dummy", "omni-moderation-2024-09-26", "text-moderation-stable"])
def test_names_of_models(client: openai.OpenAI, name: str) -> None:
    assert client.moderations.create(model=name, input="x").model == "dummy@1"


BAD = [
    ({"input": "x", "model": "nothing"}, "unknown_name"),
    ({"input": "x", "extra_body": {"policy": "nothing"}}, "unknown_name"),
    ({"input": "x", "extra_body": {"categories": ["nothing"]}}, "usage"),
    ({"input": "x", "extra_body": {"text": "perhaps"}}, "usage"),
    ({"input": "x", "extra_headers": {"X-Vedette-Text": "perhaps"}}, "usage"),
    ({"input": []}, "usage"),
    ({"input": [1]}, "usage"),
    ({"input": ["x", text("y")]}, "usage"),
    ({"input": [image(uri(SHAPES)), "x"]}, "usage"),
    ({"input": [{"type": "image_url"}]}, "usage"),
    ({"input": [{"type": "sound", "text": "x"}]}, "usage"),
    ({"input": [image("data:image/png;base64,!")]}, "usage"),
    ({"input": {"type": "text"}}, "usage"),
    ({"input": "x", "model": "n" * 1000}, "usage"),
    ({"input": ["x"] * 1000}, "usage"),
]


@pytest.mark.parametrize(("given", "code"), BAD, ids=[str(n) for n in range(len(BAD))])
def test_a_wrong_request_raises_the_clients_own_error(
    client: openai.OpenAI, given: Any, code: str
) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        client.moderations.create(**given)

    assert raised.value.code == code
    assert raised.value.type == "invalid_request_error"
    assert raised.value.request_id
    assert len(raised.value.message) < 2000


def test_keys_raise_the_clients_own_errors(service: Served) -> None:
    with client_of(service, "nobodys") as client, pytest.raises(openai.AuthenticationError) as no:
        client.moderations.create(input="x")
    with client_of(service, USELESS_KEY) as client, pytest.raises(openai.PermissionDeniedError):
        client.moderations.create(input="x")

    assert no.value.code == "unauthorized"
    assert "nobodys" not in no.value.message


def test_limits_raise_the_clients_own_errors() -> None:
    options = ServeOptions(models=("dummy",), limits=RequestLimits(images=2))
    made = dataclasses.replace(services_of(options), limiter=CountingLimiter(allowance=2))
    picture = image(uri(CIRCLE))
    with served(made) as running, client_of(running) as client:
        with pytest.raises(openai.APIStatusError) as many:
            client.moderations.create(input=[picture] * 3)
        client.moderations.create(input=[picture, picture])
        with pytest.raises(openai.RateLimitError) as often:
            client.moderations.create(input=[picture])
        made.engine.drain()
        with pytest.raises(openai.InternalServerError) as ends:
            client.moderations.create(input=[picture])

    assert many.value.status_code == 413
    assert often.value.response.headers["retry-after"] == "7"
    assert ends.value.code == "shutting_down"
    assert ends.value.status_code == 503


def test_nothing_is_answered_where_decisions_cannot_be_kept() -> None:
    with (
        served(audit=RememberedAudit(broken=True)) as running,
        client_of(running) as client,
        pytest.raises(openai.InternalServerError) as raised,
    ):
        client.moderations.create(input=[image(uri(CIRCLE))])

    assert raised.value.code == "write_failed"


def test_the_async_client(service: Served) -> None:
    async def ask() -> Any:
        async with openai.AsyncOpenAI(
            base_url=f"{service.url}/v1",
            api_key=SCAN_KEY,
            max_retries=0,
            _strict_response_validation=True,
        ) as client:
            create = client.moderations.create
            return await asyncio.gather(
                create(input=[image(uri(SHAPES))]),
                create(input=[image(URL)]),
                create(input="words"),
                create(input=["more", "words"]),
                create(input=[image("data:,x")], model="none"),
                return_exceptions=True,
            )

    data, url, words, more, wrong = asyncio.run(ask())

    assert data.results[0].category_scores == url.results[0].category_scores
    assert words.results[0].flagged
    assert len(more.results) == 2
    assert isinstance(wrong, openai.BadRequestError)


def test_other_kinds_of_bodies_are_refused(service: Served) -> None:
    auth = {"Authorization": f"Bearer {SCAN_KEY}"}
    form = httpx.post(f"{service.url}/v1/moderations", data={"input": "x"}, headers=auth)
    broken = httpx.post(
        f"{service.url}/v1/moderations",
        content=b'{"input": ["\xff"]}',
        headers={**auth, "Content-Type": "application/json"},
    )

    assert form.status_code == 415
    assert broken.status_code == 400
    assert broken.json()["error"]["code"] == "usage"
