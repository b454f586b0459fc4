"""Mined images as rows of a manifest that the training commands take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vedette.data.base import SPLIT, Source
from vedette.data.labelling import Label
from vedette.data.splits import sha256_of
from vedette.errors import UsageError
from vedette.taxonomy import Category
from vedette.train.scarce.mining import Mined
from vedette.train.scarce.places import ORIGINAL, Places, Row


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows, and what could not be made one."""

    rows: tuple[Row, ...]
    gone: tuple[str, ...]
    """Keys of pictures that are not there any more, or have other bytes than when scanned."""


def rows_of(mined: Sequence[Mined], source: Source, places: Places) -> Rows:
    """A row for each image: its path, its label, and why it is there.

    All are of the part ``train``: what was chosen for being hard must not measure a model, nor
    calibrate it.

    Args:
        mined: the images.
        source: to find them in by their key.
        places: of the manifest.

    Raises:
        UsageError: ``not_found``: none of the pictures is there; a row cannot name its picture.
        VedetteError: ``write_failed``.
    """
    rows: list[Row] = []
    gone: list[str] = []
    for one in mined:
        item = source.find(one.key)
        if item is None or sha256_of(item) != one.sha256:
            gone.append(one.key)
            continue
        name = places.name(item, one.sha256)
        row: dict[str, str | int | float | None] = {"path": name, "label": written(one.label)}
        if name != one.key:
            row[ORIGINAL] = one.key
        row |= {
            SPLIT: "train",
            "sha256": one.sha256,
            "why": one.kind,
            "about": None if one.category is None else one.category.value,
            "wrong": round(one.wrong, 6),
        }
        rows.append(row)
    if gone and not rows:
        raise UsageError(
            f"none of the {len(gone):,} pictures is where the Records say: {gone[0]}",
            code="not_found",
            hint="run it in the folder that was scanned from, or name the set with --data",
        )
    return Rows(tuple(rows), tuple(gone))


def written(label: Label) -> str:
    """A label as a manifest has it: ``safe``, ``unsafe``, or categories joined by ``;``."""
    named = [c.value for c in Category if c in (label.categories or ())]
    return ";".join(named) or ("unsafe" if label.unsafe else "safe")
