"""From labels to categories, from frames to a file, and from views to regions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_types import scores
from vedette.scores import iou, merge_regions, to_scores, worst
from vedette.taxonomy import Category
from vedette.types import Prediction, Region, Scores

PROFILE = settings(deadline=None, derandomize=True, database=None)

Box = tuple[int, int, int, int]
SEXUAL, HATE = Category.SEXUAL, Category.HATE
MAPPING = {"bare": (SEXUAL,), "barer": (SEXUAL,), "symbol": (HATE,), "face": ()}

boxes = st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(0, 9)] * 2)
all_scores = st.dictionaries(st.sampled_from(list(Category)), st.floats(0, 1, width=32)).map(scores)


def prediction(**probs: float) -> Prediction:
    return Prediction(tuple(probs), np.array(list(probs.values()), dtype=np.float32), "drawn@1")


def same(a: Scores, b: Scores) -> bool:
    return bool(np.array_equal(a.p, b.p) and np.array_equal(a.covered, b.covered))


# Labels to categories


def test_a_category_has_the_highest_of_its_labels() -> None:
    made = to_scores(prediction(bare=0.25, barer=0.75, symbol=0.5, face=1.0), MAPPING)

    assert made.as_dict() == {HATE: 0.5, SEXUAL: 0.75}


def test_a_label_of_no_category_covers_nothing() -> None:
    made = to_scores(prediction(face=0.99), MAPPING)

    assert not made.covered.any()
    assert made.as_dict() == {}


def test_a_covered_category_may_be_zero() -> None:
    assert to_scores(prediction(bare=0.0), MAPPING).as_dict() == {SEXUAL: 0.0}


def test_the_calibration_is_kept() -> None:
    assert to_scores(prediction(bare=0.1), MAPPING, calibrated="platt@1").calibrated == "platt@1"


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -0.001, 1.001])
def test_what_is_no_probability_is_refused(bad: float) -> None:
    # On a label that counts for nothing as well: the model is broken, whatever it says elsewhere.
    for probs in ({"bare": bad, "symbol": 0.5}, {"bare": 0.5, "face": bad}):
        with pytest.raises(ValueError, match=r"outside 0\.\.1"):
            to_scores(prediction(**probs), MAPPING)


def test_a_label_that_the_card_does_not_know_is_refused() -> None:
    with pytest.raises(KeyError, match="stranger"):
        to_scores(prediction(stranger=0.5), MAPPING)


@pytest.mark.parametrize("count", [0, 2])
def test_labels_and_probabilities_must_be_as_many(count: int) -> None:
    odd = Prediction(("bare",), np.full(count, 0.5, dtype=np.float32), "drawn@1")

    with pytest.raises(ValueError, match=r"shorter|longer"):
        to_scores(odd, MAPPING)


# Frames to a file


@PROFILE
@given(st.lists(all_scores, min_size=1, max_size=5))
def test_a_file_is_as_bad_as_its_worst_frame(frames: list[Scores]) -> None:
    file = worst(frames).as_dict()

    expected: dict[Category, float] = {}
    for frame in frames:
        for category, p in frame.as_dict().items():
            expected[category] = max(p, expected.get(category, 0.0))
    assert file == expected


@PROFILE
@given(st.lists(all_scores, min_size=1, max_size=4))
def test_the_order_of_frames_does_not_matter(frames: list[Scores]) -> None:
    assert same(worst(frames), worst(frames[::-1]))
    assert same(worst([worst(frames), *frames]), worst(frames))


def test_frames_of_different_calibrations_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="share one calibration"):
        worst([scores({SEXUAL: 0.5}), scores({SEXUAL: 0.5}, calibrated="platt@1")])


def test_a_file_without_frames_has_no_scores() -> None:
    with pytest.raises(ValueError, match="share one calibration"):
        worst([])


# Boxes and regions


def pixels(box: Box) -> set[tuple[int, int]]:
    x, y, w, h = box
    return {(i, j) for i in range(x, x + w) for j in range(y, y + h)}


def counted_iou(a: Box, b: Box) -> float:
    union = pixels(a) | pixels(b)
    return len(pixels(a) & pixels(b)) / len(union) if union else 0.0


@PROFILE
@given(boxes, boxes)
def test_iou_counts_pixels(a: Box, b: Box) -> None:
    assert iou(a, b) == pytest.approx(counted_iou(a, b))


@PROFILE
@given(boxes, boxes)
def test_iou_is_symmetric_and_a_share(a: Box, b: Box) -> None:
    assert iou(a, b) == iou(b, a)
    assert 0 <= iou(a, b) <= 1
    assert iou(a, a) == (1 if pixels(a) else 0)


def merged_by_hand(regions: Sequence[Region]) -> list[Region]:
    """Reference: take the best left, drop what shows the same thing, until nothing is left."""
    out = []
    for frame in sorted({r.frame for r in regions}):
        left = [r for r in regions if r.frame == frame]
        while left:
            best = min(left, key=lambda r: (-r.score, r.label, r.box))
            out.append(best)
            left.remove(best)
            left = [
                r for r in left if r.label != best.label or counted_iou(r.box, best.box) <= 0.45
            ]
    return out


regions = st.lists(
    st.builds(
        Region,
        st.sampled_from(["a", "b"]),
        st.sampled_from([0.3, 0.5, 0.5, 0.7, 0.9]),
        boxes,
        st.integers(0, 2),
    ),
    max_size=8,
)


@PROFILE
@given(regions)
def test_merging_equals_the_reference(given_regions: list[Region]) -> None:
    assert list(merge_regions(given_regions)) == merged_by_hand(given_regions)


@PROFILE
@given(regions.flatmap(lambda some: st.tuples(st.just(some), st.permutations(some))))
def test_merging_does_not_depend_on_the_order(orders: tuple[list[Region], list[Region]]) -> None:
    given_regions, shuffled = orders

    assert merge_regions(shuffled) == merge_regions(given_regions)


@PROFILE
@given(regions)
def test_merging_loses_no_label_and_no_best_score(given_regions: list[Region]) -> None:
    def best(some: Sequence[Region]) -> dict[tuple[int, str], float]:
        out: dict[tuple[int, str], float] = {}
        for r in some:
            out[r.frame, r.label] = max(r.score, out.get((r.frame, r.label), 0))
        return out

    merged = merge_regions(given_regions)

    assert best(merged) == best(given_regions)
    assert merge_regions(merged) == merged


def test_the_same_box_in_two_frames_is_two_regions() -> None:
    twice = [Region("a", 0.5, (0, 0, 5, 5), frame) for frame in (0, 1)]

    assert merge_regions(twice) == tuple(twice)
