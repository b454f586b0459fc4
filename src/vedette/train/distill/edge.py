"""The student for the edge: ONNX in int8, its scales set by pictures that it is not tested on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vedette.bench.fingerprints import FILE
from vedette.compile.export import ExportOptions, export
from vedette.compile.quantize import Drift
from vedette.data.base import Shard, Source
from vedette.models.base import ModelOptions
from vedette.models.registry import build
from vedette.settings import Settings
from vedette.train.data import TrainingSet
from vedette.train.examples import Part
from vedette.types import Item

_PICTURES = 512
_PARTS: tuple[Part, ...] = ("calibration", "validation", "train")
"""In the order in which they are drawn on."""


class Chosen:
    """The pictures of a source that have one of these keys. See :class:`Source`."""

    def __init__(self, source: Source, keys: frozenset[str]) -> None:
        self._source = source
        self._keys = keys

    def shards(self) -> Sequence[Shard]:
        """Those of the source."""
        return self._source.shards()

    def read(self, shard: Shard) -> Iterator[Item]:
        """See :class:`vedette.data.base.Source`."""
        return (item for item in self._source.read(shard) if item.key in self._keys)

    def find(self, key: str) -> Item | None:
        """See :class:`vedette.data.base.Source`."""
        return self._source.find(key) if key in self._keys else None


def write_int8(
    folder: Path, out: Path, data: TrainingSet, settings: Settings, options: ExportOptions
) -> Drift:
    """Export a trained folder in int8.

    Args:
        folder: of the student.
        out: the folder to make.
        data: what it was trained on: its pictures, but for those of ``test``.
        settings: of the scan.
        options: precision ``int8``, the bound on the drift.

    Raises:
        ModelError: ``drift_too_large``; the student's own folder is whole all the same.
        UsageError: too few pictures; ``output_exists``.
    """
    assert data.source is not None
    examples = data.examples
    rng = np.random.default_rng(0)
    order = [row for part in _PARTS for row in rng.permutation(examples.rows(part)).tolist()]
    keys = frozenset(examples.keys[row] for row in order[:_PICTURES])
    model = build(str(folder), ModelOptions(precision="fp32", commercial=settings.commercial))
    # What the student was trained on is no test of its copy either.
    known = [path for path in (folder / FILE,) if path.is_file()]
    moved = export(model, out, options, Chosen(data.source, keys), known)
    assert moved is not None, "int8 is always measured"
    return moved
