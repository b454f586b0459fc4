"""Fetching weights: the one place in Vedette that uses the network.

Files land in ``.incomplete`` inside the store, where an interrupted pull goes on, and are moved
to their places only after all of them have the right hash.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Protocol

from vedette.compile.cache import file_sha256
from vedette.errors import ModelError, UsageError
from vedette.hub.fetching import failed, fetch
from vedette.hub.locate import Located, State, examine, git_sha1
from vedette.hub.lock import Entry, read_lock, update_lock
from vedette.hub.remote import Remote, RemoteFile, describe
from vedette.hub.store import (
    VARIABLE,
    cannot_write,
    exclusive,
    is_commit,
    is_offline,
    repo_folder,
    store_root,
)
from vedette.hub.terms import check_terms, is_accepted, terms_of
from vedette.models.base import Checkpoint, ModelCard

SUFFIXES = frozenset(
    {
        *(".json", ".txt", ".safetensors", ".onnx", ".zip", ".npy", ".npz", ".pth", ".pt", ".p"),
        *(".h5", ".caffemodel", ".model", ".bin", ".jinja"),
    }
)
"""Of files that are ever fetched: weights, their configuration, vocabularies. No programs: a chat
template (``.jinja``) is run by transformers in Jinja's sandbox."""
_SHARD = re.compile(r"group\d+-shard\d+of\d+", re.ASCII)
"""What TensorFlow.js calls its files of weights; they have no suffix."""


class Watcher(Protocol):
    """Someone who is told how a pull goes on."""

    def tell(self, line: str) -> None:
        """A line for a person: the terms, the size."""
        ...

    def advance(self, path: str, done: int, total: int | None) -> None:
        """So many bytes of a file are here, of so many."""
        ...


class Silent:
    """A watcher that says nothing."""

    def tell(self, line: str) -> None:
        """See :class:`Watcher`."""

    def advance(self, path: str, done: int, total: int | None) -> None:
        """See :class:`Watcher`."""


def pull(
    card: ModelCard, *, accept_terms: bool, commercial: bool, watcher: Watcher | None = None
) -> Path:
    """Fetch the weights of ``card`` at its revision, unless they are here, and pin them.

    What the card ``needs`` is pulled by calls of its own (:func:`vedette.hub.locate.parts`).

    Args:
        card: of a model that has ``weights``.
        accept_terms: whether the user accepts terms that restrict the use.
        commercial: the setting of that name: refuses such terms.
        watcher: is told the terms before the first pull, and then how it goes on.

    Returns:
        The folder that holds all files.

    Raises:
        ModelError: ``terms_refused``, ``terms_not_accepted``, ``pull_failed``, or
            ``weights_altered`` where the bytes are not the right ones; these are removed.
        MissingExtraError: huggingface_hub is not installed.
        VedetteError: ``write_failed``.
    """
    weights = card.weights
    if weights is None:
        raise UsageError(f"{card.id} has no weights that could be pulled")
    watcher = watcher or Silent()
    folder = repo_folder(weights)
    for file in weights.files:
        path = PurePosixPath(file.path)
        if path.suffix not in SUFFIXES and not _SHARD.fullmatch(path.name):
            raise failed(f"{file.path}: files of this kind are not fetched")
    here = examine(card)
    entry = read_lock(store_root()).entry(weights.repo)
    if not (
        is_accepted(card)
        or all(file.path in entry.files or file.optional for file in weights.files)
    ):
        for line in terms_of(card):
            watcher.tell(line)
    check_terms(card, accept=accept_terms, commercial=commercial)
    if here is not None and _is_settled(here):
        return here.folder
    if is_offline():
        raise failed(
            f"{card.id} is not here, and HF_HUB_OFFLINE forbids to fetch it",
            hint=f"unset HF_HUB_OFFLINE, or set {VARIABLE} to a folder that has the weights",
        )
    held = store_root() / ".incomplete" / weights.repo.replace("/", "--")
    with exclusive(held.with_name(f"{held.name}.held")):
        _pull(card.id, weights, held, watcher)
    return folder


def _is_settled(here: Located) -> bool:
    """Whether the network could add nothing, or nothing that the owner wants."""
    return here.only(State.OK) or (
        here.only(State.OK, State.OWN, State.UNPINNED)
        and any(file.state is State.OWN for file in here.files)
    )


