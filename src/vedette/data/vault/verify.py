"""Is the vault as Vedette left it? Every changed, missing or added file is named."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vedette.data.vault.log import HEAD, check_log, entries
from vedette.data.vault.log import NAME as LOG
from vedette.data.vault.place import DELETING, IMPORTING, check_name, is_name, vault_root
from vedette.data.vault.stored import (
    HEADER,
    OBJECTS,
    Header,
    StoredSet,
    digest_of,
    read_header,
    seal_of,
)
from vedette.errors import VedetteError

_OWN = (LOG, HEAD, "terms.json")
"""Files of the vault itself."""


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
    folder = vault_root() / check_name(name)
    header = read_header(folder)
    manifest = folder / header.manifest
    if not manifest.is_file():
        yield Finding("missing", f"{name}/{manifest.name}", "import the set again")
        return
    digest, lines = digest_of(manifest)
    if digest != header.manifest_sha256:
        yield Finding("changed", f"{name}/{manifest.name}", "import the set again")
        return
    if lines != header.images or not _as_logged(header, name):
        yield Finding("changed", f"{name}/{HEADER}", "it is not what the log says")
    stored = StoredSet(folder, header, seal_of(header))
    expected = {folder / HEADER, manifest}
    counts: Counter[str] = Counter()
    for entry in stored.entries():
        counts[entry.format or "?" if entry.failure is None else entry.failure.code] += 1
        if entry.failure is not None or entry.sha256 is None:
            continue
        place = stored.place(entry.sha256)
        if place in expected:
            continue
        expected.add(place)
        found = _image(stored, entry.sha256, place)
        if found is not None:
            yield Finding(found, f"{name}/{place.relative_to(folder).as_posix()}")
    if counts != Counter(header.formats) + Counter(header.failures):
        yield Finding("changed", f"{name}/{HEADER}", "its counts are not the manifest's")
    yield from _around(folder, expected)


def _as_logged(header: Header, name: str) -> bool:
    """Whether terms and manifest are the ones that the log has of the set's last change."""
    try:
        told = entries(name)
    except VedetteError:
        return True  # the log's own finding
    imports = [at for at, entry in enumerate(told) if entry.get("event") == "import"]
    if not imports or header.name != name:
        return False
    since = told[imports[-1] :]
    manifests = [entry["manifest"] for entry in since if "manifest" in entry]
    terms = (since[0].get("card"), since[0].get("terms"))
    # The one before the last: a deletion of images that was stopped after its line in the log.
    return header.manifest_sha256 in manifests[-2:] and terms == (header.card, header.terms_hash)


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
        elif name in _OWN and _open_to_others(entry.stat(follow_symlinks=False).st_mode):
            yield Finding("readable by others", name, "chmod 600")


def _known(entry: os.DirEntry[str]) -> bool:
    if entry.is_dir(follow_symlinks=False):
        return is_name(entry.name) and os.path.isfile(os.path.join(entry.path, HEADER))
    return entry.name in (*_OWN, ".lock") or entry.name.startswith(".lock-")


def _image(stored: StoredSet, sha256: str, place: Path) -> str | None:
    if not place.is_file() or place.is_symlink():
        return "missing"
    try:
        for _ in stored.pieces(sha256):
            pass  # hashed as they come
    except VedetteError:
        return "changed"
    return None


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
                advice = "if a deletion was stopped: run it again"
                yield Finding("added", _short(path, folder), advice)
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
