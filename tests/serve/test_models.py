"""What a caller may name: models and policies."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.serve.doubles import SCAN_KEY, USELESS_KEY, presets
from tests.serve.served import Served, served
from vedette.models.registry import entries
from vedette.policy import PRESETS, Policy, RegionRule, Rule, load_policy, parse_policy
from vedette.serve.hashing import policy_hash
from vedette.serve.policy_text import policy_text
from vedette.serve.routes.models import model_dict
from vedette.taxonomy import Category
from vedette.types import Action


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

    assert told == get(service, "/v1/models/dummy").json() == model_dict("dummy", card)
    assert told["covered"] == [category.value for category in card.covered]
    for fact in ("revision", "licence", "terms", "trained_on", "source", "sha256"):
        assert told[fact] == getattr(card, fact)


def test_only_covered_categories_have_moderation_keys() -> None:
    told = model_dict("nudenet", entries()["nudenet"].card)

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


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_their_text(name: str) -> None:
    policy = load_policy(name)

    assert parse_policy(policy_text(policy), "text") == policy


THRESHOLD = st.floats(min_value=0.0, max_value=1.0, exclude_min=True)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAME = TEXT.filter(lambda name: name and "@" not in name)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    first, second = draw(THRESHOLD), draw(THRESHOLD)
    review, block = min(first, second), max(first, second)
    kept = draw(st.sampled_from([(review, block), (review, None), (None, block)]))
    return Rule(*kept, draw(st.none() | TEXT))


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    given_ = draw(st.dictionaries(st.sampled_from(list(Category)), rules(), min_size=1))
    region = st.builds(RegionRule, st.sampled_from(list(Category)), rules())
    return Policy(
        name=draw(NAME),
        version=draw(TEXT.filter(bool)),
        categories={category: given_[category] for category in Category if category in given_},
        regions=draw(st.dictionaries(TEXT, region, max_size=3)),
        on_failure=draw(st.sampled_from([Action.REVIEW, Action.BLOCK])),
        on_uncovered=draw(st.sampled_from(list(Action))),
        description=draw(TEXT),
        calibrated=draw(st.none() | TEXT),
    )


@given(policies())
def test_any_policy_survives_its_text(policy: Policy) -> None:
    assert parse_policy(policy_text(policy), "text") == policy
