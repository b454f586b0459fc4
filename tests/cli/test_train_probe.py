"""``vedette train probe`` and ``mlp`` as a user runs them: from a set to a model that scans."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.pictures import folder_of
from vedette.cli import app

SET = "synth:0.02"
COMMON = (SET, "--model", "dummy", "--quiet")


def vedette(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def card_of(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((folder / "vedette-model.json").read_bytes())
    return told


def revision(folder: Path) -> str:
    return str(card_of(folder)["revision"])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Embeddings that the first training makes, and the others find."""
    return tmp_path_factory.mktemp("store") / "embeddings"


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory, store: Path) -> tuple[object, ...]:
    """The same set as a folder of embeddings: nothing is drawn, and nothing decoded."""
    out = tmp_path_factory.mktemp("embedded") / "set"
    done = vedette("embed", SET, "--model", "dummy", "--store", store, "--out", out)
    assert done.exit_code == 0, done.output
    return (out, *COMMON[1:])


@pytest.fixture(scope="module")
def mlp(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Path:
    out = tmp_path_factory.mktemp("mlp") / "mine"
    done = vedette("train", "mlp", *COMMON, "--store", store, "--epochs", 3, "--out", out)
    assert done.exit_code == 0, done.output
    return out


def test_a_folder_scans(mlp: Path, tmp_path: Path) -> None:
    out = tmp_path / "records.jsonl"

    done = vedette("scan", folder_of(tmp_path / "in", 3), "--model", mlp, "--out", out)

    assert done.exit_code in (0, 1), done.output  # 1: some are not allowed
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(records) == 3
    for record in records:
        assert record["failure"] is None
        assert record["models"] == [f"mine@{revision(mlp)}"]
        assert set(record["scores"]) == set(card_of(mlp)["labels"])


def test_the_same_seed_gives_the_same_model(mlp: Path, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"

    done = vedette("train", "mlp", *COMMON, "--store", store, "--epochs", 3, "--out", out)

    assert done.exit_code == 0, done.output
    assert revision(out) == revision(mlp)


def test_the_account_has_what_was_asked_and_what_was_seen(
    embedded: tuple[object, ...], tmp_path: Path
) -> None:
    out = tmp_path / "mine"
    done = vedette(
        *("train", "mlp", *embedded, "--out", out, "--epochs", 4, "--hidden", 32),
        *("--patience", 1, "--class-weights", "balanced", "--multi-label", "--unit", "--folds", 2),
        *("--precision", "bf16", "--batch", 64, "--learning-rate", 1e-3, "--weight-decay", 0.01),
    )

    assert done.exit_code == 0, done.output
    told = json.loads((out / "training.json").read_bytes())
    assert told["options"] == {
        "hidden": 32,
        "epochs": 4,
        "batch": 64,
        "learning_rate": 1e-3,
        "weight_decay": 0.01,
        "class_weights": "balanced",
        "patience": 1,
        "precision": "bf16",
        "seed": 7,
        "multi_label": True,
        "unit": True,
        "folds": 2,
    }
    assert told["facts"]["folds"]["count"] == 2
    assert card_of(out)["parts"]["head"]["unit"] is True


def test_logistic_regression_is_a_folder_too(embedded: tuple[object, ...], tmp_path: Path) -> None:
    out = tmp_path / "mine"

    done = vedette("train", "probe", *embedded, "--out", out, "--c", "0.1")

    assert done.exit_code == 0, done.output
    assert "logistic regression over dummy" in card_of(out)["summary"]
    assert vedette("scan", folder_of(tmp_path / "in", 1), "--model", out).exit_code in (0, 1)


def test_a_loss_that_is_no_number_leaves_nothing_behind(
    embedded: tuple[object, ...], tmp_path: Path
) -> None:
    done = vedette(
        *("train", "mlp", *embedded, "--out", tmp_path / "mine", "--learning-rate", "1e30")
    )

    assert done.exit_code == 2
    assert "is no number" in done.output
    assert "--learning-rate" in done.output
    assert not list(tmp_path.iterdir())


def test_the_same_command_goes_on_after_a_kill(
    embedded: tuple[object, ...], tmp_path: Path
) -> None:
    asked = ("train", "mlp", *embedded, "--epochs", 400, "--hidden", 64)
    out = tmp_path / "killed" / "mine"
    command = [sys.executable, "-m", "vedette", *map(str, (*asked, "--out", out))]
    process = subprocess.Popen(command)
    until = time.monotonic() + 100
    checkpoint = out.parent / ".mine.training" / "probe.safetensors"
    while not checkpoint.exists() and time.monotonic() < until and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert checkpoint.exists()
    assert not out.exists()

    again = CliRunner().invoke(app, [arg for arg in command[3:] if arg != "--quiet"])
    whole = vedette(*asked, "--out", tmp_path / "whole" / "mine")

    assert again.exit_code == whole.exit_code == 0, again.output + whole.output
    assert "going on where an earlier run" in again.output
    assert revision(out) == revision(tmp_path / "whole" / "mine")
    assert [path.name for path in out.parent.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    "wrong",
    [
        ("mlp", "--learning-rate", "0"),
        ("mlp", "--learning-rate", "nan"),
        ("mlp", "--weight-decay", "inf"),
        ("probe", "--c", "-1"),
        ("mlp", "--folds", "1"),
    ],
    ids=" ".join,
)
def test_options_that_make_no_sense_are_refused(wrong: tuple[str, ...], tmp_path: Path) -> None:
    name, *rest = wrong
    done = vedette("train", name, SET, "--model", "dummy", "--out", tmp_path / "mine", *rest)

    assert done.exit_code == 2
    assert "Traceback" not in done.output
    assert not list(tmp_path.iterdir())
