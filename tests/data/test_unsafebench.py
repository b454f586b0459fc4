from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.data.layouts import UNSAFEBENCH, picture, unsafebench_folder, unsafebench_hub
from vedette.data.base import CATEGORY, SOURCE, SPLIT, TEXT, read_all
from vedette.data.opening import open_source
from vedette.errors import UsageError
from vedette.taxonomy import parse_category
from vedette.types import Item


def items(path: Path, fmt: str = "auto") -> list[Item]:
    chosen, source = open_source(str(path), fmt)
    assert chosen.name == "unsafebench"
    return list(read_all(source))


def by_picture(found: list[Item]) -> dict[bytes, Item]:
    return {
        item.data if isinstance(item.data, bytes) else Path(str(item.data)).read_bytes(): item
        for item in found
    }


def test_the_hubs_columns_come_out_right(tmp_path: Path) -> None:
    found = by_picture(items(unsafebench_hub(tmp_path / "hub")))

    assert len(found) == len(UNSAFEBENCH)
    for seed, (split, safety, category, source, text) in enumerate(UNSAFEBENCH):
        item = found[picture(seed)]
        unsafe = safety == "Unsafe"
        assert item.labels == frozenset([parse_category(category)] if unsafe else [])
        assert item.unsafe is unsafe
        assert item.meta == {SPLIT: split, CATEGORY: category, SOURCE: source, TEXT: text}


@pytest.mark.parametrize("below", [".", "train", "train/images", "train/images/metadata.jsonl"])
def test_the_authors_folders_say_the_same(tmp_path: Path, below: str) -> None:
    folder = unsafebench_folder(tmp_path / "authors")
    hub = by_picture(items(unsafebench_hub(tmp_path / "hub")))

    found = by_picture(items(folder / below))

    assert len(found) == (len(UNSAFEBENCH) if below == "." else 3)
    for data, item in found.items():
        assert item.labels == hub[data].labels
        meta = {key: value for key, value in hub[data].meta.items() if key != TEXT}
        if below in (".",):
            assert item.meta == meta
        assert item.meta.items() <= meta.items()


@pytest.mark.parametrize(("image", "label"), [("fname", "safety_label"), ("file_name", "label")])
def test_other_names_of_the_fields(tmp_path: Path, image: str, label: str) -> None:
    (tmp_path / "0.png").write_bytes(picture(0))
    row = {image: "0.png", label: "Unsafe", "category": "Spam", "source": "Lexica"}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(row))

    (item,) = items(tmp_path, "unsafebench")

    assert item.labels == frozenset({parse_category("Spam")})
    assert item.meta == {SOURCE: "Lexica", CATEGORY: "Spam"}


def test_an_unknown_category_is_refused_with_its_line(tmp_path: Path) -> None:
    row = {"image_fname": "0.png", "label": "Safe", "category": "Spamm", "source": "Lexica"}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(row))

    with pytest.raises(UsageError, match=r"metadata\.jsonl, line 1: .*'Spamm'") as caught:
        items(tmp_path)
    assert caught.value.code == "unknown_label"


def test_other_sets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no Parquet files and no metadata"):
        open_source(str(tmp_path), "unsafebench")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "label": "safe"}')
    with pytest.raises(UsageError, match="has not UnsafeBench's columns") as caught:
        items(tmp_path, "unsafebench")
    assert caught.value.code == "bad_source"
    assert open_source(str(tmp_path))[0].name == "manifest"
