"""From one row of a table (a manifest's line, a Parquet row, a JSON beside a picture) to labels.

Every tabular source reads rows by the same rules, which are here: which column is which, what a
label counts for, what goes into an Item's ``meta``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from vedette.data.base import CATEGORY, SOURCE, SPLIT, TEXT
from vedette.data.cards import card_named
from vedette.data.labelling import UNLABELLED, Label, Legend, Origin, of_categories
from vedette.data.opening import SourceOptions
from vedette.errors import UsageError
from vedette.taxonomy import parse_category

Row = Mapping[str, Any]
Judged = tuple[Label, dict[str, str]]
"""What a row says of its picture: the label, and the ``meta``."""
Judge = Callable[[Row], Judged]
"""Raises UsageError: ``unknown_label``, ``bad_source``."""

LABEL_FIELDS = ("label", "labels", "safety_label", "class", "category")
"""Names of the label's column, the likeliest first."""
KEY_FIELDS = ("key", "id")
_META = {SOURCE: (SOURCE,), SPLIT: (SPLIT,), TEXT: (TEXT, "caption", "prompt")}
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_SEVERAL = re.compile(r"[;|+]")


@dataclass(frozen=True, slots=True)
class Schema:
    """What is known of a table's columns before its first row."""

    names: Sequence[str]
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Of columns that hold class numbers: the names, as the file itself has them."""


def legend_of(options: SourceOptions, card: str | None = None) -> Legend:
    """The legend that a source starts from: what the user says, else what the set's card says.

    Args:
        options: the user's.
        card: the set that the format itself stands for, where it stands for one.

    Raises:
        UnknownNameError: no card of that name.
    """
    if options.labels:
        return Legend(options.labels)
    named = options.card or card
    return Legend(card_named(named).labels, Origin.CARD) if named else Legend()


@contextmanager
def located(where: str) -> Iterator[None]:
    """Say ``where`` in front of what a UsageError says."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{where}: {error.message}", code=error.code, hint=error.hint) from error


def split_named(name: str) -> str | None:
    """``train``, ``validation`` or ``test`` where ``name`` means one of them."""
    return _SPLITS.get(name.casefold())


def split_of(parts: Sequence[str]) -> str | None:
    """The split that a path tells: by a folder, or by the start of the file's name.

    ``data/test-00000-of-00002.parquet``, ``val/0000.parquet``, ``train_003.tar``.
    """
    *folders, name = parts
    start = re.split(r"[-_.]", name, maxsplit=1)[0]
    return next((split for part in (*folders, start) if (split := split_named(part))), None)


def picked(
    said: str | None, usual: Iterable[str], names: Sequence[str], what: str, where: str
) -> str | None:
    """The column that the user names, else the first usual one that is there.

    Raises:
        UsageError: ``bad_source``: the user names one that is not there.
    """
    if said is None:
        return next((name for name in usual if name in names), None)
    if said not in names:
        raise UsageError(
            f"{where} has no column {said!r} for the {what}",
            code="bad_source",
            hint=f"it has: {', '.join(map(str, names)) or 'none'}",
        )
    return said


