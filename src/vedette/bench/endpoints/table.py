"""A file of predictions as a predictor: what somebody's classifier said, by key."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vedette.bench.endpoints.columns import LABEL, columns_of, label_scores
from vedette.bench.endpoints.pictures import bytes_of
from vedette.bench.predictor import Answer, PredictorCard
from vedette.data.sheets import SUFFIXES, Sheet
from vedette.errors import FetchError, ItemError, UsageError
from vedette.extras import require
from vedette.fetch import open_regular, shown
from vedette.settings import Limits
from vedette.taxonomy import Category
from vedette.types import Failure, Float32, Item

KEYS = ("key", "sha256")
"""Columns that say which image a row is about; the first that is there is used."""
MOST_ROWS = 10_000_000
_CHUNK = 2**20
_BATCH_ROWS = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The scores of a file."""

    by: str
    """``key`` or ``sha256``: what ``rows`` are found by."""
    covered: tuple[Category, ...]
    rows: Mapping[str, int]
    """Number of a row in ``p``, by key."""
    p: Float32
    """float32 [rows, categories], 0..1; 0 outside the coverage; NaN in a row that lacks a score."""


class FilePredictor:
    """Predictions that were made elsewhere.

    Args:
        name: as the user gave it.
        path: CSV, TSV, JSONL or Parquet: a column ``key`` (or ``sha256``), and one column for each
            category, or one ``unsafe`` (probabilities), or one ``label``.
        limits: of reading the images, whose hashes stand in the answers.

    Raises:
        UsageError: ``bad_predictions``, ``not_found``, ``unreadable``.
        MissingExtraError: Parquet, and pyarrow is not installed.
    """

    def __init__(self, name: str, path: Path, limits: Limits) -> None:
        self._limits = limits
        self._file = shown(path)
        self._sha256 = _sha256(path)
        self._table = read_table(path)
        self._card = PredictorCard(
            name=name,
            model=f"{self._file}@{self._sha256[:12]}",
            covered=self._table.covered,
            kind="predictions",
            sha256=self._sha256,
            facts={"rows": len(self._table.rows), "found_by": self._table.by},
        )

    @property
    def card(self) -> PredictorCard:
        """Facts for the result."""
        return self._card

    def predict(self, items: Iterable[Item]) -> Iterator[Answer]:
        """See :class:`~vedette.bench.predictor.Predictor`."""
        for item in items:
            try:
                sha256 = hashlib.sha256(bytes_of(item, self._limits)).hexdigest()
            except ItemError as error:
                yield Answer(item.key, None, None, failure=error.failure())
                continue
            row = self._table.rows.get(item.key if self._table.by == "key" else sha256)
            values = None if row is None else self._table.p[row]
            if values is None or np.isnan(values).any():
                what = "no row for this image" if values is None else "no score in its row"
                failure = Failure("infer", "no_answer", f"{self._file} has {what}")
                yield Answer(item.key, sha256, None, failure=failure)
                continue
            p = {c: float(values[c.position]) for c in self._table.covered}
            yield Answer(item.key, sha256, p)

    def close(self) -> None:
        """Nothing to free."""


def read_table(path: Path) -> Table:
    """Read and check all of a file of predictions.

    Raises:
        UsageError: ``bad_predictions``: a column that is no category, a value outside 0..1, a key
            twice; the message names the line. ``not_found``, ``unreadable``.
        MissingExtraError: Parquet, and pyarrow is not installed.
    """
    by = ""
    scores: Mapping[str, tuple[Category, ...]] = {}
    names: frozenset[str] = frozenset()
    numbers: dict[str, int] = {}
    blocks: list[Float32] = []
    for fields, line in _rows(path):
        try:
            if not by:
                names = frozenset(fields)
                by = next((key for key in KEYS if key in fields), "")
                if not by:
                    raise ValueError("there is no column key, and no column sha256")
                scores = columns_of(name for name in fields if name not in KEYS)
            if not names >= fields.keys():
                raise ValueError(f"{sorted(fields.keys() - names)[0]!r} is not in the first row")
            if len(numbers) == MOST_ROWS:
                raise ValueError(f"more than {MOST_ROWS} rows")
            key = fields.get(by)
            if not isinstance(key, str) or not key:
                raise ValueError(f"no {by}")
            key = key.lower() if by == "sha256" else key
            if key in numbers:
                raise ValueError(f"a second row for {key!r}")
            number = numbers[key] = len(numbers)
            if number % _BATCH_ROWS == 0:
                blocks.append(np.zeros((_BATCH_ROWS, len(Category)), np.float32))
            _fill(blocks[-1][number % _BATCH_ROWS], fields, scores)
        except ValueError as error:
            raise _bad(f"{shown(path)}, {line}: {error}") from error
    if not numbers:
        raise _bad(f"{shown(path)} has no row")
    counted = {category for categories in scores.values() for category in categories}
    covered = tuple(category for category in Category if category in counted)
    return Table(by, covered, numbers, np.concatenate(blocks)[: len(numbers)])


def _fill(
    row: Float32, fields: Mapping[str, Any], scores: Mapping[str, tuple[Category, ...]]
) -> None:
    for name, categories in scores.items():
        value = fields.get(name)
        at = [category.position for category in categories]
        if value is None or (isinstance(value, str) and not value.strip()):
            row[at] = np.nan
        elif name.strip().casefold() == LABEL:
            if not isinstance(value, str):
                raise ValueError(f"{value!r} is no label")
            given = label_scores(value)
            row[at] = [given[category] for category in categories]
        else:
            row[at] = _probability(value, name)


def _probability(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{name} is no number")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"{name} is {str(value)[:40]!r}, no number") from None
    if math.isnan(number) or not 0 <= number <= 1:
        raise ValueError(f"{name} is {number:g}, not 0..1")
    return number


def _rows(path: Path) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Each row's fields, and where it is."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        yield from _parquet_rows(path)
    elif suffix in SUFFIXES:
        try:
            for fields, line, _ in Sheet(path).rows():
                yield fields, f"line {line}"
        except UsageError as error:
            code = "bad_predictions" if error.code == "bad_source" else error.code
            message = error.message.removeprefix("the manifest: ")
            raise UsageError(message, code=code) from error
    else:
        known = ", ".join((*SUFFIXES, ".parquet"))
        raise _bad(f"{shown(path)} is of no known format: {known}")


def _parquet_rows(path: Path) -> Iterator[tuple[Mapping[str, Any], str]]:
    parquet = require("pyarrow.parquet", extra="parquet")
    arrow = require("pyarrow", extra="parquet")
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            # Names are checked before any column is read: one may hold pictures.
            names = list(file.schema_arrow.names)
            if len(set(names)) < len(names):
                raise _bad(f"{shown(path)}: two columns have one name")
            try:
                columns_of(name for name in names if name not in KEYS)
            except ValueError as error:
                raise _bad(f"{shown(path)}: {error}") from error
            for batch in file.iter_batches(_BATCH_ROWS):
                for fields in batch.to_pylist():
                    number += 1
                    yield fields, f"row {number}"
    except (arrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise _bad(f"{shown(path)} cannot be read as Parquet: {reason}") from error


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with open_regular(path) as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    except FetchError as error:
        raise UsageError(error.message, code=error.code) from error
    except OSError as error:
        raise UsageError(
            f"cannot read {shown(path)}: {error.strerror}", code="unreadable"
        ) from error
    return digest.hexdigest()


def _bad(message: str) -> UsageError:
    return UsageError(message, code="bad_predictions")
