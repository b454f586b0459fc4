"""``vedette lists``: import, show, check, in words only."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.hashlists.made import hash_of, passed_on, png
from vedette.cli import app
from vedette.hashlists.entries import Match


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VEDETTE_CONFIG", raising=False)


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["lists", *words])


def imported(*more: str) -> Result:
    rows = [
        {"type": "pdq", "hash": hash_of(png(1), Match.PDQ).hex(), "id": "case 1"},
        {"type": "sha256", "hash": sha256(png(2)).hexdigest(), "id": "case\x1b 2"},
        {"type": "md5", "hash": "0" * 32},
    ]
    Path("given.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = ["given.jsonl", "--name", "ours", "--kind", "quarantine", "--out", "lists"]
    return run("import", *words, *more)


def test_a_list_is_imported_shown_and_asked() -> None:
    done = imported()
    assert (done.exit_code, done.stderr) == (0, "given.jsonl: left out 1: md5\n")
    assert done.stdout == (
        "lists/ours.quarantine.pdq.hashlist  1 entries\n"
        "lists/ours.quarantine.sha256.hashlist  1 entries\n"
    )

    shown = run("show", "lists")
    assert shown.exit_code == 0
    assert shown.stderr == "2 lists, 2 entries\n"
    assert [line.split()[:4] for line in shown.stdout.splitlines()] == [
        ["quarantine", "pdq", "1", "ours"],
        ["quarantine", "sha256", "1", "ours"],
    ]

    Path("a.jpg").write_bytes(passed_on(1))
    Path("b.png").write_bytes(png(2))
    Path("c.png").write_bytes(png(3))
    asked = run("check", "a.jpg", "b.png", "c.png", "--lists", "lists")
    first, second, third = asked.stdout.splitlines()
    assert asked.exit_code == 1
    assert first.startswith("quarantine  a.jpg  ours (pdq, ")
    assert first.endswith(" bits)  case 1")
    assert second == "quarantine  b.png  ours (sha256)  case\\x1b 2"
    assert third == "none        c.png"
    assert run("check", "c.png", "--lists", "lists").exit_code == 0


def test_what_cannot_be_checked_says_so() -> None:
    imported()
    Path("text.png").write_bytes(b"no picture")
    asked = run("check", "text.png", "none.png", "--lists", "lists")

    assert asked.exit_code == 3
    assert [line.split()[:3] for line in asked.stdout.splitlines()] == [
        ["unchecked", "text.png", "unsupported_format"],
        ["unchecked", "none.png", "not_found"],
    ]


def test_the_services_lists_are_taken_from_its_settings() -> None:
    imported()
    Path("c.png").write_bytes(png(3))
    Path("vedette.toml").write_text('[serve]\nlists = ["lists"]\n')

    assert run("show", "--config", "vedette.toml").stderr == "2 lists, 2 entries\n"
    assert run("check", "c.png", "--config", "vedette.toml").exit_code == 0
    missing = run("show")
    assert missing.exit_code == 2
    assert "no hash lists are named" in missing.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--overwrite", "--name", "../x"), "cannot be the name of a list"),
        (("--kind", "quarantined"), "did you mean 'quarantine'?"),
        (("--match", "md5"), "known: pdq, sha256"),
        ((), "[output_exists]"),
    ],
)
def test_wrong_calls_are_told(words: tuple[str, ...], message: str) -> None:
    imported()
    done = imported(*words)

    assert done.exit_code == 2
    assert message in done.stderr


def test_a_line_that_cannot_be_read_stores_nothing() -> None:
    Path("bad.txt").write_text(f"{'a' * 64}\nnonsense\n")
    done = run(
        "import", "bad.txt", "--name", "x", "--kind", "block", "--match", "pdq", "--out", "lists"
    )

    assert done.exit_code == 2
    assert "bad.txt line 2" in done.stderr
    assert "[bad_list]" in done.stderr
    assert not Path("lists").exists()


def test_a_list_is_replaced_if_asked() -> None:
    imported()

    assert imported("--overwrite").exit_code == 0
    assert imported("--overwrite", "--kind", "block").exit_code == 0
    assert sorted(path.name for path in Path("lists").iterdir()) == [
        "ours.block.pdq.hashlist",
        "ours.block.sha256.hashlist",
    ]
