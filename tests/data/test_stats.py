"""Tables 2 and 9: every item in one row, none dropped; as text, CSV and figure."""

from __future__ import annotations

import csv
from pathlib import Path

import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.data.base import CATEGORY, SOURCE, read_all
from vedette.data.memory import ItemSource
from vedette.data.stats import (
    HEADER,
    MOST_SOURCES,
    NO_SOURCE,
    OTHER_SOURCES,
    Label,
    Statistics,
    Tally,
    count,
    write_csv,
)
from vedette.data.stats_plot import check_suffix, write_plot
from vedette.data.stats_tables import table_2, table_9
from vedette.data.synth.card import NOTICE
from vedette.data.synth.plan import CELLS, Plan, Recipe, Spec
from vedette.errors import UnknownNameError
from vedette.taxonomy import Category
from vedette.types import Failure, Item

SHARED_COUNTS = Path(__file__).parents[3] / "shared" / "facts" / "table9_counts.csv"
GONE = Failure("fetch", "not_found", "no such file")


def item(
    key: str,
    unsafe: bool | None = None,
    *categories: Category,
    source: str = "Laion5B",
    **meta: str,
) -> Item:
    labels = frozenset(categories) if categories else None
    return Item(key, b"", labels, {SOURCE: source, **meta}, unsafe)


def mixed() -> list[Item]:
    """One of each kind, and more."""
    return [
        item("a", False, category="Hate"),
        item("b", False, category="Hate", source="Lexica"),
        item("c", False, category="no such"),
        item("d", False),
        item("e", True, Category.HATE),
        item("f", True, Category.HATE, Category.SPAM),
        item("g", True),
        item("h"),
        Item("i", GONE, frozenset(), {SOURCE: "Lexica", CATEGORY: "Hate"}),
        Item("j", b"", frozenset({Category.SPAM})),
    ]


def test_every_item_is_in_one_row() -> None:
    counted = count(mixed())

    totals = {
        (source, label): tally.total for source, label, tally in counted.rows() if tally.total
    }
    assert totals == {
        ("laion5b", Label.SAFE): 1,
        ("laion5b", Label.SAFE_NO_CATEGORY): 2,
        ("laion5b", Label.UNSAFE): 2,
        ("laion5b", Label.UNSAFE_NO_CATEGORY): 1,
        ("laion5b", Label.UNLABELLED): 1,
        ("lexica", Label.SAFE): 1,
        ("lexica", Label.FAILED): 1,
        (NO_SOURCE, Label.UNSAFE): 1,
    }
    assert counted.total == sum(totals.values()) == len(mixed())
    assert counted.several == 1
    hate, spam = Category.HATE.position, Category.SPAM.position
    unsafe = counted.tallies["laion5b", Label.UNSAFE]
    assert (unsafe.categories[hate], unsafe.categories[spam]) == (2, 1)


def test_what_could_not_be_read_is_never_counted_as_safe() -> None:
    counted = count([Item("a", GONE, frozenset(), {CATEGORY: "Hate"})])

    assert counted.of(NO_SOURCE, Label.SAFE, Label.SAFE_NO_CATEGORY) == 0
    assert counted.of(NO_SOURCE, Label.FAILED) == 1


categories = st.sets(st.sampled_from(list(Category)), max_size=3)
items = st.builds(
    lambda key, data, labels, source, category: Item(
        key, data, labels, {SOURCE: source, CATEGORY: category}
    ),
    st.text(max_size=5),
    st.sampled_from([b"", GONE]),
    st.none() | categories.map(frozenset),
    st.text(max_size=3),
    st.sampled_from(["", "Spam", "spam", "nothing"]),
)


@given(st.lists(items, max_size=30))
def test_rows_always_add_up_to_the_set(given_items: list[Item]) -> None:
    counted = count(given_items)
    rows = [(source, label) for source, label, _ in counted.rows()]

    assert sum(tally.total for _, _, tally in counted.rows()) == len(given_items)
    assert len(set(rows)) == len(rows)
    for source, label, tally in counted.rows():
        if label is Label.SAFE:
            assert sum(tally.categories) == tally.total
        elif label is Label.UNSAFE:
            assert sum(tally.categories) >= tally.total
        else:
            assert not any(tally.categories)
        assert source.isprintable()
    every = "\n".join([*table_2(counted), *table_9(counted)])
    assert f"{len(given_items)}" in every


def test_sources_past_the_limit_are_counted_together() -> None:
    counted = count(item(str(n), False, source=f"s{n}") for n in range(MOST_SOURCES + 10))

    assert len(counted.sources()) == MOST_SOURCES + 1
    assert counted.of(OTHER_SOURCES, Label.SAFE_NO_CATEGORY) == 10
    assert counted.total == MOST_SOURCES + 10


def test_tables_for_a_person() -> None:
    counted = count(mixed())

    assert "\n".join(table_2(counted)) == (
        "Table 2: images by source\n"
        "source   safe  unsafe  unlabelled  failed  all\n"
        "laion5b     3       3           1       0    7\n"
        "lexica      1       0           0       1    2\n"
        "(none)      0       1           0       0    1\n"
        "all         4       4           1       1   10"
    )
    lines = [line.split() for line in table_9(counted)]
    of = {name: [c for line in lines if line[0] == name for c in line[1:]] for name, *_ in lines}
    assert [*of["laion5b"], *of["lexica"]] == [*["laion5b"] * 4, *["lexica"] * 2, *["(none)"] * 2]
    assert of["Hate"] == ["1", "2", "0", "0", "0", "1", "0", "0", "0", "0"]
    assert of["total"] == ["1", "2", "2", "1", "1", "1", "0", "1", "0", "1"]


