"""Calibration: from a model's own probabilities to such as hold, one curve for each label.

A calibrator is a rising curve from a probability to a probability. It is fitted elsewhere
(:mod:`vedette.train.calibration`), stored as JSON, and applied here with numpy alone: to the labels
of a trained model, or to the categories of stored Records. No curve changes which of two pictures
is the more likely unsafe, but for the ties that an isotonic one makes.

Sources: Platt (1999); Zadrozny and Elkan (2002) for isotonic regression; Guo et al., "On
calibration of modern neural networks" (ICML 2017) for temperature; Kull, Silva Filho and Flach,
"Beta calibration" (AISTATS 2017).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vedette.errors import UsageError
from vedette.taxonomy import Category, parse_category
from vedette.types import SCORE_DECIMALS, Float32, Record, Scores

Method = Literal["temperature", "platt", "beta", "isotonic"]
METHODS: tuple[Method, ...] = get_args(Method)
_PARAMETERS = {"temperature": 1, "platt": 2, "beta": 3}
_EPS = 1e-7
"""Probabilities are kept this far from 0 and 1 before their log-odds are taken; Records round to
six decimals."""
HALF = 0.5
_BISECTIONS = 60
_FAR = 1e3
_FORMAT = "vedette-calibration"
_VERSION = 1
_MOST_BYTES = 16 * 2**20
_LARGEST = 1e12
"""Of a parameter: with larger ones a curve could end in what is no number, and that would pass
every threshold."""
GAP = 1e-100
"""Between two points of an isotonic curve, at least: the slope between them stays finite."""
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibrator:
    """One rising curve from 0..1 to 0..1."""

    method: Method
    parameters: tuple[float, ...] = ()
    """temperature: (T,), T > 0: log-odds divided by it. platt: (a, b), a >= 0: a * log-odds + b.
    beta: (a, b, c), a, b >= 0: log-odds a * ln p - b * ln(1 - p) + c."""
    x: tuple[float, ...] = ()
    """isotonic: probabilities, rising; straight lines between them, flat outside."""
    y: tuple[float, ...] = ()
    """isotonic: what they become, never falling."""
    shift: float = 0.0
    """Added to the log-odds at the end: from the base rate of the labels to the user's own."""
    n: int = 0
    """Labels that it was fitted on."""
    positives: int = 0
    """Unsafe ones among them."""

    def __post_init__(self) -> None:
        numbers = (*self.parameters, *self.x, *self.y, self.shift)
        if self.method not in METHODS or not all(abs(v) <= _LARGEST for v in numbers):
            raise ValueError(f"no calibrator: {self.method!r} {self.parameters}")
        if len(self.parameters) != _PARAMETERS.get(self.method, 0):
            raise ValueError(f"{self.method} does not take {len(self.parameters)} parameters")
        if self.method == "temperature" and not self.parameters[0] >= 1 / _LARGEST:
            raise ValueError("a temperature that is not positive")
        if any(v < 0 for v in self.parameters[: {"platt": 1, "beta": 2}.get(self.method, 0)]):
            raise ValueError("a curve that falls")
        if self.method == "isotonic":
            rising = all(b - a > GAP for a, b in zip(self.x, self.x[1:], strict=False))
            never_falling = all(a <= b for a, b in zip(self.y, self.y[1:], strict=False))
            inside = all(0 <= v <= 1 for v in (*self.x, *self.y))
            if not (self.x and len(self.x) == len(self.y) and rising and never_falling and inside):
                raise ValueError("points that are no rising curve")

    def __call__(self, p: NDArray[np.floating]) -> Float64:
        """Calibrated probabilities of any shape, float64."""
        p = np.asarray(p, dtype=np.float64)
        if self.method == "isotonic":
            curve = np.clip(np.interp(p, self.x, self.y), 0.0, 1.0)  # a rounding error inside
            # Without a shift as it is: 0 and 1 are values that a step may have.
            return sigmoid(log_odds(curve) + self.shift) if self.shift else curve
        if self.method == "beta":
            a, b, c = self.parameters
            inner = np.clip(p, _EPS, 1 - _EPS)
            return sigmoid(a * np.log(inner) - b * np.log1p(-inner) + c + self.shift)
        scale, offset = self.line
        return sigmoid(scale * log_odds(p) + offset)

    @property
    def line(self) -> tuple[float, float]:
        """(scale, offset) on log-odds: of temperature and platt, the shift included.

        Raises:
            ValueError: its curve is no straight line there.
        """
        if self.method == "temperature":
            return 1 / self.parameters[0], self.shift
        if self.method == "platt":
            return self.parameters[0], self.parameters[1] + self.shift
        raise ValueError(f"{self.method} is no straight line on log-odds")

    @property
    def half(self) -> float:
        """Log-odds of the lowest probability that becomes one half or more.

        Far above all log-odds where none does. Found by bisection: a rising curve crosses once.
        """
        low, high = log_odds(0.0), log_odds(1.0)
        if self(sigmoid(high)) < HALF:
            return _FAR
        if self(sigmoid(low)) >= HALF:
            return -_FAR
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            low, high = (low, middle) if self(sigmoid(middle)) >= HALF else (middle, high)
        return float(high)

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        told: dict[str, Any] = {"method": self.method}
        if self.method == "isotonic":
            told |= {"x": list(self.x), "y": list(self.y)}
        else:
            told["parameters"] = list(self.parameters)
        return {**told, "shift": self.shift, "n": self.n, "positives": self.positives}


