"""Typed reading of the JSON that describes a Keras layer: what is of another kind is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vedette.errors import ModelError
from vedette.formats.graph import unusable

_MOST = 1 << 20
"""No size, stride or padding in a network for pictures comes near it."""


def as_object(value: object, what: str) -> Mapping[str, Any]:
    """``value``, which has to be a JSON object."""
    if not isinstance(value, dict):
        raise unusable(f"{what} is not an object")
    return value


def as_list(value: object, what: str) -> Sequence[Any]:
    """``value``, which has to be a JSON list."""
    if not isinstance(value, list):
        raise unusable(f"{what} is not a list")
    return value


def as_text(value: object, what: str) -> str:
    """``value``, which has to be a JSON string."""
    if not isinstance(value, str):
        raise unusable(f"{what} is not a string")
    return value


def as_whole(value: object, what: str, least: int = 0) -> int:
    """``value``, which has to be a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST:
        raise unusable(f"{what} is {value!r:.40}, which is no usable number")
    return value


def as_number(value: object, what: str) -> float:
    """``value``, which has to be a JSON number; NaN, which Python's reader admits, is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e30:
        raise unusable(f"{what} is {value!r:.40}, which is no usable number")
    return float(value)


@dataclass(frozen=True, slots=True)
class LayerConfig:
    """The settings of one layer."""

    name: str
    kind: str
    """Keras' class name."""
    settings: Mapping[str, Any]

    def refuse(self, why: str) -> ModelError:
        """The error that names this layer."""
        return unusable(f"layer {self.name!r:.80} ({self.kind:.40}): {why}")

    def whole(self, key: str, default: int | None = None) -> int:
        """A whole number of at least 1."""
        return as_whole(self.settings.get(key, default), self._what(key), 1)

    def number(self, key: str, default: float) -> float:
        """A number."""
        return as_number(self.settings.get(key, default), self._what(key))

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self.settings.get(key, default)
        if not isinstance(value, bool):
            raise self.refuse(f"{key} is neither true nor false")
        return value

    def text(self, key: str, default: str) -> str:
        """A string."""
        return as_text(self.settings.get(key, default), self._what(key))

    def pair(self, key: str, default: int | None = None) -> tuple[int, int]:
        """Two whole numbers of at least 1, down and across; one number stands for both."""
        value = self.settings.get(key, default)
        if not isinstance(value, list):
            value = [value, value]
        if len(value) != 2:
            raise self.refuse(f"{key} is not a pair")
        down, across = (as_whole(v, self._what(key), 1) for v in value)
        return down, across

    def paddings(self, key: str) -> tuple[tuple[int, int], tuple[int, int]]:
        """Rows above and below, columns left and right; in any of the forms that Keras takes."""
        value = self.settings.get(key, 1)
        rows_columns = value if isinstance(value, list) else [value, value]
        pairs = [v if isinstance(v, list) else [v, v] for v in rows_columns]
        if [len(pair) for pair in pairs] != [2, 2]:
            raise self.refuse(f"{key} is not two pairs")
        (top, bottom), (left, right) = ([as_whole(v, self._what(key)) for v in p] for p in pairs)
        return (top, bottom), (left, right)

    def _what(self, key: str) -> str:
        return f"{key} of layer {self.name!r:.80}"
