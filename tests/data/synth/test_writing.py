"""A stand-in set on disk, and the processes that draw it."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tarfile
from pathlib import Path

import pytest
from pyarrow import parquet

from vedette.data.base import CATEGORY, SOURCE, TEXT, read_all
from vedette.data.synth.card import NOTICE
from vedette.data.synth.draw import draw
from vedette.data.synth.plan import Plan, Recipe, Spec
from vedette.data.synth.source import SynthSource
from vedette.data.synth.workers import drawn, specs
from vedette.data.synth.writing import WRITERS, write_set
from vedette.errors import UnknownNameError, UsageError, VedetteError
from vedette.types import Item

RECIPE = Recipe(scale=0.03, size=32)
"""304 pictures: more than are drawn without workers."""


def hashes(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def expected() -> list[Item]:
    return list(read_all(SynthSource(RECIPE)))


@pytest.mark.parametrize("fmt", WRITERS)
def test_the_same_recipe_gives_the_same_bytes_with_any_workers(tmp_path: Path, fmt: str) -> None:
    for workers in (1, 3):
        write_set(RECIPE, tmp_path / str(workers), fmt, workers)

    assert hashes(tmp_path / "1") == hashes(tmp_path / "3")


def test_parquet_is_laid_out_as_on_the_hub(tmp_path: Path) -> None:
    write_set(RECIPE, tmp_path / "set", workers=1)

    files = sorted((tmp_path / "set" / "data").iterdir())
    assert [file.name for file in files] == [
        "test-00000-of-00001.parquet",
        "train-00000-of-00001.parquet",
    ]
    rows = []
    for file in (files[1], files[0]):
        with parquet.ParquetFile(file) as opened:
            schema = opened.schema_arrow
            assert schema.names == ["image", "safety_label", "category", "source", "text"]
            assert str(schema.field("image").type) == "struct<bytes: binary, path: string>"
            assert schema.metadata[b"vedette.stand_in"].decode() == RECIPE.stand_in
            features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
            assert list(features) == schema.names
            assert features["image"] == {"_type": "Image"}
            rows += opened.read().to_pylist()
    with parquet.ParquetFile(files[1]) as opened:
        assert opened.num_row_groups == 3
    assert len(rows) == 304
    for row, item in zip(rows, expected(), strict=True):
        assert row == {
            "image": {"bytes": item.data, "path": item.key},
            "safety_label": "Unsafe" if item.unsafe else "Safe",
            "category": item.meta[CATEGORY],
            "source": item.meta[SOURCE],
            "text": item.meta[TEXT],
        }


def test_a_folder_has_its_facts_in_metadata_jsonl(tmp_path: Path) -> None:
    write_set(RECIPE, tmp_path / "set", "folder", 1)

    rows = [
        (split, json.loads(line))
        for split in ("train", "test")
        for line in (tmp_path / "set" / split / "metadata.jsonl").read_text().splitlines()
    ]
    for (split, row), item in zip(rows, expected(), strict=True):
        assert row["file_name"] == item.key
        assert (tmp_path / "set" / split / item.key).read_bytes() == item.data
        assert row["safety_label"] == ("Unsafe" if item.unsafe else "Safe")
        assert row["stand_in"] == RECIPE.stand_in


def test_tars_have_a_picture_its_caption_and_its_facts(tmp_path: Path) -> None:
    write_set(RECIPE, tmp_path / "set", "webdataset", 1)

    members: dict[str, bytes] = {}
    for name in ("train-00000.tar", "test-00000.tar"):
        with tarfile.open(tmp_path / "set" / name) as tar:
            for member in tar:
                stream = tar.extractfile(member)
                assert stream is not None
                members[member.name] = stream.read()
    items = expected()
    assert len(members) == 3 * len(items)
    for item in items:
        stem = item.key.removesuffix(".jpg")
        facts = json.loads(members[f"{stem}.json"])
        assert members[item.key] == item.data
        assert members[f"{stem}.txt"].decode() == facts["text"] == item.meta[TEXT]
        assert facts["category"] == item.meta[CATEGORY]
        assert facts["stand_in"] == RECIPE.stand_in


@pytest.mark.parametrize("fmt", WRITERS)
def test_the_card_says_first_of_all_what_the_set_is_not(tmp_path: Path, fmt: str) -> None:
    write_set(Recipe(scale=0.002, size=32), tmp_path / "set", fmt, 1)

    text = (tmp_path / "set" / "README.md").read_text()
    title = next(line for line in text.splitlines() if line.startswith("# "))
    assert title.endswith("drawn pictures, not UnsafeBench")
    assert title.removeprefix("# A ").lower().startswith("stand-in")
    assert NOTICE.partition(": ")[2] in title
    assert "synth@1 like=unsafebench scale=0.002 seed=7" in text


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(UsageError) as caught:
        write_set(RECIPE, tmp_path)

    assert caught.value.code == "output_exists"
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    write_set(Recipe(scale=0.001, size=32), tmp_path / "set")

    assert (tmp_path / "set" / "README.md").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_place_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VedetteError) as caught:
        write_set(Recipe(scale=0.001), tmp_path / "file" / "set")

    assert caught.value.code == "write_failed"


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="parket") as caught:
        write_set(RECIPE, tmp_path / "set", "parket")

    assert "parquet" in caught.value.hint


@pytest.mark.skipif(shutil.which("false") is None, reason="no program that fails at once")
def test_a_worker_that_dies_leaves_no_half_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))

    with pytest.raises(VedetteError, match="status 1") as caught:
        write_set(RECIPE, tmp_path / "set", workers=2)

    assert caught.value.code == "out_of_memory"
    assert not list(tmp_path.iterdir())


def test_drawing_may_be_given_up_half_way() -> None:
    pictures = drawn(Plan(RECIPE), 2)
    spec, data = next(pictures)
    pictures.close()  # its pipes and processes with it: an open one is an error at the test's end

    assert spec == next(specs(Plan(RECIPE)))
    assert data == draw(RECIPE, Spec(spec.cell, spec.number, spec.split))
