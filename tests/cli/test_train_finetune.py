"""``vedette train finetune`` as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner, Result

from tests import zoo
from tests.train.finetune import sets
from vedette.cli import app

FAST = ("--stages", "all:2", "--calibration", "none", "--augment", "none", "--batch", "16", "-q")


def vedette(*args: object) -> Result:
    return CliRunner().invoke(app, [*map(str, args)])


def command(data: str, out: Path, *more: object) -> list[str]:
    start = ("--model", "scratch:vit-mini")
    return [*map(str, ("train", "finetune", data, *start, "--out", out, *FAST, *more))]


SYNTH = "synth:0.02"


@pytest.fixture(scope="module")
def coloured(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Class folders of small pictures: quicker to read than the stand-in set is to draw."""
    root = tmp_path_factory.mktemp("coloured")
    for item in sets.items():
        part, _, name = item.key.partition("/")
        folder = root / part / name.rpartition("-")[0].replace("None", "safe")
        folder.mkdir(parents=True, exist_ok=True)
        assert isinstance(item.data, bytes)
        (folder / f"{name}.png").write_bytes(item.data)
    return str(root)


def test_from_the_command_line_to_a_model(tmp_path: Path) -> None:
    out, logs = tmp_path / "model", tmp_path / "logs"
    done = vedette(*command(SYNTH, out, "--tensorboard", logs))

    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("unsafe F1")
    account = json.loads((out / "training.json").read_text())
    assert account["options"]["trainer"] == "finetune"
    assert account["options"]["stages"] == ["all:2"]
    assert account["base"] == "scratch:vit-mini@1"
    assert len(account["history"]) == 2
    assert 0 <= account["history"][0]["waiting share"] <= 1
    read = EventAccumulator(str(logs))
    read.Reload()
    assert {"train loss", "validation loss"} <= set(read.Tags()["scalars"])
    assert [e.step for e in read.Scalars("train loss")] == [1000, 2000]
    assert not list(tmp_path.glob(".model*"))

    shown = vedette("models", "show", out)
    assert shown.exit_code == 0, shown.output
    assert "scratch:vit-mini" in shown.stdout
    again = vedette(*command(SYNTH, out))
    assert again.exit_code == 2
    assert "already there" in again.output


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--stages", "tail:1"), "no stage"),
        (("--adversarial-eps", "2"), "no budget"),
        (("--layer-decay", "2"), "--layer-decay"),
        (("--model", "dummy"), "cannot be fine-tuned"),
        (("--model", "scratch:vit-huge"), "unknown start"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(
    more: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    done = vedette(*command("no-such-set", tmp_path / "model", *more))

    assert done.exit_code == 2
    assert told in done.output
    assert not list(tmp_path.iterdir())


def test_terms_of_the_start_are_looked_at_first(tmp_path: Path) -> None:
    start, strict = zoo.vit(tmp_path / "start", ["normal", "nsfw"]), tmp_path / "strict.toml"
    strict.write_text("commercial = true\n")
    more = ("--model", start, "--config", strict)
    done = vedette(*command("no-such-set", tmp_path / "model", *more))

    assert done.exit_code == 2
    assert "[terms_refused]" in done.output
    assert not (tmp_path / "model").exists()


def test_a_failed_training_leaves_nothing(coloured: str, tmp_path: Path) -> None:
    more = ("--learning-rate", "1000", "--clip", "1e9", "--warmup", "0")
    done = vedette(*command(coloured, tmp_path / "model", *more))

    assert done.exit_code != 0
    assert "lower --learning-rate" in done.output
    assert not list(tmp_path.iterdir())


def test_killed_and_called_again_it_ends_as_if_nothing_had_been(
    coloured: str, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "a" / "model", tmp_path / "b" / "model"
    more = ("--checkpoint-steps", "2", "--stages", "all:6")
    whole.parent.mkdir()
    killed.parent.mkdir()
    assert vedette(*command(coloured, whole, *more)).exit_code == 0

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-m", "vedette", *command(coloured, killed, *more)]
    process = subprocess.Popen(arguments, env=environment)
    checkpoint = killed.parent / ".model.training" / "checkpoint.json"
    until = time.monotonic() + 120
    while not checkpoint.is_file() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL, "it was done before it was killed"
    assert not killed.exists()
    assert checkpoint.is_file()

    resumed = vedette(*[one for one in command(coloured, killed, *more) if one != "-q"])
    assert resumed.exit_code == 0, resumed.output
    assert "going on after" in resumed.output
    one, other = (json.loads((out / "training.json").read_text()) for out in (whole, killed))
    for before, after in zip(one["history"], other["history"], strict=True):
        for name in ("train loss", "validation loss", "validation F1"):
            assert after[name] == pytest.approx(before[name], rel=1e-3, abs=1e-4)
    assert one["metrics"]["macro_f1"] == pytest.approx(other["metrics"]["macro_f1"], abs=1e-3)
    assert not checkpoint.exists()


def test_two_processes_train_one_model(coloured: str, tmp_path: Path) -> None:
    out = tmp_path / "model"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
            *("--standalone", "-m", "vedette"),
            *command(coloured, out),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    one = tmp_path / "one" / "model"
    one.parent.mkdir()
    assert vedette(*command(coloured, one)).exit_code == 0
    several, alone = (json.loads((f / "training.json").read_text()) for f in (out, one))
    # The same batches and the same mean: the same training but for the order of sums.
    for first, second in zip(several["history"], alone["history"], strict=True):
        assert first["train loss"] == pytest.approx(second["train loss"], rel=1e-3)
        assert first["validation loss"] == pytest.approx(second["validation loss"], rel=1e-3)
    assert not list(tmp_path.glob(".model*"))
