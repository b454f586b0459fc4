from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train import sets
from vedette.bench.scoring import Labelled
from vedette.data.splits import Entry, Split
from vedette.errors import UsageError
from vedette.taxonomy import Category
from vedette.train.examples import LEAST, PARTS, UNSAFE, columns_of, examples_of, text_groups

HATE, SPAM = Category.HATE, Category.SPAM


def test_columns_are_the_categories_that_some_image_is_labelled_with() -> None:
    labelled = sets.rows({SPAM: 2, HATE: 1}, 3)

    labels, counts, targets, known = columns_of(labelled)

    assert labels == ("Hate", "Spam")
    assert counts == {"Hate": (HATE,), "Spam": (SPAM,)}
    assert targets.sum(axis=0).tolist() == [1, 2]
    assert known.all()


def test_an_image_that_is_unsafe_without_a_category_is_not_known_to_be_safe_of_any() -> None:
    labelled = [*sets.rows({HATE: 2}, 2), replace(sets.rows({}, 1)[0], key="x", unsafe=True)]

    _, _, targets, known = columns_of(labelled)

    assert not known[-1].any()
    assert not targets[-1].any()
    assert known[:-1].all()


def test_a_set_that_only_says_safe_or_unsafe_has_one_label() -> None:
    labelled = [replace(row, labels=()) for row in sets.rows({HATE: 2}, 2)]

    labels, counts, targets, _ = columns_of(labelled, (SPAM,))

    assert (labels, counts) == ((UNSAFE,), {UNSAFE: (SPAM,)})
    assert targets[:, 0].tolist() == [True, True, False, False]


@pytest.mark.parametrize(("unsafe", "safe"), [(0, 5), (5, 0)])
def test_one_class_only_is_refused(unsafe: int, safe: int) -> None:
    with pytest.raises(UsageError, match="nothing to tell apart") as caught:
        columns_of(sets.rows({HATE: unsafe}, safe))

    assert caught.value.code == "too_few_labels"


def test_a_category_with_too_few_images_is_left_out_and_told() -> None:
    labelled = sets.rows({HATE: 40, SPAM: 4}, 60)
    told: list[str] = []

    examples = examples_of(labelled, sets.alone(labelled), seed=1, say=told.append)

    assert examples.labels == ("Hate",)
    assert list(examples.left_out) == ["Spam"]
    assert told[0].startswith("Spam: ")


def test_a_category_that_is_asked_for_must_have_enough() -> None:
    labelled = sets.rows({HATE: 40, SPAM: 4}, 60)

    with pytest.raises(UsageError, match="Spam") as caught:
        examples_of(labelled, sets.alone(labelled), seed=1, wanted=(HATE, SPAM))

    assert caught.value.code == "too_few_labels"


def test_parts_are_drawn_evenly_where_the_set_says_none() -> None:
    labelled = sets.rows({HATE: 100, SPAM: 100}, 200)

    examples = examples_of(labelled, sets.alone(labelled), seed=1)

    sizes = {part: len(examples.rows(part)) for part in PARTS}
    assert sizes == pytest.approx(
        {"train": 240, "validation": 40, "calibration": 40, "test": 80}, abs=3
    )
    for part in PARTS:
        assert examples.targets[examples.rows(part)].mean(axis=0) == pytest.approx(0.25, abs=0.06)


def test_what_the_set_says_is_for_testing_stays_for_testing() -> None:
    labelled = [
        *sets.rows({HATE: 60}, 60, "train"),
        *sets.rows({HATE: 20}, 20, "test"),
    ]

    examples = examples_of(labelled, sets.alone(labelled), seed=1)

    assert [examples.keys[i] for i in examples.rows("test")] == [
        row.key for row in labelled if row.split == "test"
    ]
    assert len(examples.rows("validation")) == pytest.approx(12, abs=2)
    assert len(examples.rows("calibration")) == pytest.approx(12, abs=2)


def test_a_validation_part_is_shared_with_calibration_and_never_both() -> None:
    labelled = [
        *sets.rows({HATE: 60}, 60, "train"),
        *sets.rows({HATE: 20}, 20, "Validation"),
        *sets.rows({HATE: 20}, 20, "test"),
    ]

    examples = examples_of(labelled, sets.alone(labelled), seed=1)

    assert len(examples.rows("train")) == 120
    assert len(examples.rows("validation")) == len(examples.rows("calibration")) == 20


def test_a_copy_of_a_test_image_is_in_no_other_part() -> None:
    labelled = [*sets.rows({HATE: 60}, 60, "train"), *sets.rows({HATE: 20}, 20, "test")]
    group = sets.alone(labelled)
    group[3] = group[-1]

    examples = examples_of(labelled, group, seed=1)

    assert examples.part[3] == -1


