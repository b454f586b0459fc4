"""A Record as JSON and back: one line of ``.jsonl``, and the object of the HTTP API.

docs/record.md describes every key. Covered categories only; never a NaN.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vedette.errors import CODES, UsageError, VedetteError
from vedette.taxonomy import Category
from vedette.types import (
    SCORE_DECIMALS,
    Action,
    Failure,
    Float32,
    FrameScore,
    Reason,
    Record,
    Region,
    Scores,
    Verdict,
)

_MOST = float(np.finfo(np.float32).max)


def to_dict(record: Record) -> dict[str, Any]:
    """The JSON object of a Record; keys in the documented order."""
    many = record.frames > 1
    out: dict[str, Any] = {
        "key": record.key,
        "sha256": record.sha256,
        "format": record.format,
        "width": record.width,
        "height": record.height,
        "frames": record.frames,
        "action": record.verdict.action.value,
        "reasons": [_reason(reason) for reason in record.verdict.reasons],
        "scores": _scores(record.scores.as_dict()) if record.scores else {},
        "regions": [_region(region, many) for region in record.regions],
        "models": list(record.models),
        "policy": record.verdict.policy,
        "calibrated": record.scores.calibrated if record.scores else None,
        "failure": _failure(record.failure),
        "times_ms": {step: round(ms, 3) for step, ms in record.times_ms.items()},
    }
    if record.scores and record.scores.labels:
        out["labels"] = _labels(record.scores.labels)
    if record.timeline:
        out["timeline"] = [
            {"frame": f.frame, "time_s": _seconds(f.time_s), "scores": _scores(f.p)}
            for f in record.timeline
        ]
    if record.embedding is not None:
        out["embedding"] = [round(float(x), SCORE_DECIMALS) for x in record.embedding]
    return out


def to_line(record: Record) -> str:
    """One line of JSONL, without the line's end. ASCII, so that any reader can take it."""
    return json.dumps(to_dict(record), separators=(", ", ": "), allow_nan=False)


def from_line(line: str | bytes, where: str = "record") -> Record:
    """The Record of one line of JSONL.

    Raises:
        UsageError: ``bad_record``: not JSON, or not a Record.
    """
    try:
        return from_dict(json.loads(line))
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        message = f"{where}: not a Record: {type(error).__name__}: {error}"
        raise UsageError(message, code="bad_record") from error
    except RecursionError as error:
        raise UsageError(f"{where}: not a Record: nested too deep", code="bad_record") from error


def from_dict(data: Mapping[str, Any]) -> Record:
    """The Record of a JSON object.

    Every value is checked: a stored Record is decided again, and what compares with nothing (a
    NaN, a text) would pass every threshold.

    Raises:
        LookupError, ValueError, TypeError, AttributeError, OverflowError: it is not one.
    """
    return Record(
        key=_as(str, data["key"]),
        sha256=_maybe(str, data["sha256"]),
        width=_maybe(int, data["width"]),
        height=_maybe(int, data["height"]),
        frames=_as(int, data["frames"]),
        scores=_read_scores(
            data["scores"], _maybe(str, data.get("calibrated")), data.get("labels", {})
        ),
        regions=tuple(
            Region(
                _as(str, r["label"]),
                _probability(r["score"]),
                _box(r["box"]),
                _as(int, r.get("frame", 0)),
            )
            for r in _as(list, data["regions"])
        ),
        verdict=Verdict(
            Action(data["action"]),
            tuple(
                Reason(
                    Category(r["category"]),
                    _probability(r["p"]),
                    _probability(r["threshold"]),
                    _maybe(str, r.get("label")),
                    _maybe(str, r.get("text")),
                )
                for r in _as(list, data["reasons"])
            ),
            _as(str, data["policy"]),
        ),
        failure=_read_failure(data["failure"]),
        models=tuple(_as(str, model) for model in _as(list, data["models"])),
        times_ms={_as(str, step): _number(ms) for step, ms in data["times_ms"].items()},
        format=_maybe(str, data.get("format")),
        timeline=tuple(
            FrameScore(
                _as(int, f["frame"]),
                None if f["time_s"] is None else _number(f["time_s"]),
                {Category(name): _probability(p) for name, p in f["scores"].items()},
            )
            for f in data.get("timeline", ())
        ),
        embedding=_read_embedding(data.get("embedding")),
    )


def read_jsonl(path: Path) -> Iterator[Record]:
    """The Records of a JSONL file, one at a time.

    Raises:
        VedetteError: ``not_found`` or ``unreadable``.
        UsageError: ``bad_record``, naming the line.
    """
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield from_line(line, f"{path}, line {number}")
    except OSError as error:
        code = "not_found" if isinstance(error, FileNotFoundError) else "unreadable"
        raise VedetteError(f"cannot read {path}: {error.strerror}", code=code) from error


def _reason(reason: Reason) -> dict[str, Any]:
    out: dict[str, Any] = {
        "category": reason.category.value,
        "p": reason.p,
        "threshold": reason.threshold,
    }
    if reason.label is not None:
        out["label"] = reason.label
    if reason.text is not None:
        out["text"] = reason.text
    return out


def _region(region: Region, many: bool) -> dict[str, Any]:
    out: dict[str, Any] = {"label": region.label, "score": region.score, "box": list(region.box)}
    if many:
        out["frame"] = region.frame
    return out


def _failure(failure: Failure | None) -> dict[str, str] | None:
    if failure is None:
        return None
    return {"stage": failure.stage, "code": failure.code, "message": failure.message}


def _scores(scores: Mapping[Category, float]) -> dict[str, float]:
    return {category.value: p for category, p in scores.items()}


def _labels(labels: Mapping[Category, str]) -> dict[str, str]:
    return {category.value: labels[category] for category in Category if category in labels}


def _seconds(time_s: float | None) -> float | None:
    return None if time_s is None else round(time_s, 3)


def _read_scores(
    given: Mapping[str, Any], calibrated: str | None, labels: Mapping[str, Any]
) -> Scores | None:
    p = np.zeros(len(Category), dtype=np.float32)
    covered = np.zeros(len(Category), dtype=np.bool_)
    for name, value in given.items():
        position = Category(name).position
        p[position], covered[position] = _probability(value), True
    told = {Category(name): _as(str, label) for name, label in labels.items()}
    return Scores(p, covered, calibrated, told) if given else None


def _read_failure(given: Mapping[str, Any] | None) -> Failure | None:
    if given is None:
        return None
    if given["code"] not in CODES:
        raise ValueError(f"unknown failure code {given['code']!r}")
    return Failure(_as(str, given["stage"]), given["code"], _as(str, given["message"]))


def _read_embedding(given: Any) -> Float32 | None:
    if given is None:
        return None
    return np.asarray([_number(x) for x in _as(list, given)], dtype=np.float32)


def _box(values: Any) -> tuple[int, int, int, int]:
    x, y, w, h = (_as(int, value) for value in values)
    return x, y, w, h


def _number(value: Any) -> float:
    # Past float32 too: an embedding's values must stay finite there.
    if type(value) not in (int, float) or not abs(value) < _MOST:
        raise ValueError(f"{value!r} is not a finite number")
    return float(value)


def _probability(value: Any) -> float:
    if not 0 <= _number(value) <= 1:
        raise ValueError(f"{value!r} is not in 0..1")
    return float(value)


def _maybe(kind: type[Any], value: Any) -> Any:
    return None if value is None else _as(kind, value)


def _as(kind: type[Any], value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{value!r} is not a {kind.__name__}")
    return value
