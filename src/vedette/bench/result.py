"""A result: one JSON file that stands alone.

It has all that the number rests on: versions, seeds, hashes of data and model, what was said
about each image, by key, and what makes it less sure.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from vedette.bench.evidence import Caveat, Cell, Evidence, Figure, Series, Table
from vedette.bench.predictions import Predictions, predictions_of
from vedette.errors import UsageError
from vedette.sinks.base import replacing

FORMAT = "vedette-bench"
VERSION = 1
_MOST_BYTES = 2**30
_NAMED = ("torch", "transformers", "numpy", "onnxruntime", "openvino", "nudenet")


@dataclass(frozen=True, slots=True)
class DataCard:
    """What a result says about the data set."""

    given: str
    """As the user gave it: ``synth:0.2``, ``vault:NAME``, a path."""
    sha256: str
    """Over the keys, hashes and labels of its images, in order."""
    images: int
    """Labelled images that were found, scored or not."""
    stand_in: bool = False
    """Drawn pictures: the numbers say that the program works, nothing about real images."""
    set_id: str = ""
    """Of the known set whose terms bind it; ``""`` where it is none of them."""
    split: str = ""
    """The part that was scored: ``test``."""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One task's answer about one predictor on one data set."""

    task: str
    model: Mapping[str, Any]
    """:class:`~vedette.bench.predictor.PredictorCard` as JSON values."""
    data: DataCard
    options: Mapping[str, Any]
    """:class:`~vedette.bench.tasks.base.BenchOptions` as JSON values."""
    predictions: Predictions
    evidence: Evidence
    versions: Mapping[str, str]
    seconds: float = 0.0
    """That it took, on the machine that it ran on; says nothing about speed."""

    @property
    def name(self) -> str:
        """The model's name, as the user gave it."""
        return str(self.model["name"])


def versions() -> dict[str, str]:
    """Of Vedette, Python, the system, and of the libraries that numbers may depend on."""
    found = {"python": platform.python_version(), "system": f"{sys.platform} {platform.machine()}"}
    for name in ("vedette", *_NAMED):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def write_result(path: Path, result: Result) -> None:
    """Write a result whole, or nothing; floats are written as short as they read back.

    Raises:
        VedetteError: ``write_failed``.
        ValueError: a number that is not finite: undefined ones are None.
    """
    evidence = result.evidence
    whole = {
        "format": FORMAT,
        "version": VERSION,
        "task": result.task,
        "model": result.model,
        "data": asdict(result.data),
        "options": result.options,
        "caveats": [asdict(caveat) for caveat in evidence.warnings],
        "metrics": evidence.metrics,
        "tables": [asdict(table) for table in evidence.tables],
        "figures": [asdict(figure) for figure in evidence.figures],
        "versions": result.versions,
        "seconds": round(result.seconds, 1),
        "predictions": result.predictions.as_json(),
    }
    text = json.dumps(whole, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    with replacing(path) as temporary:
        Path(temporary).write_text(text + "\n", encoding="utf-8")


def read_result(path: Path) -> Result:
    """Read a result.

    Raises:
        UsageError: ``bad_result``: it is none, is damaged, or was written by a later version.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES} bytes")
        whole = json.loads(path.read_bytes(), parse_constant=_no_constant)
        if whole["format"] != FORMAT or whole["version"] != VERSION:
            raise ValueError(f"format {whole['format']!r}, version {whole['version']!r}")
        return Result(
            task=str(whole["task"]),
            model={**whole["model"], "name": str(whole["model"]["name"])},
            data=DataCard(**whole["data"]),
            options=dict(whole["options"]),
            predictions=predictions_of(whole["predictions"]),
            evidence=Evidence(
                metrics=dict(whole["metrics"]),
                tables=[_table(one) for one in whole["tables"]],
                figures=[_figure(one) for one in whole["figures"]],
                warnings=[Caveat(**one) for one in whole["caveats"]],
            ),
            versions=dict(whole["versions"]),
            seconds=float(whole["seconds"]),
        )
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", code="unreadable") from error
    except (
        *(ValueError, KeyError, TypeError, IndexError, AttributeError),
        *(RecursionError, OverflowError),
    ) as error:
        raise UsageError(
            f"{path} is no result of vedette bench: {type(error).__name__}: {error}",
            code="bad_result",
            hint="give the .json files that vedette bench run wrote",
        ) from error


def read_results(paths: Sequence[Path]) -> list[Result]:
    """The results of files, and of all ``.json`` files in folders, sorted by name.

    Raises:
        UsageError: see :func:`read_result`; also where there is none.
    """
    files: list[Path] = []
    for path in paths:
        files += sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise UsageError("there is no result", hint="give what vedette bench run has written")
    return [read_result(file) for file in files]


def _table(one: dict[str, Any]) -> Table:
    rows = {name: [Cell(**cell) for cell in cells] for name, cells in one["rows"].items()}
    return Table(**{**one, "rows": rows})


def _figure(one: dict[str, Any]) -> Figure:
    return Figure(**{**one, "series": [Series(**series) for series in one["series"]]})


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")
