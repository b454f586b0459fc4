"""Deletion: complete, and logged. Whole sets, or single images with every trace of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator

from vedette.data.vault.entry import Entry
from vedette.data.vault.log import check_log, log
from vedette.data.vault.place import DELETING, IMPORTING, check_name, vault_root, writing
from vedette.data.vault.stored import (
    HEADER,
    Header,
    StoredSet,
    open_set,
    write_header,
    write_manifest,
)
from vedette.errors import UsageError
from vedette.hub.store import exclusive


def delete_set(name: str, reason: str) -> int:
    """Delete a set, and what stopped imports and deletions of that name have left.

    Returns:
        How many files are gone.

    Raises:
        UsageError: ``not_found``: there is nothing of that name.
        VedetteError: ``write_failed``.
    """
    check_log()  # what cannot be logged is not begun
    root = vault_root()
    folder = root / check_name(name)
    going = root / (DELETING + name)
    if not root.is_dir():
        raise _unknown(name)
    with exclusive(root / f".lock-{name}"):
        there = [path for path in (folder, root / (IMPORTING + name), going) if path.exists()]
        if not there:
            raise _unknown(name)
        log("delete", name, {"reason": reason})  # before: a stopped deletion has begun
        with writing(folder):
            if folder.exists():
                shutil.rmtree(going, ignore_errors=True)
                os.rename(folder, going)  # from here on there is no such set, killed or not
            files = 0
            for path in (going, root / (IMPORTING + name)):
                if path.exists():
                    files += sum(len(names) for _, _, names in os.walk(path))
                    shutil.rmtree(path)
    return files


def delete_images(name: str, keys: Collection[str], reason: str) -> int:
    """Delete single images by their keys: the lines of the manifest, then the bytes.

    Bytes that another key of the set has as well go too: who asks for a picture's deletion does not
    ask for one of its names.

    Returns:
        How many lines are gone.

    Raises:
        UsageError: ``not_found``: the set or one of the keys is not there.
        VedetteError: ``write_failed``, ``bad_vault``.
    """
    check_log()
    root = vault_root()
    if not root.is_dir():
        raise _unknown(name)
    with exclusive(root / f".lock-{check_name(name)}"):
        stored = open_set(name)
        swept = _sweep(stored)
        found = {entry.key: entry.sha256 for entry in stored.entries() if entry.key in keys}
        missing = sorted(set(keys) - found.keys())
        if missing and swept:  # a deletion that was stopped before its end: now it is done
            return swept
        if missing:
            raise UsageError(f"there is no {missing[0]!r} in {name}", code="not_found")
        hashes = {sha256 for sha256 in found.values() if sha256 is not None}
        gone = 0

        def kept() -> Iterator[Entry]:
            nonlocal gone
            for entry in stored.entries():
                if entry.key in keys or entry.sha256 in hashes:
                    gone += 1
                else:
                    yield entry

        fields = write_manifest(stored.folder, stored.seal, kept())
        known = {field: getattr(stored.header, field) for field in Header.__dataclass_fields__}
        header = Header(**{**known, **fields})
        addresses = sorted(stored.seal.address(sha256) for sha256 in hashes)
        told = {"images": gone, "addresses": addresses, "manifest": header.manifest_sha256}
        log("delete", name, {**told, "reason": reason})  # before: a stopped deletion has begun
        write_header(stored.folder, header)
        _sweep(StoredSet(stored.folder, header, stored.seal))
    return gone


def _sweep(stored: StoredSet) -> int:
    """Remove images and manifests that the set's manifest does not name; how many images."""
    kept = {stored.folder / HEADER, stored.folder / stored.header.manifest}
    for entry in stored.entries():
        if entry.failure is None and entry.sha256 is not None:
            kept.add(stored.place(entry.sha256))
    gone = 0
    with writing(stored.folder):
        for path in sorted(stored.folder.rglob("*")):
            if path.is_file() and path not in kept:
                gone += path.parent != stored.folder
                path.unlink()
    return gone


def _unknown(name: str) -> UsageError:
    return UsageError(
        f"there is no set {name!r} in the vault",
        code="not_found",
        hint="see the sets that there are with: vedette data list",
    )
