"""``vedette keys``: made, listed, exchanged, ended; secrets shown once."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vedette.cli import app
from vedette.cli.keys import seconds
from vedette.errors import UsageError
from vedette.serve.database.store import open_database
from vedette.serve.keys import KeyStore
from vedette.serve.services import Caller


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VEDETTE_DATABASE", raising=False)


def keys(*arguments: str, database: str = "keys.sqlite") -> Result:
    return CliRunner().invoke(app, ["keys", *arguments, "--database", database])


def caller(key: str, database: str = "keys.sqlite") -> Caller | None:
    engine = open_database(database, create=False)
    store = KeyStore(engine)
    try:
        return store.caller(key)
    finally:
        store.close()
        engine.dispose()


def created(*more: str) -> str:
    made = keys("create", "--name", "a platform", "--scope", "scan", *more)
    assert made.exit_code == 0, made.output
    return made.stdout.strip()


def test_a_key_is_printed_alone_and_opens_the_service() -> None:
    made = keys("create", "--name", "a", "--scope", "scan", "--scope", "jobs", "--rate", "2.5")
    key = made.stdout.strip()
    found = caller(key)

    assert made.stdout == f"{key}\n"
    assert "not shown again" in made.stderr
    assert key[17:] not in made.stderr
    assert found is not None
    assert (sorted(found.scopes), found.rate) == (["jobs", "scan"], 2.5)


def test_the_list_has_no_secrets() -> None:
    key = created("--expires", "30d", "--rate", "5")
    shown = keys("list")

    assert shown.exit_code == 0
    assert key.split("_")[1] in shown.stdout
    assert all(part in shown.stdout for part in ("valid", "scan", "a platform", "until", "5/s"))
    assert key[17:] not in shown.output
    assert "1 keys" in shown.stderr


def test_a_key_is_exchanged() -> None:
    old = created()
    made = keys("rotate", old.split("_")[1], "--grace", "0s", "--expires", "2w")
    new = made.stdout.strip()

    assert made.exit_code == 0
    assert caller(old) is None
    assert caller(new) is not None
    assert f"replaces {old.split('_')[1]}" in keys("list").stdout


def test_the_old_key_has_a_day_by_default() -> None:
    old = created()
    keys("rotate", old.split("_")[1])

    assert caller(old) is not None


def test_a_key_is_ended() -> None:
    key = created()
    ended = keys("revoke", key.split("_")[1])

    assert ended.exit_code == 0
    assert caller(key) is None
    assert "revoked" in keys("list").stdout


def test_the_database_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    key = created()
    monkeypatch.setenv("VEDETTE_DATABASE", "keys.sqlite")
    shown = CliRunner().invoke(app, ["keys", "list"])

    assert key.split("_")[1] in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("create", "--name", "a", "--scope", "scann"), "did you mean 'scan'"),
        (("create", "--name", "", "--scope", "scan"), "name"),
        (("create", "--name", "a", "--scope", "scan", "--expires", "soon"), "30d"),
        (("create", "--name", "a", "--scope", "scan", "--expires", "0d"), "above 0"),
        (("create", "--name", "a", "--scope", "scan", "--rate", "nan"), "above 0"),
        (("revoke", "0" * 12), "no key of that id"),
        (("rotate", "0" * 12), "no key of that id"),
    ],
)
def test_mistakes_are_told(arguments: tuple[str, ...], told: str) -> None:
    created()
    run = keys(*arguments)

    assert run.exit_code == 2
    assert told in run.stderr
    assert len(keys("list").stdout.splitlines()) == 1


def test_a_whole_key_instead_of_its_id_is_not_repeated() -> None:
    key = created()
    run = keys("revoke", key)

    assert run.exit_code == 2
    assert key[17:] not in run.output


def test_only_create_makes_a_database() -> None:
    for arguments in (("list",), ("revoke", "0" * 12), ("rotate", "0" * 12)):
        run = keys(*arguments)
        assert run.exit_code == 2
        assert "no database" in run.stderr
    assert not Path("keys.sqlite").exists()


def test_a_password_in_the_address_is_not_repeated() -> None:
    run = keys("list", database="mysql://user:hunter2@host/database")

    assert run.exit_code == 2
    assert "hunter2" not in run.output


@pytest.mark.parametrize(
    ("text", "value"), [("45s", 45), ("90m", 5400), ("12h", 43_200), ("30d", 2_592_000)]
)
def test_lengths_of_time(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5d", "1y", "٣d", "9999999d"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(UsageError):
        seconds(text)
