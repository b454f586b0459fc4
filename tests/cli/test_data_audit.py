"""``vedette data audit``: what it prints, writes and ends with."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.pictures import drawn, encoded, folder_of
from vedette.cli import app
from vedette.data.splits import Entry, Split, write_split

RUNNER = CliRunner()


def audit(*words: object) -> Result:
    return RUNNER.invoke(app, ["data", "audit", *map(str, words)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folder_of(tmp_path / "in", 12)


def test_a_sound_folder(folder: Path) -> None:
    done = audit(folder)

    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("12 images: 0 safe, 0 unsafe, 12 unlabelled\n")
    assert "nothing found" in done.stdout
    assert "not judged      labels: no image has a label" in done.stdout
    assert "files" in done.stderr


def test_a_folder_with_defects(folder: Path, tmp_path: Path) -> None:
    folder.joinpath("copy.png").write_bytes(folder.joinpath("0003.png").read_bytes())
    folder.joinpath("near.jpg").write_bytes(encoded(drawn(5, 40, 30).resize((80, 60)), "JPEG"))
    out, page = tmp_path / "a.json", tmp_path / "a.html"
    done = audit(folder, "--json", out, "--html", page)

    assert done.exit_code == 1, done.output
    assert "duplicates      1 image with the bytes of another" in done.stdout
    assert "near duplicates 1 image that look" in done.stdout
    assert "-> keep one of each" in done.stdout
    told = json.loads(out.read_text(encoding="ascii"))
    assert told["duplicates"]["exact_extra"] == 1
    assert [finding["kind"] for finding in told["findings"]] == ["duplicates", "near duplicates"]
    assert "copy.png" in page.read_text(encoding="utf-8")


def test_what_cannot_be_read_decides_the_status(folder: Path) -> None:
    folder.joinpath("b\x1b[2J.png").write_bytes(b"no picture")
    done = audit(folder)

    assert done.exit_code == 3
    assert "[unsupported_format]" in done.stdout
    assert "\x1b" not in done.stdout
    assert "\\x1b[2J.png: the content is of no format that we know" in done.stdout


def test_a_leak_by_a_split_file_is_told_first(folder: Path, tmp_path: Path) -> None:
    folder.joinpath("copy.png").write_bytes(folder.joinpath("0003.png").read_bytes())
    keys = sorted(str(path) for path in folder.iterdir())
    parts = {"train": 0.9, "test": 0.1}
    entries = [Entry(k, "0" * 64, k, "test" if "copy" in k else "train") for k in keys]
    write_split(tmp_path / "split", Split(parts, 0, None, tuple(entries)))
    done = audit(folder, "--split", tmp_path / "split")

    assert done.exit_code == 1
    assert done.stdout.splitlines()[1].startswith("leakage         1 picture in both ")
    assert f"test: {folder}/copy.png" in done.stdout


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["nowhere"], "not_found"),
        (["in", "--format", "fils"], "unknown_name"),
        (["in", "--json", "no/a.json"], "write_failed"),
        (["in", "--json", "a", "--html", "a"], "usage"),
        (["in", "--json", "in/0001.png"], "output_exists"),
        (["in", "--embeddings", "nowhere"], "usage"),
        (["in", "--split", "nowhere"], "not_found"),
        (["in", "--labels", "0=nothing"], "usage"),
        (["in", "--config", "nowhere.toml"], "bad_settings"),
    ],
)
def test_wrong_usage_has_its_code(
    words: list[str], code: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    done = audit(*words)

    assert done.exit_code == 2, done.output
    assert f"[{code}]" in done.stderr
    assert done.stdout == ""


def test_outputs_are_replaced_on_request(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.json"
    out.write_text("mine")

    assert audit(folder, "--json", out).exit_code == 2
    assert out.read_text() == "mine"
    assert audit(folder, "--json", out, "--overwrite").exit_code == 0
    assert json.loads(out.read_text())["reading"]["images"] == 12
    assert not list(tmp_path.glob(".*"))
    assert stat.S_ISREG(out.stat().st_mode)


def test_a_stand_in_is_named_wherever_its_numbers_are(tmp_path: Path) -> None:
    page, out = tmp_path / "a.html", tmp_path / "a.json"
    done = audit("synth:unsafebench?scale=0.003&size=48", "--html", page, "--json", out)

    notice = "stand-in: drawn pictures, not UnsafeBench"
    assert done.stdout.startswith(f"{notice}\n30 images")
    assert notice in page.read_text(encoding="utf-8")
    assert json.loads(out.read_text(encoding="ascii"))["reading"]["stand_ins"] == 30
    checked = RUNNER.invoke(
        app, ["data", "check-labels", "synth:unsafebench?scale=0.003&size=48", "--model", "dummy"]
    )
    assert checked.stdout.startswith(notice)
