"""``vedette bench report``, ``compare`` and ``leaderboard``, as a user calls them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner
from typer.testing import Result as Ran

from tests.bench.report.made import folder, result, table_4, two
from vedette.bench.measured import OVERALL
from vedette.bench.result import write_result
from vedette.cli import app


def run(*words: object) -> Ran:
    return CliRunner().invoke(app, ["bench", *map(str, words)])


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder with the results of two models and two tasks."""
    root = tmp_path / "results"
    root.mkdir()
    for number, one in enumerate(two(prefix=True)):
        tables = [
            replace(
                table,
                name="f1-pooled",
                columns=[*table.columns[:-1], OVERALL],
                rows={"as shipped": table.rows["Lexica"]},
            )
            if table.name == "f1"
            else table
            for table in one.evidence.tables
        ]
        evidence = replace(one.evidence, tables=tables)
        write_result(root / f"{number}.json", replace(one, evidence=evidence))
    return root


def test_a_folder_of_results_becomes_a_page_markdown_and_a_summary(
    results: Path, tmp_path: Path
) -> None:
    html, markdown = tmp_path / "page.html", tmp_path / "page.md"

    done = run("report", results, "--html", html, "--markdown", markdown)

    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0].startswith("synth:0.2: stand-in: drawn pictures")
    assert "warning: masked-gradients: " in done.stdout
    assert "paper 0.42" in done.stdout
    assert "masked-gradients" in html.read_text(encoding="utf-8")
    assert "image/jpeg" not in html.read_text(encoding="utf-8")
    assert "masked-gradients" in markdown.read_text(encoding="utf-8")
    assert done.stderr.splitlines() == [f"wrote {html}", f"wrote {markdown}"]


def test_with_data_the_page_has_blurred_pictures(results: Path, tmp_path: Path) -> None:
    html = tmp_path / "page.html"

    done = run("report", results, "--html", html, "--data", folder(tmp_path / "set"))

    assert done.exit_code == 0, done.output
    assert html.read_text(encoding="utf-8").count('<img src="data:image/jpeg') == 8


def test_data_without_a_page_is_a_mistake(results: Path, tmp_path: Path) -> None:
    done = run("report", results, "--data", tmp_path)

    assert done.exit_code == 2
    assert "--data is for the pictures of the page [usage]" in done.stderr


@pytest.mark.parametrize("command", ["report", "compare"])
def test_a_broken_file_is_named(command: str, results: Path, tmp_path: Path) -> None:
    broken = results / "broken.json"
    broken.write_text('{"format": "vedette-bench"', encoding="utf-8")

    done = run(command, results, "--markdown", tmp_path / "x.md")

    assert done.exit_code == 2
    assert "broken.json is no result of vedette bench" in done.stderr
    assert "[bad_result]" in done.stderr
    assert not (tmp_path / "x.md").exists()


def test_what_is_there_is_not_overwritten_unasked(results: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("mine", encoding="utf-8")

    refused = run("report", results, "--html", page)
    kept = page.read_text(encoding="utf-8")
    done = run("report", results, "--html", page, "--overwrite")

    assert "[output_exists]" in refused.stderr
    assert kept == "mine"
    assert done.exit_code == 0
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_no_results_no_report(tmp_path: Path) -> None:
    done = run("report", tmp_path)

    assert done.exit_code == 2
    assert "there is no result" in done.stderr


def test_two_models_are_compared(results: Path, tmp_path: Path) -> None:
    page = tmp_path / "compared.html"

    done = run("compare", results / "0.json", results / "1.json", "--html", page)

    assert done.exit_code == 0, done.output
    assert "falconsai / q16" in done.stdout
    assert "p, exact, Holm" in done.stdout
    assert "falconsai / q16" in page.read_text(encoding="utf-8")


def test_one_model_cannot_be_compared(results: Path) -> None:
    done = run("compare", results / "0.json")

    assert done.exit_code == 2
    assert "comparing needs two" in done.stderr


def test_the_leaderboard_ranks_a_folder(results: Path, tmp_path: Path) -> None:
    places = [tmp_path / f"board.{suffix}" for suffix in ("html", "md", "json")]

    done = run("leaderboard", results, *(word for place in places for word in ("--out", place)))

    assert done.exit_code == 0, done.output
    assert done.stdout.index("1     q16") < done.stdout.index("2     falconsai")
    assert "stand-in" in done.stdout
    data = json.loads(places[2].read_text(encoding="utf-8"))
    assert [one["name"] for one in data["boards"][0]["ranked"]] == ["q16", "falconsai"]
    assert all("q16" in place.read_text(encoding="utf-8") for place in places)


def test_the_leaderboard_never_looks_like_a_result(results: Path) -> None:
    done = run("leaderboard", results, "--out", results / "board.json")

    assert done.exit_code == 2
    assert "would be taken for a result" in done.stderr


def test_the_leaderboard_says_which_formats_it_knows(results: Path, tmp_path: Path) -> None:
    done = run("leaderboard", results, "--out", tmp_path / "board.pdf")

    assert done.exit_code == 2
    assert "unknown output format '.pdf'" in done.stderr


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = run("leaderboard", tmp_path / "none")

    assert done.exit_code == 2
    assert "[not_found]" in done.stderr


def test_names_from_outside_do_not_drive_the_terminal(tmp_path: Path) -> None:
    table = replace(
        table_4("m"), title="\x1b[31mred\u202e", rows={"\x07": table_4("m").rows["Lexica"]}
    )
    write_result(tmp_path / "r.json", result("\x1b]0;owned\x07", tables=[table]))

    done = run("report", tmp_path)

    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.output
    assert "\x07" not in done.output
    assert "\\x1b[31mred\\u202e" in done.stdout
