"""Majority and ties, over every combination of answers."""

from __future__ import annotations

from collections import Counter
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.annotate.protocol import (
    Outcome,
    Protocol,
    Round,
    Safety,
    Standing,
    decided,
    outcome,
    parse_answer,
    standing,
    wanted,
)
from vedette.data.labelling import SAFE, UNLABELLED, UNSAFE, of_categories
from vedette.errors import UsageError
from vedette.taxonomy import Category


@pytest.mark.parametrize(("one", "other"), list(product(Safety, Safety)))
def test_two_annotators_decide_where_they_agree(one: Safety, other: Safety) -> None:
    agree = one is other

    assert decided([one, other], 2) == (one if agree else None)
    assert wanted([one, other], 2) == (0 if agree else 1)
    assert standing([one, other], 2) is (Standing.DECIDED if agree else Standing.DIFFERING)


@pytest.mark.parametrize("answers", list(product(Safety, repeat=3)))
def test_the_majority_of_three_decides(answers: tuple[Safety, Safety, Safety]) -> None:
    (most, count), *_ = Counter(answers).most_common()

    assert decided(answers, 2) == (most if count >= 2 else None)
    assert wanted(answers, 2) == (0 if count >= 2 else 1)


def test_three_that_all_differ_decide_nothing_until_a_fourth_tips_it() -> None:
    tied = [Safety.SAFE, Safety.UNSAFE, Safety.NA]

    assert standing(tied, 2) is Standing.UNDECIDED
    assert outcome(tied, [], Protocol()).label == UNLABELLED
    for fourth in Safety:
        assert decided([*tied, fourth], 2) == fourth


@pytest.mark.parametrize("count", [0, 1])
def test_one_answer_of_two_decides_nothing(count: int) -> None:
    assert decided([Safety.SAFE] * count, 2) is None
    assert wanted([Safety.SAFE] * count, 2) == 2 - count
    assert standing([Safety.SAFE] * count, 2) is Standing.WAITING


@given(st.lists(st.sampled_from(Safety), max_size=9), st.integers(1, 4))
def test_the_order_of_the_answers_does_not_matter(answers: list[Safety], first: int) -> None:
    assert decided(answers, first) == decided(answers[::-1], first)
    assert (decided(answers, first) is None) == (wanted(answers, first) > 0)


@given(
    st.lists(st.sampled_from(Safety), max_size=6), st.lists(st.sampled_from(Category), max_size=4)
)
def test_safe_is_only_what_more_said_safe_than_anything_else(
    safety: list[Safety], category: list[Category]
) -> None:
    label = outcome(safety, category, Protocol()).label

    if label.unsafe is False:
        said = Counter(safety)
        assert said[Safety.SAFE] > max(said[Safety.UNSAFE], said[Safety.NA])
        assert len(safety) >= 2


def test_outcomes_as_labels() -> None:
    assert Outcome(Safety.SAFE).label == SAFE
    assert Outcome(Safety.SAFE).label.categories == frozenset()
    assert Outcome(Safety.UNSAFE).label == UNSAFE
    assert Outcome(Safety.UNSAFE, Category.SPAM).label == of_categories([Category.SPAM])
    assert Outcome(Safety.NA).label == UNLABELLED
    assert Outcome(Safety.NA).dropped
    assert Outcome(None).label == UNLABELLED
    assert not Outcome(None).dropped


def test_the_category_counts_only_while_round_one_says_unsafe() -> None:
    named = [Category.HATE, Category.HATE]

    assert outcome(["safe", "safe"], named, Protocol()) == Outcome(Safety.SAFE)
    assert outcome(["unsafe", "unsafe"], named, Protocol()).category is Category.HATE
    assert outcome(["unsafe", "unsafe"], named[:1], Protocol()).category is None
    assert outcome(["unsafe"] * 2, named[:1], Protocol(2, 1)).category is Category.HATE


@pytest.mark.parametrize(
    ("said", "round_", "stored"),
    [
        ("N/A", Round.SAFETY, "na"),
        (" Unsafe ", Round.SAFETY, "unsafe"),
        ("self harm", Round.CATEGORY, "Self-harm"),
    ],
)
def test_answers_are_stored_one_way(said: str, round_: Round, stored: str) -> None:
    assert parse_answer(said, round_, Protocol()) == stored


@pytest.mark.parametrize(
    ("said", "round_"),
    [
        *((said, Round.SAFETY) for said in ("maybe", "", "Hate")),
        *((said, Round.CATEGORY) for said in ("safe", "Spam", "")),
    ],
)
def test_other_answers_are_refused_with_those_there_are(said: str, round_: Round) -> None:
    protocol = Protocol(categories=(Category.VIOLENCE, Category.HATE))

    with pytest.raises(UsageError) as caught:
        parse_answer(said, round_, protocol)

    assert caught.value.code == "bad_annotations"
    expected = "safe, unsafe, na" if round_ is Round.SAFETY else "Hate, Violence"
    assert caught.value.hint == f"the answers are: {expected}"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Protocol(0),
        lambda: Protocol(2, 10),
        lambda: Protocol(categories=()),
        lambda: Protocol(categories=(Category.HATE, Category.HATE)),
    ],
)
def test_a_protocol_that_cannot_be_is_refused(wrong: object) -> None:
    with pytest.raises(UsageError):
        wrong()  # type: ignore[operator]
