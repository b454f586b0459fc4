"""What pictures look like, as hashes: groups of near-duplicates, and overlap with training data.

A file of fingerprints says which pictures a model was trained on without holding any of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.curate.facts import Store
from vedette.curate.grouping import alike
from vedette.curate.reading import ReadOptions, read_into
from vedette.data.base import Source
from vedette.errors import UsageError
from vedette.perceptual import NEAR, WORDS
from vedette.settings import Settings
from vedette.sinks.base import replacing

FILE = "training-fingerprints.jsonl"
"""Beside the weights of a model that knows what it was trained on."""
_FORMAT = "vedette-fingerprints"
_VERSION = 1
_MOST_BYTES = 2**31


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprints:
    """Hashes of the pictures of a set that could be read, in the set's order."""

    keys: tuple[str, ...]
    sha256: NDArray[np.uint64]
    """uint64 [n, 4]"""
    perceptual: NDArray[np.uint64]
    """uint64 [n, WORDS]; 0 where there is nothing to tell a picture by."""

    def __len__(self) -> int:
        return len(self.keys)


def fingerprints(source: Source, settings: Settings, part: str | None = None) -> Fingerprints:
    """Decode every picture of a set once.

    Args:
        source: of the pictures.
        settings: limits of decoding.
        part: only of this split, as the items' ``meta`` says it; None: of all.

    Raises:
        VedetteError: the source itself cannot be read.
    """
    with Store() as store:
        reading = ReadOptions(settings, describe=False)
        read_into(store, source, reading, lambda _key, _failure: None)
        keys = list(store.keys)
        kept = store.facts.column("failure") == 0
        if part is not None:
            splits = [store.splits[one] for one in store.facts.column("split").tolist()]
            kept &= np.array([one == part for one in splits], dtype=np.bool_)
            if part not in splits:
                known = ", ".join(sorted(set(splits))) or "none"
                raise UsageError(
                    f"no image is in the part {part!r}", hint=f"the set's parts are: {known}"
                )
        rows = np.flatnonzero(kept)
        return Fingerprints(
            tuple(keys[row] for row in rows.tolist()),
            np.array(store.facts.column("sha256")[rows], dtype=np.uint64),
            np.array(store.facts.column("hash")[rows], dtype=np.uint64),
        )


def groups(prints: Fingerprints, keys: Sequence[str]) -> NDArray[np.int64]:
    """For each key the number of its group of near-duplicates: int64 [n].

    A picture that has no fingerprint is a group by itself.
    """
    first = alike(prints.sha256, prints.perceptual, NEAR) if len(prints) else np.zeros(0, np.intp)
    at = {key: int(group) for key, group in zip(prints.keys, first.tolist(), strict=True)}
    alone = len(prints)
    out = np.empty(len(keys), dtype=np.int64)
    for row, key in enumerate(keys):
        out[row] = at.get(key, alone + row)
    return out


def overlap(prints: Fingerprints, training: Fingerprints) -> tuple[str, ...]:
    """Keys of the pictures that are in the training set, or look like one that is; sorted."""
    if not len(prints) or not len(training):
        return ()
    group = alike(
        np.concatenate([training.sha256, prints.sha256]),
        np.concatenate([training.perceptual, prints.perceptual]),
        NEAR,
    )
    known = set(group[: len(training)].tolist())
    found = group[len(training) :].tolist()
    return tuple(sorted(key for key, one in zip(prints.keys, found, strict=True) if one in known))


def write_fingerprints(path: Path, prints: Fingerprints) -> None:
    """Write a file of fingerprints; keys stay out of it.

    Raises:
        VedetteError: ``write_failed``.
    """
    with replacing(path) as temporary, open(temporary, "w", encoding="ascii") as stream:
        head = {"format": _FORMAT, "version": _VERSION, "images": len(prints)}
        stream.write(json.dumps(head) + "\n")
        for sha256, words in zip(prints.sha256, prints.perceptual, strict=True):
            stream.write(json.dumps([_hex(sha256), _hex(words)]) + "\n")


def read_fingerprints(path: Path) -> Fingerprints:
    """Read a file of fingerprints; its keys are line numbers.

    Raises:
        UsageError: ``bad_source``: it is none, or is cut; ``unreadable``.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("too large")
        with path.open(encoding="ascii") as stream:
            head = json.loads(next(stream, "null"))
            if head["format"] != _FORMAT or head["version"] != _VERSION:
                raise ValueError(f"format {head['format']!r}, version {head['version']!r}")
            rows = [json.loads(line) for line in stream]
        if not rows:
            raise ValueError("it has none")
        if len(rows) != head["images"]:
            raise ValueError(f"{len(rows)} of {head['images']} images")
        sha256, words = _words((row[0] for row in rows), 4), _words((r[1] for r in rows), WORDS)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", code="unreadable") from error
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise UsageError(
            f"{path} is no file of fingerprints: {error}",
            code="bad_source",
            hint="vedette bench fingerprints DATA --out FILE makes one",
        ) from error
    return Fingerprints(tuple(str(row) for row in range(len(rows))), sha256, words)


def _hex(words: Any) -> str:
    return str(np.asarray(words).astype("<u8").tobytes().hex())


def _words(texts: Iterable[str], words: int) -> NDArray[np.uint64]:
    raw = [bytes.fromhex(text) for text in texts]
    if any(len(one) != 8 * words for one in raw):
        raise ValueError("a hash of another length")
    found = np.frombuffer(b"".join(raw), dtype="<u8").reshape(len(raw), words)
    return found.astype(np.uint64)
