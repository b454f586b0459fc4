"""A ranking of results: by overall F1 of unsafe, one board for each data set and protocol."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vedette.bench.evidence import Cell
from vedette.bench.measured import OVERALL, SHIPPED_RULE
from vedette.bench.report.about import about
from vedette.bench.report.checked import check
from vedette.bench.report.document import Document, Section, labelled, notices
from vedette.bench.report.tables import Grid, Row
from vedette.bench.result import DataCard, Result
from vedette.sinks.base import replacing
from vedette.sinks.html_parts import count
from vedette.taxonomy import Category

TASK = "effectiveness"
TABLE, ROW, COLUMN = "f1-pooled", SHIPPED_RULE, OVERALL
"""The cell of the task's tables that has the number: of the whole set, as the model is shipped."""
FORMAT = "vedette-leaderboard"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One model on a board."""

    label: str
    result: Result
    f1: Cell | None
    """None: unranked."""
    warnings: tuple[str, ...] = ()
    """Codes, sorted."""

    @property
    def value(self) -> float:
        """What it is ranked by.

        Raises:
            ValueError: it is unranked.
        """
        if self.f1 is None or not isinstance(self.f1.value, int | float):
            raise ValueError("unranked")
        return float(self.f1.value)


@dataclass(frozen=True, slots=True)
class Board:
    """All models on one data set under one protocol."""

    data: DataCard
    protocol: str
    ranked: Sequence[Entry]
    """The best first; those of one F1 by name."""
    unranked: Sequence[tuple[str, str]]
    """Names, and why there is no number."""

    def ranks(self) -> Iterator[tuple[int, Entry]]:
        """Each entry with its rank; those of one F1 share it."""
        rank = 0
        for place, entry in enumerate(self.ranked):
            if place == 0 or entry.value != self.ranked[place - 1].value:
                rank = place + 1
            yield rank, entry


def leaderboard(results: Sequence[Result]) -> list[Board]:
    """The boards, the largest first. What has no overall F1 is listed without a rank.

    Raises:
        UsageError: ``bad_result``.
    """
    for result in results:
        check(result)
    places: dict[tuple[str, str], list[tuple[str, Result]]] = {}
    for label, result in zip(labelled(results), results, strict=True):
        protocol = str(result.options.get("protocol", "sound"))
        places.setdefault((result.data.sha256, protocol), []).append((label, result))
    boards = [_board(protocol, members) for (_, protocol), members in places.items()]
    return sorted(boards, key=lambda one: (-len(one.ranked), one.data.given, one.protocol))


def _board(protocol: str, members: Sequence[tuple[str, Result]]) -> Board:
    warned: dict[str, set[str]] = {}
    for label, result in members:
        codes = {caveat.code for caveat in result.evidence.warnings}
        warned.setdefault(_model(label), set()).update(codes)
    entries = [
        Entry(label, result, overall_f1(result), tuple(sorted(warned[_model(label)])))
        for label, result in members
        if result.task == TASK
    ]
    ranked = [entry for entry in entries if entry.f1 is not None]
    have = {_model(entry.label) for entry in ranked}
    unranked = {
        _model(entry.label): f"its {TASK} result has no overall F1"
        for entry in entries
        if _model(entry.label) not in have
    }
    for label, _ in members:
        if _model(label) not in have:
            unranked.setdefault(_model(label), f"no result of the task {TASK}")
    return Board(
        data=members[0][1].data,
        protocol=protocol,
        ranked=sorted(ranked, key=lambda one: (-one.value, one.label)),
        unranked=sorted(unranked.items()),
    )


def _model(label: str) -> str:
    return label.partition(", run ")[0]


def overall_f1(result: Result) -> Cell | None:
    """The one number for a whole set; None where the result does not have it."""
    for table in result.evidence.tables:
        if table.name == TABLE:
            cell = dict(zip(table.columns, table.rows.get(ROW, ()), strict=False)).get(COLUMN)
            if cell is not None and isinstance(cell.value, int | float):
                return cell
    return None


def board_document(boards: Sequence[Board], results: Sequence[Result]) -> Document:
    """The boards as a report."""
    models = sum(len(board.ranked) for board in boards)
    return Document(
        title="Leaderboard",
        lead=f"{count(models, 'ranked result')} on {count(len(boards), 'board')}",
        notices=notices(results),
        judged=False,
        about=about(results, labelled(results)),
        sections=[_section(f"board-{n}", board) for n, board in enumerate(boards, start=1)],
    )


def _section(anchor: str, board: Board) -> Section:
    rows = [
        Row(
            (str(rank), entry.label),
            [
                entry.f1 or Cell(None),
                Cell(int(entry.result.predictions.covered.sum())),
                Cell(len(entry.result.predictions)),
                Cell(len(entry.result.predictions.failed)),
                Cell(", ".join(entry.warnings) or "none"),
                Cell(str(entry.result.model.get("model", ""))),
            ],
        )
        for rank, entry in board.ranks()
    ]
    columns = (
        *("F1 of unsafe", "categories", "scored", "not scored"),
        *("warnings", "model and revision"),
    )
    tables = [
        Grid(
            "Ranked by F1 of unsafe, overall",
            ("rank", "model"),
            columns,
            rows,
            "At the threshold as shipped. A model is asked about the categories that it sees, and "
            "n is the number of those images: models that see other categories are measured on "
            "other images. Where intervals overlap the order may be chance: vedette bench compare "
            "tells. Warnings are those of all the model's results.",
            of_models=True,
        )
    ]
    if board.unranked:
        missing = [Row((name,), [Cell(why)]) for name, why in board.unranked]
        tables.append(Grid("Unranked", ("model",), ("why",), missing, of_models=True))
    stand_in = "stand-in, " if board.data.stand_in else ""
    aside = f"{stand_in}{board.protocol} protocol, sha256 {board.data.sha256[:12]}"
    reading = ["Brackets hold the 95 % interval."]
    return Section(anchor, board.data.given, aside, reading, tables)


def write_json(boards: Sequence[Board], path: Path) -> None:
    """Write the boards for programs.

    Raises:
        VedetteError: ``write_failed``.
    """
    whole = {
        "format": FORMAT,
        "version": VERSION,
        "task": TASK,
        "boards": [_as_json(board) for board in boards],
    }
    with replacing(path) as temporary:
        # Only ASCII: a name may hold a surrogate, for bytes of a file name that are no text.
        temporary.write_text(json.dumps(whole, indent=1, allow_nan=False) + "\n", encoding="ascii")


def _as_json(board: Board) -> dict[str, Any]:
    return {
        "data": board.data.given,
        "sha256": board.data.sha256,
        "stand_in": board.data.stand_in,
        "split": board.data.split,
        "protocol": board.protocol,
        "ranked": [_entry(rank, entry) for rank, entry in board.ranks()],
        "unranked": [{"name": name, "why": why} for name, why in board.unranked],
    }


def _entry(rank: int, entry: Entry) -> dict[str, Any]:
    predictions, cell = entry.result.predictions, entry.f1
    return {
        "rank": rank,
        "name": entry.label,
        "model": str(entry.result.model.get("model", "")),
        "sha256": entry.result.model.get("sha256"),
        "f1": entry.value,
        "low": cell.low if cell else None,
        "high": cell.high if cell else None,
        "paper": cell.paper if cell else None,
        "images": cell.n if cell else None,
        "categories": [c.value for c in Category if predictions.covered[c.position]],
        "scored": len(predictions),
        "not_scored": len(predictions.failed),
        "warnings": list(entry.warnings),
    }
