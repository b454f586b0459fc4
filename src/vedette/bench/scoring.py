"""A set scored once by a predictor, each answer kept in a journal that survives a kill."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from vedette.bench.fingerprints import Fingerprints, groups
from vedette.bench.predictions import SHIPPED, Predictions
from vedette.bench.predictor import Answer, Predictor
from vedette.data.base import CATEGORY, SOURCE, Source, read_all
from vedette.errors import UsageError, VedetteError
from vedette.taxonomy import Category, parse_category
from vedette.types import Failure, Float32, Item

_PASSING = ("no_answer", "cancelled")
"""Failures that say nothing about the picture."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """What the set says of one image, without its bytes."""

    key: str
    source: str
    category: int
    """Position of the category that it was found for, or is labelled with; -1: none."""
    labels: tuple[int, ...]
    unsafe: bool
    split: str


def labelled(items: Iterable[Item], split_name: str) -> Iterator[tuple[Labelled, Item]]:
    """The labelled items of a set, each with what the set says of it.

    Args:
        items: of a source; unlabelled ones are left out.
        split_name: of the ``meta`` field that says an item's split.

    Raises:
        UsageError: ``bad_source``: two images have one key.
    """
    seen: set[str] = set()
    for item in items:
        if item.unsafe is None:
            continue
        if item.key in seen:
            raise UsageError(f"two images are called {item.key!r}", code="bad_source")
        seen.add(item.key)
        places = tuple(sorted(c.position for c in item.labels or ()))
        category = _category(item.meta.get(CATEGORY, ""))
        if category < 0 and len(places) == 1:
            category = places[0]
        yield (
            Labelled(
                item.key,
                item.meta.get(SOURCE, ""),
                category,
                places,
                item.unsafe,
                item.meta.get(split_name, ""),
            ),
            item,
        )


def _category(name: str) -> int:
    try:
        return parse_category(name).position
    except KeyError:
        return -1


def set_hash(rows: Sequence[Labelled], hashes: Sequence[str | None]) -> str:
    """Over keys, bytes and labels of a set, in its order: hex SHA-256."""
    digest = hashlib.sha256()
    for row, sha256 in zip(rows, hashes, strict=True):
        told = [row.key, sha256, row.source, row.category, list(row.labels), row.unsafe]
        digest.update(json.dumps(told, ensure_ascii=True).encode() + b"\n")
    return digest.hexdigest()


def score(
    source: Source, rows: Sequence[Labelled], predictor: Predictor, journal: Path
) -> list[Answer]:
    """The predictor's answers about those images, in the rows' order.

    What the journal holds already is not asked again; each new answer is written to it at once.

    Raises:
        VedetteError: what the predictor raises; ``write_failed``; the journal is of another set.
    """
    told = read_answers(journal)
    # An endpoint that was down is asked again; what is wrong with a picture stays wrong.
    known = {a.key: a for a in told if a.failure is None or a.failure.code not in _PASSING}
    wanted = {row.key for row in rows}
    missing = wanted - known.keys()
    if missing:
        try:
            with journal.open("ab") as stream:
                _scored(source, missing, predictor, stream, known)
        except OSError as error:
            raise VedetteError(
                f"cannot write {journal}: {error.strerror}", code="write_failed"
            ) from error
    gone = wanted - known.keys()
    if gone:
        raise UsageError(
            f"the set has changed: it has no {min(gone)!r} any more",
            hint="run again: finished results stay",
        )
    return [known[row.key] for row in rows]


def _scored(
    source: Source,
    missing: set[str],
    predictor: Predictor,
    stream: IO[bytes],
    known: dict[str, Answer],
) -> None:
    items = (item for item in read_all(source) if item.key in missing)
    answers = predictor.predict(items)
    try:
        for answer in answers:
            stream.write(json.dumps(_line(answer), allow_nan=False).encode() + b"\n")
            stream.flush()
            known[answer.key] = answer
    finally:
        if isinstance(answers, Iterator) and hasattr(answers, "close"):
            answers.close()


def _line(answer: Answer) -> dict[str, Any]:
    embedding = answer.embedding
    return {
        "key": answer.key,
        "sha256": answer.sha256,
        "p": None if answer.p is None else {c.value: float(v) for c, v in answer.p.items()},
        "flagged": None if answer.flagged is None else sorted(c.value for c in answer.flagged),
        "failure": None
        if answer.failure is None
        else [answer.failure.stage, answer.failure.code, answer.failure.message],
        "embedding": None
        if embedding is None
        else base64.b64encode(np.asarray(embedding, dtype="<f4").tobytes()).decode(),
        "ms": answer.ms,
    }


def read_answers(journal: Path) -> Iterator[Answer]:
    """The answers of a journal; a last line that a kill cut in half is cut off the file.

    Raises:
        UsageError: ``bad_result``: it is no journal of answers.
    """
    if not journal.exists():
        return
    with journal.open("r+b") as stream:
        stream.seek(0, os.SEEK_END)
        whole = _last_line(stream)
        stream.truncate(whole)
        stream.seek(0)
        yield from _answers(stream, journal)


def _last_line(stream: IO[bytes]) -> int:
    """Bytes up to the end of the last whole line."""
    end = stream.tell()
    while end:
        start = max(0, end - 2**16)
        stream.seek(start)
        found = stream.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _answers(stream: IO[bytes], journal: Path) -> Iterator[Answer]:
    for number, line in enumerate(stream, 1):
        try:
            told = json.loads(line)
            yield _told(told)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UsageError(
                f"{journal}, line {number}: no answer: {error}",
                code="bad_result",
                hint=f"delete {journal.parent} and run again",
            ) from error


def _told(told: dict[str, Any]) -> Answer:
    packed = told["embedding"]
    embedding: Float32 | None = None
    if packed is not None:
        embedding = np.frombuffer(base64.b64decode(packed), dtype="<f4").astype(np.float32)
    return Answer(
        key=told["key"],
        sha256=told["sha256"],
        p=None if told["p"] is None else {Category(c): float(v) for c, v in told["p"].items()},
        flagged=None if told["flagged"] is None else frozenset(map(Category, told["flagged"])),
        failure=None if told["failure"] is None else Failure(*told["failure"]),
        embedding=embedding,
        ms=told["ms"],
    )


def predictions(
    rows: Sequence[Labelled],
    answers: Sequence[Answer],
    covered: Sequence[Category],
    prints: Fingerprints,
) -> Predictions:
    """Answers and labels side by side; what could not be scored is told apart."""
    kept = [k for k, answer in enumerate(answers) if answer.p is not None]
    failed = [(a.key, a.failure.code if a.failure else "infer") for a in answers if a.p is None]
    n, k = len(kept), len(Category)
    p, flagged = np.zeros((n, k), np.float32), np.zeros((n, k), np.bool_)
    labels = np.zeros((n, k), np.bool_)
    seen = np.zeros(k, np.bool_)
    seen[[c.position for c in covered]] = True
    for at, index in enumerate(kept):
        answer = answers[index]
        assert answer.p is not None
        for category, value in answer.p.items():
            p[at, category.position] = value
        if answer.flagged is None:
            flagged[at] = p[at] >= SHIPPED
        else:
            flagged[at, [c.position for c in answer.flagged]] = True
        labels[at, list(rows[index].labels)] = True
    vectors = [answers[index].embedding for index in kept]
    told = [vector for vector in vectors if vector is not None]
    one_shape = len(told) == n and len({vector.shape for vector in told}) == 1
    keys = tuple(rows[index].key for index in kept)
    return Predictions(
        keys=keys,
        sha256=tuple(answers[index].sha256 or "" for index in kept),
        source=tuple(rows[index].source for index in kept),
        category=np.array([rows[index].category for index in kept], dtype=np.int64),
        labels=labels,
        unsafe=np.array([rows[index].unsafe for index in kept], dtype=np.bool_),
        p=p,
        flagged=flagged & seen,
        covered=seen,
        group=groups(prints, keys),
        failed=tuple(failed),
        embedding=np.stack(told) if n and one_shape else None,
    )
