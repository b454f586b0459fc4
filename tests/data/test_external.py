from __future__ import annotations

import base64
from pathlib import Path

import pyarrow as pa
import pytest

from tests.data.layouts import EXTERNAL, base64_of, external, jpeg, write
from vedette.data.base import read_all
from vedette.data.cards import card_named
from vedette.data.opening import SourceOptions, open_source
from vedette.errors import UsageError
from vedette.settings import Limits
from vedette.types import Failure, Item

SMID = SourceOptions(card="smid")


def items(path: Path, options: SourceOptions = SMID) -> list[Item]:
    chosen, source = open_source(str(path), options=options)
    assert chosen.name == "external"
    found = list(read_all(source))
    assert [source.find(item.key) for item in found] == found
    return found


def code(item: Item) -> str | None:
    return item.data.code if isinstance(item.data, Failure) else None


@pytest.mark.parametrize("name", EXTERNAL)
def test_each_of_the_five_by_its_card(tmp_path: Path, name: str) -> None:
    card = card_named(f"yiting/{name}")
    path = external(tmp_path / name, [base64_of(0), base64_of(1), "1"], [0, 1, 1])

    safe, unsafe, again = items(path, SourceOptions(card=card.id))

    assert [safe.key, unsafe.key, again.key] == ["0", "1", "2"]
    assert (safe.data, unsafe.data, again.data) == (jpeg(0), jpeg(1), jpeg(1))
    assert (safe.unsafe, safe.labels) == (False, frozenset())
    assert (unsafe.unsafe, unsafe.labels) == (True, card.labels["1"].categories)


def test_references_backward_forward_and_in_chains(tmp_path: Path) -> None:
    images = ["5", base64_of(1), "1", "2", "0", base64_of(5), "3"]

    found = items(external(tmp_path, images))

    assert [i.data for i in found] == [jpeg(seed) for seed in (5, 1, 1, 1, 5, 5, 1)]
    # Each row has its own label, whoever has its picture.
    assert [i.unsafe for i in found] == [False, True] * 3 + [False]


def test_references_go_by_the_index_and_not_by_the_place(tmp_path: Path) -> None:
    columns = {
        "index": [10, 0, 20],
        "label": [0, 1, 1],
        "image": [base64_of(1), "20", base64_of(2)],
    }
    path = write(pa.table(columns), tmp_path / "train.parquet", 1)

    assert [(i.key, i.data) for i in items(path)] == [
        *(("10", jpeg(1)), ("0", jpeg(2)), ("20", jpeg(2)))
    ]


def test_references_that_lead_nowhere_are_failures(tmp_path: Path) -> None:
    images = ["0", "2", "3", "1", "99", "10" * 9, base64_of(0)]

    found = items(external(tmp_path, images))

    assert [code(i) for i in found] == ["corrupt"] * 6 + [None]
    assert "index 99, which no row has" in str(found[4].data)
    assert "back to it" in str(found[0].data)


def test_an_index_that_two_rows_have_is_no_target(tmp_path: Path) -> None:
    columns = {"index": [1, 1, 2], "label": [0, 0, 0], "image": [base64_of(0), base64_of(1), "1"]}

    found = items(write(pa.table(columns), tmp_path / "a.parquet"))

    assert [i.key for i in found] == ["1", "1#1", "2"]
    assert [code(i) for i in found] == [None, None, "corrupt"]


def test_text_that_is_no_base64(tmp_path: Path) -> None:
    images = ["no!", "abc", None, "", "data:image/png;base64," + base64_of(0), "A" * 4000]

    found = items(external(tmp_path, images), SourceOptions(card="smid", limits=Limits(bytes=1500)))

    assert [code(i) for i in found] == [
        *("corrupt", "corrupt", "not_found", "not_found", None, "too_many_bytes")
    ]
    assert found[4].data == jpeg(0)


def test_base64_in_lines(tmp_path: Path) -> None:
    (item,) = items(external(tmp_path, [base64.encodebytes(jpeg(0)).decode()]))

    assert item.data == jpeg(0)


def test_without_a_card_the_numbers_mean_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="row 0: nothing says what the label '0'") as caught:
        items(external(tmp_path, [base64_of(0)]), SourceOptions())
    assert caught.value.code == "unknown_label"


def test_other_columns_are_refused(tmp_path: Path) -> None:
    path = write(pa.table({"image": [base64_of(0)]}), tmp_path / "a.parquet")

    with pytest.raises(UsageError, match="no column 'index'") as caught:
        open_source(str(path), "external")
    assert caught.value.code == "bad_source"
