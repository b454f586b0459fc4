"""What a student learns and is measured against, with labels, without, and with some."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from vedette.bench.scoring import Labelled
from vedette.errors import UsageError
from vedette.taxonomy import Category
from vedette.train.data import SetOptions
from vedette.train.distill.lessons import lessons
from vedette.train.distill.pool import Pool, _unlabelled
from vedette.train.distill.teacher import Taught
from vedette.types import Float32

COVERED = (Category.HATE, Category.VIOLENCE, Category.SEXUAL)


def pool(
    n: int,
    told: Sequence[bool] | None = None,
    truth: Sequence[tuple[Category, ...]] | None = None,
    group: Sequence[int] | None = None,
    options: SetOptions | None = None,
) -> Pool:
    rows = [
        Labelled(
            f"{at:04}.png",
            "",
            -1,
            tuple(c.position for c in (truth or {at: ()})[at]) if truth else (),
            bool(truth and truth[at]),
            "",
        )
        for at in range(n)
    ]
    numbers = np.arange(n) if group is None else np.array(group)
    said = np.zeros(n, np.bool_) if told is None else np.array(told)
    return Pool(
        "set",
        _unlabelled(rows, numbers.astype(np.int64)),
        "0" * 64,
        None,
        None,
        False,
        None,
        tuple(rows),
        said,
        options or SetOptions(),
    )


def taught(p: Float32) -> Taught:
    return Taught(np.arange(len(p), dtype=np.int64), p, COVERED, {})


def drawn(n: int, seed: int = 0) -> Float32:
    """A third Hate, a third Violence, the others safe; Sexual is never flagged."""
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.05, 0.4, (n, 3))
    which = rng.integers(3, size=n)
    p[which == 0, 0] += 0.55
    p[which == 1, 1] += 0.55
    return p.astype(np.float32)


def test_without_labels_all_is_the_teachers() -> None:
    p = drawn(200)
    lines: list[str] = []
    examples = lessons(pool(200), taught(p), lines.append).examples

    assert examples.labels == ("Hate", "Violence")
    np.testing.assert_array_equal(examples.soft, p[:, :2])
    np.testing.assert_array_equal(examples.targets, p[:, :2] >= 0.5)
    np.testing.assert_array_equal(examples.unsafe, (p >= 0.5).any(axis=1))
    assert examples.known.all()
    assert [
        len(examples.rows(part)) for part in ("train", "validation", "calibration", "test")
    ] == (pytest.approx([120, 20, 20, 40], abs=5))
    np.testing.assert_array_equal(examples.learned, examples.soft)
    kept = examples.kept(np.array([3, 5]))
    np.testing.assert_array_equal(kept.soft, p[[3, 5], :2])


def test_labels_are_what_is_measured_and_never_what_is_learned() -> None:
    p = drawn(200)
    truth = [(Category.SEXUAL,) if at % 2 else (Category.HATE,) for at in range(200)]
    examples = lessons(pool(200, [True] * 200, truth), taught(p)).examples
    held = np.isin(examples.part, (2, 3))

    np.testing.assert_array_equal(examples.targets[~held], p[~held, :2] >= 0.5)
    np.testing.assert_array_equal(examples.soft, p[:, :2])
    assert examples.unsafe[held].all(), "also where the label is one that the student has not"
    even = np.arange(200) % 2 == 0
    np.testing.assert_array_equal(
        examples.targets[held & even], [[True, False]] * (held & even).sum()
    )
    np.testing.assert_array_equal(
        examples.targets[held & ~even], [[False, False]] * (held & ~even).sum()
    )


def test_an_image_that_is_unsafe_in_some_way_leaves_its_labels_open() -> None:
    p = drawn(200)
    one = pool(200, [True] * 200, [()] * 200)
    rows = tuple(Labelled(row.key, "", -1, (), at % 2 == 0, "") for at, row in enumerate(one.rows))
    examples = lessons(
        Pool("set", one.examples, "", None, None, False, None, rows, one.told), taught(p)
    ).examples
    held, even = np.isin(examples.part, (2, 3)), np.arange(200) % 2 == 0

    assert not examples.known[held & even].any()
    assert examples.known[~(held & even)].all()


def test_unlabelled_images_are_learned_from_and_not_measured() -> None:
    p = drawn(300)
    told = [at < 100 for at in range(300)]
    examples = lessons(pool(300, told, [()] * 300), taught(p)).examples
    measured = np.isin(examples.part, (2, 3))

    assert measured.any()
    assert np.array(told)[measured].all()
    assert (examples.part >= 0).all()


def test_an_unlabelled_copy_of_a_test_image_is_in_no_part() -> None:
    p = drawn(300)
    p[150:] = p[:150]
    told = [at < 150 for at in range(300)]
    group = [at % 150 for at in range(300)]
    examples = lessons(pool(300, told, [()] * 300, group), taught(p)).examples

    held = {int(g) for g in examples.group[np.isin(examples.part, (2, 3))]}
    copies = np.isin(examples.group, sorted(held)) & ~np.array(told)
    assert copies.any()
    assert (examples.part[copies] == -1).all()


@pytest.mark.parametrize("value", [0.1, 0.9])
def test_a_teacher_that_says_one_thing_teaches_nothing(value: float) -> None:
    with pytest.raises(UsageError, match="nothing to tell apart") as caught:
        lessons(pool(50), taught(np.full((50, 3), value, np.float32)))
    assert caught.value.code == "too_few_labels"


def test_a_category_that_the_teacher_hardly_flags() -> None:
    p = drawn(200)
    p[:5, 2] = 0.9
    lines: list[str] = []
    examples = lessons(pool(200), taught(p), lines.append).examples
    assert examples.labels == ("Hate", "Violence")
    assert "Sexual" in lines[0]
    with pytest.raises(UsageError, match="of what the teacher says") as caught:
        lessons(pool(200, options=SetOptions(categories=(Category.SEXUAL,))), taught(p))
    assert caught.value.code == "too_few_labels"


def test_a_category_that_the_teacher_cannot_see() -> None:
    with pytest.raises(UsageError, match="cannot see Spam"):
        lessons(pool(200, options=SetOptions(categories=(Category.SPAM,))), taught(drawn(200)))
