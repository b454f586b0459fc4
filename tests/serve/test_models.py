"""What a caller may name: models and policies."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import openai
import pytest

from tests.serve.doubles import SCAN_KEY, USELESS_KEY, presets
from tests.serve.served import Served, served
from vedette.models.registry import entries
from vedette.policy import load_policy, parse_policy
from vedette.serve.hashing import policy_hash
from vedette.serve.routes.models import model_dict


@pytest.fixture(scope="module")
def service() -> Iterator[Served]:
    with served() as running:
        yield running


def get(service: Served, path: str, key: str = SCAN_KEY) -> httpx.Response:
    return httpx.get(f"{service.url}{path}", headers={"Authorization": f"Bearer {key}"})


def test_the_openai_client_lists_and_retrieves_models(service: Served) -> None:
    with openai.OpenAI(
        base_url=f"{service.url}/v1",
        api_key=SCAN_KEY,
        max_retries=0,
        _strict_response_validation=True,
    ) as client:
        (listed,) = client.models.list().data
        one = client.models.retrieve("dummy")
        with pytest.raises(openai.NotFoundError) as none:
            client.models.retrieve("dumy")

    assert listed == one
    assert one.id == "dummy"
    assert none.value.code == "not_found"


def test_a_model_has_the_facts_of_its_card(service: Served) -> None:
    card = entries()["dummy"].card

    (told,) = get(service, "/v1/models").json()["data"]

    assert told == get(service, "/v1/models/dummy").json() == model_dict("dummy", card, None)
    assert told["covered"] == [category.value for category in card.covered]
    for fact in ("revision", "licence", "terms", "trained_on", "source", "sha256"):
        assert told[fact] == getattr(card, fact)


def test_only_covered_categories_have_moderation_keys() -> None:
    told = model_dict("nudenet", entries()["nudenet"].card, None)

    assert told["covered"] == ["Sexual"]
    assert told["moderation_keys"] == ["sexual"]


def test_names_with_slashes_are_models_too(service: Served) -> None:
    answer = get(service, "/v1/models/heads/none.safetensors")

    assert answer.status_code == 404
    assert answer.json()["error"]["param"] == "model"


def test_policies_are_told_whole(service: Served) -> None:
    listed = get(service, "/v1/policies").json()["data"]

    assert [one["id"] for one in listed] == list(presets())
    for told in listed:
        policy = load_policy(told["name"])
        assert parse_policy(told["text"], "answer") == policy
        assert told["sha256"] == policy_hash(policy)
        assert told["on_failure"] == policy.on_failure
        assert set(told["categories"]) == {category.value for category in policy.categories}


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/dummy", "/v1/policies"])
def test_a_key_with_the_scope_is_needed(service: Served, path: str) -> None:
    assert httpx.get(f"{service.url}{path}").status_code == 401
    assert get(service, path, USELESS_KEY).status_code == 403
    assert get(service, path).status_code == 200