def test_many_columns_become_several_tables_that_fit_a_terminal() -> None:
    counted = count(item(str(n), False, source=f"source {n}") for n in range(20))
    lines = list(table_9(counted))

    assert max(map(len, lines)) <= 100
    assert sum(line.startswith("Spam") for line in lines) > 1
    assert sum(line.count("unsafe") for line in lines) == 20


def test_nothing_at_all_is_counted_as_nothing(tmp_path: Path) -> None:
    counted = count(read_all(ItemSource([])))
    write_csv(counted, tmp_path / "t.csv")
    write_plot(counted, tmp_path / "t.png")

    assert list(table_2(counted))[-1].split() == ["all", "0", "0", "0"]
    assert (tmp_path / "t.csv").read_text().splitlines() == [",".join(HEADER)]


def test_the_csv_has_the_header_and_rows_of_the_published_counts(tmp_path: Path) -> None:
    write_csv(count(mixed()), tmp_path / "t.csv")

    text = (tmp_path / "t.csv").read_text()
    assert text.startswith(
        "source,label,Hate,Harassment,Violence,Self-harm,Sexual,Shocking,Illegal activity,"
        "Deception,Political,Public and personal health,Spam,total\n"
        "laion5b,safe,1,0,0,0,0,0,0,0,0,0,0,1\n"
        "laion5b,unsafe,2,0,0,0,0,0,0,0,0,0,1,2\n"
        "laion5b,safe_no_category,0,0,0,0,0,0,0,0,0,0,0,2\n"
    )
    rows = list(csv.DictReader(text.splitlines()))
    assert sum(int(row["total"]) for row in rows) == len(mixed())


def test_a_source_that_a_spreadsheet_would_run_is_quoted(tmp_path: Path) -> None:
    write_csv(count([item("a", False, source="=1+1")]), tmp_path / "t.csv")

    assert (tmp_path / "t.csv").read_text().splitlines()[1].startswith("'=1+1,safe,")


def test_names_from_outside_cannot_drive_the_terminal_or_fill_it() -> None:
    counted = count([item("a", source="\x1b[31m" + "x" * 500)])

    (source,) = counted.sources()
    assert source.isprintable()
    assert len(source) < 80


def published() -> Statistics:
    """Scale 1 of the stand-in set, counted without drawing it."""
    plan = Plan(Recipe(scale=1))
    return count(
        Item(
            Spec(index, number, "train").key,
            b"",
            frozenset({cell.category}) if cell.unsafe else frozenset(),
            {SOURCE: cell.source, CATEGORY: cell.category.value},
        )
        for index, cell in enumerate(CELLS)
        for number in range(plan.counts[index])
    )


def test_scale_one_prints_the_published_tables(tmp_path: Path) -> None:
    counted = published()
    write_csv(counted, tmp_path / "t.csv")

    assert list(table_2(counted))[2:] == [
        "laion5b  3,228   1,832   5,060",
        "lexica   2,870   2,216   5,086",
        "all      6,098   4,048  10,146",
    ]
    assert (tmp_path / "t.csv").read_text().splitlines()[1:] == [
        "laion5b,safe,423,403,268,443,158,377,145,213,242,317,239,3228",
        "laion5b,unsafe,116,130,174,72,352,137,185,213,171,86,196,1832",
        "lexica,safe,407,321,286,366,213,180,266,315,102,173,241,2870",
        "lexica,unsafe,44,79,232,113,331,457,263,68,316,193,120,2216",
    ]
    assert counted.stand_ins == counted.total


def test_scale_one_gives_the_file_of_counts_beside_this_checkout(tmp_path: Path) -> None:
    if not SHARED_COUNTS.is_file():
        pytest.skip("the shared facts are not beside this checkout")
    write_csv(published(), tmp_path / "t.csv")

    assert (tmp_path / "t.csv").read_bytes() == SHARED_COUNTS.read_bytes()


def test_drawn_pictures_are_known_by_their_meta_or_their_key() -> None:
    counted = count(
        [
            item("a", stand_in="synth@1"),
            item("a.tar!/stand-in/laion5b/hate/safe/00000.jpg"),
            item("not-a-stand-in/b.jpg"),
        ]
    )

    assert (counted.stand_ins, counted.total) == (2, 3)


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_figure_is_the_same_each_time_and_names_the_stand_in(
    tmp_path: Path, suffix: str
) -> None:
    counted = count([*mixed(), *(item(str(n), source=f"s{n}") for n in range(12))])
    for name in ("one", "two"):
        write_plot(counted, tmp_path / f"{name}.{suffix}", NOTICE)

    data = (tmp_path / f"one.{suffix}").read_bytes()
    assert data == (tmp_path / f"two.{suffix}").read_bytes()
    write_plot(counted, tmp_path / f"plain.{suffix}")
    assert data != (tmp_path / f"plain.{suffix}").read_bytes()
    if suffix == "svg":
        assert NOTICE.encode() in data  # matplotlib keeps each text as a comment
        for text in ("Public and personal health", "no category", "9 others", "13 unlabelled"):
            assert text.encode() in data
    else:
        with PIL.Image.open(tmp_path / "one.png") as picture:
            assert picture.size == (1200, 624)


def test_bars_stack_to_the_totals() -> None:
    from vedette.data.stats_plot import _series

    counted = count([*mixed(), *(item(str(n), False, source=f"s{n}") for n in range(12))])
    parts = [rows.get(Label.SAFE_NO_CATEGORY, Tally()).total for _, _, rows in _series(counted)]

    assert len(parts) == 7
    assert sum(parts) == 14


@pytest.mark.parametrize("name", ["t.pdf", "t", "t.png.gz"])
def test_other_figures_are_refused(name: str) -> None:
    with pytest.raises(UnknownNameError):
        check_suffix(Path(name))
