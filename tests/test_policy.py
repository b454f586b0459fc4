"""Policies: presets, thresholds, region rules, failing closed, and files that are refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_types import scores
from vedette.errors import CODES, PolicyError, UnknownNameError
from vedette.policy import (
    PRESETS,
    Policy,
    RegionRule,
    Rule,
    load_policy,
    parse_policy,
    read_policy_text,
)
from vedette.taxonomy import Category
from vedette.types import Action, Failure, Record, Region, Scores

PROFILE = settings(deadline=None, derandomize=True, database=None)

LABELS = ("FACE_MALE", "FEMALE_BREAST_COVERED", "BUTTOCKS_COVERED")
GRID = [index / 40 for index in range(41)]
TRUNCATED = Failure("decode", "truncated", "the file ends early")

probabilities = st.floats(0, 1, width=32)
all_scores = st.dictionaries(st.sampled_from(list(Category)), probabilities).map(scores)
regions = st.lists(
    st.builds(Region, st.sampled_from(LABELS), st.floats(0, 1), st.just((0, 0, 5, 5))), max_size=4
).map(tuple)
failures = st.builds(
    Failure, st.sampled_from(["fetch", "decode", "infer"]), st.sampled_from(list(CODES)), st.text()
)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    low, high = sorted(draw(st.tuples(*[st.floats(0.01, 1)] * 2)))
    which = draw(st.sampled_from(["both", "review", "block"]))
    return Rule(None if which == "block" else low, None if which == "review" else high)


# Every field that a verdict may depend on; the properties below hold for any of these policies.
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "name": st.just("drawn"),
    "version": st.just("1"),
    "categories": st.dictionaries(st.sampled_from(list(Category)), rules()),
    "regions": st.dictionaries(
        st.sampled_from(LABELS), st.builds(RegionRule, st.sampled_from(list(Category)), rules())
    ),
    "on_failure": st.sampled_from([Action.REVIEW, Action.BLOCK]),
    "on_uncovered": st.sampled_from(list(Action)),
    "calibrated": st.sampled_from([None, "platt on 240 labels of mine"]),
}
policies = st.builds(Policy, **FIELDS)


def severity(
    policy: Policy, values: Mapping[Category, float], *seen: Region, failure: Failure | None = None
) -> int:
    return policy.decide(scores(dict(values)), seen, failure).action.severity


def policy_text(body: str = "[categories]\nSexual = { review = 0.5 }", head: str = "") -> str:
    return f'name = "house"\nversion = 3\n{head}\n{body}\n'


# Presets


@pytest.mark.parametrize("name", PRESETS)
def test_presets_load_and_say_what_they_are_for(name: str) -> None:
    policy = load_policy(name)

    assert policy.id == f"{name}@1"
    assert len(policy.description) > 40
    assert policy.on_failure is not Action.ALLOW
    assert Category.SEXUAL in policy.categories


def test_the_presets_are_the_files_that_are_packed() -> None:
    packed = Path(__file__).parents[1].joinpath("src/vedette/policies").glob("*.toml")

    assert {path.stem for path in packed} == set(PRESETS)


def test_scopes_of_the_presets() -> None:
    for name in ("default", "strict", "children"):
        assert list(load_policy(name).categories) == list(Category)
    assert set(Category) - set(load_policy("permissive").categories) == {
        Category.DECEPTION,
        Category.POLITICAL,
        Category.HEALTH,
        Category.SPAM,
    }


def test_what_could_not_be_scanned_is_blocked_by_the_careful_presets() -> None:
    blocks = {name: load_policy(name).on_failure is Action.BLOCK for name in PRESETS}

    assert blocks == {"default": False, "strict": True, "permissive": False, "children": True}


def test_only_children_looks_at_what_is_covered() -> None:
    covered = Region("FEMALE_BREAST_COVERED", 0.9, (0, 0, 9, 9))

    actions = {
        name: load_policy(name).decide(scores({Category.SEXUAL: 0}), [covered], None).action
        for name in PRESETS
    }

    assert actions.pop("children") is Action.REVIEW
    assert set(actions.values()) == {Action.ALLOW}


@pytest.mark.parametrize("category", Category)
def test_strict_is_never_milder_than_default_nor_default_than_permissive(
    category: Category,
) -> None:
    ladder = [load_policy(name) for name in ("permissive", "default", "strict")]

    # Hate is in the scope of all three: a picture with no score in scope counts as not looked at.
    steps = [[severity(policy, {Category.HATE: 0, category: p}) for policy in ladder] for p in GRID]

    assert all(step == sorted(step) for step in steps)
    mildest, middle, severest = map(sum, zip(*steps, strict=True))
    assert mildest < middle < severest


@pytest.mark.parametrize("category", [Category.SEXUAL, Category.VIOLENCE, Category.SELF_HARM])
def test_children_is_at_least_as_strict_as_strict_on_harm(category: Category) -> None:
    strict, children = load_policy("strict"), load_policy("children")

    assert all(severity(children, {category: p}) >= severity(strict, {category: p}) for p in GRID)


# Deciding


def test_the_drawn_policies_vary_every_field() -> None:
    assert {*FIELDS, "description"} == {field.name for field in dataclasses.fields(Policy)}


@PROFILE
@given(policies, all_scores, regions, failures)
def test_what_was_not_scanned_is_never_allowed(
    policy: Policy, some: Scores, seen: tuple[Region, ...], failure: Failure
) -> None:
    for evidence in ((some, failure), (None, failure), (None, None)):
        verdict = policy.decide(evidence[0], seen, evidence[1])
        assert verdict.action.severity >= policy.on_failure.severity > Action.ALLOW.severity


@PROFILE
@given(policies, all_scores, regions, failures)
def test_a_failure_never_makes_a_verdict_milder(
    policy: Policy, some: Scores, seen: tuple[Region, ...], failure: Failure
) -> None:
    whole, partly = policy.decide(some, seen, None), policy.decide(some, seen, failure)

    assert partly.action.severity >= whole.action.severity
    assert partly.reasons == whole.reasons


@PROFILE
@given(policies, all_scores, regions)
def test_the_action_is_the_severest_that_anything_asks_for(
    policy: Policy, some: Scores, seen: tuple[Region, ...]
) -> None:
    wanted = {Action.ALLOW.severity}
    for category, rule in policy.categories.items():
        p = some[category]
        if p is None:
            wanted.add(policy.on_uncovered.severity)
        elif rule.block is not None and p >= rule.block:
            wanted.add(2)
        elif rule.review is not None and p >= rule.review:
            wanted.add(1)
    for region in seen:
        if region.label in policy.regions:
            rule = policy.regions[region.label].rule
            wanted.add(2 if rule.block is not None and region.score >= rule.block else 0)
            wanted.add(1 if rule.review is not None and region.score >= rule.review else 0)

    asked = {*policy.categories, *(rule.category for rule in policy.regions.values())}
    if all(some[category] is None for category in asked):
        wanted.add(policy.on_failure.severity)  # nobody looked for what it asks about
    if policy.calibrated is not None and some.calibrated != policy.calibrated:
        wanted.add(policy.on_failure.severity)

    assert policy.decide(some, seen, None).action.severity == max(wanted)


def test_what_nobody_looked_for_is_not_allowed() -> None:
    policy = parse_policy('name="v"\nversion=1\n[categories]\nViolence={review=0.5}', "test")

    verdict = policy.decide(scores({Category.SEXUAL: 0}), (), None)

    assert (verdict.action, verdict.reasons) == (Action.REVIEW, ())
    assert policy.decide(scores({Category.VIOLENCE: 0}), (), None).action is Action.ALLOW


@PROFILE
@given(policies, all_scores, regions)
def test_every_reason_is_a_threshold_that_was_reached(
    policy: Policy, some: Scores, seen: tuple[Region, ...]
) -> None:
    verdict = policy.decide(some, seen, None)

    assert all(reason.p >= reason.threshold for reason in verdict.reasons)
    assert [r.p for r in verdict.reasons] == sorted((r.p for r in verdict.reasons), reverse=True)
    assert len({(r.category, r.label) for r in verdict.reasons}) == len(verdict.reasons)
    if verdict.action is Action.ALLOW:
        assert verdict.reasons == ()


@PROFILE
@given(policies, all_scores, regions, st.none() | failures)
def test_more_evidence_of_harm_is_never_judged_milder(
    policy: Policy, some: Scores, seen: tuple[Region, ...], failure: Failure | None
) -> None:
    worse = scores({category: min(1.0, p + 0.25) for category, p in some.as_dict().items()})
    more = (*seen, Region(LABELS[0], 1.0, (0, 0, 5, 5)))

    before, after = policy.decide(some, seen, failure), policy.decide(worse, more, failure)

    assert after.action.severity >= before.action.severity


def test_a_threshold_is_reached_by_being_equal_to_it() -> None:
    rule = Rule(review=0.25, block=0.75)

    assert rule.judge(0.249999) is None
    assert rule.judge(0.25) == (Action.REVIEW, 0.25)
    assert rule.judge(0.749999) == (Action.REVIEW, 0.25)
    assert rule.judge(0.75) == (Action.BLOCK, 0.75)


def test_categories_out_of_scope_are_ignored() -> None:
    policy = Policy("house", "1", {Category.HATE: Rule(0.5, None)})

    verdict = policy.decide(scores({Category.SEXUAL: 1.0, Category.HATE: 0.0}), (), None)

    assert verdict.action is Action.ALLOW
    assert verdict.reasons == ()


@pytest.mark.parametrize("action", Action)
def test_a_category_in_scope_that_the_model_cannot_see(action: Action) -> None:
    policy = Policy(
        "house",
        "1",
        {Category.HATE: Rule(0.5, None), Category.SEXUAL: Rule(0.5, None)},
        on_uncovered=action,
    )

    half_seen = policy.decide(scores({Category.SEXUAL: 0.1}), (), None)
    all_seen = policy.decide(scores({Category.SEXUAL: 0.1, Category.HATE: 0.1}), (), None)

    assert half_seen.action is action
    assert all_seen.action is Action.ALLOW


@pytest.mark.parametrize("calibrated", [None, "another", "mine"])
def test_thresholds_for_calibrated_scores_allow_no_others(calibrated: str | None) -> None:
    policy = Policy("house", "1", {Category.SEXUAL: Rule(0.5, None)}, calibrated="mine")
    told = dataclasses.replace(scores({Category.SEXUAL: 0.1}), calibrated=calibrated)

    verdict = policy.decide(told, (), None)

    assert verdict.action is (Action.ALLOW if calibrated == "mine" else Action.REVIEW)


def test_a_region_rule_takes_the_best_region_and_names_it() -> None:
    rule = RegionRule(Category.SEXUAL, Rule(0.4, None, "swimwear"))
    policy = Policy("house", "1", {}, {"FACE_MALE": rule})
    seen = [Region("FACE_MALE", score, (0, 0, 1, 1)) for score in (0.41, 0.7, 0.1)]
    seen.append(Region("FEET_COVERED", 0.99, (0, 0, 1, 1)))

    verdict = policy.decide(scores({}), seen, None)

    (reason,) = verdict.reasons
    assert verdict.action is Action.REVIEW
    assert (reason.category, reason.label, reason.p) == (Category.SEXUAL, "FACE_MALE", 0.7)
    assert (reason.threshold, reason.text) == (0.4, "swimwear")


def test_reasons_carry_the_words_of_the_rule() -> None:
    policy = Policy("house", "1", {Category.HATE: Rule(0.5, None, "call the duty officer")})

    (reason,) = policy.decide(scores({Category.HATE: 0.6}), (), None).reasons

    assert reason.text == "call the duty officer"
    assert reason.label is None


@PROFILE
@given(policies, policies, all_scores, regions, st.none() | failures)
def test_applying_a_policy_to_a_record_equals_deciding_its_evidence(
    made_by: Policy,
    policy: Policy,
    some: Scores,
    seen: tuple[Region, ...],
    failure: Failure | None,
) -> None:
    record = Record(
        key="a.jpg",
        sha256=None,
        width=None,
        height=None,
        frames=1,
        scores=some,
        regions=seen,
        verdict=made_by.decide(some, seen, failure),
        failure=failure,
        models=("drawn@1",),
        times_ms={},
    )

    again = policy.apply(record)

    assert again.verdict == policy.decide(some, seen, failure)
    assert dataclasses.replace(again, verdict=record.verdict) == record


def test_a_policy_that_allows_what_could_not_be_scanned_cannot_be_made() -> None:
    with pytest.raises(PolicyError, match="not scanned is not safe"):
        Policy("house", "1", {Category.HATE: Rule(0.5, None)}, on_failure=Action.ALLOW)


# Files


def test_a_file_with_everything(tmp_path: Path) -> None:
    path = tmp_path / "house.toml"
    path.write_text(
        """
        name = "house"
        version = "2026-07"
        description = "ours"
        on_failure = "block"
        on_uncovered = "review"

        [categories]
        self_harm = { review = 0.2, block = 1, reason = "call somebody" }
        SEXUAL = { block = 0.8 }

        [regions]
        FACE_MALE = { category = "sexual", review = 0.4, reason = "a face" }
        """,
        encoding="utf-8",
    )

    assert load_policy(path) == Policy(
        name="house",
        version="2026-07",
        categories={
            Category.SELF_HARM: Rule(0.2, 1.0, "call somebody"),
            Category.SEXUAL: Rule(None, 0.8),
        },
        regions={"FACE_MALE": RegionRule(Category.SEXUAL, Rule(0.4, None, "a face"))},
        on_failure=Action.BLOCK,
        on_uncovered=Action.REVIEW,
        description="ours",
    )


def test_what_a_file_may_leave_out() -> None:
    policy = parse_policy(policy_text(), "text")

    assert policy.id == "house@3"
    assert policy.on_failure is Action.REVIEW
    assert policy.on_uncovered is Action.ALLOW
    assert policy.regions == {}
    assert policy.description == ""


def test_categories_come_in_the_order_of_the_taxonomy() -> None:
    lines = "\n".join(f'"{c}" = {{ review = 0.5 }}' for c in reversed(Category))

    policy = parse_policy(policy_text(f"[categories]\n{lines}"), "text")

    assert list(policy.categories) == list(Category)


CATEGORIES = "[categories]\n"
REGIONS = "[regions]\n"
REFUSED = {
    "not TOML": ("name = ", "is not TOML"),
    "no name": ("version = 1\n[categories]\nSpam = {review = 0.5}", "name must be text"),
    "empty name": ("name = ''\nversion = 1", "name must be text"),
    "a number for a name": ("name = 4\nversion = 1", "name must be text"),
    "a name with @": ("name = 'a@b'\nversion = 1", "without '@'"),
    "no version": ("name = 'a'\n[categories]\nSpam = {review = 0.5}", "version must be"),
    "empty version": ("name = 'a'\nversion = ''", "version must be"),
    "a version of neither kind": ("name = 'a'\nversion = 1.5", "version must be"),
    "a version of true": ("name = 'a'\nversion = true", "version must be"),
    "an unknown key": (policy_text(head="on_failur = 'block'"), "did you mean 'on_failure'"),
    "a key like nothing": (policy_text(head="zzzz = 1"), "unknown key 'zzzz'; known: "),
    "nothing in scope": (policy_text(""), "everything would be allowed"),
    "an empty scope": (policy_text(CATEGORIES), "everything would be allowed"),
    "failures allowed": (policy_text(head="on_failure = 'allow'"), "not scanned is not safe"),
    "an unknown action": (policy_text(head="on_failure = 'blok'"), "did you mean 'block'"),
    "an action like nothing": (policy_text(head="on_uncovered = 'xx'"), "known: allow, review"),
    "an action that is no text": (policy_text(head="on_uncovered = [1]"), "unknown action"),
    "a description that is no text": (policy_text(head="description = 1"), "must be text"),
    "categories that are no table": (policy_text("categories = 1"), "categories must be a table"),
    "regions that are no table": (policy_text(head="regions = 'x'"), "regions must be a table"),
    "an unknown category": (
        policy_text(CATEGORIES + "Sexuel = {review = 0.5}"),
        "unknown category 'Sexuel'; did you mean 'Sexual'",
    ),
    "a category like nothing": (policy_text(CATEGORIES + "qqq = {review = 0.5}"), "known: Hate, "),
    "a category given twice": (
        policy_text(CATEGORIES + "self-harm = {review = 0.1}\nSelf_Harm = {review = 0.9}"),
        "'Self_Harm' is given twice",
    ),
    "a rule that is no table": (policy_text(CATEGORIES + "Spam = 0.5"), "must be a table with"),
    "a rule without a threshold": (policy_text(CATEGORIES + "Spam = {}"), "needs a review or"),
    "a rule with a typo": (
        policy_text(CATEGORIES + "Spam = {reveiw = 0.5}"),
        "unknown key 'reveiw'; did you mean 'review'",
    ),
    "thresholds out of order": (
        policy_text(CATEGORIES + "Spam = {review = 0.8, block = 0.5}"),
        r"block \(0.5\) is below review \(0.8\)",
    ),
    "a threshold of 0": (policy_text(CATEGORIES + "Spam = {review = 0}"), "above 0"),
    "a threshold above 1": (policy_text(CATEGORIES + "Spam = {block = 1.01}"), "at most 1"),
    "a threshold of nan": (policy_text(CATEGORIES + "Spam = {block = nan}"), "must be a number"),
    "a threshold of true": (policy_text(CATEGORIES + "Spam = {block = true}"), "must be a number"),
    "a threshold as text": (policy_text(CATEGORIES + "Spam = {block = '1'}"), "must be a number"),
    "a reason that is no text": (
        policy_text(CATEGORIES + "Spam = {block = 1, reason = 4}"),
        "reason must be text",
    ),
    "a category key in a category": (
        policy_text(CATEGORIES + "Spam = {block = 1, category = 'Spam'}"),
        "unknown key 'category'",
    ),
    "a region rule that is no table": (policy_text(REGIONS + "FACE_MALE = 1"), "must be a table"),
    "a region rule without a category": (
        policy_text(REGIONS + "FACE_MALE = {review = 0.5}"),
        "needs the category",
    ),
    "a region rule with an unknown category": (
        policy_text(REGIONS + "FACE_MALE = {review = 0.5, category = 'Hat'}"),
        "did you mean 'Hate'",
    ),
}


@pytest.mark.parametrize(("text", "told"), REFUSED.values(), ids=REFUSED.keys())
def test_a_policy_that_cannot_be_used(text: str, told: str) -> None:
    with pytest.raises(PolicyError, match=told) as caught:
        parse_policy(text, "house.toml")

    assert caught.value.code == "bad_policy"
    assert caught.value.message.startswith("house.toml")
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("key", [field.name for field in dataclasses.fields(Policy)])
def test_no_key_of_a_file_is_ignored(key: str) -> None:
    lines = {"name": "'house'", "version": "3", "categories": "{ Sexual = { review = 0.5 } }"}
    lines[key] = "2026-07-01"  # of a type that no key takes

    with pytest.raises(PolicyError, match=key):
        parse_policy("\n".join(f"{k} = {v}" for k, v in lines.items()), "house.toml")


def test_a_typo_in_a_presets_name() -> None:
    with pytest.raises(UnknownNameError, match="unknown policy 'stict'") as caught:
        load_policy("stict")

    assert caught.value.hint == "did you mean 'strict'?"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")

    with pytest.raises(PolicyError, match="cannot read"):
        load_policy(tmp_path / "missing.toml")
    with pytest.raises(PolicyError, match="cannot read"):
        load_policy(tmp_path)
    with pytest.raises(PolicyError, match="is not UTF-8 text"):
        read_policy_text(binary)


def test_a_file_without_a_suffix_is_found(tmp_path: Path) -> None:
    path = tmp_path / "house"
    path.write_text(policy_text(), encoding="utf-8")

    assert load_policy(str(path)).name == "house"
