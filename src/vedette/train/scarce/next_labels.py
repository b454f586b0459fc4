"""A mostly unlabelled set through a model: what it is unsure of, for the next round of labels."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vedette.bench.fingerprints import fingerprints, groups
from vedette.data.base import SOURCE, Source, read_all
from vedette.errors import UsageError
from vedette.models.base import Classifier
from vedette.pipeline import Scanner
from vedette.policy import Policy
from vedette.settings import Settings
from vedette.taxonomy import Category
from vedette.train.examples import Ints
from vedette.train.scarce.choosing import Pool, Strategy, choose
from vedette.train.scarce.marks import Marks
from vedette.train.scarce.places import ORIGINAL, Places, Row
from vedette.train.scarce.uncertainty import entropy, moved, residual, thresholds
from vedette.types import Item, Record


@dataclass(frozen=True, slots=True)
class Seen:
    """One image of the set, without its bytes."""

    key: str
    sha256: str
    source: str
    covered: bool
    nearest: Category
    """The category that is least decided."""
    p: float | None
    """Its probability; None where the model cannot see it."""
    threshold: float


@dataclass(frozen=True, slots=True, eq=False)
class Surveyed:
    """A set as a model sees it."""

    seen: tuple[Seen, ...]
    """Rows of the pool."""
    pool: Pool
    failed: tuple[tuple[str, str], ...]
    """Keys and codes of the images that could not be scanned; they are not in the pool."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How a set is surveyed."""

    given: str
    """As the user named it."""
    marks: Marks
    out: Path | None = None
    """The list to be: no image of the set, where it lies among them."""
    embeddings: bool = True
    """Whether the strategy needs them."""


def survey(
    source: Source,
    model: str | Classifier,
    policy: Policy,
    settings: Settings,
    asked: Asked,
    say: Callable[[str], None] = lambda _: None,
) -> Surveyed:
    """Scan every image of a set, and compare what they look like.

    Raises:
        UsageError: two images have one key; a file of labels names no image of the set; the model
            sees nothing that the policy asks about.
        VedetteError: the set cannot be read, the model cannot be loaded.
    """
    scan = replace(settings.scan, embeddings=asked.embeddings)
    at = thresholds(policy)
    rows: list[Seen] = []
    told: list[np.ndarray[tuple[int], np.dtype[np.float64]]] = []
    embeddings: list[np.ndarray[tuple[int], np.dtype[np.float16]] | None] = []
    failed: list[tuple[str, str]] = []
    with Scanner(model, policy, replace(settings, scan=scan)) as scanner:
        covered = frozenset(scanner.model.card.covered)
        at = {category: value for category, value in at.items() if category in covered}
        if not at:
            raise UsageError(
                f"the policy {policy.id} has no threshold for anything that the model covers",
                hint="give another with --policy",
            )
        waiting: deque[tuple[Item, bool]] = deque()
        with closing(scanner.scan_many(_items(source, asked, waiting))) as records:
            for record in records:
                item, labelled = waiting.popleft()
                path = item.data if isinstance(item.data, Path) else None
                marked = (record.key, record.sha256, path) in asked.marks
                if record.failure is not None or record.scores is None or record.sha256 is None:
                    code = record.failure.code if record.failure else "corrupt"
                    failed.append((record.key, code))
                    continue
                q = moved(record.scores, at)
                rows.append(_seen(record, item, labelled or marked, at, q))
                told.append(q)
                half = None if record.embedding is None else record.embedding.astype(np.float16)
                embeddings.append(half)
    asked.marks.check(asked.given)
    if not rows:
        raise UsageError(f"no image of {asked.given} can be scanned", code="too_few_labels")
    say(f"{len(rows):,} images scanned; looking for copies among them")
    group = groups(fingerprints(source, settings), [row.key for row in rows])
    q = np.stack(told)
    pool = Pool(
        keys=tuple(row.key for row in rows),
        covered=np.array([row.covered for row in rows], dtype=np.bool_),
        group=group,
        uncertainty=entropy(q).max(axis=1),
        residual=residual(q),
        embedding=_unit(embeddings),
    )
    return Surveyed(tuple(rows), pool, tuple(failed))


def choose_next(surveyed: Surveyed, n: int, strategy: Strategy, seed: int) -> Ints:
    """Rows of the images to label next. See :func:`vedette.train.scarce.choosing.choose`.

    Raises:
        UsageError: ``too_few_labels``: nothing is left that has no label and looks like nothing
            that has one; the strategy needs embeddings.
    """
    if surveyed.pool.covered.all():
        raise UsageError(
            "every image has a label, or is out for one: nothing is left to label",
            hint="collect more images, or train on what there is",
        )
    chosen = choose(surveyed.pool, n, strategy, seed)
    if not len(chosen):
        raise UsageError(
            "all images without a label look like one that has one",
            hint="collect other images, or train on what there is",
        )
    return chosen


def rows_of(surveyed: Surveyed, chosen: Ints, source: Source, places: Places) -> list[Row]:
    """Rows of a manifest without labels, the first to label first.

    Raises:
        UsageError: a row cannot name its picture; the picture is gone.
    """
    rows: list[Row] = []
    for rank, at in enumerate(chosen.tolist(), start=1):
        seen = surveyed.seen[at]
        item = source.find(seen.key)
        if item is None:
            raise UsageError(f"{seen.key} is gone", code="not_found")
        name = places.name(item, seen.sha256)
        row: dict[str, str | int | float | None] = {"path": name}
        if name != seen.key:
            row[ORIGINAL] = seen.key
        if seen.source:
            row["source"] = seen.source
        row |= {
            "sha256": seen.sha256,
            "rank": rank,
            "uncertainty": round(float(surveyed.pool.uncertainty[at]), 6),
            "nearest": seen.nearest.value,
            "p": seen.p,
            "threshold": seen.threshold,
        }
        rows.append(row)
    return rows


def _items(source: Source, asked: Asked, waiting: deque[tuple[Item, bool]]) -> Iterator[Item]:
    """The images of the set; what is known of each, without its bytes, goes into ``waiting``."""
    own = {os.path.abspath(path) for path in (asked.out, *asked.marks.files) if path is not None}
    keys: set[str] = set()
    for item in read_all(source):
        if isinstance(item.data, Path) and os.path.abspath(item.data) in own:
            continue
        if item.key in keys:
            raise UsageError(f"two images are called {item.key!r}", code="bad_source")
        keys.add(item.key)
        light = item if not isinstance(item.data, bytes) else replace(item, data=b"")
        waiting.append((light, item.unsafe is not None))
        yield item


def _seen(
    record: Record,
    item: Item,
    covered: bool,
    at: dict[Category, float],
    q: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> Seen:
    assert record.scores is not None
    assert record.sha256 is not None
    nearest = list(at)[int(np.argmax(entropy(q)))]
    return Seen(
        key=record.key,
        sha256=record.sha256,
        source=item.meta.get(SOURCE, ""),
        covered=covered,
        nearest=nearest,
        p=record.scores[nearest],
        threshold=at[nearest],
    )


def _unit(
    rows: list[np.ndarray[tuple[int], np.dtype[np.float16]] | None],
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]] | None:
    """float32 [n, dim] of length 1; None where an image has no embedding."""
    there = [row for row in rows if row is not None]
    if len(there) < len(rows):
        return None
    stacked = np.stack(there).astype(np.float32)
    norms = np.linalg.norm(stacked, axis=1, keepdims=True)
    return np.asarray(stacked / np.maximum(norms, 1e-12), dtype=np.float32)
