"""``vedette train distill``, from unlabelled pictures to a student for the edge."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.train.distill.pupils import TASTE, account, picture, pictures, teacher
from vedette import Scanner
from vedette.bench.fingerprints import FILE
from vedette.cli import app
from vedette.models.base import ModelOptions
from vedette.models.registry import build, get

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
N = 160


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher, and pictures without labels."""
    folder = tmp_path_factory.mktemp("distill")
    teacher(folder / "teacher")
    pictures(folder / "photos", N)
    return folder


def command(place: Path, out: Path, *more: str, epochs: int = 6) -> list[str]:
    fixed = ["--student", "vit-mini", "--epochs", str(epochs), "--batch", "16"]
    fixed += ["--temperature", "1.5", "--learning-rate", "1e-3", "--augment", "none"]
    given = [str(place / "photos"), "--teacher", str(place / "teacher"), "--out", str(out)]
    return ["train", "distill", *given, *fixed, *more]


@pytest.fixture(scope="module")
def student(place: Path) -> Path:
    out = place / "student"
    made = CliRunner().invoke(app, command(place, out, "--int8", "--max-drift", "0.9"))
    assert made.exit_code == 0, made.output
    assert "int8: probabilities moved by at most" in made.output
    return out


def test_the_student_decides_as_its_teacher(student: Path) -> None:
    told = account(student)
    facts = told["facts"]
    assert isinstance(facts, dict)
    found = facts["agreement"]

    assert found["part"] == "test"
    assert found["images"] == pytest.approx(N / 5, abs=5)
    assert found["kappa"] > 0.7
    assert found["mean_distance"] < 0.2
    for label in ("Violence", "Sexual"):
        assert found["labels"][label]["equal_decisions"] > 0.8
        assert 0.1 < found["labels"][label]["teacher_flags"] < 0.7
    caveats = told["caveats"]
    assert isinstance(caveats, list)
    assert "teacher-labels" in [one["code"] for one in caveats]
    metrics = told["metrics"]
    assert isinstance(metrics, dict)
    assert metrics["overall"]["f1"]["value"] > 0.8


def test_the_folder_is_a_model_with_the_teachers_terms(place: Path, student: Path) -> None:
    card = get(str(student)).card
    assert card.covered == TASTE
    assert "learned from teacher" in card.summary
    assert get(str(place / "teacher")).card.licence in card.licence
    known = [(name / FILE).read_bytes() for name in (student, place / "student-int8")]
    assert known[0] == known[1], "a benchmark tells an overlap of either"
    fresh = [np.asarray(picture(seed)) for seed in range(1000, 1040)]
    decided = []
    for name in (place / "teacher", student, place / "student-int8"):
        with Scanner(build(str(name), ModelOptions())) as scanner:
            found = [scanner.scan(pixels).scores for pixels in fresh]
        decided.append([max(one.as_dict().values()) >= 0.5 for one in found if one is not None])

    assert np.mean(np.equal(decided[0], decided[1])) > 0.8
    assert np.mean(np.equal(decided[1], decided[2])) > 0.8


def test_a_run_that_is_killed_goes_on_and_asks_nothing_twice(place: Path, student: Path) -> None:
    out = place / "killed"
    state = place / ".killed.training"
    code = "from vedette.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *command(place, out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # With as many threads as the run that it is compared with: sums round by their order.
        env=dict(os.environ),
    )
    deadline = time.monotonic() + 120
    while not (state / "checkpoint.json").exists():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (journal,) = state.glob("teacher-*.jsonl")
    lines = journal.read_bytes().splitlines()
    assert len({json.loads(line)["key"] for line in lines}) == len(lines) == N

    made = CliRunner().invoke(app, command(place, out))

    assert made.exit_code == 0, made.output
    assert "going on" in made.output
    weights = [(name / "model.safetensors").read_bytes() for name in (student, out)]
    assert weights[0] == weights[1], "the same weights as of a run that was not killed"
    assert not state.exists()


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (["--teacher", "nudnet"], "unknown_name"),
        (["--student", "vit-huge"], "unknown_name"),
        (["--temperature", "0.5"], "usage"),
        (["--category", "Spam"], "usage"),
        (["--learning-rate", "1e9"], "usage"),
        (["--max-drift", "nan"], "usage"),
        (["--student", "multiheaded"], "usage"),
    ],
)
def test_what_cannot_be_done_is_told_and_leaves_nothing(
    place: Path, tmp_path: Path, more: list[str], code: str
) -> None:
    made = CliRunner().invoke(app, command(place, tmp_path / "out", *more))
    assert made.exit_code == 2, made.output
    assert f"[{code}]" in made.output
    assert list(tmp_path.iterdir()) == []


def test_terms_of_the_teacher_are_looked_at_first(place: Path, tmp_path: Path) -> None:
    (tmp_path / "strict.toml").write_text("commercial = true\n")
    config = ["--config", str(tmp_path / "strict.toml"), "--teacher", "multiheaded"]
    made = CliRunner().invoke(app, command(place, tmp_path / "out", *config))
    assert made.exit_code == 2
    assert "[terms_refused]" in made.output
    assert "looking for copies" not in made.output
    assert [path.name for path in tmp_path.iterdir()] == ["strict.toml"]


def test_the_place_of_the_int8_is_looked_at_first(place: Path, tmp_path: Path) -> None:
    (tmp_path / "out-int8").mkdir()
    (tmp_path / "out-int8" / "holiday.jpg").write_bytes(b"the only copy")
    made = CliRunner().invoke(app, command(place, tmp_path / "out", "--int8", "--overwrite"))
    assert "[output_exists]" in made.output
    assert [path.name for path in tmp_path.iterdir()] == ["out-int8"]
