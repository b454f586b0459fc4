from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vedette.data.keyindex import KeyIndex


def test_rows_of_a_key_in_order() -> None:
    index = KeyIndex(["a", "b", "a", "c", "a"])

    assert index.rows("a") == [0, 2, 4]
    assert index.rows("c") == [3]
    assert index.rows("d") == []
    assert len(index) == 5


def test_the_first_of_two_is_shared_but_does_not_come_again() -> None:
    index = KeyIndex(["a", "b", "a"])

    assert [index.is_shared(row) for row in range(3)] == [True, False, True]
    assert [index.comes_again(row) for row in range(3)] == [False, False, True]


def test_no_keys() -> None:
    assert KeyIndex([]).rows("a") == []


@given(st.lists(st.sampled_from(["a", "a#1", "a#2", "a#1#1", "b", "a#3#3", ""]), max_size=12))
def test_made_keys_are_unique_whatever_the_rows_are_called(keys: list[str]) -> None:
    index = KeyIndex(keys)

    made = [index.unique(k, at) if index.comes_again(at) else k for at, k in enumerate(keys)]

    assert len(set(made)) == len(keys)
