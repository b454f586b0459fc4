"""Weights that are here, every file held to its hash. Nothing in this file uses the network."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from vedette.compile.cache import file_sha256
from vedette.errors import ModelError
from vedette.hub.lock import Entry, read_lock
from vedette.hub.store import VARIABLE, is_commit, repo_folder, snapshots, store_root
from vedette.models.base import Checkpoint, ModelCard, WeightsFile

_SHORT = 12
"""Hex digits of a hash or a commit that stand in a revision."""


class State(StrEnum):
    """How one file of a checkpoint stands to its hash."""

    OK = "ok"
    """The published one: by the card's hash, or by the one that came with it from the hub."""
    OWN = "own"
    """Another one, which the lock file names as trusted."""
    UNPINNED = "not pinned"
    """There is no hash to hold it to."""
    ALTERED = "altered"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class FileState:
    """One file of a checkpoint, as it was found."""

    path: str
    state: State
    sha256: str | None
    """Of the bytes that are here; None where they are not."""


@dataclass(frozen=True, slots=True)
class Located:
    """A checkpoint that is here. Its files may still be altered or missing."""

    folder: Path
    files: tuple[FileState, ...]
    commit: str | None
    """The commit of the hub that it is, where that is known."""

    def only(self, *states: State) -> bool:
        """Whether every file is in one of these states."""
        return all(file.state in states for file in self.files)


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder that may hold a checkpoint, and what is recorded of it there."""

    folder: Path
    commit: str | None
    pulled: Entry | None
    """The lock's entry, if it speaks of this folder; None in the hub's own cache layout."""


def parts(card: ModelCard) -> tuple[ModelCard, ...]:
    """Every card whose weights a model runs on: its own, and those that it needs, each once."""
    found = [card] if card.weights is not None else []
    for needed in card.needs:
        found += parts(needed)
    return tuple({part.id: part for part in found}.values())


def locate(card: ModelCard) -> Path:
    """The folder that holds all files of ``card.weights``, each with the right hash.

    Raises:
        ModelError: ``weights_missing``, ``weights_altered``, or ``weights_unusable`` for a lock
            file that cannot be read.
    """
    return usable(card).folder


def revision_of(card: ModelCard) -> str:
    """The revision that Records may name for the weights that are here.

    Raises:
        ModelError: as :func:`locate`.
    """
    return revision(card, usable(card))


def revision(card: ModelCard, located: Located) -> str:
    """The same for weights that are located already.

    The card's revision, where every file is the published one; the commit in its place, where the
    card names a branch and the hashes are those that came from it. Else ``local-`` and a hash
    over the files': the weights are the owner's own, and no published name may stand for them.
    """
    weights = _weights(card)
    if not located.only(State.OK):
        whole = "".join(f"{file.path}\0{file.sha256}\n" for file in _sorted(located.files))
        return f"local-{hashlib.sha256(whole.encode()).hexdigest()[:_SHORT]}"
    by_card = all(file.sha256 is not None for file in weights.files)
    if by_card or is_commit(weights.revision) or located.commit is None:
        return card.revision
    return located.commit[:_SHORT]


def usable(card: ModelCard) -> Located:
    """The weights of ``card`` with every file accepted.

    Raises:
        ModelError: as :func:`locate`.
    """
    located = examine(card)
    if located is None:
        raise missing(card)
    for file in located.files:
        if file.state is State.ALTERED:
            raise ModelError(
                f"{located.folder / file.path} is not the file of {card.id}: "
                f"its SHA-256 begins with {(file.sha256 or '')[:_SHORT]}",
                code="weights_altered",
                hint=(
                    f"remove it and run: vedette models pull {card.id} (or, if the weights are "
                    f"your own: vedette models verify {card.id} --trust)"
                ),
            )
    if not located.only(State.OK, State.OWN, State.UNPINNED):
        raise missing(card)
    return located


def examine(card: ModelCard) -> Located | None:
    """Every file of the checkpoint held to its hash, in the first place that has them all.

    Where no place has them all, in the first that has any; None where none has.

    Raises:
        ModelError: ``weights_unusable``: the lock file cannot be read.
        UsageError: the card names a path outside its checkpoint.
    """
    weights = _weights(card)
    trusted = read_lock(store_root()).entry(weights.repo).trusted
    place = _best(weights)
    if place is None:
        return None
    states = (_file_state(place, file, trusted.get(file.path)) for file in weights.files)
    optional = {file.path for file in weights.files if file.optional}
    files = tuple(s for s in states if s.state is not State.MISSING or s.path not in optional)
    return Located(place.folder, files, place.commit)


def folder_of(card: ModelCard) -> Path | None:
    """The folder that has all files, by their names: for lists. Nothing is read or checked."""
    weights = _weights(card)
    place = _best(weights)
    return place.folder if place and _count(place, weights) == _required(weights) else None


def missing(card: ModelCard) -> ModelError:
    """The error for weights that are not, or not all, here."""
    weights = _weights(card)
    place = _best(weights)
    folder = place.folder if place else repo_folder(weights)
    names = [
        file.path
        for file in weights.files
        if not (file.optional or os.path.isfile(folder / file.path))
    ]
    return ModelError(
        f"the weights of {card.id} are not here: no {', '.join(names)} in {folder}",
        code="weights_missing",
        hint=f"vedette models pull {card.id}, or set {VARIABLE} to a folder that has them",
    )


def _weights(card: ModelCard) -> Checkpoint:
    if card.weights is None:
        raise ModelError(
            f"{card.id} has no weights of its own to look for",
            code="weights_missing",
            hint=f"pip install 'vedette[{card.extra}]'" if card.extra else None,
        )
    return card.weights


def _places(weights: Checkpoint) -> Iterator[_Place]:
    entry = read_lock(store_root()).entry(weights.repo)
    commit = entry.commit if entry.asked == weights.revision else None
    yield _Place(repo_folder(weights), commit, entry)
    if weights.url is None:
        for folder, snapshot in snapshots(weights):
            yield _Place(folder, snapshot, None)


def _best(weights: Checkpoint) -> _Place | None:
    some: _Place | None = None
    for place in _places(weights):
        count = _count(place, weights)
        if count == _required(weights):
            return place
        if count and some is None:
            some = place
    return some


def _count(place: _Place, weights: Checkpoint) -> int:
    needed = (file for file in weights.files if not file.optional)
    return sum(os.path.isfile(place.folder / file.path) for file in needed)


def _required(weights: Checkpoint) -> int:
    return sum(not file.optional for file in weights.files)


def _file_state(place: _Place, file: WeightsFile, trusted: str | None) -> FileState:
    path = place.folder / file.path
    if not os.path.isfile(path):
        return FileState(file.path, State.MISSING, None)
    try:
        digest = file_sha256(path)
    except OSError as error:
        raise ModelError(
            f"cannot read {path}: {error.strerror}",
            code="weights_unusable",
            hint="check its permissions and the disk",
        ) from error
    return FileState(file.path, _state(place, file, digest, trusted), digest)


def _state(place: _Place, file: WeightsFile, digest: str, trusted: str | None) -> State:
    if file.sha256 is not None:
        if digest == file.sha256:
            return State.OK
        return State.OWN if digest == trusted else State.ALTERED
    recorded = place.pulled.files.get(file.path) if place.pulled else None
    if place.pulled is None:
        state = _state_in_cache(place.folder / file.path, digest)
    elif digest == recorded:
        # Whole, but of another revision than the card's: accepted, under no published name.
        state = State.OK if place.commit else State.UNPINNED
    else:
        state = State.UNPINNED if recorded is None else State.ALTERED
    if state is State.OK:
        return state
    if trusted is None:
        return state
    return State.OWN if digest == trusted else State.ALTERED


def _state_in_cache(path: Path, digest: str) -> State:
    """Of a file in the hub's cache layout, where a link leads to a blob named by its own hash."""
    try:
        blob = os.path.basename(os.readlink(path))
    except OSError:  # no link: a file of one's own, or a system without links
        return State.UNPINNED
    if len(blob) == len(digest):
        return State.OK if blob == digest else State.ALTERED
    if is_commit(blob):
        return State.OK if blob == git_sha1(path) else State.ALTERED
    return State.UNPINNED


def git_sha1(path: Path) -> str:
    """The name that git gives to a file's content, which the hub has for small files."""
    # Not a protection by itself: it tells a file that was cut or mixed up from a whole one.
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def _sorted(files: Sequence[FileState]) -> list[FileState]:
    return sorted(files, key=lambda file: file.path)
