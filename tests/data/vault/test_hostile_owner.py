"""What somebody does to a vault with an editor: every change is found, none is followed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data.vault.test_importing import BOTH, PLAIN, imported, items
from tests.data.vault.test_verify import objects
from tests.pictures import drawn, encoded
from vedette.data.base import read_all
from vedette.data.memory import ItemSource
from vedette.data.vault.exporting import export_set
from vedette.data.vault.importing import ImportOptions
from vedette.data.vault.log import HEAD, check_log
from vedette.data.vault.removal import delete_images
from vedette.data.vault.source import source_of
from vedette.data.vault.stored import open_set, read_header
from vedette.data.vault.verify import verify_set, verify_vault
from vedette.errors import UsageError, VedetteError
from vedette.types import Failure, Item


def edit(vault: Path, field: str, value: object) -> None:
    path = vault / "one" / "set.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))


@pytest.mark.parametrize(
    ("field", "value"),
    [("images", 5), ("card", "somebody/else"), ("terms_hash", "0" * 64), ("name", "two")],
)
def test_an_edited_header_is_found(vault: Path, field: str, value: object) -> None:
    imported(ItemSource(items()))
    assert list(verify_set("one")) == []
    edit(vault, field, value)

    try:
        found = {finding.what for finding in verify_set("one")}
    except VedetteError as error:
        found = {error.code}
    assert found & {"changed", "bad_vault"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("images", "6"),
        ("images", -1),
        ("images", True),
        ("formats", []),
        ("formats", {"PNG": "2"}),
        ("failures", None),
        ("salt", 5),
        ("salt", "no hex"),
        ("given", None),
        ("card", 3),
        ("manifest", ["x"]),
        ("manifest", "objects/ab"),
    ],
)
def test_a_header_of_other_types_is_an_error_of_ours(
    vault: Path, field: str, value: object
) -> None:
    imported(ItemSource(items()))
    edit(vault, field, value)

    for use in (read_header, lambda folder: open_set(folder.name)):
        with pytest.raises(VedetteError) as caught:
            use(vault / "one")
        assert caught.value.code == "bad_vault", (field, value)


def as_link(path: Path, outside: Path) -> None:
    shutil.move(path, outside / "elsewhere")
    path.symlink_to(outside / "elsewhere")


def as_another_picture(path: Path, outside: Path) -> None:
    path.write_bytes(encoded(drawn(99)))


@pytest.mark.parametrize("change", [as_link, as_another_picture])
def test_what_was_altered_is_not_exported(
    vault: Path, tmp_path: Path, change: Callable[[Path, Path], None]
) -> None:
    imported(ItemSource(items()))
    outside = tmp_path / "outside"
    outside.mkdir()
    change(objects(vault / "one")[0], outside)

    with pytest.raises(VedetteError) as caught:
        export_set("one", tmp_path / "out")
    assert caught.value.code == "bad_vault"


def test_a_link_in_an_images_place_is_not_followed(vault: Path, tmp_path: Path) -> None:
    imported(ItemSource(items()))
    whole = {item.key for item in read_all(source_of("one")) if not isinstance(item.data, Failure)}
    as_link(objects(vault / "one")[0], tmp_path)

    left = {item.key for item in read_all(source_of("one")) if not isinstance(item.data, Failure)}
    assert left < whole


def test_the_end_of_the_log_is_missed(vault: Path) -> None:
    imported(ItemSource(items()))
    imported(ItemSource(items()), name="two")
    path = vault / "log.jsonl"
    whole = path.read_bytes()
    first = whole.splitlines(keepends=True)[0]

    imported(ItemSource(items()), name="three")
    for cut in (first, b""):
        path.write_bytes(cut)
        with pytest.raises(VedetteError) as caught:
            check_log()
        assert caught.value.code == "bad_vault"
        with pytest.raises(VedetteError):
            imported(ItemSource(items()), name="four")
    path.unlink()
    assert "changed" in {finding.what for finding in verify_vault()}


def test_a_line_without_its_head_is_what_a_kill_leaves(vault: Path) -> None:
    imported(ItemSource(items()))
    head = (vault / HEAD).read_bytes()
    imported(ItemSource(items()), name="two")
    (vault / HEAD).write_bytes(head)

    check_log()
    imported(ItemSource(items()), name="three")
    assert list(verify_vault()) == []


@BOTH
def test_an_interrupted_deletion_is_finished_by_the_next(
    vault: Path, options: ImportOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(ItemSource(items()), options)
    before = len(objects(vault / "one"))
    with monkeypatch.context() as patched:

        def killed(*_: Any) -> int:
            raise KeyboardInterrupt

        patched.setattr("vedette.data.vault.removal._sweep", killed)
        with pytest.raises(KeyboardInterrupt):
            delete_images("one", ["a/one.png"], "")
        patched.undo()
    # Killed before anything happened: begin anew. Then between the header and the bytes.
    assert len(objects(vault / "one")) == before
    real = __import__("vedette.data.vault.removal", fromlist=["_sweep"])._sweep
    calls: list[int] = []

    def killed_at_the_end(stored: Any) -> int:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return int(real(stored))

    with monkeypatch.context() as patched:
        patched.setattr("vedette.data.vault.removal._sweep", killed_at_the_end)
        with pytest.raises(KeyboardInterrupt):
            delete_images("one", ["a/one.png"], "")
    assert "added" in {finding.what for finding in verify_set("one")}

    assert delete_images("one", ["a/one.png"], "") == 1
    assert len(objects(vault / "one")) == before - 1
    assert list(verify_set("one")) == []
    with pytest.raises(UsageError):
        delete_images("one", ["a/one.png"], "")


def test_a_text_that_is_too_long_is_a_failure_and_costs_nothing_else(vault: Path) -> None:
    long = Item("long", encoded(drawn(5)), None, {"caption": "x" * 2**20})
    header = imported(ItemSource([*items(), long]))

    assert header.failures["too_many_bytes"] == 1
    assert header.stored == imported(ItemSource(items()), PLAIN, "two").stored
    assert list(verify_set("one")) == []


def test_fields_of_an_export_cannot_be_overwritten_by_the_sets_own(
    vault: Path, tmp_path: Path
) -> None:
    meta = {"key": "forged", "path": "/elsewhere", "label": "safe", "note": "kept"}
    imported(ItemSource([Item("a", encoded(drawn(1)), unsafe=True, meta=meta)]))
    export_set("one", tmp_path / "out")

    (line,) = next((tmp_path / "out").glob("*.jsonl")).read_text().splitlines()
    row = json.loads(line)
    assert (row["key"], row["label"], row["note"]) == ("a", "unsafe", "kept")
    assert (row["meta_key"], row["meta_label"]) == ("forged", "safe")
    assert (tmp_path / "out" / row["path"]).is_file()


def test_nothing_is_exported_into_the_vault(vault: Path) -> None:
    imported(ItemSource(items()))

    with pytest.raises(UsageError, match="into the vault"):
        export_set("one", vault / "copies")
