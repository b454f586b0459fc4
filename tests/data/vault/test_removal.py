"""Deletion leaves nothing, export leaves only what the terms permit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.data.vault.test_importing import BOTH, PLAIN, imported, items
from vedette.data.base import read_all
from vedette.data.memory import ItemSource
from vedette.data.opening import open_source
from vedette.data.vault.exporting import export_set
from vedette.data.vault.importing import ImportOptions
from vedette.data.vault.removal import delete_images, delete_set
from vedette.data.vault.source import source_of
from vedette.data.vault.stored import names
from vedette.data.vault.verify import verify_set, verify_vault
from vedette.errors import UsageError


def events(vault: Path) -> list[str]:
    return [json.loads(line)["event"] for line in (vault / "log.jsonl").read_text().splitlines()]


@BOTH
def test_a_deleted_set_is_gone(vault: Path, options: ImportOptions) -> None:
    imported(ItemSource(items()), options)
    imported(ItemSource(items()), name="two")

    assert delete_set("one", "asked for") >= 5
    assert names() == ["two"]
    assert not (vault / "one").exists()
    assert "asked for" in (vault / "log.jsonl").read_text()
    assert events(vault) == ["import", "import", "delete"]
    assert list(verify_set("two")) == list(verify_vault()) == []


def test_what_stopped_imports_and_deletions_left_goes_too(vault: Path) -> None:
    imported(ItemSource(items()))
    (vault / "one").rename(vault / ".deleting-one")
    (vault / ".importing-one").mkdir()
    assert [finding.what for finding in verify_vault()] == ["unfinished", "unfinished"]

    delete_set("one", "")
    assert list(verify_vault()) == []
    with pytest.raises(UsageError) as caught:
        delete_set("one", "")
    assert caught.value.code == "not_found"


@BOTH
def test_a_deleted_image_leaves_no_trace(vault: Path, options: ImportOptions) -> None:
    imported(ItemSource(items()), options)

    # Its bytes are there under a second key, which goes with them.
    assert delete_images("one", ["a/one.png"], "") == 2
    assert [item.key for item in read_all(source_of("one"))] == [
        "c/binary.jpg",
        "d/cut.png",
        "e/gone",
        "../../é\n.gif",
    ]
    assert list(verify_set("one")) == []
    for path in vault.rglob("*"):
        if path.is_file():
            assert b"one.png" not in path.read_bytes(), path
    with pytest.raises(UsageError, match=r"there is no 'a/one\.png'"):
        delete_images("one", ["a/one.png"], "")


@BOTH
def test_an_export_is_a_set_again(vault: Path, tmp_path: Path, options: ImportOptions) -> None:
    imported(ItemSource(items()), options)

    assert export_set("one", tmp_path / "out") == 4
    fmt, source = open_source(str(tmp_path / "out"))
    assert fmt.name == "manifest"
    found = {item.key: item for item in read_all(source)}
    for item in items():
        if item.key.startswith(("d", "e")):
            assert item.key not in found
            continue
        back = found[item.key]
        assert isinstance(back.data, Path)
        assert back.data.read_bytes() == item.data
        assert (back.labels, back.unsafe) == (item.labels, item.unsafe)
    assert found["a/one.png"].meta["source"] == "Lexica"
    assert events(vault) == ["import", "export"]
    with pytest.raises(UsageError, match="already there"):
        export_set("one", tmp_path / "out")


def test_a_set_that_may_not_be_passed_on_stays(vault: Path, tmp_path: Path) -> None:
    imported(ItemSource(items()), ImportOptions("test", card="unsafebench"))

    with pytest.raises(UsageError) as caught:
        export_set("one", tmp_path / "out")
    assert caught.value.code == "terms_refused"
    assert not (tmp_path / "out").exists()


def test_an_export_of_nothing_is_said(vault: Path, tmp_path: Path) -> None:
    imported(ItemSource(items()[3:5]), PLAIN)

    with pytest.raises(UsageError, match="no picture"):
        export_set("one", tmp_path / "out")
    assert not (tmp_path / "out").exists()
