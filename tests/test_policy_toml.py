"""A policy survives its text, whatever its names hold; comments stay comments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.policy import PRESETS, Policy, RegionRule, Rule, load_policy, parse_policy
from vedette.policy_toml import policy_toml
from vedette.taxonomy import Category
from vedette.types import Action


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_their_text(name: str) -> None:
    policy = load_policy(name)

    assert parse_policy(policy_toml(policy), "text") == policy


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
    assert parse_policy(policy_toml(policy), "text") == policy


@given(policies(), st.lists(TEXT, max_size=2), TEXT)
def test_comments_change_nothing(policy: Policy, notes: list[str], remark: str) -> None:
    remarks = dict.fromkeys(Category, remark)

    assert parse_policy(policy_toml(policy, notes=notes, remarks=remarks), "text") == policy