@pytest.mark.parametrize(
    "parts",
    [
        ("train", "validation", "calibration", "test"),
        ("train", "calibration", "test"),
        ("train", "validation", "test"),
        ("train", "validation"),
        ("train", "test"),
        ("train", ""),
    ],
)
def test_no_group_is_in_two_parts_whatever_the_set_says(parts: tuple[str, ...]) -> None:
    labelled = [row for part in parts for row in sets.rows({HATE: 60}, 60, part)]
    own = np.arange(len(labelled), dtype=np.int64)
    group = np.where(
        own % 3 == 0, own % 120, 1_000 + own
    )  # of each third image a copy in each part

    examples = examples_of(labelled, group, seed=1)

    for number in np.unique(group):
        assert len(set(examples.part[group == number].tolist()) - {-1}) <= 1


def test_what_the_set_says_is_held_out_is_never_learned_from() -> None:
    labelled = [*sets.rows({HATE: 60}, 60, "train"), *sets.rows({HATE: 40}, 40, "validation")]

    examples = examples_of(labelled, sets.alone(labelled), seed=1)

    assert [labelled[i].split for i in examples.rows("train")] == ["train"] * 120
    sizes = [len(examples.rows(part)) for part in PARTS[1:]]
    assert sizes == pytest.approx([20, 20, 40], abs=2)


def test_what_is_said_to_be_for_training_measures_nothing() -> None:
    labelled = [*sets.rows({HATE: 60}, 60), *sets.rows({HATE: 20}, 20, "train")]

    examples = examples_of(labelled, sets.alone(labelled), seed=1)

    assert all(part == 0 for part, row in zip(examples.part, labelled, strict=True) if row.split)
    assert len(examples.rows("test")) == pytest.approx(24, abs=2)


def test_images_in_no_part_are_told() -> None:
    labelled = [
        *sets.rows({HATE: 60}, 60, "train"),
        *sets.rows({HATE: 20}, 20, "test"),
        *sets.rows({HATE: 3}, 4, "extra"),
    ]
    told: list[str] = []

    examples_of(labelled, sets.alone(labelled), seed=1, say=told.append)

    assert told == ["7 images are in no part: left out by the set, or copies of held-out images"]


def split_of(labelled: list[Labelled], parts: list[str | None]) -> Split:
    entries = [
        Entry(row.key, "0" * 64, row.key, part, None if part else "too_large")
        for row, part in zip(labelled, parts, strict=True)
    ]
    names = dict.fromkeys((part for part in parts if part is not None), 0.5)
    return Split(names, 1, None, tuple(entries))


def test_what_a_split_leaves_out_is_not_learned_from() -> None:
    labelled = sets.rows({HATE: 60}, 60)
    split = split_of(labelled, [None if at % 4 == 0 else "train" for at in range(len(labelled))])

    examples = examples_of(labelled, sets.alone(labelled), seed=1, split=split)

    assert (examples.part[::4] == -1).all()
    assert len(examples.rows("test")) == pytest.approx(18, abs=2)


def test_a_split_into_folds_is_not_drawn_anew() -> None:
    labelled = sets.rows({HATE: 60}, 60)
    split = split_of(labelled, [f"fold-{at % 5}" for at in range(len(labelled))])

    with pytest.raises(UsageError, match="fold-0"):
        examples_of(labelled, sets.alone(labelled), seed=1, split=split)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_no_group_is_in_two_parts(seed: int, size: int) -> None:
    labelled = sets.rows({HATE: 60, SPAM: 60}, 120)
    group = np.arange(len(labelled), dtype=np.int64) // size

    examples = examples_of(labelled, group, seed=seed)

    for number in np.unique(group):
        assert len(set(examples.part[group == number].tolist())) == 1


def test_the_same_seed_draws_the_same_parts() -> None:
    labelled = sets.rows({HATE: 60}, 60)
    first, second, other = (
        examples_of(labelled, sets.alone(labelled), seed=seed).part for seed in (1, 1, 2)
    )

    assert (first == second).all()
    assert (first != other).any()


def test_kept_rows_keep_all_their_columns() -> None:
    labelled = sets.rows({HATE: 60}, 60)
    examples = examples_of(labelled, sets.alone(labelled), seed=1)

    few = examples.kept(np.array([5, 70]))

    assert few.keys == (examples.keys[5], examples.keys[70])
    assert few.unsafe.tolist() == [True, False]
    assert few.part.tolist() == examples.part[[5, 70]].tolist()
    assert few.targets.shape == (2, 1)


def test_rows_of_one_text_are_one_group() -> None:
    assert text_groups(["a", "b", "a"]).tolist() == [0, 1, 0]


def test_the_least_number_is_enough() -> None:
    labelled = sets.rows({HATE: LEAST}, LEAST, "train") + sets.rows({HATE: 3}, 3, "test")
    labelled += sets.rows({HATE: 3}, 3, "validation")

    assert len(examples_of(labelled, sets.alone(labelled), seed=1).rows("train")) == 2 * LEAST
