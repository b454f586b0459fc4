"""Is the vault as Vedette left it? Every changed, missing or added file is named."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vedette.data.vault.log import NAME as LOG
from vedette.data.vault.log import check_log
from vedette.data.vault.place import DELETING, IMPORTING, vault_root
from vedette.data.vault.stored import HEADER, OBJECTS, StoredSet, open_set
from vedette.errors import VedetteError


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was left."""

    what: str
    """``changed``, ``missing``, ``added``, ``unfinished``, ``readable by others``"""
    path: str
    """Inside the vault."""
    note: str = ""
    """What to do, where that is not plain."""


def verify_set(name: str) -> Iterator[Finding]:
    """What is wrong with one set. Every image is read and hashed.

    Raises:
        UsageError: there is no set of that name, or its key is missing.
        VedetteError: ``bad_vault``: its header or manifest cannot be read at all.
    """
    stored = open_set(name)
    folder = stored.folder
    manifest = folder / stored.header.manifest
    if not manifest.is_file():
        yield Finding("missing", f"{name}/{manifest.name}", "import the set again")
        return
    digest = hashlib.sha256()
    with manifest.open("rb") as stream:
        while piece := stream.read(2**20):
            digest.update(piece)
    if digest.hexdigest() != stored.header.manifest_sha256:
        yield Finding("changed", f"{name}/{manifest.name}", "import the set again")
        return
    expected = {folder / HEADER, manifest}
    for entry in stored.entries():
        if entry.failure is not None or entry.sha256 is None:
            continue
        place = stored.place(entry.sha256)
        if place in expected:
            continue
        expected.add(place)
        found = _image(stored, entry.sha256, place)
        if found is not None:
            yield Finding(found, f"{name}/{place.relative_to(folder).as_posix()}")
    yield from _around(folder, expected)


def verify_vault() -> Iterator[Finding]:
    """What is wrong with the vault besides its sets: the log, and what a kill has left."""
    root = vault_root()
    if not root.is_dir():
        return
    try:
        check_log()
    except VedetteError as error:
        yield Finding("changed", LOG, error.message)
    if _open_to_others(root.stat().st_mode):
        yield Finding("readable by others", ".", f"chmod 700 {root}")
    for entry in sorted(os.scandir(root), key=lambda e: e.name):
        name = entry.name
        if name.startswith(IMPORTING):
            own = name.removeprefix(IMPORTING)
            advice = f"run its import again, or: vedette data delete {own}"
            yield Finding("unfinished", name, f"an import was stopped: {advice}")
        elif name.startswith(DELETING):
            own = name.removeprefix(DELETING)
            advice = f"vedette data delete {own}"
            yield Finding("unfinished", name, f"a deletion was stopped: {advice}")
        elif not _known(entry):
            yield Finding("added", name)


def _known(entry: os.DirEntry[str]) -> bool:
    if entry.is_dir(follow_symlinks=False):
        return os.path.isfile(os.path.join(entry.path, HEADER))
    return entry.name in (LOG, "terms.json") or entry.name.startswith(".lock")


def _image(stored: StoredSet, sha256: str, place: Path) -> str | None:
    if not place.is_file() or place.is_symlink():
        return "missing"
    digest = hashlib.sha256()
    try:
        for piece in stored.pieces(sha256):
            digest.update(piece)
    except VedetteError:
        return "changed"
    return None if digest.hexdigest() == sha256 else "changed"


def _around(folder: Path, expected: set[Path]) -> Iterator[Finding]:
    """Files that should not be there, and such as others may read."""
    objects = folder / OBJECTS
    for where, below, names in os.walk(folder):
        below.sort()
        if _open_to_others(os.stat(where).st_mode):
            yield Finding("readable by others", f"{_short(Path(where), folder)}/", "chmod 700")
        for name in sorted(names):
            path = Path(where, name)
            if path not in expected:
                yield Finding("added", _short(path, folder))
            elif _open_to_others(path.lstat().st_mode):
                yield Finding("readable by others", _short(path, folder), "chmod 600")
        for name in below:
            if Path(where, name).is_symlink() or (Path(where) == folder and name != OBJECTS):
                yield Finding("added", _short(Path(where, name), folder))
    if not objects.is_dir():
        yield Finding("missing", _short(objects, folder))


def _open_to_others(mode: int) -> bool:
    return os.name == "posix" and bool(stat.S_IMODE(mode) & 0o077)


def _short(path: Path, folder: Path) -> str:
    return path.relative_to(folder.parent).as_posix()
