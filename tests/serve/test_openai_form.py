"""The mapping of Records to OpenAI's answers, for any evidence."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import openai.types
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_wire import FULL
from vedette.errors import CODES
from vedette.policy import Policy, load_policy
from vedette.serve.judging import Judged
from vedette.serve.openai_form import (
    COUNTED,
    IMAGE_KEYS,
    KEYS,
    keys_table,
    own_key,
    own_model,
    result_of,
)
from vedette.serve.services import Listed
from vedette.taxonomy import Category
from vedette.types import Action, Failure, Record, Region, Scores

DEFAULT = load_policy("default")
CHILDREN = load_policy("children")


def record(
    p: dict[Category, float],
    failure: Failure | None = None,
    policy: Policy = DEFAULT,
    regions: tuple[Region, ...] = (),
) -> Record:
    values = np.zeros(len(Category), np.float32)
    covered = np.zeros(len(Category), np.bool_)
    for category, value in p.items():
        values[category.position], covered[category.position] = value, True
    bare = dataclasses.replace(
        FULL,
        key="0",
        scores=Scores(values, covered) if p else None,
        failure=failure,
        regions=regions,
    )
    return policy.apply(bare)


P = st.dictionaries(st.sampled_from(list(Category)), st.floats(0, 1, width=32))
FAILURES = st.none() | st.builds(
    Failure, st.just("decode"), st.sampled_from(sorted(CODES)), st.just("x")
)
JUDGED = st.builds(lambda p, failure: Judged(record(p, failure), "d"), P, FAILURES)


@given(st.lists(JUDGED, max_size=3), st.lists(st.integers(0, 9), max_size=2), st.booleans())
def test_only_what_was_scanned_and_allowed_is_not_flagged(
    judged: list[Judged], texts: list[int], text_counts: bool
) -> None:
    told = result_of(judged, texts, DEFAULT, text_counts)

    allowed = bool(judged) and all(
        one.record.verdict.action is Action.ALLOW and one.record.failure is None for one in judged
    )
    assert told["flagged"] is not (allowed and not (texts and text_counts))
    if not told["flagged"]:
        assert not any(told["categories"].values())
    assert told["vedette"]["scanned"] is not bool(told["vedette"]["not_scanned"])
    assert bool(told["vedette"]["not_scanned"]) >= bool(texts or not judged)


@given(st.lists(JUDGED, max_size=3))
def test_answers_fit_the_clients_types_and_hold_what_was_found(judged: list[Judged]) -> None:
    told = result_of(judged, (), DEFAULT, True)

    openai.types.Moderation.model_validate(told)
    for key, category in COUNTED.items():
        found = [
            p
            for one in judged
            if one.record.scores and category
            if (p := one.record.scores[category]) is not None
        ]
        assert told["category_scores"][key] == max(found, default=0.0)
        assert (key in told["vedette"]["covered"]) == bool(found)
        assert (told["category_applied_input_types"][key] == ["image"]) == bool(
            found and (key in IMAGE_KEYS or key not in KEYS)
        )


def test_a_rule_for_a_label_counts_for_its_category() -> None:
    label, rule = next(iter(CHILDREN.regions.items()))
    seen = record({rule.category: 0.01}, None, CHILDREN, (Region(label, 0.99, (0, 0, 1, 1)),))

    told = result_of([Judged(seen, "d")], (), CHILDREN, True)

    assert told["flagged"]
    assert told["categories"][own_key(rule.category)]
    assert told["category_scores"][own_key(rule.category)] == 0.99


@pytest.mark.parametrize("kind", ["allow", "block"])
def test_a_hash_list_says_that_no_model_has_looked(kind: str) -> None:
    bare = dataclasses.replace(record({}), failure=None)
    hit = Listed("known", kind, "sha256", 0, "secret-entry")

    told = result_of([Judged(bare, "d", hit)], (), DEFAULT, True)

    (missing,) = told["vedette"]["not_scanned"]
    assert missing["why"] == f"the hash list known ({kind}) has decided"
    assert "secret-entry" not in str(told)


def test_every_category_has_a_key_of_its_own() -> None:
    keys = [own_key(category) for category in Category]

    assert len(set(keys)) == len(Category)
    assert set(keys) <= set(COUNTED)
    assert list(COUNTED)[: len(KEYS)] == list(KEYS)


def test_keys_are_those_of_the_client() -> None:
    moderation: Any = openai.types.Moderation
    for part in ("categories", "category_scores", "category_applied_input_types"):
        fields = moderation.model_fields[part].annotation.model_fields
        assert {field.alias or name for name, field in fields.items()} == set(KEYS)


def test_minors_are_never_judged() -> None:
    assert KEYS["sexual/minors"] is None
    assert "| `sexual/minors` | – | – |" in keys_table()


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        (None, None),
        ("omni-moderation-latest", None),
        ("omni-moderation-2024-09-26", None),
        ("text-moderation-stable", None),
        ("nudenet", "nudenet"),
        ("my-omni-moderation-latest", "my-omni-moderation-latest"),
        ("omni-moderation-", "omni-moderation-"),
        ("", ""),
    ],
)
def test_names_of_models(asked: str | None, name: str | None) -> None:
    assert own_model(asked) == name
