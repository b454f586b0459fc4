"""Annotations as CSV: one answer a row, and what they come to as a manifest.

Rows of one picture follow each other. An answer further down supersedes an earlier one of the same
annotator to the same round. A picture that nobody has answered is a row without an annotator.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from vedette.annotate.annotated import Annotated, Picture
from vedette.annotate.exchange import (
    PSEUDONYM,
    Chain,
    Entry,
    Said,
    bad,
    chains,
    merged,
    parse_time,
    read_text,
    text_of,
    written,
)
from vedette.annotate.protocol import Protocol, Round, parse_answer
from vedette.errors import UsageError
from vedette.sinks.base import replacing

COLUMNS = ("key", "sha256", "source", "category", "annotator", "round", "answer", "at")
LABEL_COLUMNS = ("path", "label", "source", "queried", "sha256")
_ROUNDS = {str(round_.value): round_ for round_ in Round}


def write_answers(pictures: Iterable[Annotated], path: Path) -> None:
    """Every picture and every answer to a new file; what :func:`read_answers` reads.

    Raises:
        VedetteError: ``write_failed``.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for one in pictures:
            picture = (
                *(one.picture.key, one.picture.sha256),
                *(one.picture.source, one.picture.category),
            )
            if not one.given:
                writer.writerow([*picture, "", "", "", ""])
            for chain in chains(one):
                question = chain.annotator, chain.round.value
                for said in chain.said:
                    writer.writerow([*picture, *question, said.answer, written(said.at_us)])


def write_labels(pictures: Iterable[Annotated], path: Path) -> int:
    """The pictures that have a label to a manifest that Vedette reads as a data set.

    N/A and what is undecided are left out: neither may pass for safe.

    Returns:
        How many there are.

    Raises:
        VedetteError: ``write_failed``.
    """
    count = 0
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(LABEL_COLUMNS)
        for one in pictures:
            label = one.outcome.label
            if label.unsafe is None:
                continue
            (said,) = label.categories or (("unsafe",) if label.unsafe else ("safe",))
            picture = one.picture
            writer.writerow(
                [picture.key, str(said), picture.source, picture.category, picture.sha256]
            )
            count += 1
    return count


def read_answers(path: Path, protocol: Protocol) -> list[Entry]:
    """The pictures and answers of a file that :func:`write_answers` wrote, or one like it.

    Raises:
        UsageError: ``bad_annotations``, with the row.
        FetchError: the file cannot be read.
    """
    return merged(_entries(_rows(path), protocol))


def _rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    number = 1
    try:
        head = next(reader, [])
        if set(head) != set(COLUMNS) or len(head) != len(COLUMNS):
            raise bad(f"{path.name}, row 1", f"the columns are not {', '.join(COLUMNS)}")
        for number, cells in enumerate(reader, start=2):
            where = f"{path.name}, row {number}"
            if not cells:
                continue
            if len(cells) != len(head):
                raise bad(where, f"{len(cells)} cells, not {len(head)}")
            yield (
                where,
                {name: text_of(cell, name, where) for name, cell in zip(head, cells, strict=True)},
            )
    except csv.Error as error:
        raise bad(f"{path.name}, after row {number}", f"is not CSV: {error}") from error


def _entries(rows: Iterable[tuple[str, dict[str, str]]], protocol: Protocol) -> Iterator[Entry]:
    open_: tuple[str, Picture] | None = None
    said: dict[tuple[str, Round], list[Said]] = {}
    for where, row in rows:
        picture = Picture(row["key"], row["sha256"], row["source"], row["category"])
        if not picture.key:
            raise bad(where, "it has no key")
        if open_ is None or open_[1] != picture:
            if open_ is not None:
                yield _entry(*open_, said)
            open_, said = (where, picture), {}
        if row["annotator"]:
            question, answer = _answer(row, where, protocol)
            said.setdefault(question, []).append(answer)
        elif row["round"] or row["answer"]:
            raise bad(where, "it does not say whose answer it is")
    if open_ is not None:
        yield _entry(*open_, said)


def _entry(where: str, picture: Picture, said: dict[tuple[str, Round], list[Said]]) -> Entry:
    return Entry(picture, tuple(Chain(*q, tuple(answers)) for q, answers in said.items()), where)


def _answer(row: dict[str, str], where: str, protocol: Protocol) -> tuple[tuple[str, Round], Said]:
    if not PSEUDONYM.fullmatch(row["annotator"]):
        raise bad(where, f"{row['annotator']!r} is no pseudonym, like a-k7m2")
    if row["round"] not in _ROUNDS:
        raise bad(where, f"{row['round']!r} is no round: 1 or 2")
    round_ = _ROUNDS[row["round"]]
    try:
        answer = parse_answer(row["answer"], round_, protocol)
    except UsageError as error:
        raise bad(where, error.message) from error
    return (row["annotator"], round_), Said(answer, parse_time(row["at"], where))
