"""Answers of each service's form: read as its reference says, and refused where they are not."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.endpoints import server
from vedette.bench.endpoints import openai, rekognition, safesearch
from vedette.bench.endpoints.openai import OpenAI
from vedette.bench.endpoints.pictures import encoded
from vedette.bench.endpoints.rekognition import Rekognition
from vedette.bench.endpoints.safesearch import SafeSearch
from vedette.bench.endpoints.service import NoAnswer, Service
from vedette.bench.endpoints.sigv4 import Credentials, Scope, signed
from vedette.errors import UsageError
from vedette.taxonomy import Category

LOCAL = "http://127.0.0.1:1"
AWS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret/of+tests"}
PICTURE = encoded(np.zeros((8, 8, 3), np.uint8), OpenAI("", LOCAL, {}).limits)
SERVICES: dict[str, tuple[Service, Any]] = {
    "openai": (OpenAI("", LOCAL, {}), server.openai_answer),
    "rekognition": (Rekognition("", LOCAL, {}), server.rekognition_answer),
    "safesearch": (SafeSearch(LOCAL, {}), server.safesearch_answer),
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


def paths(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where every value stands inside a JSON value."""
    found = [before]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += paths(inner, (*before, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += paths(inner, (*before, index))
    return found


def with_another(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy of a JSON value with another value at a path."""
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = with_another(value[path[0]], path[1:], new)
    return copy


@pytest.mark.parametrize("name", SERVICES)
@given(body=json_values)
def test_anything_is_read_or_refused(name: str, body: Any) -> None:
    service, _ = SERVICES[name]
    with pytest.raises(NoAnswer):
        service.read(body)


@pytest.mark.parametrize("name", SERVICES)
@given(data=st.data(), new=json_values, p=st.floats(0, 1))
def test_an_answer_with_one_value_changed_gives_probabilities_or_nothing(
    name: str, data: st.DataObject, new: Any, p: float
) -> None:
    service, answer = SERVICES[name]
    whole = answer(p)
    body = with_another(whole, data.draw(st.sampled_from(paths(whole))), new)
    try:
        reading = service.read(body)
    except NoAnswer:
        return
    assert reading.p
    assert all(0 <= value <= 1 for value in reading.p.values())
    assert (reading.flagged or frozenset()) <= reading.p.keys()


@pytest.mark.parametrize("name", SERVICES)
@given(status=st.integers(300, 599).filter(lambda s: s != 200), body=json_values)
def test_any_error_means_something(name: str, status: int, body: Any) -> None:
    refusal = SERVICES[name][0].refusal(status, body)

    assert refusal.kind in ("again", "image", "all")
    assert refusal.message.startswith(str(status))
    if status in (401, 403):
        assert refusal.kind == "all"


# OpenAI


def openai_result(**changes: Any) -> dict[str, Any]:
    whole = server.openai_answer(0.2)
    whole["results"][0].update(changes)
    return whole


def test_keys_that_are_not_applied_to_the_image_are_not_covered() -> None:
    reading = SERVICES["openai"][0].read(server.openai_answer(0.6))

    assert reading.p.keys() == {
        Category.SEXUAL,
        Category.VIOLENCE,
        Category.SHOCKING,
        Category.SELF_HARM,
    }
    assert reading.revision == "omni-moderation-2024-09-26"


def test_a_clone_that_applies_more_covers_more() -> None:
    scores = {"Political": 0.3, "hate": 0.4, "Hate": 0.7, "their-own": 0.9}
    body = openai_result(
        category_scores=scores,
        categories=dict.fromkeys(scores, False) | {"hate": True},
        category_applied_input_types={key: ["text", "image"] for key in scores},
    )

    reading = SERVICES["openai"][0].read(body)

    assert reading.p == {Category.POLITICAL: 0.3, Category.HATE: 0.7}
    assert reading.flagged == frozenset({Category.HATE})


def test_without_the_field_text_keys_are_not_believed() -> None:
    body = openai_result()
    del body["results"][0]["category_applied_input_types"]

    assert Category.HATE not in SERVICES["openai"][0].read(body).p


def test_every_key_of_openai_counts_for_something() -> None:
    assert set(openai.CATEGORIES) == {*server.IMAGE_KEYS, *server.TEXT_KEYS}
    assert set(server.TEXT_KEYS) == openai.TEXT_ONLY


@pytest.mark.parametrize("score", [True, "0.5", None, -0.1, 1.1, [0.5]])
def test_a_score_that_is_no_probability_is_refused(score: object) -> None:
    body = openai_result()
    body["results"][0]["category_scores"]["sexual"] = score

    with pytest.raises(NoAnswer, match="sexual"):
        SERVICES["openai"][0].read(body)


def test_an_empty_account_is_not_asked_again() -> None:
    body = {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}

    assert SERVICES["openai"][0].refusal(429, body).kind == "all"
    assert SERVICES["openai"][0].refusal(429, None).kind == "again"


def test_the_request_is_the_published_one() -> None:
    service = OpenAI("m", LOCAL + "/v1/", {"VEDETTE_ENDPOINT_KEY": "k"})
    headers, body = service.request(PICTURE)

    assert service.access.url == LOCAL + "/v1/moderations"
    assert headers["Authorization"] == "Bearer k"
    fields = json.loads(body)
    assert fields.keys() == {"model", "input"}
    assert fields["input"][0]["type"] == "image_url"
    assert fields["input"][0]["image_url"]["url"].startswith("data:image/png;base64,")
    assert server.picture_of(fields) == PICTURE.data


# Rekognition


def labels(*given: tuple[str, str, float]) -> dict[str, Any]:
    return {
        "ModerationModelVersion": "7.0",
        "ModerationLabels": [
            {"Name": name, "ParentName": parent, "Confidence": value}
            for name, parent, value in given
        ],
    }


def test_labels_count_for_what_their_ancestors_do() -> None:
    body = labels(
        ("Explicit", "", 60.0),
        ("Explicit Nudity", "Explicit", 60.0),
        ("Exposed Buttocks or Anus", "Explicit Nudity", 91.0),
        ("Swimwear or Underwear", "", 99.0),
        ("Something new", "Visually Disturbing", 12.5),
        ("Unheard of", "", 99.0),
    )

    reading = SERVICES["rekognition"][0].read(body)

    assert reading.p[Category.SEXUAL] == pytest.approx(0.91)
    assert reading.p[Category.SHOCKING] == pytest.approx(0.125)
    assert reading.p[Category.HATE] == 0
    assert reading.revision == "7.0"
    assert set(reading.p) == set(rekognition.COVERED)


def test_no_label_is_an_answer_and_covers_the_same() -> None:
    reading = SERVICES["rekognition"][0].read(labels())

    assert set(reading.p.values()) == {0.0}
    assert [c.value for c in rekognition.COVERED] == [
        *("Hate", "Violence", "Self-harm", "Sexual", "Shocking", "Illegal activity")
    ]


def test_labels_in_a_circle_end() -> None:
    reading = SERVICES["rekognition"][0].read(labels(("a", "b", 50.0), ("b", "a", 50.0)))

    assert set(reading.p.values()) == {0.0}


@pytest.mark.parametrize(
    ("kind", "meaning"),
    [
        ("ThrottlingException", "again"),
        ("ProvisionedThroughputExceededException", "again"),
        ("com.amazonaws.rekognition#ThrottlingException", "again"),
        ("AccessDeniedException", "all"),
        ("UnrecognizedClientException", "all"),
        ("InvalidSignatureException", "all"),
        ("ExpiredTokenException", "all"),
        ("InvalidImageFormatException", "image"),
        ("ImageTooLargeException", "image"),
    ],
)
def test_errors_of_aws_are_told_apart_by_their_type(kind: str, meaning: str) -> None:
    refusal = SERVICES["rekognition"][0].refusal(400, {"__type": kind, "message": "why"})

    assert refusal.kind == meaning
    assert "why" in refusal.message


def test_with_credentials_the_request_is_signed_and_without_it_is_not() -> None:
    headers, body = Rekognition("eu-west-1", None, AWS | {"AWS_SESSION_TOKEN": "t"}).request(
        PICTURE
    )
    plain, _ = Rekognition("", LOCAL, {}).request(PICTURE)

    assert headers["X-Amz-Target"] == "RekognitionService.DetectModerationLabels"
    assert "/eu-west-1/rekognition/aws4_request" in headers["Authorization"]
    assert headers["X-Amz-Security-Token"] == "t"
    assert AWS["AWS_SECRET_ACCESS_KEY"] not in str(headers)
    assert json.loads(body)["MinConfidence"] == 0
    assert "Authorization" not in plain


# AWS Signature Version 4: published test suite, aws-sig-v4-test-suite

EXAMPLE = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
AT = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfI"
    "eoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0"
    "wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypN"
    "C9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)


@pytest.mark.parametrize(
    ("headers", "body", "names", "signature"),
    [
        pytest.param(
            {},
            b"",
            "host;x-amz-date",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            id="post-vanilla",
        ),
        pytest.param(
            {"Content-Type": "application/x-www-form-urlencoded"},
            b"Param1=value1",
            "content-type;host;x-amz-date",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            id="post-x-www-form-urlencoded",
        ),
        pytest.param(
            {"My-Header1": "value1"},
            b"",
            "host;my-header1;x-amz-date",
            "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
            id="post-header-key-sort",
        ),
    ],
)
def test_signatures_are_the_published_ones(
    headers: dict[str, str], body: bytes, names: str, signature: str
) -> None:
    scope = Scope("us-east-1", "service")

    out = signed("https://example.amazonaws.com/", headers, body, EXAMPLE, scope, AT)

    assert out["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}"
    )


def test_a_session_token_is_signed_too() -> None:
    scope = Scope("us-east-1", "service")
    given = Credentials(EXAMPLE.access_key, EXAMPLE.secret_key, TOKEN)

    out = signed("https://example.amazonaws.com/", {}, b"", given, scope, AT)

    # post-sts-header-before
    assert out["Authorization"].endswith(
        "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"
    )
    assert EXAMPLE.secret_key not in repr(given)


# SafeSearch


@pytest.mark.parametrize("level", safesearch.LIKELIHOODS)
def test_a_likelihood_is_its_level(level: str) -> None:
    found = dict.fromkeys(("adult", "violence"), level) | {"racy": "VERY_UNLIKELY"}

    reading = SERVICES["safesearch"][0].read({"responses": [{"safeSearchAnnotation": found}]})

    value = safesearch.LIKELIHOODS[level]
    assert reading.p == {Category.SEXUAL: value, Category.VIOLENCE: value}
    assert (value >= 0.5) == (level in ("LIKELY", "VERY_LIKELY"))


@pytest.mark.parametrize("value", ["UNKNOWN", "likely", "", None, 5, True])
def test_an_unknown_likelihood_is_no_answer(value: object) -> None:
    found = {"adult": "VERY_UNLIKELY", "violence": value, "racy": "VERY_UNLIKELY"}

    with pytest.raises(NoAnswer, match="violence"):
        SERVICES["safesearch"][0].read({"responses": [{"safeSearchAnnotation": found}]})


def test_an_images_own_error_is_no_answer() -> None:
    body = {"responses": [{"error": {"code": 3, "message": "Bad image data."}}]}

    with pytest.raises(NoAnswer, match="Bad image data"):
        SERVICES["safesearch"][0].read(body)


def test_googles_key_is_in_a_header_and_its_refusal_ends_the_run() -> None:
    service = SafeSearch(None, {"GOOGLE_API_KEY": "AIza-tests"})
    headers, _ = service.request(PICTURE)
    body = {"error": {"message": "API key not valid. Please pass a valid API key."}}

    assert headers["X-Goog-Api-Key"] == "AIza-tests"
    assert service.access.url == "https://vision.googleapis.com/v1/images:annotate"
    assert service.refusal(400, body).kind == "all"


# Keys and addresses


@pytest.mark.parametrize(
    "make",
    [
        lambda: OpenAI("", None, {}),
        lambda: SafeSearch(None, {}),
        lambda: Rekognition("us-east-1", None, {}),
        lambda: OpenAI("", None, {"OPENAI_API_KEY": "two words"}),
        lambda: Rekognition("us-east-1", None, AWS | {"AWS_SECRET_ACCESS_KEY": "a\nb"}),
    ],
)
def test_without_a_key_a_service_is_not_asked(make: Any) -> None:
    with pytest.raises(UsageError) as caught:
        make()

    assert caught.value.code == "endpoint_refused"
    assert "two words" not in f"{caught.value}{caught.value.hint}"


def test_a_services_own_key_is_not_for_other_addresses() -> None:
    service = OpenAI("", "https://clone.example", {"OPENAI_API_KEY": "theirs"})

    assert "Authorization" not in service.request(PICTURE)[0]
    assert "theirs" not in repr(service.access)


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://host", "host", "https://", "https://user:pw@host", "https://host?key=1"),
        *("https://host:99999", "https://host/a b", "http://other-machine", "https://hôst"),
    ],
)
def test_addresses_that_cannot_be_used_are_refused(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        OpenAI("", url, {"VEDETTE_ENDPOINT_KEY": "k"})

    assert "pw" not in caught.value.message


def test_without_a_key_plain_http_is_the_users_choice() -> None:
    assert OpenAI("", "http://other-machine", {}).access.url.startswith("http://other-machine/")


@pytest.mark.parametrize("region", ["us east", "https://x", "../..", "us-east-1.evil.example"])
def test_a_region_is_a_region(region: str) -> None:
    with pytest.raises(UsageError):
        Rekognition(region, None, AWS)
