"""The eleven categories: their names are a published data set's, their order is fixed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette.taxonomy import DEFINITIONS, Category, parse_category

PROFILE = settings(deadline=None, derandomize=True, database=None)

NAMES = [
    "Hate",
    "Harassment",
    "Violence",
    "Self-harm",
    "Sexual",
    "Shocking",
    "Illegal activity",
    "Deception",
    "Political",
    "Public and personal health",
    "Spam",
]


def test_names_and_order() -> None:
    # Stored arrays of scores are indexed by this order: to change it is to misread them.
    assert [category.value for category in Category] == NAMES


def test_positions_index_the_order() -> None:
    assert [category.position for category in Category] == list(range(11))


def test_every_category_has_a_definition_of_its_own() -> None:
    assert list(DEFINITIONS) == list(Category)
    assert len(set(DEFINITIONS.values())) == len(Category)
    for category in Category:
        assert category.definition == DEFINITIONS[category]
        assert category.definition.endswith(".")
        assert len(category.definition.split()) >= 8


@PROFILE
@given(st.sampled_from(list(Category)), st.data())
def test_case_and_separators_do_not_matter(category: Category, data: st.DataObject) -> None:
    letters = [
        data.draw(st.sampled_from([char.lower(), char.upper()]))
        + data.draw(st.sampled_from(["", "", "", "-", "_", " "]))
        for char in category.value
        if char.isalpha()
    ]

    assert parse_category("".join(letters)) is category


@pytest.mark.parametrize("name", ["", "-", "sexuality", "Hate speech", "self"])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(KeyError):
        parse_category(name)
