from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from tests.serve.audit.made import decision
from vedette import wire
from vedette.cli import app
from vedette.serve.audit.keep import open_audit
from vedette.serve.database.store import open_database, writing
from vedette.serve.options import ServeOptions


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a service's database of five decisions, two of them about somebody."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VEDETTE_DATABASE", raising=False)
    monkeypatch.delenv("VEDETTE_AUDIT_KEY", raising=False)
    engine = open_database("vedette-service.sqlite")
    keeper = open_audit(engine, ServeOptions(retention_days=0))
    now = time.time()
    keeper.keep(
        [
            decision(f"d{n}", subject="user-17" if n < 2 else None, at=now - n * 86_400)
            for n in range(5)
        ]
    )
    keeper.close(60)
    engine.dispose()
    return tmp_path


def audit(*words: str) -> Result:
    return CliRunner().invoke(app, ["audit", *words])


def test_verify(here: Path) -> None:
    done = audit("verify", "--heads", "heads.txt")

    assert (done.exit_code, done.stdout) == (0, "ok: 5 decisions in 1 chains, 0 erased\n")
    (head,) = (here / "heads.txt").read_text().splitlines()
    assert audit("verify", "--expect", "heads.txt").exit_code == 0
    assert audit("verify", "--expect", head, "--expect", "heads.txt").exit_code == 0


def test_verify_names_what_was_changed(here: Path) -> None:
    audit("verify", "--heads", "heads.txt")
    engine = open_database("vedette-service.sqlite")
    with writing(engine) as connection:
        connection.execute(text("UPDATE decisions SET action = 'allow' WHERE id = 'd3'"))
    engine.dispose()
    done = audit("verify", "--heads", "after.txt")

    assert done.exit_code == 1
    assert "place 4: altered" in done.stdout
    assert "(d3)" in done.stdout
    assert "1 findings" in done.stderr
    assert not (here / "after.txt").exists()


def test_verify_finds_a_chain_that_is_gone(here: Path) -> None:
    audit("verify", "--heads", "heads.txt")
    engine = open_database("vedette-service.sqlite")
    with writing(engine) as connection:
        connection.execute(text("DELETE FROM decisions"))
        connection.execute(text("DELETE FROM chains"))
    engine.dispose()

    assert audit("verify").exit_code == 0
    done = audit("verify", "--expect", "heads.txt")
    assert (done.exit_code, "the chain has been removed" in done.stdout) == (1, True)


def test_what_others_put_there_does_not_drive_the_terminal(here: Path) -> None:
    engine = open_database("vedette-service.sqlite")
    with writing(engine) as connection:
        connection.execute(text("UPDATE decisions SET id = '\x1b[2J' WHERE id = 'd3'"))
    engine.dispose()
    done = audit("verify")

    assert done.exit_code == 1
    assert "\x1b" not in done.output
    assert "\\x1b[2J" in done.output


def test_erase(here: Path) -> None:
    assert audit("erase", "--subject", "user-17").exit_code == 2
    done = audit("erase", "--subject", "user-17", "--yes")

    assert (done.exit_code, done.stdout) == (0, "erased 2 decisions\n")
    assert audit("verify").stdout == "ok: 5 decisions in 2 chains, 2 erased\n"
    assert audit("erase", "--subject", "user-18", "--yes").stdout == "erased 0 decisions\n"


def test_erase_without_the_secret(here: Path) -> None:
    (here / "vedette-service.sqlite.audit-key").unlink()
    done = audit("erase", "--subject", "user-17", "--yes")

    assert (done.exit_code, "VEDETTE_AUDIT_KEY" in done.stderr) == (2, True)


def test_prune(here: Path) -> None:
    assert audit("prune", "--days", "2.5").exit_code == 2
    done = audit("prune", "--days", "2.5", "--yes")

    assert (done.exit_code, done.stdout) == (0, "erased 2 decisions\n")
    assert audit("verify").stdout == "ok: 5 decisions in 2 chains, 2 erased\n"


def test_export(here: Path) -> None:
    done = audit("export", "out.jsonl")

    assert (done.exit_code, done.stderr) == (0, "5 decisions\n")
    keys = [record.key for record in wire.read_jsonl(here / "out.jsonl")]
    assert keys == ["d4.png", "d3.png", "d2.png", "d1.png", "d0.png"]
    assert audit("export", "out.jsonl").exit_code == 2
    since = json.loads((here / "out.jsonl").read_text().splitlines()[2])["decision"]["time"]
    done = audit("export", "out.jsonl", "--overwrite", "--since", since, "--until", "2100-01-01")
    assert done.stderr == "3 decisions\n"
    assert audit("export", "out.parquet").exit_code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["export", "out.txt"], "output format"),
        (["export", "out.jsonl", "--since", "yesterday"], "no time"),
        (["verify", "--expect", "nonsense"], "no head"),
        (["verify", "--database", "none.sqlite"], "there is no database"),
        (["verify", "-d", "postgresql://me:hunter2@/d?host=/nowhere/at/all"], "***"),
        (["verify", "-d", "mysql://me:hunter2@there/d"], "postgresql+psycopg://"),
    ],
)
def test_what_cannot_be_done(here: Path, words: list[str], told: str) -> None:
    done = audit(*words)

    assert done.exit_code == 2
    assert told in done.stderr
    assert "hunter2" not in done.output
    assert "Traceback" not in done.output


def test_the_database_of_the_environment(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "vedette-service.sqlite").rename(here / "moved.sqlite")
    monkeypatch.setenv("VEDETTE_DATABASE", "moved.sqlite")

    assert audit("verify").exit_code == 0


def test_a_database_without_tables_is_left_as_it_is(here: Path) -> None:
    (here / "empty.sqlite").touch()
    done = audit("verify", "-d", "empty.sqlite")

    assert (done.exit_code, "start the service" in done.stderr) == (2, True)
