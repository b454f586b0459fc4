"""What reviewers decided, from a table of decisions or the files of ``vedette annotate``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from vedette.annotate.answers_csv import COLUMNS, read_answers
from vedette.annotate.exchange import Entry
from vedette.annotate.protocol import Protocol, Round, outcome
from vedette.data.keys import to_key
from vedette.data.labelling import SAFE, UNLABELLED, UNSAFE, Label, Legend
from vedette.data.manifest import IMAGE_FIELDS
from vedette.data.opening import SourceOptions
from vedette.data.rows import Schema, located, tabular, text_of
from vedette.data.sheets import Sheet
from vedette.errors import UsageError
from vedette.train.scarce.marks import SHA256
from vedette.train.scarce.places import ORIGINAL

DECISION_FIELDS = ("decision", "label", "labels", "answer", "safety_label", "class", "category")
"""Names of the column that says what was decided, the likeliest first."""
DECISIONS: Mapping[str, Label] = {
    **dict.fromkeys(("allow", "allowed", "approve", "approved", "keep", "safe"), SAFE),
    **dict.fromkeys(("block", "blocked", "reject", "rejected", "remove", "removed"), UNSAFE),
    **dict.fromkeys(("review", "undecided", "skip", "na", "n/a"), UNLABELLED),
}
"""A moderator's words; the names of categories and the field's own words are known as well."""


@dataclass(frozen=True, slots=True)
class Review:
    """One decision about one image."""

    key: str
    sha256: str
    """Hex; "" where the table does not say: then the image is known by its key."""
    label: Label
    where: str
    """Its place in the file, for messages."""

    @property
    def decided(self) -> bool:
        """Whether it says anything."""
        return self.label.unsafe is not None


def read_reviews(path: Path, labels: Mapping[str, Label], protocol: Protocol) -> list[Review]:
    """The decisions of a file, in its order.

    Args:
        path: CSV, TSV or JSONL with a column that names images (``key``, or a manifest's ``path``)
            and one of :data:`DECISION_FIELDS`; or the answers that ``vedette annotate export``
            wrote as CSV, of which the outcome under ``protocol`` counts.
        labels: what the file's own words mean; they win over all else.
        protocol: of a campaign whose answers they are.

    Raises:
        UsageError: ``bad_source``, ``unknown_label``, ``bad_annotations``, with the line.
    """
    sheet = Sheet(path)
    first = next(islice(sheet.rows(), 1), None)
    if first is None:
        raise UsageError(f"there is no decision in {path.name}", code="bad_source")
    if set(first[0]) == set(COLUMNS) and sheet.kind == "csv":
        return [_outcome(entry, protocol) for entry in read_answers(path, protocol)]
    return list(_rows(sheet, {**DECISIONS, **labels}))


def _rows(sheet: Sheet, given: Mapping[str, Label]) -> Iterator[Review]:
    names = list(dict.fromkeys(name for row, _, _ in sheet.rows() for name in row))
    column = next((name for name in DECISION_FIELDS if name in names), None)
    if column is None:
        raise UsageError(
            f"{sheet.path.name} has no column that says what was decided",
            code="bad_source",
            hint=f"call it one of: {', '.join(DECISION_FIELDS)}",
        )
    options = SourceOptions(label=column)
    judge = tabular(Legend(given), Schema(names), options, sheet.path.name)
    for row, line, _ in sheet.rows():
        where = f"{sheet.path.name}, line {line}"
        with located(where):
            label, _ = judge(row)
        yield Review(*_image(row, where), label, where)


def _image(row: Mapping[str, Any], where: str) -> tuple[str, str]:
    """The key and the hash that a row names an image by."""
    sha256 = text_of(row.get("sha256")).strip().lower()
    sha256 = sha256 if SHA256.fullmatch(sha256) else ""
    fields = (ORIGINAL, "key", *IMAGE_FIELDS)
    key = next((text for name in fields if (text := text_of(row.get(name)))), "")
    if not key and not sha256:
        raise UsageError(
            f"{where}: it names no image",
            code="bad_source",
            hint="name it by its key, as the Records do, or by its sha256",
        )
    return to_key(key), sha256


def _outcome(entry: Entry, protocol: Protocol) -> Review:
    said: dict[Round, list[str]] = {Round.SAFETY: [], Round.CATEGORY: []}
    for chain in entry.chains:
        said[chain.round].append(chain.said[-1].answer)
    label = outcome(said[Round.SAFETY], said[Round.CATEGORY], protocol).label
    return Review(entry.picture.key, entry.picture.sha256, label, entry.where)
