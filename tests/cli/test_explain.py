"""``vedette explain`` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from typer.testing import CliRunner, Result

from tests.pictures import drawn, face
from vedette.cli import app


def vedette(*args: object) -> Result:
    return CliRunner().invoke(app, [*map(str, args)])


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    drawn(1, 120, 90).save(path)
    return path


def test_a_map_with_its_test(picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "map.png"
    done = vedette("explain", picture, "-m", "dummy", "--out", out, "--grid", 4)

    assert done.exit_code == 0, done.output
    assert "than chance" in done.output
    assert "model   dummy@1" in done.output
    with PIL.Image.open(out) as written:
        assert written.format == "PNG"
        assert min(written.size) >= 384
    again = vedette("explain", picture, "-m", "dummy", "--out", out)
    assert again.exit_code == 2
    assert "[output_exists]" in again.output


def test_json_is_one_object(picture: Path) -> None:
    done = vedette(
        *("explain", picture, "-m", "dummy", "--category", "spam"),
        *("--grid", 3, "--orders", 3, "--seed", 1, "--json"),
    )
    told = json.loads(done.stdout)

    assert told["category"] == "Spam"
    assert np.array(told["map"]["cells"]).shape == (3, 3)
    assert told["map"]["deletion"]["orders"] == 3
    assert [label["p"] for label in told["labels"]] == sorted(
        (label["p"] for label in told["labels"]), reverse=True
    )
    assert told["scores"]["Spam"] == pytest.approx(
        next(x["p"] for x in told["labels"] if x["label"] == "Spam"), abs=1e-6
    )


def test_a_detector_shows_its_regions(tmp_path: Path) -> None:
    path = tmp_path / "face.png"
    face().save(path)
    done = vedette("explain", path, "--out", tmp_path / "r.png", "--precision", "fp32")

    assert done.exit_code == 0, done.output
    assert "region  " in done.output
    assert "FACE" in done.output
    assert (tmp_path / "r.png").is_file()


@pytest.mark.parametrize(
    ("args", "status", "code"),
    [
        (["no.png", "-m", "dummy"], 3, "not_found"),
        (["broken.png", "-m", "dummy"], 3, "unsupported_format"),
        (["a.png", "-m", "dumy"], 2, "unknown_name"),
        (["a.png", "-m", "dummy", "--category", "Spum"], 2, "unknown_name"),
        (["a.png", "-m", "nudenet", "--category", "Spam"], 2, "usage"),
    ],
)
def test_errors_have_their_code(
    picture: Path, args: list[str], status: int, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (picture.parent / "broken.png").write_bytes(b"no picture")
    monkeypatch.chdir(picture.parent)
    done = vedette("explain", *args)

    assert done.exit_code == status
    assert f"[{code}]" in done.output
