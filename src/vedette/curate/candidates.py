"""Candidates for annotation: what keywords find in a collection, each picture once.

The steps that UnsafeBench took (CCS 2025, section 3.1): keywords of each category, the best of the
collection for each, duplicates removed. Every candidate keeps what found it and what it stands for,
so that nothing about its origin is lost when it is annotated.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vedette.curate.facts import Indices, Store
from vedette.curate.hits import Collection, Entry
from vedette.curate.keywords import Keyword
from vedette.curate.reading import ReadOptions, read_into
from vedette.data.base import CATEGORY, SOURCE, TEXT, Shard
from vedette.perceptual import NEAR, clusters, near_pairs
from vedette.settings import Settings
from vedette.sinks.base import replacing
from vedette.taxonomy import Category
from vedette.types import Item

COSINE = 0.97
"""From which on two embeddings count as of one picture; a convention, not measured here."""
_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class CollectOptions:
    """How candidates are collected."""

    top: int = 20
    """Taken for each keyword, at most, before duplicates go."""
    near: int | None = NEAR
    """Bits of 256 in which the hashes of one picture may differ; None: hashes are not compared."""
    cosine: float | None = COSINE
    """From which on two embeddings are of one picture; None: they are not compared."""
    workers: int = 0
    """Decode threads; 0: one for each core."""


@dataclass(frozen=True, slots=True)
class Found:
    """By which keyword a picture was found."""

    keyword: Keyword
    rank: int
    """1 for the best of the keyword."""
    score: float

    @property
    def order(self) -> tuple[int, float, int, str]:
        """Sorts the best first. By rank: scores of two keywords cannot be compared."""
        return self.rank, -self.score, self.keyword.category.position, self.keyword.text


@dataclass(frozen=True, slots=True)
class Candidate:
    """One picture to annotate."""

    entry: Entry
    found: tuple[Found, ...]
    """The best first: its category is the one that the picture is collected for."""
    sha256: str | None
    """None where the picture is not at hand."""
    duplicates: tuple[str, ...]
    """Keys of further hits that are the same picture."""
    failure: str | None
    """The code of why the picture at hand cannot be read."""

    @property
    def category(self) -> Category:
        """The one that it is collected for; not a label."""
        return self.found[0].keyword.category


@dataclass(frozen=True, slots=True)
class Collected:
    """What was found."""

    candidates: tuple[Candidate, ...]
    """By category, then the best first, ties by key."""
    hits: int
    """Of all keywords together."""
    pictures: int
    """Different entries among them, before duplicates went."""
    at_hand: int
    """Of these, those whose picture was looked at."""
    silent: tuple[Keyword, ...]
    """Keywords that found nothing."""


@dataclass(frozen=True, slots=True)
class _Looked:
    """What a picture at hand has told."""

    sha256: str | None
    failure: str | None


def collect(
    collection: Collection, keywords: Sequence[Keyword], settings: Settings, options: CollectOptions
) -> Collected:
    """Search a collection for every keyword and keep each picture once.

    Args:
        collection: read once or twice; nothing is fetched from its addresses.
        keywords: of :func:`vedette.curate.keywords.read_keywords`.
        settings: limits of decoding.
        options: how.

    Raises:
        UsageError: the collection cannot be read.
    """
    results = collection.search([keyword.text for keyword in keywords], options.top)
    entries: dict[str, Entry] = {}
    found: dict[str, list[Found]] = {}
    for keyword, hits in zip(keywords, results, strict=True):
        for rank, hit in enumerate(hits, start=1):
            entries.setdefault(hit.entry.key, hit.entry)
            found.setdefault(hit.entry.key, []).append(Found(keyword, rank, hit.score))
    for by in found.values():
        by.sort(key=lambda one: one.order)
    # The best first: of pictures that are the same, the first one stays.
    keys = sorted(found, key=lambda key: (found[key][0].order[:2], key))
    ordered = [entries[key] for key in keys]
    looked, hashes = _look(collection, ordered, settings, options)
    first = _same(ordered, looked, hashes, options)
    return Collected(
        _candidates(ordered, found, looked, first),
        sum(len(hits) for hits in results),
        len(ordered),
        len(looked),
        tuple(k for k, hits in zip(keywords, results, strict=True) if not hits),
    )


class _AtHand:
    """The pictures of some entries as a source, for one reading."""

    def __init__(self, collection: Collection, entries: Sequence[Entry]) -> None:
        self._collection = collection
        self._entries = entries

    def shards(self) -> Sequence[Shard]:
        return [Shard("at hand")]

    def read(self, shard: Shard) -> Iterator[Item]:
        yield from self._collection.pictures(self._entries)

    def find(self, key: str) -> Item | None:
        return next((item for item in self.read(Shard("at hand")) if item.key == key), None)


def _look(
    collection: Collection, ordered: Sequence[Entry], settings: Settings, options: CollectOptions
) -> tuple[dict[str, _Looked], Mapping[str, np.ndarray]]:
    """The hashes and failures of the pictures that are at hand, by key."""
    looked: dict[str, _Looked] = {}
    with Store() as store:
        reading = ReadOptions(settings, options.workers, describe=False)
        read_into(store, _AtHand(collection, ordered), reading, lambda key, failure: None)
        keys = list(store.keys)
        hashes = dict(zip(keys, store.facts.column("hash"), strict=True))
        words = store.facts.column("sha256")
        failed = store.facts.column("failure")
        for row, key in enumerate(keys):
            sha256 = words[row].astype("<u8").tobytes().hex() if words[row].any() else None
            looked[key] = _Looked(sha256, store.failures[int(failed[row])] or None)
    return looked, hashes


def _same(
    ordered: Sequence[Entry],
    looked: Mapping[str, _Looked],
    hashes: Mapping[str, np.ndarray],
    options: CollectOptions,
) -> Indices:
    """For each entry the first that is the same picture, by all the evidence there is: [n]."""

    def pairs() -> Iterator[tuple[Indices, Indices]]:
        shas = [looked[e.key].sha256 if e.key in looked else e.sha256 for e in ordered]
        yield _equal(shas)
        yield _equal([entry.where for entry in ordered])
        told = np.array(
            [n for n, e in enumerate(ordered) if e.key in hashes and hashes[e.key].any()], np.intp
        )
        if options.near is not None and len(told):
            rows = np.stack([hashes[ordered[n].key] for n in told])
            for a, b in near_pairs(rows, options.near):
                yield told[a], told[b]
        if options.cosine is not None:
            yield from _close(ordered, options.cosine)

    return clusters(len(ordered), pairs())


def _equal(values: Sequence[str | None]) -> tuple[Indices, Indices]:
    """Each row that has the value of an earlier one, with the first that has it."""
    first: dict[str, int] = {}
    pairs = [
        (first.setdefault(value, row), row) for row, value in enumerate(values) if value is not None
    ]
    array = np.array(pairs, np.intp).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def _close(ordered: Sequence[Entry], least: float) -> Iterator[tuple[Indices, Indices]]:
    given = [(n, e.embedding) for n, e in enumerate(ordered) if e.embedding is not None]
    if not given:
        return
    numbers = np.array([n for n, _ in given], np.intp)
    rows = np.stack([embedding for _, embedding in given])
    for start in range(0, len(rows), _BLOCK):
        a, b = np.nonzero(rows[start : start + _BLOCK] @ rows.T >= least)
        yield numbers[a + start], numbers[b]


def _candidates(
    ordered: Sequence[Entry],
    found: Mapping[str, list[Found]],
    looked: Mapping[str, _Looked],
    first: Indices,
) -> tuple[Candidate, ...]:
    members: dict[int, list[Entry]] = {}
    for entry, group in zip(ordered, first.tolist(), strict=True):
        members.setdefault(group, []).append(entry)
    candidates = []
    for group in members.values():
        # A copy that can be read stands for one that cannot.
        failures = {e.key: looked[e.key].failure if e.key in looked else None for e in group}
        best = min(group, key=lambda entry: failures[entry.key] is not None)
        by = sorted((one for entry in group for one in found[entry.key]), key=lambda one: one.order)
        seen = looked.get(best.key)
        candidates.append(
            Candidate(
                best,
                tuple(_once(by)),
                seen.sha256 if seen is not None else best.sha256,
                tuple(sorted(entry.key for entry in group if entry is not best)),
                failures[best.key],
            )
        )
    candidates.sort(key=lambda c: (c.category.position, c.found[0].order[:2], c.entry.key))
    return tuple(candidates)


def _once(found: Sequence[Found]) -> Iterator[Found]:
    """The best of each keyword: copies of one picture may all be found by it."""
    seen: set[Keyword] = set()
    for one in found:
        if one.keyword not in seen:
            seen.add(one.keyword)
            yield one


def write_candidates(path: Path, collected: Collected, collection: Collection) -> None:
    """Write one line for each candidate: a manifest that can be annotated.

    Raises:
        VedetteError: ``write_failed``.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as out:
        for candidate in collected.candidates:
            line = as_line(candidate, collection, path.parent)
            out.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")


