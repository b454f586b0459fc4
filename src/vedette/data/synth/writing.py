"""A stand-in set on disk: Parquet as the hub has it, a folder, or tars; and its card.

All three hold the same pictures in the same order. The set is written beside its place and moved
there when it is whole. The same recipe gives the same bytes, with the same Pillow and pyarrow.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import groupby, islice
from pathlib import Path

from vedette.data.synth.card import card
from vedette.data.synth.draw import caption
from vedette.data.synth.plan import CELLS, STAND_IN, Plan, Recipe, Spec
from vedette.data.synth.workers import drawn
from vedette.errors import UnknownNameError, UsageError, VedetteError
from vedette.extras import require

PARQUET_METADATA = f"vedette.{STAND_IN}"
"""The key of a Parquet file's metadata that says that its pictures are drawn."""
_PER_FILE = 5_000
_ROW_GROUP = 100
"""As the hub has for pictures: a reader holds one row group at a time."""
_PER_TAR = 1_000

Drawn = Iterable[tuple[Spec, bytes]]
Writer = Callable[[Plan, str, Drawn, Path], None]
"""Writes one split into a folder."""


def write_set(recipe: Recipe, out: Path, fmt: str = "parquet", workers: int = 0) -> Plan:
    """Draw the set and write it to the new folder ``out``.

    Args:
        recipe: the set.
        out: a folder that is not there yet, or empty.
        fmt: ``parquet``, ``folder`` or ``webdataset``.
        workers: processes that draw; 0 = one for each core.

    Raises:
        UnknownNameError: no such format.
        UsageError: ``output_exists``.
        VedetteError: ``write_failed``.
        MissingExtraError: Parquet without pyarrow.
    """
    if fmt not in WRITERS:
        raise UnknownNameError("format of a stand-in set", fmt, WRITERS)
    if fmt == "parquet":  # not only after it was drawn
        require("pyarrow.parquet", extra="parquet")
    plan = Plan(recipe)
    with _new_folder(out) as folder, closing(drawn(plan, workers)) as pictures:
        for split, part in groupby(pictures, key=lambda pair: pair[0].split):
            WRITERS[fmt](plan, split, part, folder)
        (folder / "README.md").write_text(card(plan, fmt), encoding="utf-8", newline="\n")
    return plan


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder beside ``out``, which becomes ``out`` if the block succeeds, else is removed."""
    out = Path(os.path.abspath(out))
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        if out.exists() and not (out.is_dir() and not any(out.iterdir())):
            raise UsageError(
                f"{out} is already there, and not an empty folder",
                code="output_exists",
                hint="give a new folder",
            )
        temporary.mkdir(parents=True)
        yield temporary
        if out.exists():
            out.rmdir()
        temporary.rename(out)
    except OSError as error:
        raise VedetteError(
            f"cannot write {out}: {error.strerror or error}", code="write_failed"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def columns(recipe: Recipe, spec: Spec) -> Mapping[str, str]:
    """The hub's columns of a picture but the picture itself."""
    cell = CELLS[spec.cell]
    return {
        "safety_label": "Unsafe" if cell.unsafe else "Safe",
        "category": cell.category.value,
        "source": cell.source,
        "text": caption(recipe, spec),
    }


def _parquet(plan: Plan, split: str, pictures: Drawn, folder: Path) -> None:
    arrow = require("pyarrow", extra="parquet")
    parquet = require("pyarrow.parquet", extra="parquet")
    texts = [(name, arrow.string()) for name in ("safety_label", "category", "source", "text")]
    image = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    features = {name: {"dtype": "string", "_type": "Value"} for name, _ in texts}
    info = {"info": {"features": {"image": {"_type": "Image"}, **features}}}
    schema = arrow.schema([("image", image), *texts]).with_metadata(
        {"huggingface": json.dumps(info), PARQUET_METADATA: plan.recipe.stand_in}
    )
    files = -(-plan.splits()[split] // _PER_FILE)
    place = folder / "data"
    place.mkdir(exist_ok=True)
    rows = iter(pictures)
    for number in range(files):
        path = place / f"{split}-{number:05d}-of-{files:05d}.parquet"
        held = islice(rows, _PER_FILE)
        # Pictures do not compress any further.
        with parquet.ParquetWriter(path, schema, compression="none", use_dictionary=False) as to:
            while group := list(islice(held, _ROW_GROUP)):
                table = [
                    {"image": {"bytes": data, "path": spec.key}, **columns(plan.recipe, spec)}
                    for spec, data in group
                ]
                to.write_table(arrow.Table.from_pylist(table, schema=schema))


def _folder(plan: Plan, split: str, pictures: Drawn, folder: Path) -> None:
    root = folder / split
    root.mkdir()
    with (root / "metadata.jsonl").open("w", encoding="utf-8", newline="\n") as lines:
        for spec, data in pictures:
            path = root / spec.key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            line = {
                "file_name": spec.key,
                **columns(plan.recipe, spec),
                STAND_IN: plan.recipe.stand_in,
            }
            lines.write(json.dumps(line) + "\n")


def _webdataset(plan: Plan, split: str, pictures: Drawn, folder: Path) -> None:
    rows = iter(pictures)
    for number in range(-(-plan.splits()[split] // _PER_TAR)):
        with tarfile.open(folder / f"{split}-{number:05d}.tar", "w") as tar:
            for spec, data in islice(rows, _PER_TAR):
                facts = columns(plan.recipe, spec)
                said = {**facts, "split": split, STAND_IN: plan.recipe.stand_in}
                stem = spec.key.removesuffix(".jpg")
                for suffix, content in (
                    ("jpg", data),
                    ("txt", facts["text"].encode()),
                    ("json", json.dumps(said).encode()),
                ):
                    member = tarfile.TarInfo(f"{stem}.{suffix}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))


WRITERS: dict[str, Writer] = {"parquet": _parquet, "folder": _folder, "webdataset": _webdataset}
