"""Every changed, missing or added file is found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data.vault.test_importing import BOTH, imported, items
from vedette.data.memory import ItemSource
from vedette.data.vault.importing import ImportOptions
from vedette.data.vault.log import check_log, log
from vedette.data.vault.verify import verify_set, verify_vault
from vedette.errors import VedetteError


def objects(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "objects").rglob("*") if path.is_file())


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def manifest(folder: Path) -> Path:
    return next(folder.glob("manifest-*.jsonl"))


def swapped(folder: Path) -> None:
    first, second, *_ = objects(folder)
    first.write_bytes(second.read_bytes())


DAMAGE: list[tuple[str, Callable[[Path], object], str]] = [
    ("flipped", lambda f: flip(objects(f)[0]), "changed"),
    ("swapped", swapped, "changed"),
    ("cut", lambda f: objects(f)[0].write_bytes(objects(f)[0].read_bytes()[:-1]), "changed"),
    ("grown", lambda f: objects(f)[0].write_bytes(objects(f)[0].read_bytes() + b"x"), "changed"),
    ("gone", lambda f: objects(f)[0].unlink(), "missing"),
    ("manifest", lambda f: flip(manifest(f)), "changed"),
    ("no manifest", lambda f: manifest(f).unlink(), "missing"),
    ("a file", lambda f: (f / "notes.txt").write_text("x"), "added"),
    ("an object", lambda f: shutil.copy(objects(f)[0], f / "objects" / "other"), "added"),
    ("a folder", lambda f: (f / "thumbnails").mkdir(), "added"),
    ("mode", lambda f: objects(f)[0].chmod(0o644), "readable by others"),
    ("folder's mode", lambda f: (f / "objects").chmod(0o755), "readable by others"),
]


@BOTH
@pytest.mark.parametrize(("damage", "what"), [d[1:] for d in DAMAGE], ids=[d[0] for d in DAMAGE])
def test_damage_is_found(
    vault: Path, options: ImportOptions, damage: Callable[[Path], object], what: str
) -> None:
    imported(ItemSource(items()), options)
    assert list(verify_set("one")) == []
    damage(vault / "one")

    assert what in {finding.what for finding in verify_set("one")}


def test_an_object_that_is_a_link_is_missing(vault: Path, tmp_path: Path) -> None:
    imported(ItemSource(items()))
    path = objects(vault / "one")[0]
    shutil.move(path, tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")

    assert "missing" in {finding.what for finding in verify_set("one")}


def test_a_header_cannot_lead_out_of_the_set(vault: Path) -> None:
    imported(ItemSource(items()))
    path = vault / "one" / "set.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "manifest": "../../other.jsonl"}))

    with pytest.raises(VedetteError) as caught:
        list(verify_set("one"))
    assert caught.value.code == "bad_vault"


def test_strange_files_in_the_vault_are_named(vault: Path) -> None:
    imported(ItemSource(items()))
    (vault / "notes.txt").write_text("x")
    (vault / "folder").mkdir()

    assert [finding.path for finding in verify_vault()] == ["folder", "notes.txt"]


@pytest.mark.parametrize("line", [0, 1, 2])
def test_the_log_is_a_chain(vault: Path, line: int) -> None:
    for number in range(4):
        log("import", "one", {"images": number})
    assert len(check_log()) == 64
    path = vault / "log.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:line] + lines[line + 1 :]))

    with pytest.raises(VedetteError, match=f"line {line + 1} "):
        check_log()
    with pytest.raises(VedetteError):
        log("import", "two", {})
    assert [finding.what for finding in verify_vault()] == ["changed"]
