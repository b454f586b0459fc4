"""Stored Records beside the labels of their pictures: what can be calibrated without a model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vedette.bench.fingerprints import fingerprints, groups
from vedette.bench.scoring import Labelled, labelled
from vedette.calibrate import calibrated_already
from vedette.data.base import SPLIT, Source, read_all
from vedette.data.splits import sha256_of
from vedette.errors import UsageError
from vedette.settings import Settings
from vedette.taxonomy import Category
from vedette.train.examples import Bools, Ints, text_groups
from vedette.types import Float32, Record, Scores
from vedette.wire import read_jsonl


@dataclass(frozen=True, slots=True)
class Scored:
    """One stored Record, as far as it is needed here."""

    key: str
    sha256: str | None
    scores: Scores


@dataclass(frozen=True, slots=True)
class Counts:
    """What came together, and what did not."""

    matched: int
    """Images that have a Record and a label."""
    failed: int
    """Records with a failure: what was not scanned whole has no score to calibrate."""
    unlabelled: int
    """Records that no label was found for."""
    unscored: int
    """Labelled images without a Record."""
    changed: int
    """Images with a Record under their key, whose bytes are no longer what was scanned."""
    repeated: int
    """Records and labels of an image that was there already."""


@dataclass(frozen=True, slots=True, eq=False)
class Matched:
    """Records with labels, a row each, in the order of the labels."""

    model: str
    """``id@revision``"""
    keys: tuple[str, ...]
    """In the labelled set."""
    rows: tuple[Labelled, ...]
    p: Float32
    """float32 [n, categories of the taxonomy]: as the Records have them."""
    covered: Bools
    """bool [n, categories of the taxonomy]"""
    group: Ints
    """int64 [n]: copies share a number."""
    counts: Counts


def matched(
    records: Path, source: Source, part: str | None = None, *, near: Settings | None = None
) -> Matched:
    """The Records of a file and the labels of their pictures, matched by key, then by content.

    Where the pictures can still be read, a key is held to the content: a picture that was changed
    since it was scanned is left out.

    Args:
        records: ``.jsonl`` of a scan.
        source: the labelled set.
        part: only images of this split, as their ``meta`` says it.
        near: decode the pictures by these settings, and let near-duplicates share a group; None:
            only copies of one file do.

    Raises:
        UsageError: ``bad_record``; ``bad_calibration``: Records of several models, or calibrated
            ones; ``bad_source``; ``too_few_labels``: nothing comes together.
        VedetteError: a file cannot be read.
    """
    model, scored, failed, repeated = _scored(read_jsonl(records), records)
    by_key = {one.key: at for at, one in enumerate(scored)}
    by_sha: dict[str, int] = {}
    for at, one in enumerate(scored):
        if one.sha256 is not None:
            by_sha.setdefault(one.sha256, at)
    places: dict[int, Labelled] = {}
    unscored = changed = 0
    seen: set[str] = set()
    for row, item in labelled(read_all(source), SPLIT):
        seen.add(row.split)
        if part is not None and row.split != part:
            continue
        sha256 = sha256_of(item)
        place = by_key.get(row.key)
        if place is None and sha256 is not None:
            place = by_sha.get(sha256)
        if place is None:
            unscored += 1
        elif sha256 is not None and scored[place].sha256 not in (None, sha256):
            changed += 1
        elif place in places:
            repeated += 1
        else:
            places[place] = row
    if part is not None and part not in seen:
        known = ", ".join(sorted(name for name in seen if name)) or "none"
        raise UsageError(f"no image is in the part {part!r}", hint=f"the set's parts are: {known}")
    counts = Counts(
        len(places), failed, len(scored) - len(places) - changed, unscored, changed, repeated
    )
    if not places:
        raise UsageError(
            f"no label of {unscored + changed:,} belongs to one of {len(scored):,} Records",
            code="too_few_labels",
            hint="label the pictures that were scanned; they are matched by key, then by SHA-256",
        )
    kept = [scored[at] for at in places]
    keys = tuple(row.key for row in places.values())
    return Matched(
        model=model,
        keys=keys,
        rows=tuple(places.values()),
        p=np.stack([one.scores.p for one in kept]),
        covered=np.stack([one.scores.covered for one in kept]),
        group=_groups(kept, keys, source, near),
        counts=counts,
    )


def _scored(given: Iterable[Record], path: Path) -> tuple[str, list[Scored], int, int]:
    """The model, its Records that were scanned whole, how many were not, how many came again."""
    models: set[tuple[str, ...]] = set()
    kept: dict[str, Scored] = {}
    failed = repeated = 0
    for record in given:
        models.add(record.models)
        if len(models) > 1 or len(record.models) != 1:
            told = ", ".join(sorted({name for names in models for name in names}))
            raise UsageError(
                f"{path} has Records of several models: {told}",
                code="bad_calibration",
                hint="a calibration is for one model: give the Records of one scan",
            )
        if record.scores is not None and record.scores.calibrated is not None:
            raise calibrated_already(f"{path}: {record.key}", record.scores.calibrated)
        if record.failure is not None or record.scores is None:
            failed += 1
        elif record.key in kept:
            repeated += 1
        else:
            kept[record.key] = Scored(record.key, record.sha256, record.scores)
    if not kept:
        raise UsageError(f"{path} has no Record with a score", code="too_few_labels")
    return next(iter(models))[0], list(kept.values()), failed, repeated


def _groups(
    kept: Sequence[Scored], keys: Sequence[str], source: Source, near: Settings | None
) -> Ints:
    if near is None:
        return text_groups([one.sha256 or f"key {one.key}" for one in kept])
    return groups(fingerprints(source, near), keys)


def columns(
    found: Matched, wanted: Sequence[Category] | None
) -> tuple[tuple[Category, ...], Bools, Bools]:
    """The categories to calibrate, targets bool [n, categories], and which of them are known.

    An image labelled unsafe in another category counts as safe for this one; one that is labelled
    unsafe without a category says nothing about any. Of a set that says safe or unsafe only,
    ``wanted`` tells what unsafe means there; it need not where the model has one score for all.

    Raises:
        UsageError: the model does not cover a category of ``wanted``, or none that is labelled;
            the labels name no category, and the model tells several apart.
    """
    unsafe = np.array([row.unsafe for row in found.rows], dtype=np.bool_)
    labels = np.zeros((len(found.rows), len(Category)), dtype=np.bool_)
    for at, row in enumerate(found.rows):
        labels[at, list(row.labels)] = True
    seen = [c for c in Category if found.covered[:, c.position].any()]
    if wanted is not None and (missing := [c.value for c in wanted if c not in seen]):
        raise UsageError(
            f"{found.model} has no score for {', '.join(missing)}",
            hint=f"it covers {', '.join(seen)}",
        )
    if labels.any():
        named = [c for c in Category if labels[:, c.position].any()]
        chosen = [c for c in seen if c in (named if wanted is None else wanted)]
        if not chosen:
            raise UsageError(
                f"{found.model} has no score for any category that is labelled: {', '.join(named)}",
                hint=f"it covers {', '.join(seen)}",
                code="too_few_labels",
            )
        told = ~unsafe | labels.any(axis=1)
        places = [c.position for c in chosen]
        return tuple(chosen), labels[:, places], told[:, None] & found.covered[:, places]
    chosen = [c for c in seen if wanted is None or c in wanted]
    places = [c.position for c in chosen]
    p = found.p[:, places]
    if unsafe.any() and not (p == p[:, :1]).all():
        raise UsageError(
            "the labels say safe or unsafe, and no category",
            hint=f"say with --category which one it is: {', '.join(seen)}",
        )
    targets = np.repeat(unsafe[:, None], len(chosen), axis=1)
    return tuple(chosen), targets, found.covered[:, places]
