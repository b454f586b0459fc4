"""CSV: one Record a row, for spreadsheets."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path

from vedette import wire
from vedette.sinks.base import replacing
from vedette.taxonomy import Category
from vedette.types import Record

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
COLUMNS = (
    "key",
    "action",
    "reasons",
    "failure_code",
    "failure_message",
    "sha256",
    "format",
    "width",
    "height",
    "frames",
    *(f"p_{category.value}" for category in Category),
    "regions",
    "models",
    "policy",
    "calibrated",
)


def write_csv(records: Iterable[Record], path: Path) -> None:
    """All ``records`` to a new UTF-8 file. A category that is not covered is an empty cell.

    Text that a spreadsheet would run as a formula gets an apostrophe in front: a file name is
    somebody else's input.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for record in records:
            writer.writerow([_plain(cell) for cell in _row(record)])


def _row(record: Record) -> list[object]:
    scores = record.scores.as_dict() if record.scores else {}
    failure = record.failure
    return [
        record.key,
        record.verdict.action.value,
        "; ".join(
            f"{reason.what} {reason.p:g} >= {reason.threshold:g}"
            for reason in record.verdict.reasons
        ),
        failure.code if failure else None,
        failure.message if failure else None,
        record.sha256,
        record.format,
        record.width,
        record.height,
        record.frames,
        *(scores.get(category) for category in Category),
        json.dumps(wire.to_dict(record)["regions"]),
        " ".join(record.models),
        record.verdict.policy,
        record.scores.calibrated if record.scores else None,
    ]


def _plain(cell: object) -> object:
    if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS):
        return f"'{cell}"
    return cell
