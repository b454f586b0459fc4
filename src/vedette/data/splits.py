"""Splits as files: which picture is for training and which for testing, fixed once and checkable.

A split file is JSON lines. The first is a header: how the split was made, and a hash over all keys
and picture hashes, so that the split can be held against its set. Every other line is one picture.
Pictures that could not be read stand in it too, excluded by name: none goes missing silently.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vedette.data.base import SPLIT, Shard, Source, read_all
from vedette.errors import FetchError, UnknownNameError, UsageError
from vedette.fetch import open_regular
from vedette.sinks.base import replacing
from vedette.types import Failure, Item

FORMAT = "vedette-split"
VERSION = 1
STRATEGY = "stratified-groups"
"""The algorithm of :mod:`vedette.data.stratify`, by category, safety and source."""
_LINE = 2**20
"""Characters of one line, at most."""
_PIECE = 2**20


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture of the set."""

    key: str
    sha256: str | None
    """Of its bytes; None where they could not be read."""
    group: str | None
    """Pictures that look alike have the same; None where it is excluded."""
    part: str | None
    """None: excluded."""
    failure: str | None = None
    """The code of why it is excluded."""


@dataclass(frozen=True, slots=True)
class Differences:
    """How a set differs from the one that was split. Keys, in order."""

    missing: tuple[str, ...]
    """In the split, and no longer in the set."""
    new: tuple[str, ...]
    """In the set, and not in the split: in no part."""
    changed: tuple[str, ...]
    """With other bytes than those that were split."""
    unreadable: tuple[str, ...]
    """With bytes that were read then and cannot be read now."""

    def __bool__(self) -> bool:
        return bool(self.missing or self.new or self.changed or self.unreadable)


@dataclass(frozen=True, slots=True)
class Split:
    """A set's pictures, each in one part or excluded."""

    fractions: Mapping[str, float]
    """What was asked for, by part."""
    seed: int
    near: int | None
    """Bits of 256 in which two pictures of one group may differ; None: not grouped."""
    entries: tuple[Entry, ...]
    """In order of their keys."""
    _part: Mapping[str, str | None] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_part", {entry.key: entry.part for entry in self.entries})

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the parts."""
        return tuple(self.fractions)

    @property
    def set_sha256(self) -> str:
        """SHA-256 over all keys and picture hashes, in order: which set it is that was split."""
        digest = hashlib.sha256()
        for entry in self.entries:
            digest.update(json.dumps([entry.key, entry.sha256]).encode() + b"\n")
        return digest.hexdigest()

    @property
    def sha256(self) -> str:
        """SHA-256 over all keys, picture hashes and parts: which split it is."""
        digest = hashlib.sha256(self.set_sha256.encode())
        for entry in self.entries:
            digest.update(json.dumps(entry.part).encode() + b"\n")
        return digest.hexdigest()

    @property
    def excluded(self) -> tuple[Entry, ...]:
        """Pictures that could not be read: they are in no part."""
        return tuple(entry for entry in self.entries if entry.part is None)

    def of(self, key: str) -> str | None:
        """The part that the picture is in; None where it is excluded or not of the set."""
        return self._part.get(key)

    def others(self, part: str) -> tuple[str, ...]:
        """All parts but this one: what to train on when a fold is tested.

        Raises:
            UnknownNameError: no such part.
        """
        if part not in self.fractions:
            raise UnknownNameError("part of the split", part, self.parts)
        return tuple(name for name in self.parts if name != part)

    def counts(self) -> dict[str, dict[str, int]]:
        """Pictures and groups of each part."""
        images = dict.fromkeys(self.parts, 0)
        groups: dict[str, set[str | None]] = {name: set() for name in self.parts}
        for entry in self.entries:
            if entry.part is not None:
                images[entry.part] += 1
                groups[entry.part].add(entry.group)
        return {p: {"images": images[p], "groups": len(groups[p])} for p in self.parts}

    def check(self, source: Source) -> Differences:
        """Hold the split against a set: every file is hashed, none is decoded.

        Raises:
            VedetteError: the source itself cannot be read.
        """
        known = {entry.key: entry.sha256 for entry in self.entries}
        met: set[str] = set()
        new: list[str] = []
        changed: list[str] = []
        unreadable: list[str] = []
        for item in read_all(source):
            met.add(item.key)
            if item.key not in known:
                new.append(item.key)
                continue
            sha256 = sha256_of(item)
            if sha256 == known[item.key]:
                continue
            (unreadable if sha256 is None else changed).append(item.key)
        missing = (key for key in known if key not in met)
        return Differences(*(tuple(sorted(keys)) for keys in (missing, new, changed, unreadable)))


def sha256_of(item: Item) -> str | None:
    """SHA-256 of an item's bytes, in hex; None where they cannot be read."""
    match item.data:
        case Failure():
            return None
        case bytes() as data:
            return hashlib.sha256(data).hexdigest()
        case Path() as path:
            digest = hashlib.sha256()
            try:
                with closing(open_regular(path)) as stream:
                    while piece := stream.read(_PIECE):
                        digest.update(piece)
            except (FetchError, OSError):
                return None
            return digest.hexdigest()


