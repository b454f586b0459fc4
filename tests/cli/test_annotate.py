"""``vedette annotate`` as people run it."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.pictures import folder_of
from vedette.cli import app
from vedette.cli.annotate.common import TOKEN


def vedette(*args: object, keys: str = "", token: str | None = None) -> Result:
    environment = {TOKEN: token} if token is not None else None
    return CliRunner().invoke(app, ["annotate", *map(str, args)], input=keys, env=environment)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures, which commands run in."""
    folder_of(tmp_path / "in", 4)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(TOKEN, raising=False)
    return tmp_path


def joined() -> str:
    done = vedette("join", "a.sqlite")
    assert done.exit_code == 0, done.output
    words = dict(line.split() for line in done.stdout.splitlines())
    assert words["pseudonym"].startswith("a-")
    return words["token"]


def test_from_pictures_to_agreed_labels(here: Path) -> None:
    made = vedette("create", "a.sqlite", "in", "--category-annotators", 1)
    assert made.exit_code == 0, made.output
    assert made.stdout == "4 pictures in campaign campaign\n"
    one, other, third = joined(), joined(), joined()

    done = vedette("label", "a.sqlite", token=one, keys="s\nu\nu\nu\n")
    assert done.exit_code == 0, done.output
    assert "4 answered, 0 corrected, 4 in all" in done.stdout
    assert vedette("label", "a.sqlite", token=other, keys="uuuu").exit_code == 0
    told = vedette("status", "a.sqlite").stdout
    assert "round 1: 4 pictures" in told
    assert "1  they differ: one more is asked" in told
    assert "round 2: 3 pictures (not begun)" in told
    done = vedette("label", "a.sqlite", token=third, keys="s" + "kkk")
    assert "4 answered" in done.stdout
    assert "           3 Spam" in vedette("status", "a.sqlite").stdout

    labels = vedette("export", "a.sqlite", "labels.csv", "--what", "labels")
    assert labels.stdout == "4 labels; left out: 0 N/A, 0 undecided\n"
    rows = (here / "labels.csv").read_text().splitlines()
    assert rows[0] == "path,label,source,queried,sha256"
    assert sorted(row.split(",")[1] for row in rows[1:]) == ["Spam", "Spam", "Spam", "safe"]


def test_agreement_is_a_table_and_json(here: Path) -> None:
    vedette("create", "a.sqlite", "in")
    for keys in ("suuu", "ssuu"):
        vedette("label", "a.sqlite", token=joined(), keys=keys)

    done = vedette("agreement", "a.sqlite", "--resamples", 50)
    head, first, second = done.stdout.splitlines()
    assert head.split() == [
        "round",
        "pictures",
        "of",
        "n",
        *("Fleiss'", "kappa", "Krippendorff's", "alpha"),
    ]
    assert first.split()[:3] == ["1", "all", "4"]
    assert "[" in first
    assert second.split() == ["2", "all", "0", "-", "-"]
    found = json.loads(vedette("agreement", "a.sqlite", "--json", "--seed", 1).stdout)["agreement"]
    assert found[0]["round"] == 1
    assert found[0]["items"] == 4
    assert found[1]["kappa"] == {"value": None, "low": None, "high": None}


@pytest.mark.parametrize("name", ["answers.json", "answers.csv"])
def test_export_and_import(here: Path, name: str) -> None:
    vedette("create", "a.sqlite", "in", "--categories", "Hate,Spam")
    vedette("label", "a.sqlite", token=joined(), keys="suzs")

    done = vedette("export", "a.sqlite", name)
    assert done.stdout == "3 answers, 4 pictures\n"
    again = vedette("export", "a.sqlite", name)
    assert (again.exit_code, "[output_exists]" in again.stderr) == (2, True)
    done = vedette("import", "b.sqlite", name, "--create", "--categories", "Hate,Spam")
    assert done.exit_code == 0, done.output
    assert done.stdout == "2 answers and 1 corrections added, 0 known, 1 new annotators\n"
    done = vedette("import", "b.sqlite", name)
    assert done.stdout == "0 answers and 0 corrections added, 3 known, 0 new annotators\n"
    vedette("export", "b.sqlite", f"again-{name}")
    assert (here / f"again-{name}").read_bytes() == (here / name).read_bytes()


def test_the_labelling_interface_of_label_studio(here: Path) -> None:
    vedette("create", "a.sqlite", "in", "--categories", "Hate,Spam")
    assert vedette("export", "a.sqlite", "config.xml", "--what", "interface").exit_code == 0

    text = (here / "config.xml").read_text()
    assert '<Choice value="unsafe"/>' in text
    assert '<Choice value="Spam"/>' in text
    assert "Violence" not in text


