"""What is stored, what is refused, and what a kill leaves."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pictures import drawn, encoded, folder_of
from vedette.data.base import Shard, Source, read_all
from vedette.data.memory import ItemSource
from vedette.data.paths import PathSource
from vedette.data.vault.importing import ImportOptions, import_set
from vedette.data.vault.source import source_of
from vedette.data.vault.stored import Header, names, open_set
from vedette.data.vault.verify import verify_set, verify_vault
from vedette.errors import UsageError
from vedette.settings import Settings
from vedette.taxonomy import Category
from vedette.types import Failure, Item

PLAIN, SEALED = ImportOptions("test"), ImportOptions("test", encrypt=True)
BOTH = pytest.mark.parametrize("options", [PLAIN, SEALED], ids=["plain", "encrypted"])


def imported(source: Source, options: ImportOptions = PLAIN, name: str = "one") -> Header:
    return import_set(source, name, options, Settings())


def items() -> list[Item]:
    again = encoded(drawn(1))
    return [
        Item("a/one.png", again, frozenset({Category.HATE}), {"source": "Lexica"}),
        Item("b/again.png", again, frozenset()),
        Item("c/binary.jpg", encoded(drawn(2), "JPEG"), unsafe=True),
        Item("d/cut.png", encoded(drawn(3))[:200]),
        Item("e/gone", Failure("fetch", "not_found", "it is not there")),
        Item("../../é\n.gif", encoded(drawn(4), "GIF")),
    ]


@BOTH
def test_what_goes_in_comes_out(vault: Path, options: ImportOptions) -> None:
    header = imported(ItemSource(items()), options)

    assert (header.images, header.stored) == (6, 3)
    assert header.formats == {"GIF": 1, "JPEG": 1, "PNG": 2}
    assert header.failures == {"not_found": 1, "truncated": 1}
    found = {item.key: item for item in read_all(source_of("one"))}
    assert list(found) == [item.key for item in items()]
    for item in items():
        back = found[item.key]
        assert (back.labels, back.unsafe, back.meta) == (item.labels, item.unsafe, item.meta)
        if item.key.startswith(("d", "e")):
            assert isinstance(back.data, Failure)
            continue
        data = back.data.read_bytes() if isinstance(back.data, Path) else back.data
        assert data == item.data
    assert list(verify_set("one")) == []
    assert list(verify_vault()) == []


@BOTH
def test_only_the_owner_can_look(vault: Path, options: ImportOptions) -> None:
    imported(ItemSource(items()), options)

    for path in [vault, *(vault / "one").rglob("*"), vault / "one", vault / "log.jsonl"]:
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_files_are_named_by_their_content(vault: Path) -> None:
    imported(ItemSource(items()))

    for path in (vault / "one" / "objects").rglob("*"):
        if path.is_file():
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
            assert path.parent.name == path.name[:2]


def test_an_encrypted_set_tells_nothing_of_its_images(vault: Path) -> None:
    imported(ItemSource(items()), SEALED)

    stored = b"".join(p.read_bytes() for p in (vault / "one").rglob("*") if p.is_file())
    told = "".join(path.name for path in (vault / "one").rglob("*"))
    for item in items():
        assert item.key.encode() not in stored
        if isinstance(item.data, bytes):
            assert item.data[:64] not in stored
            assert hashlib.sha256(item.data).hexdigest() not in told + stored.decode("latin-1")
    assert b"Lexica" not in stored


@pytest.mark.parametrize("key", ["", "AAAA", "not base64!", "A" * 44])
def test_without_its_key_it_is_closed(
    vault: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    imported(ItemSource(items()), SEALED)
    monkeypatch.setenv("VEDETTE_VAULT_KEY", key)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")

    with pytest.raises(UsageError) as caught:
        open_set("one")

    assert caught.value.code == "vault_key"
    assert key == "" or key not in str(caught.value)


def test_a_name_is_taken_once(vault: Path) -> None:
    imported(ItemSource(items()))

    with pytest.raises(UsageError, match="already"):
        imported(ItemSource(items()))
    assert names() == ["one"]


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "A", "x" * 65, "dot.", "a\n"])
def test_a_name_is_a_folder_of_the_vault(vault: Path, name: str) -> None:
    with pytest.raises(UsageError):
        imported(ItemSource(items()), name=name)
    assert names() == []


class Stopping:
    """A source that fails after some items, as a disk or a network does."""

    def __init__(self, source: Source, after: int) -> None:
        self.source, self.after = source, after

    def shards(self) -> list[Shard]:
        return list(self.source.shards())

    def read(self, shard: Shard) -> Iterator[Item]:
        for number, item in enumerate(self.source.read(shard)):
            if number == self.after:
                raise OSError("the disk has gone")
            yield item

    def find(self, key: str) -> Item | None:
        return self.source.find(key)


@BOTH
def test_a_stopped_import_is_named_and_continued(
    vault: Path, tmp_path: Path, options: ImportOptions
) -> None:
    source = PathSource([folder_of(tmp_path / "in", 40)])
    with pytest.raises(OSError, match="has gone"):
        imported(Stopping(source, 30), options)

    assert names() == []
    (finding,) = verify_vault()
    assert (finding.what, finding.path) == ("unfinished", ".importing-one")
    with pytest.raises(UsageError, match="was stopped before its end"):
        imported(source, ImportOptions("another", encrypt=options.encrypt))
    journal = (vault / ".importing-one" / "journal.jsonl").read_bytes()
    (vault / ".importing-one" / "journal.jsonl").write_bytes(journal + b'{"key": "ha')
    assert imported(source, options).images == 40
    assert [item.key for item in read_all(source_of("one"))] == [
        item.key for item in read_all(source)
    ]
    assert list(verify_set("one")) == []
    assert list(verify_vault()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
@pytest.mark.parametrize("extra", [(), ("--encrypt",)], ids=["plain", "encrypted"])
def test_killed_at_any_point_the_vault_names_what_to_redo(
    vault: Path, tmp_path: Path, extra: tuple[str, ...]
) -> None:
    folder = folder_of(tmp_path / "in", 300)
    command = [sys.executable, "-m", "vedette", "data", "import", str(folder), "--name", "one"]
    kills = 0
    while kills < 3:
        process = subprocess.Popen(
            [*command, *extra], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        journal = vault / ".importing-one" / "journal.jsonl"
        size = journal.stat().st_size if journal.exists() else 0
        while process.poll() is None and not (
            journal.exists() and journal.stat().st_size > size + 2000 * kills
        ):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        unfinished = [finding.path for finding in verify_vault()]
        assert unfinished == ([] if names() else [".importing-one"])
        if names():
            break
    done = subprocess.run([*command, *extra], capture_output=True, check=False, env=os.environ)

    assert done.returncode == (2 if kills < 3 else 0), done.stderr
    assert open_set("one").header.images == 300
    assert list(verify_set("one")) == []
    assert list(verify_vault()) == []
