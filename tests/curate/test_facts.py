"""What an audit keeps on disk comes back as it was, and goes with the audit."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vedette.curate import facts
from vedette.curate.facts import FACTS, MOST_NAMES, NOTHING, OTHERS, Names, Store, Table
from vedette.errors import VedetteError


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(parts=st.lists(st.lists(st.text(), max_size=5), max_size=5))
def test_keys_come_back_as_they_were(parts: list[list[str]]) -> None:
    whole = [key for part in parts for key in part]
    with Store() as store:
        for part in parts:
            if part:
                store.keys.append(part)
        assert len(store.keys) == len(whole)
        assert list(store.keys) == whole
        assert [store.keys[row] for row in range(len(whole))] == whole


def test_keys_that_are_no_text_come_back_too() -> None:
    names = ["caf\udce9.png", "\ud800", "", "a\nb", "\u202egnp.exe"]
    with Store() as store:
        store.keys.append(names)
        assert list(store.keys) == names


def test_rows_come_back_in_order_whatever_the_pieces(tmp_path: Path) -> None:
    table = Table(tmp_path / "t", FACTS)
    rows = np.zeros(1000, FACTS)
    rows["width"] = np.arange(1000)
    rows["sha256"] = np.arange(4000).reshape(1000, 4)
    for first in range(0, 1000, 300):
        table.append(rows[first : first + 300])

    assert np.array_equal(np.concatenate([some for _, some in table.pieces(7)]), rows)
    assert np.array_equal(table.column("sha256"), rows["sha256"])
    assert np.array_equal(table.read(10, 3), rows[10:13])
    table.close()


def test_rows_are_replaced_in_their_places(tmp_path: Path) -> None:
    table = Table(tmp_path / "t", np.dtype((np.float16, (2,))))
    table.extend(6)
    table.write(np.array([1, 2, 5]), np.array([[1, 1], [2, 2], [5, 5]], np.float16))
    table.write(np.array([], np.intp), np.empty((0, 2), np.float16))
    table.append(np.array([[6, 6]], np.float16))

    assert table.read(0, 7)[:, 0].tolist() == [0, 1, 2, 0, 0, 5, 6]
    table.close()


def test_the_folder_is_its_owners_alone_and_goes_at_the_end(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        assert stat.S_IMODE(os.stat(store.folder).st_mode) == 0o700
        store.features_of(3).extend(2)
        assert list(tmp_path.iterdir()) == [store.folder]

    assert list(tmp_path.iterdir()) == []


def test_the_folder_goes_on_an_error_too(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Store(tmp_path):
        raise KeyboardInterrupt

    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error_with_a_hint(tmp_path: Path) -> None:
    table = Table(tmp_path / "t", FACTS)
    table.close()
    table._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115 - closed by the table
    with pytest.raises(VedetteError, match="temporary folder") as raised:
        table.append(np.zeros(1, FACTS))
    table.close()

    assert raised.value.code == "write_failed"


def test_names_are_told_apart_up_to_a_bound() -> None:
    names = Names([NOTHING])
    numbers = [names.number(str(n)) for n in range(2 * MOST_NAMES)]

    assert names.number("5") == numbers[5]
    assert names[numbers[5]] == "5"
    assert names[numbers[-1]] == OTHERS
    assert len(names.names) == MOST_NAMES + 1
    assert facts.categories_of(0b101) == ("Hate", "Violence")