@dataclass(frozen=True, slots=True)
class Calibration:
    """Calibrators by label (of a trained model) or by category (of Records)."""

    name: str
    """As it stands in a Record's ``calibrated``: what it is, and on what it was fitted."""
    model: str
    """``id@revision`` of the model whose probabilities these are; another's are refused."""
    of: Mapping[str, Calibrator] = field(default_factory=dict)

    def probabilities(self, labels: tuple[str, ...], probs: Float32) -> Float32:
        """float32 [..., labels]: those of labels that have no calibrator as they are."""
        out = np.array(probs, dtype=np.float32)
        for column, label in enumerate(labels):
            if label in self.of:
                out[..., column] = self.of[label](probs[..., column])
        return out

    def scores(self, scores: Scores) -> Scores:
        """``scores`` with the probabilities of its calibrated categories replaced.

        They are rounded first, as a Record keeps them: a stored Record that is calibrated later
        comes out as it would have when it was made.
        """
        p = np.array(scores.p, dtype=np.float32)
        for name, curve in self.of.items():
            category = parse_category(name)
            before = scores[category]
            if before is not None:
                p[category.position] = curve(np.array(before))
        return replace(scores, p=p, calibrated=self.name)

    def record(self, record: Record) -> Record:
        """A stored Record with its scores calibrated, those of its frames too.

        Its verdict is as it was: decide it again.

        Raises:
            UsageError: ``bad_calibration``: the Record is of another model, or calibrated already.
        """
        if record.models != (self.model,):
            raise UsageError(
                f"{record.key} was scored by {', '.join(record.models)}, and the calibration is "
                f"for {self.model}",
                code="bad_calibration",
            )
        if record.scores is None:
            return record
        if record.scores.calibrated is not None:
            raise calibrated_already(record.key, record.scores.calibrated)
        return replace(
            record,
            scores=self.scores(record.scores),
            timeline=tuple(replace(one, p=self._frame(one.p)) for one in record.timeline),
        )

    def _frame(self, p: Mapping[Category, float]) -> dict[Category, float]:
        curves = {parse_category(name): curve for name, curve in self.of.items()}
        return {
            category: round(float(np.float32(curves[category](np.array(value)))), SCORE_DECIMALS)
            if category in curves
            else value
            for category, value in p.items()
        }

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        return {
            "format": _FORMAT,
            "version": _VERSION,
            "name": self.name,
            "model": self.model,
            "of": {name: curve.as_json() for name, curve in self.of.items()},
        }


def log_odds(p: NDArray[np.floating] | float) -> Float64:
    """ln(p / (1 - p)), finite: 0 and 1 are moved a little inside. float64"""
    inner = np.clip(np.asarray(p, dtype=np.float64), _EPS, 1 - _EPS)
    return np.asarray(np.log(inner) - np.log1p(-inner))


def sigmoid(z: NDArray[np.floating]) -> Float64:
    """1 / (1 + exp(-z)) without overflow, float64."""
    z = np.asarray(z, dtype=np.float64)
    small = np.exp(-np.abs(z))
    return np.asarray(np.where(z >= 0, 1 / (1 + small), small / (1 + small)))


def calibrated_already(what: str, name: str) -> UsageError:
    """What is said of scores that would be calibrated twice."""
    return UsageError(
        f"{what} is calibrated already: {name}",
        code="bad_calibration",
        hint="leave the calibration file out, or scan with the model as it was before",
    )


_NO_CALIBRATION = (
    *(ValueError, KeyError, TypeError, AttributeError),
    *(OverflowError, RecursionError),
)


def read_calibration(path: Path, *, categories: bool) -> Calibration:
    """The calibration of a file.

    Args:
        path: JSON, as :meth:`Calibration.as_json` gives it.
        categories: whether its names must be categories of the taxonomy (for Records).

    Raises:
        UsageError: ``bad_calibration``: it is none; ``not_found``.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("too large")
        if not path.is_file() and not path.is_dir():
            raise ValueError("not a regular file")  # whose end may never come
        told = json.loads(path.read_bytes())
        if told["format"] != _FORMAT or told["version"] != _VERSION:
            raise ValueError(f"format {told['format']!r}, version {told['version']!r}")
        found = calibration_of(told)
        if categories:
            named = {parse_category(name).value: curve for name, curve in found.of.items()}
            if len(named) != len(found.of):
                raise ValueError("a category is there twice")
            found = replace(found, of=named)
    except FileNotFoundError as error:
        raise UsageError(f"there is no {path}", code="not_found") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", code="unreadable") from error
    except _NO_CALIBRATION as error:
        raise UsageError(
            f"{path} is no calibration: {type(error).__name__}: {error}", code="bad_calibration"
        ) from error
    return found


def calibration_of(told: Mapping[str, Any]) -> Calibration:
    """The calibration of a JSON object.

    Raises:
        ValueError, KeyError, TypeError, AttributeError, OverflowError: it is not what ``as_json``
            gives.
    """
    of = {
        name: Calibrator(
            method=_method(curve["method"]),
            parameters=_numbers(curve.get("parameters", [])),
            x=_numbers(curve.get("x", [])),
            y=_numbers(curve.get("y", [])),
            shift=_number(curve.get("shift", 0.0)),
            n=_count(curve.get("n", 0)),
            positives=_count(curve.get("positives", 0)),
        )
        for name, curve in told["of"].items()
    }
    return Calibration(_text(told["name"]), _text(told["model"]), of)


def _method(value: object) -> Method:
    for method in METHODS:
        if value == method:
            return method
    raise ValueError(f"an unknown method {value!r}")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def _numbers(values: object) -> tuple[float, ...]:
    if not isinstance(values, list):
        raise TypeError(f"{values!r} is no list of numbers")
    return tuple(_number(value) for value in values)


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"{value!r} is no count")
    return value
