from __future__ import annotations

import pytest

from vedette.data.base import CATEGORY, SOURCE, SPLIT, TEXT
from vedette.data.labelling import SAFE, UNLABELLED, UNSAFE, Label, Legend, Origin, of_categories
from vedette.data.opening import SourceOptions
from vedette.data.rows import (
    Schema,
    cell_label,
    legend_of,
    located,
    picked,
    split_of,
    tabular,
    text_of,
    unsafebench,
)
from vedette.errors import UnknownNameError, UsageError
from vedette.taxonomy import Category

PLAIN = Schema(("label",))
VIOLENCE = of_categories([Category.VIOLENCE])


def label(value: object, legend: Legend | None = None, schema: Schema = PLAIN) -> Label:
    return cell_label(value, legend or Legend(), schema, "label")


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("safe", SAFE),
        (" UNSAFE ", UNSAFE),
        ("Violence", VIOLENCE),
        (b"violence", VIOLENCE),
        (None, UNLABELLED),
        ("", UNLABELLED),
        ([], SAFE),
        ([None], UNLABELLED),
        (["Violence"], VIOLENCE),
        (["Violence", "Hate"], of_categories([Category.HATE, Category.VIOLENCE])),
        (["unsafe", "Violence"], VIOLENCE),
        ("Violence;Hate", of_categories([Category.HATE, Category.VIOLENCE])),
        ("Violence+Hate", of_categories([Category.HATE, Category.VIOLENCE])),
    ],
)
def test_what_a_cell_says(value: object, meant: Label) -> None:
    assert label(value) == meant


@pytest.mark.parametrize("value", ["weapons", 0, "1", True])
def test_what_nobody_explains_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match="nothing says") as caught:
        label(value)
    assert caught.value.code == "unknown_label"


@pytest.mark.parametrize("value", [["safe", "Violence"], {"a": 1}, 0.5])
def test_a_cell_that_is_no_label_is_refused(value: object) -> None:
    with pytest.raises(UsageError) as caught:
        label(value)
    assert caught.value.code == "bad_source"


def test_a_name_with_a_separator_can_be_given_whole() -> None:
    assert label("a+b", Legend({"a+b": UNSAFE})) == UNSAFE


def test_class_numbers_go_by_the_files_own_names() -> None:
    legend = Legend()
    schema = Schema(("label",), {"label": ("Violence", "safe")})

    assert label(0, legend, schema) == VIOLENCE
    assert label(1, legend, schema) == SAFE
    assert label(-1, legend, schema) == UNLABELLED
    assert list(legend.lines()) == [
        "Violence = unsafe: Violence (the file's schema)",
        "safe = safe (the file's schema)",
    ]
    with pytest.raises(UsageError, match="'7'"):
        label(7, legend, schema)


def test_given_numbers_win_over_the_files_names() -> None:
    schema = Schema(("label",), {"label": ("safe", "unsafe")})

    assert label(0, Legend({"0": UNSAFE}), schema) == UNSAFE


def test_a_card_that_contradicts_the_file_is_never_taken_silently() -> None:
    card = Legend({"0": SAFE, "1": UNSAFE}, Origin.CARD)
    flipped = Schema(("label",), {"label": ("unsafe", "safe")})

    with pytest.raises(UsageError, match="the set's card says that 0 is safe") as caught:
        label(0, card, flipped)
    assert caught.value.code == "unknown_label"
    assert label(1, card, Schema(("label",), {"label": ("x", "weapons")})) == UNSAFE


def test_the_legend_starts_from_what_is_given_then_from_the_card() -> None:
    assert legend_of(SourceOptions(labels={"0": UNSAFE}, card="smid")).label("0") == UNSAFE
    assert legend_of(SourceOptions(card="smid")).label("0") == SAFE
    assert legend_of(SourceOptions(), "unsafebench").origin is Origin.CARD
    assert not legend_of(SourceOptions()).given
    with pytest.raises(UnknownNameError):
        legend_of(SourceOptions(card="smidd"))


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("data/train-00000-of-00002.parquet", "train"),
        ("val/0000.parquet", "validation"),
        ("test.parquet", "test"),
        ("testing/a.png", "test"),
        ("trains/contest.parquet", None),
        ("a/b/c.png", None),
    ],
)
def test_splits_by_path(path: str, split: str | None) -> None:
    assert split_of(path.split("/")) == split


def test_a_table_gives_the_known_facts_and_those_asked_for() -> None:
    names = ("image", "label", "source", "caption", "category", "split", "likes", "other")
    options = SourceOptions(columns={"popularity": "likes"})
    judge = tabular(Legend(), Schema(names), options, "t")
    row = dict(zip(names, ("x", "safe", "Lexica", "a dot", "hate", "test", 3, "y"), strict=True))

    assert judge(row) == (
        SAFE,
        {SOURCE: "Lexica", TEXT: "a dot", CATEGORY: "Hate", SPLIT: "test", "popularity": "3"},
    )


def test_a_category_beside_an_unsafe_label_names_it() -> None:
    judge = tabular(Legend(), Schema(("label", "category")), SourceOptions(), "t")

    assert judge({"label": "unsafe", "category": "self harm"})[0].categories == frozenset(
        {Category.SELF_HARM}
    )
    assert judge({"label": "unsafe", "category": "cats"}) == (UNSAFE, {CATEGORY: "cats"})


def test_a_column_that_is_named_and_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="no column 'tag'") as caught:
        picked("tag", (), ("image", "label"), "label", "t.csv")
    assert caught.value.code == "bad_source"
    assert "image, label" in caught.value.hint


def test_unsafebench_keeps_the_category_of_safe_pictures_apart() -> None:
    judge = unsafebench(Legend(), Schema(("safety_label", "category", "source", "text")))
    row = {"safety_label": "Safe", "category": "Spam", "source": "Lexica", "text": None}

    assert judge(row) == (SAFE, {SOURCE: "Lexica", CATEGORY: "Spam"})
    assert judge({**row, "safety_label": "Unsafe"})[0].categories == frozenset({Category.SPAM})


@pytest.mark.parametrize("category", ["Spamm", "", None, 3])
def test_unsafebench_has_eleven_categories(category: object) -> None:
    judge = unsafebench(Legend(), Schema(("safety_label", "category")))

    with pytest.raises(UsageError) as caught:
        judge({"safety_label": "Unsafe", "category": category})
    assert caught.value.code == "unknown_label"


def test_text_is_always_printable_as_utf8() -> None:
    assert text_of("a\ud800") == "a?"
    assert text_of(b"\xff") == "\ufffd"
    assert text_of(True) == "true"
    assert text_of(None) == ""


def test_errors_say_where() -> None:
    with (
        pytest.raises(UsageError, match=r"^row 3: what$") as caught,
        located("row 3"),
    ):
        raise UsageError("what", code="bad_source", hint="do")
    assert (caught.value.code, caught.value.hint) == ("bad_source", "do")