def as_line(candidate: Candidate, collection: Collection, folder: Path) -> dict[str, object]:
    """One candidate as JSON; most of what is not known is left out.

    Args:
        candidate: any.
        collection: that it is from.
        folder: of the file that the line goes into: pictures are named as seen from there.
    """
    best, entry = candidate.found[0], candidate.entry
    file = None if entry.file is None else os.path.relpath(entry.file, folder).replace(os.sep, "/")
    line: dict[str, object | None] = {
        "where": entry.where,
        CATEGORY: candidate.category.value,
        "keyword": best.keyword.text,
        "rank": best.rank,
        "score": best.score,
        "measure": collection.measure,
        SOURCE: entry.source or collection.name,
        TEXT: entry.text,
        "sha256": candidate.sha256,
        "also": [
            {
                "category": other.keyword.category.value,
                "keyword": other.keyword.text,
                "rank": other.rank,
                "score": other.score,
            }
            for other in candidate.found[1:]
        ]
        or None,
        "duplicates": list(candidate.duplicates) or None,
        "failure": candidate.failure,
    }
    # Always there, as a manifest's columns: without the empty label, the category would be one.
    first = {"key": entry.key, "file_name": file, "label": None}
    return {**first, **{name: value for name, value in line.items() if value is not None}}


def outside(collected: Collected, path: Path) -> int:
    """How many pictures at hand are not below the folder of ``path``, as a manifest wants them."""
    home = path.parent.resolve()
    files = (c.entry.file for c in collected.candidates if c.entry.file is not None)
    return sum(not file.resolve().is_relative_to(home) for file in files)


def to_annotate(collected: Collected, collection: Collection) -> Iterator[Item]:
    """The candidates whose picture is at hand and can be read, unlabelled, in one pass."""
    by_key = {c.entry.key: c for c in collected.candidates if c.failure is None}
    for item in collection.pictures([c.entry for c in by_key.values()]):
        candidate = by_key[item.key]
        meta = {SOURCE: candidate.entry.source or collection.name}
        meta[CATEGORY] = candidate.category.value
        if candidate.entry.text:
            meta[TEXT] = candidate.entry.text
        yield Item(item.key, item.data, meta=meta)
