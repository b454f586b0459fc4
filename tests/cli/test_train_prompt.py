"""``vedette train prompt`` as a user calls it, over tiny CLIPs, on drawn pictures of two kinds."""

from __future__ import annotations

import dataclasses
import inspect
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner
from typer.testing import Result as Ran

from vedette.cli import app
from vedette.cli.train.prompt import prompt
from vedette.train.prompt.options import PromptOptions

PICTURES = 60
"""Of each kind."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reddish and bluish blocks, each its own pattern, so that none counts as a copy."""
    root = tmp_path_factory.mktemp("set")
    rng = np.random.default_rng(0)
    for name, channel in (("Violence", 0), ("safe", 2)):
        (root / name).mkdir()
        for number in range(PICTURES):
            blocks = rng.integers(0, 160, (6, 6, 3), dtype=np.uint8)
            blocks[..., channel] += 95
            picture = Image.fromarray(blocks.repeat(8, 0).repeat(8, 1))
            picture.save(root / name / f"{number:02}.png")
    return root


def arguments(data: Path, out: Path, *more: str) -> list[str]:
    given = ["train", "prompt", str(data), "--model", "clip-b32", "--out", str(out)]
    return [*given, "--learning-rate", "0.01", "--epochs", "60", "--batch", "16", *more]


def run(*words: str) -> Ran:
    return CliRunner().invoke(app, list(words))


@pytest.fixture(scope="module")
def made(pictures: Path, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "soft"
    done = run(*arguments(pictures, out))
    assert done.exit_code == 0, done.output
    return out


def test_the_commands_defaults_are_the_librarys() -> None:
    given = inspect.signature(prompt).parameters

    for field in dataclasses.fields(PromptOptions):
        assert given[field.name].default == field.default, field.name


def test_the_folder_scans_and_tells_the_kinds_apart(
    made: Path, pictures: Path, tmp_path: Path
) -> None:
    records = tmp_path / "records.jsonl"

    done = run("scan", str(pictures), "--model", str(made), "--out", str(records), "--quiet")

    assert done.exit_code in (0, 1), done.output
    found = [json.loads(line) for line in records.read_text(encoding="utf-8").splitlines()]
    right = [
        (one["scores"]["Violence"] >= 0.5) == ("Violence" in Path(one["key"]).parts)
        for one in found
    ]
    assert len(found) == 2 * PICTURES
    assert np.mean(right) > 0.9


def test_the_account_has_the_options_the_start_and_the_nearest_tokens(made: Path) -> None:
    account = json.loads((made / "training.json").read_text(encoding="utf-8"))
    card = json.loads((made / "vedette-model.json").read_text(encoding="utf-8"))

    assert account["options"]["form"] == "coop"
    assert account["options"]["vectors"] == 8
    assert account["facts"]["started from"] == "text"
    assert len(account["facts"]["nearest tokens"]["Violence"]["unsafe"]) == 8
    assert account["history"][-1]["train loss"] < account["history"][0]["train loss"]
    assert account["trained_parameters"] == 2 * 8 * 32
    assert card["kind"] == "head"
    assert card["parts"]["backbone"] == "clip-b32"
    assert card["parts"]["head"]["form"] == "prompts"
    assert {"head.safetensors", "prompts.safetensors"} <= set(card["files"])


def test_the_same_command_gives_the_same_model(made: Path, pictures: Path, tmp_path: Path) -> None:
    done = run(*arguments(pictures, tmp_path / "again", "--quiet"))

    assert done.exit_code == 0, done.output
    for name in ("head.safetensors", "prompts.safetensors", "calibration.json"):
        mine, other = made / name, tmp_path / "again" / name
        assert mine.is_file() == other.is_file()
        if mine.is_file() and name != "calibration.json":  # which has the folder's name in it
            assert mine.read_bytes() == other.read_bytes()


def test_a_training_that_was_killed_goes_on(pictures: Path, store: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    many = ("--epochs", "300", "--batch", "128", "--init", "random")
    state = tmp_path / ".broken.training" / "prompts.state.safetensors"
    given = [sys.executable, "-m", "vedette", *arguments(pictures, broken, *many)]
    with subprocess.Popen(given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 100
        while not state.is_file() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not broken.exists()
    assert state.is_file()

    resumed = run(*arguments(pictures, broken, *many))
    undisturbed = run(*arguments(pictures, whole, *many))

    assert resumed.exit_code == undisturbed.exit_code == 0, resumed.output
    assert "going on after epoch" in resumed.stderr
    assert "going on after epoch" not in undisturbed.stderr
    for name in ("head.safetensors", "prompts.safetensors"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes()
    assert not state.exists()


def test_q16s_form_over_the_dummy_needs_no_texts(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "free"

    done = run(
        *("train", "prompt", str(pictures), "--model", "dummy", "--form", "q16"),
        *("--epochs", "5", "--patience", "2", "--out", str(out)),
    )

    assert done.exit_code == 0, done.output
    account = json.loads((out / "training.json").read_text(encoding="utf-8"))
    assert account["facts"]["started from"] == "means"
    assert not (out / "prompts.safetensors").exists()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--model", "dummy"), "dummy has no text tower"),
        (("--init", "means"), "--form q16"),
        (("--safe-text", "{name}"), "--safe-text"),
        (("--learning-rate", "0"), "learning rate"),
        (("--vectors", "23"), "lower --vectors"),
        (("--model", "clip-l15"), "clip-l14"),
    ],
)
def test_what_cannot_be_learned_is_refused_with_a_hint(
    pictures: Path, store: Path, tmp_path: Path, more: tuple[str, str], told: str
) -> None:
    out = tmp_path / "refused"

    done = run(*arguments(pictures, out, *more))

    assert done.exit_code == 2, done.output
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