def test_tokens_in_files_and_new_ones(here: Path) -> None:
    vedette("create", "a.sqlite", "in")
    done = vedette("join", "a.sqlite", "--token-file", "me.token")
    pseudonym = done.stdout.split()[1]
    assert stat.S_IMODE((here / "me.token").stat().st_mode) == 0o600
    assert "token" not in done.stdout
    done = vedette("label", "a.sqlite", "--token-file", "me.token", "--preview", "p.png", keys="sq")
    assert (done.exit_code, "1 answered" in done.stdout) == (0, True)
    assert not (here / "p.png").exists()

    done = vedette("join", "a.sqlite", "--again", pseudonym, "--token-file", "new.token")
    assert done.stdout.split()[1] == pseudonym
    assert vedette("label", "a.sqlite", "--token-file", "me.token").exit_code == 2
    done = vedette("label", "a.sqlite", "--token-file", "new.token", keys="q")
    assert "1 in all" in done.stdout


def test_pictures_that_cannot_be_read_are_left_out_and_told(here: Path) -> None:
    (here / "in" / "gone.png").symlink_to(here / "nowhere")
    made = vedette("create", "a.sqlite", "in")

    assert made.exit_code == 3
    assert made.stdout == "4 pictures in campaign campaign\n"
    assert "left out in/gone.png: not_found" in made.stderr


def test_pictures_that_cannot_be_shown_are_not_answered(here: Path) -> None:
    (here / "in" / "text.png").write_text("no picture")
    vedette("create", "a.sqlite", "in")
    done = vedette("label", "a.sqlite", token=joined(), keys="s" * 9)

    assert done.exit_code == 3
    assert "[unsupported_format]; not answered" in done.stdout
    assert "4 answered" in done.stdout


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["label", "a.sqlite"], "nothing says who you are"),
        (["label", "a.sqlite", "--token-file", "none"], "cannot read none"),
        (["label", "none.sqlite"], "nothing says who you are"),
        (["status", "none.sqlite"], "there is no store none.sqlite"),
        (["status", "a.sqlite", "--campaign", "campain"], "unknown campaign 'campain'"),
        (["create", "b.sqlite", "in", "--categories", "Hat"], "unknown category 'Hat'"),
        (["create", "b.sqlite", "in", "--categories", "Hate,hate"], "one of them twice"),
        (["create", "b.sqlite", "nowhere"], "there is no nowhere"),
        (["create", "a.sqlite", "in"], "there is a campaign 'campaign' already"),
        (["export", "a.sqlite", "a.txt"], "unknown format for answers"),
        (["export", "a.sqlite", "a.json", "--what", "labels"], "unknown format for labels"),
        (["import", "a.sqlite", "in"], "unknown format 'in'"),
        (["import", "a.sqlite", "none.csv"], "No such file"),
        (["join", "a.sqlite", "--again", "a-none"], "unknown annotator 'a-none'"),
    ],
)
def test_mistakes_are_told_in_a_line(here: Path, args: list[str], told: str) -> None:
    vedette("create", "a.sqlite", "in")
    done = vedette(*args)

    assert done.exit_code == 2, done.output
    assert told in done.stderr
    assert "Traceback" not in done.output
    assert not (here / "b.sqlite").exists()


def test_a_failed_import_makes_no_store(here: Path) -> None:
    (here / "bad.csv").write_text("key,answer\n")
    done = vedette("import", "b.sqlite", "bad.csv", "--create")

    assert (done.exit_code, "[bad_annotations]" in done.stderr) == (2, True)
    assert not (here / "b.sqlite").exists()


def test_a_password_is_not_told(here: Path) -> None:
    done = vedette("status", "postgresql+psycopg://me:hunter2@/d?host=/nowhere/at/all")

    assert done.exit_code == 2
    assert "hunter2" not in done.output
    assert "***" in done.stderr


def test_another_place_of_the_pictures(here: Path) -> None:
    vedette("create", "a.sqlite", "in")
    token = joined()
    (here / "in").rename(here / "moved")
    done = vedette("label", "a.sqlite", token=token)
    assert (done.exit_code, "there is no in" in done.stderr) == (2, True)
    (here / "in").mkdir()
    for path in (here / "moved").iterdir():
        (here / "in" / path.name).write_bytes(path.read_bytes())
    assert vedette("label", "a.sqlite", "--data", "in", token=token, keys="q").exit_code == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_session_that_is_killed_leaves_no_preview(here: Path, number: int) -> None:
    vedette("create", "a.sqlite", "in")
    command = [sys.executable, "-m", "vedette", "annotate", "label", "a.sqlite"]
    session = subprocess.Popen(
        [*command, "--preview", "look.png"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, TOKEN: joined(), "PYTHONUNBUFFERED": "1"},
        text=True,
    )
    assert session.stdout is not None
    while "look.png" not in (line := session.stdout.readline()):
        assert line
    assert (here / "look.png").exists()
    session.send_signal(number)
    session.communicate(timeout=60)

    assert session.returncode == 130
    assert not (here / "look.png").exists()
