"""The program as a user runs it: output, exit status, one-line errors."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pictures import drawn, encoded, folder_of

LOW = """
name = "low"
version = 1
[categories]
Hate = { review = 0.01 }
"""
HIGH = """
name = "high"
version = 1
[categories]
Hate = { review = 1.0 }
"""


def vedette(
    *args: str | Path,
    cwd: Path | None = None,
    stdin: bytes = b"",
    environ: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "vedette", *map(str, args)],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        env={**os.environ, **(environ or {})},
        timeout=120,
        check=False,
    )
    out, err = done.stdout.decode("utf-8"), done.stderr.decode("utf-8")
    assert "Traceback" not in err, err
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder_of(tmp_path / "pictures", 3)
    (tmp_path / "low.toml").write_text(LOW)
    (tmp_path / "high.toml").write_text(HIGH)
    return tmp_path


def scan(place: Path, *args: str | Path) -> subprocess.CompletedProcess[str]:
    return vedette("scan", "pictures", "--model", "dummy", *args, cwd=place)


def test_exit_status_tells_the_outcome(place: Path) -> None:
    assert scan(place, "--policy", "high.toml").returncode == 0
    assert scan(place, "--policy", "low.toml").returncode == 1
    (place / "pictures" / "text.jpg").write_text("not a picture")
    both = scan(place, "--policy", "low.toml")
    assert both.returncode == 3
    assert "unsupported_format" in both.stdout


def test_flagged_items_on_stdout_and_summary_on_stderr(place: Path) -> None:
    done = scan(place, "--policy", "low.toml")
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["review", f"pictures/{number:04d}.png"] for number in range(3)
    ]
    assert ">= 0.01" in lines[0]
    assert "review" in done.stderr
    assert "files/s, numpy fp32" in done.stderr


def test_json_is_records_only(place: Path) -> None:
    done = scan(place, "--json")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["key"] for r in records] == [f"pictures/{n:04d}.png" for n in range(3)]
    assert done.stderr == ""


def test_quiet_prints_nothing(place: Path) -> None:
    done = scan(place, "--quiet", "--policy", "low.toml")
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 1)


def test_a_list_on_stdin(place: Path) -> None:
    for names in (
        b"pictures/0001.png\npictures/0000.png\n",
        b"pictures/0001.png\0pictures/0000.png\0",
    ):
        done = vedette("scan", "-", "-m", "dummy", "--json", cwd=place, stdin=names)
        keys = [json.loads(line)["key"] for line in done.stdout.splitlines()]
        assert keys == ["pictures/0001.png", "pictures/0000.png"]


def test_exclude(place: Path) -> None:
    done = scan(place, "--json", "--exclude", "*1.png")
    assert len(done.stdout.splitlines()) == 2


def test_a_missing_path_is_a_record_and_the_rest_goes_on(place: Path) -> None:
    done = vedette("scan", "gone.png", "pictures", "-m", "dummy", "--json", cwd=place)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(records) == 4
    assert records[0]["failure"]["code"] == "not_found"
    assert records[0]["action"] == "review"
    assert done.returncode == 3


def test_file_names_cannot_drive_the_terminal(place: Path) -> None:
    (place / "pictures" / "a\x1b[2J\nb.png").write_bytes(encoded(drawn(1)))
    done = scan(place, "--policy", "low.toml")
    assert "\x1b" not in done.stdout
    assert "a\\x1b[2J\\nb.png" in done.stdout
    assert len(done.stdout.splitlines()) == 4


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--model", "dumy"], "did you mean 'dummy'?"),
        (["--policy", "strickt"], "did you mean 'strict'?"),
        (["--policy", "missing.toml"], "cannot read missing.toml"),
        (["--backend", "onx"], "did you mean 'onnx'?"),
        (["--out", "r.xls"], "unknown output format"),
        (["--out", "no/such/r.jsonl"], "write_failed"),
        (["--config", "missing.toml"], "cannot read settings"),
        (["--model", "nudenet", "--precision", "int4"], "unknown precision"),
    ],
)
def test_errors_are_one_line_with_a_hint(place: Path, args: list[str], says: str) -> None:
    done = scan(place, *args)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")
    assert " - " in done.stderr


def test_wrong_usage() -> None:
    assert vedette("scan").returncode == 2
    assert vedette("scna").returncode == 2
    assert vedette("--version").stdout.startswith("vedette 0.")


def test_a_closed_pipe_is_no_error(place: Path) -> None:
    folder_of(place / "pictures", 300)
    command = f"{sys.executable} -m vedette scan pictures -m dummy --json | head -n 1"
    command = f"set -o pipefail; {command}"
    done = subprocess.run(["bash", "-c", command], cwd=place, capture_output=True, check=False)
    assert done.stdout.count(b"\n") == 1
    assert done.returncode == 141, "what was not scanned must not look like all allowed"
    assert b"Traceback" not in done.stderr
    assert b"defect" not in done.stderr


def test_settings_file_and_environment(place: Path) -> None:
    (place / "vedette.toml").write_text('model = "dummy"\n[limits]\npixels = 100\n')
    for args, environ in (
        (["--config", "vedette.toml"], {}),
        ([], {"VEDETTE_CONFIG": "vedette.toml"}),
    ):
        done = vedette("scan", "pictures", "--json", *args, cwd=place, environ=environ)
        codes = [json.loads(line)["failure"]["code"] for line in done.stdout.splitlines()]
        assert codes == ["too_many_pixels"] * 3


def test_decide_again_without_a_model(place: Path) -> None:
    scan(place, "--policy", "high.toml", "--out", "r.jsonl", "-q")
    done = vedette("decide", "r.jsonl", "-p", "low.toml", "-o", "again.jsonl", cwd=place)
    assert done.returncode == 1
    assert "3 records under low@1: 3 review; 3 changed" in done.stderr
    assert done.stdout.count("allow -> review") == 3
    again = [json.loads(line) for line in (place / "again.jsonl").read_text().splitlines()]
    assert {r["policy"] for r in again} == {"low@1"}
    back = vedette("decide", "again.jsonl", "-p", "high.toml", "-o", "back.jsonl", cwd=place)
    assert back.returncode == 0
    assert (place / "back.jsonl").read_bytes() == (place / "r.jsonl").read_bytes()
    refused = vedette("decide", "r.jsonl", "-p", "low.toml", "-o", "again.jsonl", cwd=place)
    assert refused.returncode == 2
    assert "output_exists" in refused.stderr


def test_decide_on_a_broken_file(place: Path) -> None:
    (place / "r.jsonl").write_text("{}\n")
    done = vedette("decide", "r.jsonl", "-p", "strict", cwd=place)
    assert done.returncode == 2
    assert "r.jsonl, line 1" in done.stderr
    assert vedette("decide", "gone.jsonl", "-p", "strict", cwd=place).returncode == 2


def test_report_from_stored_records(place: Path) -> None:
    scan(place, "--policy", "low.toml", "--out", "r.jsonl", "-q")
    done = vedette("report", "r.jsonl", "--html", "r.html", "--out", "r.csv", cwd=place)
    assert done.returncode == 0, done.stderr
    page = (place / "r.html").read_text()
    assert page.count("data:image/jpeg;base64") == 3
    assert len((place / "r.csv").read_text().splitlines()) == 4
    plain = vedette("report", "r.jsonl", "--html", "p.html", "--no-thumbnails", cwd=place)
    assert plain.returncode == 0
    assert "data:image" not in (place / "p.html").read_text()
    assert vedette("report", "r.jsonl", cwd=place).returncode == 2


def test_policy_commands(place: Path) -> None:
    assert "strict@1" in vedette("policy", "list").stdout
    assert "Sexual" in vedette("policy", "show", "children").stdout
    good = vedette("policy", "check", "low.toml", cwd=place)
    assert (good.returncode, good.stdout) == (
        0,
        "ok: low@1, 1 categories in scope, 0 region rules\n",
    )
    (place / "bad.toml").write_text(LOW.replace("Hate", "Haet"))
    bad = vedette("policy", "check", "bad.toml", cwd=place)
    assert bad.returncode == 2
    assert "did you mean 'Hate'?" in bad.stderr


def test_models_commands() -> None:
    listed = vedette("models", "list").stdout
    names = [line.split()[0] for line in listed.splitlines()]
    assert {"dummy", "nudenet", "nudenet-compatible"} <= set(names)
    shown = vedette("models", "show", "nudenet").stdout
    assert "AGPL-3.0" in shown
    assert "MIT" in shown


def test_quarantine_and_censor(place: Path) -> None:
    (place / "block.toml").write_text(LOW.replace("review", "block"))
    done = scan(place, "--policy", "block.toml", "--quarantine", "jail", "--out", "r.jsonl")
    assert done.returncode == 1
    assert sorted(p.name for p in (place / "jail" / "pictures").iterdir()) == [
        f"{n:04d}.png" for n in range(3)
    ]
    assert list((place / "pictures").iterdir()) == []
    assert "3 moved to jail" in done.stderr
    # Moved and then resumed: the Records stay, nothing is lost or scanned twice.
    again = scan(
        place, "--policy", "block.toml", "--quarantine", "jail", "--out", "r.jsonl", "--resume"
    )
    assert again.returncode == 1
    assert len((place / "r.jsonl").read_text().splitlines()) == 3


def test_hardened_gives_the_same_records(place: Path) -> None:
    def records(*args: str) -> list[dict[str, object]]:
        out = [json.loads(line) for line in scan(place, "--json", *args).stdout.splitlines()]
        for record in out:
            del record["times_ms"]
        return out

    assert records("--hardened") == records()


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
def test_progress_goes_to_the_terminal_and_results_to_the_pipe(place: Path) -> None:
    folder_of(place / "pictures", 400)
    terminal, theirs = pty.openpty()
    command = [sys.executable, "-m", "vedette", "scan", "pictures", "-m", "dummy", "-p", "low.toml"]
    process = subprocess.Popen(
        command,
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(theirs)
    shown = b""
    with process, os.fdopen(terminal, "rb", buffering=0) as screen:
        assert process.stdout is not None
        results = process.stdout.read()
        try:
            while part := screen.read(4096):
                shown += part
        except OSError:  # how Linux says that the other side has closed
            pass
    assert process.wait() == 1
    assert results.count(b"review  pictures/") == 400
    assert b"scanning" in shown
    assert b"/400" in shown
    assert b"Traceback" not in shown
    assert b"defect" not in shown


@pytest.mark.parametrize("option", ["--quarantine", "--censor"])
def test_a_folder_for_copies_that_is_the_pictures_own_is_refused(place: Path, option: str) -> None:
    done = scan(place, "--policy", "low.toml", option, ".")
    assert done.returncode == 2
    assert "is where the pictures are" in done.stderr
    assert len(list((place / "pictures").iterdir())) == 3


def test_a_closed_stdin_is_a_usage_error(place: Path) -> None:
    command = f"{sys.executable} -m vedette scan - -m dummy <&-"
    done = subprocess.run(["bash", "-c", command], cwd=place, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"standard input" in done.stderr


def test_stored_records_are_not_written_to_an_impossible_place(place: Path) -> None:
    scan(place, "--out", "r.jsonl", "-q")
    for args in (
        ["decide", "r.jsonl", "-p", "strict", "-o", "no/such/again.jsonl"],
        ["report", "r.jsonl", "--html", "pictures"],
        ["report", "r.jsonl", "--out", "x.csv", "--out", "x.csv"],
    ):
        done = vedette(*args, cwd=place)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "Traceback" not in done.stderr
    assert not (place / "x.csv").exists()


def test_decide_fails_closed_on_what_nobody_looked_for(place: Path) -> None:
    """Records of a model that sees one category, under a policy about another."""
    scan(place, "--model", "nudenet", "--policy", "default", "--out", "r.jsonl", "-q")
    for rule in (
        "[categories]\nSpam = {review = 0.9}",
        '[regions]\nX = {category = "Spam", block = 1}',
    ):
        (place / "other.toml").write_text(f'name = "other"\nversion = 1\n{rule}\n')
        done = vedette("decide", "r.jsonl", "-p", "other.toml", cwd=place)
        assert done.returncode == 1
        assert "3 records under other@1: 3 review" in done.stderr
