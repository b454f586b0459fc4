"""Mistakes from Records and reviews: which, how wrong, and what is never concluded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.train.scarce.scanned import record
from vedette.data.labelling import SAFE, UNLABELLED, UNSAFE, Label, of_categories
from vedette.errors import UsageError
from vedette.taxonomy import Category
from vedette.train.scarce.mining import Joined, chosen, mine
from vedette.train.scarce.reviews import Review
from vedette.types import Record

HATE, SPAM, VIOLENCE = Category.HATE, Category.SPAM, Category.VIOLENCE


def review(key: str, label: Label, sha256: str = "") -> Review:
    return Review(key, sha256, label, f"row of {key}")


def of(joined: Joined) -> list[tuple[str, str, Category | None, float]]:
    return [(one.key, one.kind, one.category, round(one.wrong, 3)) for one in joined.mined]


def test_false_alarms_and_misses_by_how_wrong_they_are() -> None:
    records = [
        record("alarm", {HATE: 0.6, SPAM: 0.9}),
        record("missed", {HATE: 0.3, SPAM: 0.2}),
        record("missed-unseen", {SPAM: 0.1}),
        record("missed-whole", {HATE: 0.25, SPAM: 0.2}),
        record("right", {HATE: 0.8, SPAM: 0.7}),
        record("other-category", {HATE: 0.4, SPAM: 0.8}),
        record("unreviewed", {HATE: 0.9}),
        record("safe", {HATE: 0.1}),
    ]
    reviews = [
        review("alarm", SAFE),
        review("missed", of_categories([HATE])),
        review("missed-unseen", of_categories([VIOLENCE])),
        review("missed-whole", UNSAFE),
        review("right", of_categories([SPAM])),
        review("other-category", of_categories([HATE])),
        review("safe", SAFE),
    ]

    assert of(mine(records, reviews)) == [
        ("missed-unseen", "missed", VIOLENCE, 1.0),
        ("alarm", "false alarm", SPAM, 0.9),
        ("missed-whole", "missed", HATE, 0.75),
        ("missed", "missed", HATE, 0.7),
        ("other-category", "missed", HATE, 0.6),
        ("right", "agreed", None, 0.0),
        ("safe", "agreed", None, 0.0),
    ]


def test_what_was_not_scanned_whole_says_nothing() -> None:
    records = [
        record("broken", {}, failure="corrupt"),
        record("half", {HATE: 0.9}, failure="truncated"),
        record("whole", {HATE: 0.9}),
    ]
    joined = mine(records, [review(one.key, SAFE) for one in records])

    assert [one.key for one in joined.mined] == ["whole"]
    assert joined.failed == ("broken", "half")


def test_contradicting_reviews_are_told_and_left_out() -> None:
    twins = [record(key, {HATE: 0.9}, sha256="a" * 64) for key in ("one", "two")]
    records = [*twins, record("three", {HATE: 0.9}), record("four", {HATE: 0.1})]
    reviews = [
        review("one", SAFE),
        review("two", of_categories([HATE])),
        review("three", of_categories([HATE])),
        review("three", of_categories([SPAM])),
        review("three", UNLABELLED),
        review("four", SAFE),
        review("four", SAFE),
    ]
    joined = mine(records, reviews)

    assert joined.contradicting == ("one",)
    assert {one.key: one.label for one in joined.mined} == {
        "three": of_categories([HATE, SPAM]),
        "four": SAFE,
    }
    assert joined.undecided == 1


def test_a_review_of_other_bytes_is_of_no_record() -> None:
    records = [record("one", {HATE: 0.9}, sha256="a" * 64), record("two", {HATE: 0.9})]
    reviews = [review("one", SAFE, "b" * 64), review("renamed", SAFE, "a" * 64)]
    joined = mine(records, reviews)

    assert [one.key for one in joined.mined] == ["one"]
    assert joined.unknown == ("one",)


def test_a_copy_is_there_once() -> None:
    records = [record(key, {HATE: 0.9}, sha256="a" * 64) for key in ("one", "two")]
    joined = mine(records, [review("one", SAFE), review("two", SAFE)])

    assert [one.key for one in joined.mined] == ["one"]


@pytest.mark.parametrize(
    ("records", "reviews", "what", "code"),
    [
        ([record("a", {HATE: 1})], [review("b", SAFE)], "none of the 1 reviews", "usage"),
        ([record("a", {HATE: 1})], [review("a", UNLABELLED)], "decides", "too_few_labels"),
        (
            [record("a", {HATE: 1}), record("b", {HATE: 1}, model="two@1")],
            [review("a", SAFE), review("b", SAFE)],
            "two@1",
            "bad_record",
        ),
        (
            [record("a", {HATE: 1}), record("a", {HATE: 1}, sha256="a" * 64)],
            [review("a", SAFE)],
            "different bytes",
            "bad_record",
        ),
    ],
)
def test_what_cannot_be_joined_is_refused(
    records: list[Record], reviews: list[Review], what: str, code: str
) -> None:
    with pytest.raises(UsageError, match=what) as caught:
        mine(records, reviews)
    assert caught.value.code == code


@given(
    truth=st.lists(st.tuples(st.floats(0, 1, width=16), st.booleans()), min_size=1, max_size=40),
    agreed=st.floats(0, 3),
    most=st.one_of(st.none(), st.integers(1, 5)),
    seed=st.integers(0, 99),
)
def test_what_is_taken_is_distinct_bounded_and_the_most_wrong(
    truth: list[tuple[float, bool]], agreed: float, most: int | None, seed: int
) -> None:
    records = [record(str(at), {HATE: p}) for at, (p, _) in enumerate(truth)]
    reviews = [
        review(str(at), of_categories([HATE]) if unsafe else SAFE)
        for at, (_, unsafe) in enumerate(truth)
    ]
    joined = mine(records, reviews)
    taken = chosen(joined, most, agreed, seed)

    assert taken == chosen(joined, most, agreed, seed)
    keys = [one.key for one in taken]
    assert len(set(keys)) == len(keys)
    hard = [one for one in taken if one.kind != "agreed"]
    there = [one for one in joined.mined if one.kind == "agreed"]
    assert len(taken) - len(hard) == min(round(agreed * len(hard)), len(there))
    for kind in ("false alarm", "missed"):
        mistakes = [one for one in joined.mined if one.kind == kind]
        assert [one for one in hard if one.kind == kind] == mistakes[:most]
    for one in joined.mined:
        p, unsafe = truth[int(one.key)]
        assert (one.kind == "agreed") == ((round(p, 6) >= 0.5) == unsafe)