def write_split(path: Path, split: Split) -> None:
    """Write a split whole, or nothing.

    Raises:
        VedetteError: ``write_failed``.
    """
    header = {
        "format": FORMAT,
        "version": VERSION,
        "strategy": STRATEGY,
        "seed": split.seed,
        "near": split.near,
        "fractions": dict(split.fractions),
        "counts": split.counts(),
        "excluded": len(split.excluded),
        "set_sha256": split.set_sha256,
    }
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as out:
        out.write(json.dumps(header) + "\n")
        for entry in split.entries:
            line = {"key": entry.key, "sha256": entry.sha256, "group": entry.group}
            line["part"] = entry.part
            if entry.failure is not None:
                line["failure"] = entry.failure
            out.write(json.dumps(line) + "\n")


def read_split(path: Path) -> Split:
    """The split of a file, checked whole: it must be as it was written.

    Raises:
        UsageError: ``not_found``, or ``bad_source``: it is no split, of a later version, cut off
            or altered.
    """
    try:
        with path.open(encoding="utf-8", errors="strict") as stream:
            lines = _lines(stream, path)
            header = next(lines, None)
            if header is None or header.get("format") != FORMAT:
                raise _bad(path, "its first line is not the header of a split")
            if header.get("version") != VERSION:
                raise _bad(path, f"its version is {header.get('version')!r}, not {VERSION}")
            split = _split(header, tuple(_entry(line, path) for line in lines), path)
    except FileNotFoundError as error:
        raise UsageError(f"there is no {path}", code="not_found") from error
    except OSError as error:
        raise _bad(path, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _bad(path, f"is not text: {error}") from error
    said = header.get("counts"), header.get("excluded"), header.get("set_sha256")
    if said != (split.counts(), len(split.excluded), split.set_sha256):
        raise _bad(path, "its lines are not those that its header counts: cut off or altered")
    return split


def _lines(stream: Any, path: Path) -> Iterator[dict[str, Any]]:
    number = 0
    while text := stream.readline(_LINE):
        number += 1
        try:
            line = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _bad(path, f"line {number} is not JSON") from error
        if not isinstance(line, dict):
            raise _bad(path, f"line {number} is not an object")
        yield line


def _entry(line: Mapping[str, Any], path: Path) -> Entry:
    given = [line.get(name) for name in ("key", "sha256", "group", "part", "failure")]
    key, sha256, group, part, failure = given
    texts = all(value is None or isinstance(value, str) for value in given)
    whole = sha256 is not None and group is not None if part is not None else failure is not None
    if not texts or key is None or not whole:
        raise _bad(path, f"{key!r} has neither a part, a group and a sha256 nor a failure")
    return Entry(str(key), sha256, group, part, failure)


def _split(header: Mapping[str, Any], entries: tuple[Entry, ...], path: Path) -> Split:
    fractions, seed, near = (header.get(name) for name in ("fractions", "seed", "near"))
    if not (
        isinstance(fractions, dict)
        and all(isinstance(value, int | float) for value in fractions.values())
        and isinstance(seed, int)
        and (near is None or isinstance(near, int))
    ):
        raise _bad(path, "its header does not say fractions, seed and near")
    place: dict[str, str] = {}
    for before, entry in zip((None, *entries), entries, strict=False):
        if before is not None and before.key >= entry.key:
            raise _bad(path, f"its keys are not in order, or one is there twice: {entry.key!r}")
        if entry.part is None or entry.group is None:
            continue
        if entry.part not in fractions:
            raise _bad(path, f"{entry.key!r} is in a part that the header does not know")
        if place.setdefault(entry.group, entry.part) != entry.part:
            raise _bad(path, f"the group {entry.group!r} is in two parts")
    return Split(fractions, seed, near, entries)


def _bad(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{path}: {why}", code="bad_source", hint="make it again with: vedette data split"
    )


class SplitSource:
    """The pictures of a source that are in some parts of a split, their part in ``meta``.

    What the split excludes or does not know is left out: :meth:`Split.check` tells what that is.

    Args:
        source: the set that was split.
        split: read or just made.
        parts: one name, or several: for a fold's training data, ``split.others("fold-1")``.

    Raises:
        UnknownNameError: no such part.
    """

    def __init__(self, source: Source, split: Split, parts: str | Collection[str]) -> None:
        self._source = source
        self._split = split
        self._parts = frozenset([parts] if isinstance(parts, str) else parts)
        for part in sorted(self._parts - set(split.parts)):
            raise UnknownNameError("part of the split", part, split.parts)

    def shards(self) -> Sequence[Shard]:
        """Those of the source."""
        return self._source.shards()

    def read(self, shard: Shard) -> Iterator[Item]:
        """See :class:`vedette.data.base.Source`."""
        yield from self._of(self._source.read(shard))

    def find(self, key: str) -> Item | None:
        """See :class:`vedette.data.base.Source`."""
        item = self._source.find(key) if self._split.of(key) in self._parts else None
        return None if item is None else next(self._of([item]), None)

    def _of(self, items: Iterable[Item]) -> Iterator[Item]:
        for item in items:
            part = self._split.of(item.key)
            if part is not None and part in self._parts:
                yield replace(item, meta={**item.meta, SPLIT: part})