def text_of(value: object) -> str:
    """A cell as text that every output can take; ``""`` for none."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).encode("utf-8", "replace").decode()


def tabular(legend: Legend, schema: Schema, options: SourceOptions, where: str) -> Judge:
    """The rule for tables without a convention of their own.

    A label of a column ``category`` beside it says which category an unsafe picture is of.

    Raises:
        UsageError: ``bad_source``: a column that the options name is not there.
    """
    label = picked(options.label, LABEL_FIELDS, schema.names, "label", where)
    meta = _meta_columns(schema.names, options, where)
    category = CATEGORY if CATEGORY in schema.names and label != CATEGORY else None

    def judge(row: Row) -> Judged:
        found = UNLABELLED if label is None else cell_label(row.get(label), legend, schema, label)
        kept = {name: text for name, column in meta.items() if (text := text_of(row.get(column)))}
        collected = text_of(row.get(category)) if category else ""
        if collected:
            spelled = _category(collected)
            kept.setdefault(CATEGORY, spelled or collected)
            if found.unsafe and found.categories is None and spelled:
                found = of_categories([parse_category(spelled)])
        return found, kept

    return judge


def _meta_columns(names: Sequence[str], options: SourceOptions, where: str) -> dict[str, str]:
    """Name in ``meta`` -> column."""
    usual = {meta: picked(None, columns, names, meta, where) for meta, columns in _META.items()}
    found = {meta: column for meta, column in usual.items() if column is not None}
    for meta, column in options.columns.items():
        picked(column, (), names, f"meta {meta}", where)
        found[meta] = column
    return found


def unsafebench(legend: Legend, schema: Schema) -> Judge:
    """UnsafeBench's rule: safe or unsafe, and the category that the picture was collected for.

    A safe picture has a category too, the one it was found by; it goes into ``meta``.
    """
    label = "safety_label" if "safety_label" in schema.names else "label"

    def judge(row: Row) -> Judged:
        collected = cell_text(row.get(CATEGORY), schema, CATEGORY)
        category = _category(collected)
        if category is None:
            raise UsageError(
                f"UnsafeBench has no category {collected!r}",
                code="unknown_label",
                hint="see docs/taxonomy.md for the eleven names",
            )
        found = cell_label(row.get(label), legend, schema, label)
        if found.unsafe and found.categories is None:
            found = of_categories([parse_category(category)])
        meta = {
            name: text
            for name in (SOURCE, SPLIT, TEXT)
            if (text := cell_text(row.get(name), schema, name))
        }
        return found, {**meta, CATEGORY: category}

    return judge


def _category(name: str) -> str | None:
    try:
        return parse_category(name).value
    except KeyError:
        return None


def cell_text(value: object, schema: Schema, column: str) -> str:
    """A cell as text; a class number by its name, where the schema has it."""
    names = schema.classes.get(column)
    if names is not None and isinstance(value, int) and 0 <= value < len(names):
        return text_of(names[value])
    return text_of(value)


def cell_label(value: object, legend: Legend, schema: Schema, column: str) -> Label:
    """What the label in a cell says: a name, a number, or several of them.

    An empty cell is no label. An empty *list* is: it says that nothing applies.

    Raises:
        UsageError: ``unknown_label``; ``bad_source``: the labels of one row contradict each other,
            or the cell holds no label at all.
    """
    if isinstance(value, list | tuple):
        return _joined([cell_label(part, legend, schema, column) for part in value], value)
    if isinstance(value, dict | float):
        raise UsageError(
            f"the column {column!r} holds {type(value).__name__}, not labels",
            code="bad_source",
            hint="name the column that has the labels",
        )
    names = schema.classes.get(column)
    if isinstance(value, int) and not isinstance(value, bool) and names is not None:
        return _classed(value, names, legend)
    text = text_of(value).strip()
    if not text:
        return UNLABELLED
    parts = [part.strip() for part in _SEVERAL.split(text)]
    if len(parts) > 1 and text not in legend.given:
        return _joined([legend.label(part) for part in parts if part], parts)
    return legend.label(text)


def _classed(number: int, names: Sequence[str], legend: Legend) -> Label:
    """A class number, by what is said of it or by its name in the file's schema."""
    if number == -1:
        return UNLABELLED  # so the hub writes it
    name = names[number] if 0 <= number < len(names) else str(number)
    if str(number) not in legend.given:
        return legend.label(name, Origin.SCHEMA)
    said = legend.label(str(number))
    if legend.origin is Origin.CARD:
        schema = Legend()
        try:
            named = schema.label(name)
        except UsageError:
            return said
        if named.unsafe != said.unsafe:
            raise UsageError(
                f"the set's card says that {number} is {said}, its file calls it {name!r}",
                code="unknown_label",
                hint=f"look at some pictures, then say it with --labels '{number}=...'",
            )
    return said


def _joined(labels: Sequence[Label], shown: object) -> Label:
    """What several labels of one picture say together."""
    labels = [label for label in labels if label != UNLABELLED] if labels else [of_categories(())]
    if not labels:
        return UNLABELLED
    if len({label.unsafe for label in labels}) > 1:
        raise UsageError(f"a row is labelled both safe and unsafe: {shown}", code="bad_source")
    named = frozenset().union(*(label.categories or () for label in labels))
    return of_categories(named) if named else labels[0]
