"""Copies are found across sets, by hashes alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pictures import drawn, encoded
from vedette.bench.fingerprints import (
    fingerprints,
    groups,
    overlap,
    read_fingerprints,
    write_fingerprints,
)
from vedette.data.memory import ItemSource
from vedette.errors import UsageError
from vedette.settings import Settings
from vedette.types import Item


def smaller(picture: PIL.Image.Image) -> PIL.Image.Image:
    return picture.resize((picture.width // 2, picture.height // 2), PIL.Image.Resampling.BOX)


@pytest.fixture(scope="module")
def training() -> ItemSource:
    return ItemSource([Item(f"t{k}", encoded(drawn(k))) for k in range(12)])


def test_copies_and_near_copies_are_found(training: ItemSource) -> None:
    test = ItemSource(
        [
            Item("same", encoded(drawn(3))),
            Item("smaller", encoded(smaller(drawn(5)), "JPEG")),
            Item("new", encoded(drawn(100))),
            Item("broken", b"no picture"),
        ]
    )
    a, b = (fingerprints(source, Settings()) for source in (training, test))

    assert overlap(b, a) == ("same", "smaller")
    assert overlap(b, fingerprints(ItemSource([]), Settings())) == ()


def test_groups_are_of_pictures_that_look_alike(training: ItemSource) -> None:
    both = ItemSource([*training.read(training.shards()[0]), Item("c", encoded(drawn(3)))])
    prints = fingerprints(both, Settings())
    found = groups(prints, ["t3", "c", "t4", "unknown", "other"])

    assert found[0] == found[1]
    assert len(set(found.tolist())) == 4


def test_a_file_of_them_holds_no_keys_and_reads_back(training: ItemSource, tmp_path: Path) -> None:
    prints = fingerprints(training, Settings())
    path = tmp_path / "f.jsonl"
    write_fingerprints(path, prints)

    back = read_fingerprints(path)
    assert "t3" not in path.read_text()
    assert (back.sha256 == prints.sha256).all()
    assert (back.perceptual == prints.perceptual).all()
    assert back.sha256.dtype == np.uint64
    path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    with pytest.raises(UsageError, match="11 of 12"):
        read_fingerprints(path)


@given(st.binary(max_size=300))
def test_any_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("f") / "f.jsonl"
    path.write_bytes(data)
    with pytest.raises(UsageError) as caught:
        read_fingerprints(path)
    assert caught.value.code == "bad_source"
