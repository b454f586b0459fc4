"""``vedette data synth`` and ``vedette data stats`` as a user runs them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.cli.test_cli import vedette
from tests.pictures import folder_of
from vedette.data.synth.card import NOTICE
from vedette.data.synth.plan import CELLS, Plan, Recipe
from vedette.data.synth.writing import WRITERS

SMALL = ("--scale", "0.01", "--size", "32", "--difficulty", "0")


def planned(scale: float) -> dict[tuple[str, str, str], int]:
    """Counts as the CSV has them."""
    counts = Plan(Recipe(scale=scale)).counts
    return {
        (cell.source.lower(), "unsafe" if cell.unsafe else "safe", cell.category.value): count
        for cell, count in zip(CELLS, counts, strict=True)
    }


def counted(path: Path) -> dict[tuple[str, str, str], int]:
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {
        (row["source"], row["label"], name): int(value)
        for row in rows
        for name, value in row.items()
        if name not in ("source", "label", "total")
    }


def test_a_set_is_written_and_called_a_stand_in(tmp_path: Path) -> None:
    done = vedette("data", "synth", *SMALL, "--out", "set", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (0, "")
    notice, wrote = done.stderr.splitlines()
    assert notice == NOTICE
    assert wrote.startswith("wrote set: 101 pictures (train 81, test 20), ")
    assert "not UnsafeBench" in (tmp_path / "set" / "README.md").read_text()
    assert len(list((tmp_path / "set" / "data").glob("*.parquet"))) == 2


@pytest.mark.parametrize("fmt", WRITERS)
def test_quiet_says_nothing_in_any_format(tmp_path: Path, fmt: str) -> None:
    call = ("data", "synth", *SMALL, "--out", "set", "--format", fmt, "-q", "--workers", "2")
    done = vedette(*call, cwd=tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("--scale", "0"), "usage"),
        (("--scale", "nan"), "usage"),
        (("--difficulty", "2"), "usage"),
        (("--size", "9999999"), "usage"),
        (("--seed", "-1"), "usage"),
        (("--like", "smid"), "unknown_name"),
        (("--format", "zip"), "unknown_name"),
    ],
)
def test_wrong_values_are_refused(tmp_path: Path, args: tuple[str, str], code: str) -> None:
    done = vedette("data", "synth", "--out", "set", *args, cwd=tmp_path)

    assert done.returncode == 2
    assert f"[{code}]" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    folder_of(tmp_path / "set", 1)
    done = vedette("data", "synth", *SMALL, "--out", "set", cwd=tmp_path)

    assert done.returncode == 2
    assert "[output_exists]" in done.stderr


def test_stats_counts_what_is_drawn_in_memory(tmp_path: Path) -> None:
    files = ("--csv", "t.csv", "--plot", "t.svg")
    done = vedette("data", "stats", "synth:unsafebench?scale=0.02&size=32", *files, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == NOTICE
    assert "all       122      81  203" in lines
    assert counted(tmp_path / "t.csv") == planned(0.02)
    assert NOTICE in (tmp_path / "t.svg").read_text()


@pytest.mark.parametrize("fmt", WRITERS)
def test_stats_counts_what_was_written_as_it_was_planned(tmp_path: Path, fmt: str) -> None:
    call = ("--scale", "0.03", "--size", "32", "--format", fmt, "--out", "set")
    vedette("data", "synth", *call, cwd=tmp_path)
    done = vedette("data", "stats", "set", "--csv", "t.csv", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == NOTICE
    assert counted(tmp_path / "t.csv") == planned(0.03)


def test_stats_of_pictures_without_labels_counts_them_as_unlabelled(tmp_path: Path) -> None:
    folder_of(tmp_path / "pictures", 3)
    (tmp_path / "pictures" / "gone.png").symlink_to(tmp_path / "nowhere")
    done = vedette("data", "stats", "pictures", "--format", "files", cwd=tmp_path)

    assert done.returncode == 3
    assert NOTICE not in done.stdout
    assert done.stdout.splitlines()[2].split() == ["(none)", "0", "0", "3", "1", "4"]


def test_stats_replaces_no_file_unasked(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("mine")
    call = ("data", "stats", "synth:unsafebench?scale=0.001&size=32", "--csv", "t.csv")
    refused = vedette(*call, cwd=tmp_path)
    kept = (tmp_path / "t.csv").read_text()
    done = vedette(*call, "--overwrite", cwd=tmp_path)

    assert (refused.returncode, kept) == (2, "mine")
    assert "[output_exists]" in refused.stderr
    assert done.returncode == 0
    assert (tmp_path / "t.csv").read_text().startswith("source,label,")


@pytest.mark.parametrize("wrong", [("--csv", "t.txt"), ("--plot", "t.pdf")])
def test_stats_refuses_other_outputs_before_it_counts(
    tmp_path: Path, wrong: tuple[str, str]
) -> None:
    done = vedette("data", "stats", "synth:unsafebench?scale=100", *wrong, cwd=tmp_path)

    assert done.returncode == 2
    assert "[unknown_name]" in done.stderr
