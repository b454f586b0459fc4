"""The store's lock file: what was pulled, what its owner trusts, which terms are accepted.

It pins what a card leaves open. It is no signature: who can write to the store can write it too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vedette.errors import ModelError
from vedette.hub.store import exclusive, is_commit, is_plain_path
from vedette.sinks.base import replacing

NAME = "vedette-lock.json"

_VERSION = 1
_MOST_BYTES = 16 * 2**20
_HASH = re.compile(r"[0-9a-f]{64}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entry:
    """What the store knows of one repository."""

    asked: str | None = None
    """The revision that was pulled, as the card had it: a commit, or a branch."""
    commit: str | None = None
    """The commit that this was then; None for what is not on the hub."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Path to SHA-256, as pulled."""
    trusted: Mapping[str, str] = field(default_factory=dict)
    """Path to SHA-256 of files of the owner's own: a fine-tune, a conversion."""
    accepted: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of a card's licence and terms, to the date on which they were accepted."""


@dataclass(frozen=True, slots=True)
class Lock:
    """The whole file: an entry for each repository, ``owner/name``."""

    repos: Mapping[str, Entry] = field(default_factory=dict)

    def entry(self, repo: str) -> Entry:
        """That of ``repo``; an empty one where nothing is known."""
        return self.repos.get(repo, Entry())


def read_lock(store: Path) -> Lock:
    """The lock file of a store; an empty one where there is none.

    Raises:
        ModelError: ``weights_unusable``: it cannot be read, or says what no lock file says.
    """
    path = store / NAME
    try:
        with path.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return Lock()
    except OSError as error:
        raise _refused(path, error.strerror or str(error)) from error
    if len(data) > _MOST_BYTES:
        raise _refused(path, "it is too large")
    try:
        return parse_lock(data)
    except ValueError as error:
        raise _refused(path, str(error)) from error


def parse_lock(data: bytes) -> Lock:
    """The lock that ``data``, the file's bytes, is.

    Raises:
        ValueError: it is none.
    """
    try:
        table = json.loads(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(table, dict) or set(table) != {"version", "repos"}:
        raise ValueError("not a lock file")
    if type(table["version"]) is not int or table["version"] != _VERSION:
        raise ValueError(f"version {table['version']!r} is not known to this Vedette")
    if not isinstance(table["repos"], dict):
        raise ValueError("repos must be an object")
    return Lock({repo: _entry(given, repo) for repo, given in table["repos"].items()})


def dump_lock(lock: Lock) -> bytes:
    """The file's bytes; the same lock gives the same bytes."""
    repos = {
        repo: {
            "asked": entry.asked,
            "commit": entry.commit,
            "files": dict(entry.files),
            "trusted": dict(entry.trusted),
            "accepted": dict(entry.accepted),
        }
        for repo, entry in lock.repos.items()
    }
    table = {"version": _VERSION, "repos": repos}
    return json.dumps(table, indent=1, sort_keys=True).encode("ascii") + b"\n"


def update_lock(store: Path, repo: str, change: Callable[[Entry], Entry]) -> None:
    """Replace the entry of ``repo`` by what ``change`` makes of it.

    Raises:
        ModelError: ``weights_unusable``: the lock file that is there cannot be read.
        VedetteError: ``write_failed``.
    """
    path = store / NAME
    with exclusive(store / f".{NAME}.held"):
        lock = read_lock(store)
        changed = Lock({**lock.repos, repo: change(lock.entry(repo))})
        with replacing(path) as temporary:
            temporary.write_bytes(dump_lock(changed))


def _entry(given: Any, repo: str) -> Entry:
    keys = {"asked", "commit", "files", "trusted", "accepted"}
    if not isinstance(given, dict) or not given.keys() <= keys:
        raise ValueError(f"{repo}: not an entry of a lock file")
    entry = Entry(
        asked=_text(given.get("asked"), repo),
        commit=_text(given.get("commit"), repo),
        files=_texts(given.get("files", {}), repo),
        trusted=_texts(given.get("trusted", {}), repo),
        accepted=_texts(given.get("accepted", {}), repo),
    )
    hashes = [*entry.files.values(), *entry.trusted.values(), *entry.accepted]
    for digest in hashes:
        if not _HASH.fullmatch(digest):
            raise ValueError(f"{repo}: {digest!r} is no SHA-256")
    for path in (*entry.files, *entry.trusted):
        if not is_plain_path(path):
            raise ValueError(f"{repo}: {path!r} is not a path inside it")
    for date in entry.accepted.values():
        if not _DATE.fullmatch(date):
            raise ValueError(f"{repo}: {date!r} is no date")
    if entry.commit is not None and not is_commit(entry.commit):
        raise ValueError(f"{repo}: {entry.commit!r} is no commit")
    return entry


def _text(value: Any, repo: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{repo}: {value!r} must be a text")
    return value


def _texts(value: Any, repo: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError(f"{repo}: {value!r} must be an object of texts")
    return value


def _refused(path: Path, reason: str) -> ModelError:
    return ModelError(
        f"cannot use the lock file {path}: {reason}",
        code="weights_unusable",
        hint="restore it, or remove it and pull (or verify --trust) the models again",
    )
