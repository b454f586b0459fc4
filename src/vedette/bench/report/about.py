"""What was run: models, data, runs and versions, as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vedette.bench.evidence import Cell
from vedette.bench.report.tables import MOST_ROWS, Grid, Row
from vedette.bench.result import Result
from vedette.taxonomy import Category


def about(results: Sequence[Result], labels: Sequence[str]) -> list[Grid]:
    """Four tables: which models, which data, which runs, which versions."""
    return [
        _models(results, labels),
        _data(results),
        _runs(results, labels),
        _versions(results, labels),
    ]


def _models(results: Sequence[Result], labels: Sequence[str]) -> Grid:
    columns = (
        *("model and revision", "kind", "runtime", "sha256 of weights", "licence"),
        *("terms", "trained on", "sees"),
    )
    rows: dict[tuple[str, ...], None] = {}
    for result, label in zip(results, labels, strict=True):
        card = result.model
        told = (
            *(_text(card, name) for name in ("model", "kind", "runtime")),
            _text(card, "sha256")[:16],
            *(_text(card, name) for name in ("licence", "terms", "trained_on")),
            _covered(card),
        )
        rows.setdefault((label.partition(", run ")[0], *told))
    return _grid("Models", "model", columns, rows)


def _data(results: Iterable[Result]) -> Grid:
    columns = (
        *("sha256", "labelled images", "part", "known set", "stand-in"),
        "held against training pictures of",
    )
    rows: dict[tuple[str, ...], None] = {}
    for result in results:
        data = result.data
        told = (data.sha256[:16], f"{data.images:,}", data.split or "all", data.set_id)
        held = data.facts.get("trained_on")
        against = ", ".join(map(str, held)) if isinstance(held, dict) else ""
        rows.setdefault(
            (data.given, *told, "yes" if data.stand_in else "no", against or "none: not recorded")
        )
    return _grid("Data", "data", columns, rows)


def _runs(results: Sequence[Result], labels: Sequence[str]) -> Grid:
    columns = ("task", "data", "protocol", "seed", "resamples", "scored", "not scored", "seconds")
    rows: dict[tuple[str, ...], None] = {}
    for result, label in zip(results, labels, strict=True):
        options = {name: _text(result.options, name) for name in ("protocol", "seed", "bootstrap")}
        scored = f"{len(result.predictions):,}"
        told = (result.task, result.data.given, *options.values(), scored, _failed(result))
        rows.setdefault((label, *told, f"{result.seconds:,.0f}"))
    return _grid("Runs", "model", columns, rows)


def _failed(result: Result) -> str:
    """How many images could not be scored, and why."""
    codes = Counter(code for _, code in result.predictions.failed)
    if not codes:
        return "0"
    why = ", ".join(
        f"{n:,} {code[:40]}"
        for code, n in sorted(codes.items(), key=lambda one: (-one[1], one[0]))[:8]
    )
    return f"{codes.total():,} ({why})"


def _versions(results: Sequence[Result], labels: Sequence[str]) -> Grid:
    found: dict[str, dict[str, list[str]]] = {}
    for result, label in zip(results, labels, strict=True):
        for name, version in result.versions.items():
            who = found.setdefault(str(name), {}).setdefault(str(version), [])
            who.append(label)
    rows = []
    for name, by_version in sorted(found.items()):
        told = [
            version if len(by_version) == 1 else f"{version} ({', '.join(dict.fromkeys(who))})"
            for version, who in by_version.items()
        ]
        rows.append((name, "; ".join(told)))
    return _grid("Versions", "of", ("version",), rows)


def _grid(title: str, name: str, columns: Sequence[str], rows: Iterable[tuple[str, ...]]) -> Grid:
    """A table of words, without the columns that are empty throughout."""
    every = list(rows)
    kept = [i for i in range(len(columns)) if any(row[i + 1] for row in every)]
    made = [
        Row((row[0],), [Cell(_bounded(row[i + 1]) or None) for i in kept])
        for row in every[:MOST_ROWS]
    ]
    left = len(every) - len(made)
    return Grid(title, (name,), [columns[i] for i in kept], made, left_out=left)


def _covered(card: Mapping[str, Any]) -> str:
    names = card.get("covered")
    if not isinstance(names, list | tuple):
        return ""
    whole = {str(name) for name in names} == {category.value for category in Category}
    return f"all {len(names)} categories" if whole else ", ".join(map(str, names))


def _text(mapping: Mapping[str, Any], name: str) -> str:
    value = mapping.get(name)
    return "" if value is None else str(value)


def _bounded(text: str) -> str:
    return text if len(text) <= 400 else f"{text[:399]}\u2026"
