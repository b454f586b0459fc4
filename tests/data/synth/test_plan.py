"""Counts, splits, keys and order of a stand-in set."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.data.synth.plan import CELLS, TABLE_9, Plan, Recipe, Spec, apportion
from vedette.errors import UnknownNameError, UsageError
from vedette.taxonomy import Category

SHARED_COUNTS = Path(__file__).parents[4] / "shared" / "facts" / "table9_counts.csv"


def test_scale_one_has_the_counts_of_the_table_beside_this_checkout() -> None:
    if not SHARED_COUNTS.is_file():
        pytest.skip("the shared facts are not beside this checkout")
    with SHARED_COUNTS.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    published = [int(row[category.value]) for row in rows for category in Category]

    assert [(row["source"], row["label"]) for row in rows] == [
        (source.lower(), "unsafe" if unsafe else "safe") for source, unsafe in TABLE_9
    ]
    assert list(Plan(Recipe(scale=1)).counts) == published
    assert [sum(row) for row in TABLE_9.values()] == [int(row["total"]) for row in rows]


def test_scale_one_has_the_published_totals() -> None:
    plan = Plan(Recipe(scale=1))
    of = dict(zip(CELLS, plan.counts, strict=True))

    assert sum(plan.counts) == 10_146
    assert sum(count for cell, count in of.items() if not cell.unsafe) == 6_098
    assert sum(count for cell, count in of.items() if cell.unsafe) == 4_048
    assert sum(count for cell, count in of.items() if cell.source == "Laion5B") == 5_060
    by = {(c.source, c.unsafe, c.category): count for c, count in of.items()}
    assert by["Laion5B", True, Category.HATE] == 116
    assert by["Lexica", True, Category.SHOCKING] == 457
    assert by["Lexica", False, Category.POLITICAL] == 102
    assert plan.splits() == {"train": 8_109, "test": 2_037}


@given(st.floats(0.0001, 3, allow_nan=False), st.integers(0, 2**32))
def test_any_scale_keeps_the_proportions_to_one_picture(scale: float, seed: int) -> None:
    plan = Plan(Recipe(scale=scale, seed=seed))
    total = plan.recipe.total
    published = [count for row in TABLE_9.values() for count in row]

    assert sum(plan.counts) == total == sum(plan.splits().values())
    for count, test, was in zip(plan.counts, plan.tests, published, strict=True):
        assert abs(count - was * total / 10_146) < 1
        assert 0 <= test <= count
        assert abs(test - count * 2_037 / 10_146) < 2


def test_the_smallest_set_has_one_picture_and_one_split() -> None:
    assert Plan(Recipe(scale=0.0001)).splits() == {"train": 1}


@given(st.lists(st.integers(0, 1000), min_size=1).filter(any), st.integers(0, 10_000))
def test_apportion_gives_the_total_within_one_of_each_share(counts: list[int], total: int) -> None:
    shares = apportion(counts, total)

    assert sum(shares) == total
    for share, count in zip(shares, counts, strict=True):
        assert abs(share - count * total / sum(counts)) < 1
    assert apportion(counts, sum(counts)) == tuple(counts)


def test_every_picture_is_in_the_order_once_and_found_by_its_key() -> None:
    plan = Plan(Recipe(scale=0.05))
    specs = [
        Spec(cell, number, split)
        for split in plan.splits()
        for cell, number in plan.rows(split).tolist()
    ]

    assert len(specs) == len({spec.key for spec in specs}) == plan.recipe.total
    assert all(plan.find(spec.key) == spec for spec in specs)
    assert [sum(s.cell == cell for s in specs) for cell in range(len(CELLS))] == list(plan.counts)


def test_the_order_is_shuffled_by_the_seed() -> None:
    first, again, other = (Plan(Recipe(seed=seed)).rows("train").tolist() for seed in (1, 1, 2))

    assert first == again
    assert first != other
    assert sorted(first) == sorted(other) != first


def test_a_key_says_that_it_is_a_stand_in_and_of_what() -> None:
    assert Spec(11, 12, "train").key == "stand-in/laion5b/hate/unsafe/00012.jpg"
    health = CELLS.index(next(c for c in CELLS if c.category is Category.HEALTH))
    assert Spec(health, 0, "train").key == (
        "stand-in/laion5b/public-and-personal-health/safe/00000.jpg"
    )


@pytest.mark.parametrize(
    "key",
    [
        "",
        "stand-in/laion5b/hate/unsafe/00012.png",
        "stand-in/laion5b/hate/unsafe/99999.jpg",
        "stand-in/laion5b/hate/unsafe/000001.jpg",
        "stand-in/laion5b/hate/neither/00001.jpg",
        "laion5b/hate/unsafe/00001.jpg",
    ],
)
def test_a_key_of_nothing_is_not_found(key: str) -> None:
    assert Plan(Recipe()).find(key) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"scale": 0.0},
        {"scale": -1.0},
        {"scale": float("nan")},
        {"scale": float("inf")},
        {"scale": 1e-9},
        {"scale": 101.0},
        {"difficulty": 1.1},
        {"difficulty": float("nan")},
        {"size": 8},
        {"size": 10**6},
        {"seed": -1},
        {"seed": 2**64},
    ],
)
def test_values_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError) as caught:
        Recipe(**wrong)  # type: ignore[arg-type]

    assert next(iter(wrong)) in caught.value.message
    assert caught.value.code == "usage"


def test_another_set_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="unsafebenhc") as caught:
        Recipe(like="unsafebenhc")

    assert "unsafebench" in caught.value.hint
