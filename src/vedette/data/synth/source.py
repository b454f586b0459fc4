"""A stand-in set drawn while it is read: nothing is on disk.

``synth:unsafebench?scale=0.01&seed=7&difficulty=0.3&size=256``, where a set is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import parse_qsl

from vedette.data.base import CATEGORY, SOURCE, SPLIT, TEXT, Shard
from vedette.data.opening import SourceFormat, SourceOptions
from vedette.data.synth.draw import caption, draw
from vedette.data.synth.plan import CELLS, STAND_IN, Plan, Recipe, Spec
from vedette.errors import UnknownNameError, UsageError
from vedette.types import Item

_SHARD = 500
"""Pictures of one shard."""
_PARAMETERS = {"scale": float, "seed": int, "difficulty": float, "size": int}


class SynthSource:
    """Draws each item when it is asked for; the same items every time.

    Args:
        recipe: the set.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self._plan = Plan(recipe)
        self._rows = {split: self._plan.rows(split) for split in self._plan.splits()}

    def shards(self) -> Sequence[Shard]:
        """``train-00000`` and so on, then those of the test split."""
        return [
            Shard(f"{split}-{number:05d}")
            for split, rows in self._rows.items()
            for number in range(-(-len(rows) // _SHARD))
        ]

    def read(self, shard: Shard) -> Iterator[Item]:
        """See :class:`vedette.data.base.Source`."""
        split, _, number = shard.id.partition("-")
        first = int(number) * _SHARD
        for cell, at in self._rows[split][first : first + _SHARD].tolist():
            yield self._item(Spec(cell, at, split))

    def find(self, key: str) -> Item | None:
        """See :class:`vedette.data.base.Source`."""
        spec = self._plan.find(key)
        return None if spec is None else self._item(spec)

    def _item(self, spec: Spec) -> Item:
        cell = CELLS[spec.cell]
        meta = {
            SOURCE: cell.source,
            CATEGORY: cell.category.value,
            SPLIT: spec.split,
            TEXT: caption(self.recipe, spec),
            STAND_IN: self.recipe.stand_in,
        }
        labels = frozenset({cell.category}) if cell.unsafe else frozenset()
        return Item(spec.key, draw(self.recipe, spec), labels, meta)


def parse_recipe(given: str) -> Recipe:
    """The recipe that ``unsafebench?scale=0.01&seed=7`` is; ``0.01?seed=7`` is the same.

    Raises:
        UsageError: a value that is no number, or out of its range.
        UnknownNameError: no such set, or no such parameter.
    """
    like, _, query = given.partition("?")
    values: dict[str, float] = {}
    defaults = Recipe()
    if re.fullmatch(r"[0-9]*\.?[0-9]+", like):
        like, values["scale"] = defaults.like, float(like)
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _PARAMETERS:
            raise UnknownNameError("parameter of a stand-in", name, _PARAMETERS)
        try:
            values[name] = _PARAMETERS[name](value)
        except ValueError as error:
            raise UsageError(f"{name} is {value[:40]!r}, not a number") from error
    return Recipe(
        like=like,
        scale=values.get("scale", defaults.scale),
        seed=int(values.get("seed", defaults.seed)),
        difficulty=values.get("difficulty", defaults.difficulty),
        size=int(values.get("size", defaults.size)),
    )


def _open(path: Path, options: SourceOptions) -> SynthSource:
    if options.labels:
        raise UsageError("the labels of a stand-in set are its own", hint="leave --labels out")
    return SynthSource(parse_recipe(str(path)))


FORMATS = (
    SourceFormat(
        name="synth",
        summary="a stand-in set, drawn while it is read",
        fits=lambda _: False,
        open=_open,
    ),
)
