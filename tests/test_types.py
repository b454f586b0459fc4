"""The core types: frozen, slotted, and scores that say what they do not know."""

from __future__ import annotations

import dataclasses
import inspect
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette import types
from vedette.taxonomy import Category
from vedette.types import SCORE_DECIMALS, Action, Item, Region, Scores

PROFILE = settings(deadline=None, derandomize=True, database=None)

DATACLASSES = [
    value
    for _, value in inspect.getmembers(types, inspect.isclass)
    if dataclasses.is_dataclass(value)
]


def scores(values: dict[Category, float], calibrated: str | None = None) -> Scores:
    p = np.zeros(len(Category), dtype=np.float32)
    covered = np.zeros(len(Category), dtype=np.bool_)
    for category, value in values.items():
        p[category.position], covered[category.position] = value, True
    return Scores(p, covered, calibrated)


def test_the_types_of_the_design_are_there() -> None:
    names = {cls.__name__ for cls in DATACLASSES}

    assert names >= {
        "Item",
        "Image",
        "Region",
        "Prediction",
        "Scores",
        "Verdict",
        "Failure",
        "Record",
        "Reason",
    }


@pytest.mark.parametrize("cls", DATACLASSES, ids=lambda cls: cls.__name__)
def test_every_type_is_frozen_and_slotted(cls: type) -> None:
    assert cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__slots__" in vars(cls)
    assert "__dict__" not in dir(cls)


def test_a_field_cannot_be_set() -> None:
    region = Region("FACE_MALE", 0.5, (1, 2, 3, 4))

    with pytest.raises(dataclasses.FrozenInstanceError):
        region.score = 0.0  # type: ignore[misc]


def test_items_do_not_share_their_meta() -> None:
    assert Item("a", b"").meta is not Item("b", b"").meta


def test_actions_go_from_mild_to_severe() -> None:
    assert [action.value for action in Action] == ["allow", "review", "block"]
    assert [action.severity for action in Action] == [0, 1, 2]


def test_a_category_that_is_not_covered_has_no_probability() -> None:
    given_scores = scores({Category.SEXUAL: 0.25})

    assert given_scores[Category.SEXUAL] == 0.25
    assert given_scores[Category.HATE] is None


def test_zero_and_not_covered_are_two_things() -> None:
    given_scores = scores({Category.SEXUAL: 0.0})

    assert given_scores.as_dict() == {Category.SEXUAL: 0.0}


def test_as_dict_has_the_order_of_the_taxonomy() -> None:
    backwards = dict.fromkeys(reversed(Category), 0.5)

    assert list(scores(backwards).as_dict()) == list(Category)


@PROFILE
@given(st.floats(0, 1, width=32))
def test_scores_are_rounded_before_anybody_judges_them(p: float) -> None:
    seen = scores({Category.SEXUAL: p})[Category.SEXUAL]

    assert seen is not None
    assert seen == round(seen, SCORE_DECIMALS)
    assert math.isclose(seen, p, abs_tol=10**-SCORE_DECIMALS)


@PROFILE
@given(st.floats(0, 1, width=32))
def test_a_rounded_score_survives_being_stored_and_read(p: float) -> None:
    once = scores({Category.SEXUAL: p})[Category.SEXUAL]
    assert once is not None

    assert scores({Category.SEXUAL: once})[Category.SEXUAL] == once
