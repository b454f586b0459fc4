"""UnsafeBench: the hub's Parquet files, and the folders that the authors' code makes of them.

The hub's columns are ``image``, ``safety_label``, ``category``, ``source`` and ``text``, in the
splits ``train`` and ``test``. The authors' code (``unsafe_datasets.py``) writes the pictures to
``train/images`` and ``test/images`` with a ``metadata.jsonl`` of ``image_fname``, ``label``,
``source`` and ``category`` in each. Both give the same labels here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from vedette.data.base import CATEGORY, Source
from vedette.data.labelling import Legend
from vedette.data.manifest import IMAGE_FIELDS, ManifestSource, sheets_in
from vedette.data.opening import SourceFormat, SourceOptions
from vedette.data.parquet import ParquetSource
from vedette.data.rows import Judge, Schema, legend_of, unsafebench
from vedette.data.sheets import Sheet
from vedette.data.tables import first_parquet, opened, peek
from vedette.errors import UsageError, VedetteError

_NAMES = ("metadata.jsonl", "metadata.csv")
_LABELS = ("safety_label", "label")


def _has_columns(names: Sequence[str], labels: Sequence[str]) -> bool:
    return CATEGORY in names and any(label in names for label in labels)


def _rule(legend: Legend, schema: Schema, where: str) -> Judge:
    if not _has_columns(schema.names, _LABELS):
        raise UsageError(
            f"{where} has not UnsafeBench's columns",
            code="bad_source",
            hint="they are image, safety_label, category, source and text",
        )
    return unsafebench(legend, schema)


def _sheets(path: Path) -> list[Path]:
    if path.is_dir():
        return sheets_in(path, _NAMES)
    return [path] if path.name in _NAMES and path.is_file() else []


def _fits(path: Path) -> bool:
    table = peek(path)
    if table is not None:
        # A label called ``label`` is too common to tell a table by.
        return "image" in table.fields and _has_columns(table.schema.names, _LABELS[:1])
    try:
        for sheet in _sheets(path)[:1]:
            for row, _, _ in islice(Sheet(sheet).rows(), 1):
                named = any(name in row for name in IMAGE_FIELDS)
                official = "image_fname" in row or "safety_label" in row
                return named and official and _has_columns(list(row), _LABELS)
    except VedetteError:
        return False
    return False


def _open(path: Path, options: SourceOptions) -> Source:
    legend = legend_of(options, "unsafebench")
    rule = partial(_rule, legend)
    if first_parquet(path) is not None:
        return ParquetSource(opened(path, options.limits), options, legend, rule)
    sheets = _sheets(path)
    if not sheets:
        raise UsageError(
            f"there are no Parquet files and no metadata.jsonl in {path}", code="bad_source"
        )
    root = path if path.is_dir() else path.parent
    return ManifestSource(root, sheets, options, legend, rule)


FORMATS = (
    SourceFormat(
        "unsafebench", "UnsafeBench, from the hub or as the authors' code stores it", _fits, _open
    ),
)
