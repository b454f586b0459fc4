"""Who is ranked where, and who is not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from tests.bench.report.made import STAND_IN, result
from vedette.bench.evidence import Caveat, Cell, Table
from vedette.bench.measured import OVERALL, SHIPPED_RULE
from vedette.bench.report.leaderboard import (
    board_document,
    leaderboard,
    overall_f1,
    write_json,
)
from vedette.bench.report.page import page
from vedette.bench.result import DataCard, Result

REAL = replace(STAND_IN, given="real", sha256="cd" * 32, stand_in=False)


def scored(model: str, f1: float | None, data: DataCard = STAND_IN, *warnings: Caveat) -> Result:
    rows = {
        "best single threshold": [Cell(0.1), Cell(0.99)],
        SHIPPED_RULE: [Cell(0.1), Cell(f1, 0.2, 0.9, n=40) if f1 is not None else Cell(None)],
    }
    table = Table("f1-pooled", "F1: all", ["Hate", OVERALL], rows, model_is_row=True)
    return result(model, tables=[table], figures=[], data=data, warnings=warnings)


def test_models_are_ranked_by_overall_f1_as_shipped() -> None:
    (board,) = leaderboard([scored("low", 0.3), scored("high", 0.7), scored("mid", 0.5)])

    assert [(rank, entry.label) for rank, entry in board.ranks()] == [
        (1, "high"),
        (2, "mid"),
        (3, "low"),
    ]


def test_equal_numbers_share_a_rank() -> None:
    (board,) = leaderboard([scored("b", 0.5), scored("a", 0.5), scored("c", 0.4)])

    assert [(rank, entry.label) for rank, entry in board.ranks()] == [(1, "a"), (1, "b"), (3, "c")]


def test_other_data_and_other_protocols_have_boards_of_their_own() -> None:
    official = replace(scored("a", 0.9), options={"protocol": "official"})

    boards = leaderboard([scored("a", 0.3), scored("b", 0.2), scored("a", 0.8, REAL), official])

    assert [(board.data.given, board.protocol, len(board.ranked)) for board in boards] == [
        ("synth:0.2", "sound", 2),
        ("real", "sound", 1),
        ("synth:0.2", "official", 1),
    ]


def test_what_has_no_number_is_named_without_a_rank() -> None:
    (board,) = leaderboard(
        [scored("ranked", 0.5), scored("none", None), result("old"), result("r", "robustness")]
    )

    assert [entry.label for entry in board.ranked] == ["ranked"]
    assert board.unranked == [
        ("none", "its effectiveness result has no overall F1"),
        ("old", "its effectiveness result has no overall F1"),
        ("r", "no result of the task effectiveness"),
    ]
    assert overall_f1(result("old")) is None


def test_warnings_of_all_tasks_stand_beside_the_number() -> None:
    robust = result("a", "robustness", warnings=[Caveat("masked-gradients", "m")])

    (board,) = leaderboard([scored("a", 0.5, STAND_IN, Caveat("few-images", "f")), robust])

    assert board.ranked[0].warnings == ("few-images", "masked-gradients")


def test_a_stand_in_is_marked_and_what_a_number_rests_on_is_said(tmp_path: Path) -> None:
    results = [scored("a", 0.5), scored("b", 0.25, REAL)]
    boards = leaderboard(results)

    whole = "".join(page(board_document(boards, results)))
    write_json(boards, tmp_path / "board.json")
    data = json.loads((tmp_path / "board.json").read_text(encoding="utf-8"))

    assert "stand-in: drawn pictures" in whole
    assert "real <small>sound protocol" in whole
    assert "synth:0.2 <small>stand-in, sound protocol" in whole
    real, stand_in = data["boards"]
    assert (real["stand_in"], stand_in["stand_in"]) == (False, True)
    assert real["ranked"][0] == {
        "rank": 1,
        "name": "b",
        "model": "org/b@abc123",
        "sha256": results[1].model["sha256"],
        "f1": 0.25,
        "low": 0.2,
        "high": 0.9,
        "paper": None,
        "images": 40,
        "categories": ["Hate", "Harassment", "Violence"],
        "scored": 40,
        "not_scored": 2,
        "warnings": [],
    }