def _pull(card_id: str, weights: Checkpoint, held: Path, watcher: Watcher) -> None:
    folder = repo_folder(weights)
    entry = read_lock(store_root()).entry(weights.repo)
    pulled_before = entry.asked == weights.revision
    remote = describe(weights, entry.commit if pulled_before else None)
    size = "an unknown number of" if remote.size is None else f"{remote.size:,}"
    watcher.tell(f"  size        {size} bytes in {len(remote.files)} files")
    hashes: dict[str, str] = {}
    fetched: dict[str, Path] = {}
    try:
        held.mkdir(parents=True, exist_ok=True)
        for file in remote.files:
            path = file.file.path
            # A card's own hash may have changed since; where it has none, the first pull's stays.
            pinned = pulled_before and file.file.sha256 is None
            recorded = entry.files.get(path) if pinned else None
            if (digest := _kept(file, folder / path, recorded)) is None:
                _check_replaceable(folder / path, path in entry.files, entry, card_id)
                fetched[path] = _part(held, file)
                digest = _fetched(file, fetched[path], recorded, watcher)
            hashes[path] = digest
        for path, part in fetched.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(part, target)
        shutil.rmtree(held)
    except OSError as error:
        raise cannot_write(held, error) from error
    update_lock(store_root(), weights.repo, lambda entry: _pinned(entry, weights, remote, hashes))


def _kept(file: RemoteFile, target: Path, recorded: str | None) -> str | None:
    """The hash of a file that is in its place and may stay; None where it is to be fetched."""
    if not os.path.isfile(target):
        return None
    digest = file_sha256(target)
    return digest if _is_right(file, target, digest, recorded) else None


def _check_replaceable(target: Path, pulled: bool, entry: Entry, card_id: str) -> None:
    """Refuse to put a file in the place of one that no pull has put there: somebody's work.

    Raises:
        ModelError: ``weights_altered``.
    """
    if not os.path.lexists(target):
        return
    if pulled and os.path.isfile(target) and file_sha256(target) not in entry.trusted.values():
        return
    raise ModelError(
        f"{target} is there, and is not the file that would be pulled",
        code="weights_altered",
        hint=f"move it away, or keep it with: vedette models verify {card_id} --trust",
    )


def _is_right(file: RemoteFile, path: Path, digest: str, recorded: str | None) -> bool:
    """Whether a file is the stated one, and the one of the first pull."""
    if file.sha256 is not None:
        stated = digest == file.sha256
    elif file.git_sha1 is not None:
        stated = git_sha1(path) == file.git_sha1
    else:
        stated = recorded is not None
    return stated and recorded in (None, digest)


def _part(held: Path, file: RemoteFile) -> Path:
    """Where the beginning of a file is kept: another content has another place."""
    content = file.sha256 or file.git_sha1 or file.wanted.url
    name = hashlib.sha256(f"{file.file.path}\0{content}".encode()).hexdigest()[:32]
    return held / f"{name}.part"


def _fetched(file: RemoteFile, part: Path, recorded: str | None, watcher: Watcher) -> str:
    """The hash of a file that was fetched to ``part`` and is the right one.

    Raises:
        ModelError: ``pull_failed``, or ``weights_altered``: then the bytes are removed.
    """
    path = file.file.path
    _check_room(file, part)
    fetch(file.wanted, part, lambda done, total: watcher.advance(path, done, total))
    digest = file_sha256(part)
    nothing_known = file.sha256 is None and file.git_sha1 is None and recorded is None
    if nothing_known or _is_right(file, part, digest, recorded):
        return digest
    part.unlink()
    raise ModelError(
        f"{path} came with SHA-256 {digest[:12]}, which is not the one that the card, the hub or "
        "the first pull has for it; it was removed",
        code="weights_altered",
        hint="pull again; if it stays, the server has other weights than it should",
    )


def _check_room(file: RemoteFile, part: Path) -> None:
    if file.wanted.size is None:
        return
    needed = file.wanted.size - (part.stat().st_size if part.exists() else 0)
    free = shutil.disk_usage(part.parent).free
    if free < needed:
        raise failed(
            f"{file.file.path} needs {needed:,} bytes more, and {part.parent} has {free:,} left",
            hint=f"make room, or set {VARIABLE} to a folder on another disk",
        )


def _pinned(entry: Entry, weights: Checkpoint, remote: Remote, hashes: Mapping[str, str]) -> Entry:
    """The lock's entry after a pull. Files of another revision are forgotten."""
    same = entry.asked == weights.revision and entry.commit == remote.commit
    before = entry.files if same else {}
    trusted = {path: digest for path, digest in entry.trusted.items() if path not in hashes}
    return replace(
        entry,
        asked=weights.revision,
        commit=remote.commit if remote.commit and is_commit(remote.commit) else None,
        files={**before, **hashes},
        trusted=trusted,
    )
