"""What all training commands share: the terms of the set, changed data, wrong places."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from vedette.cli import app
from vedette.cli.train.common import Asked, training
from vedette.data.splits import Entry, Split, write_split
from vedette.errors import UsageError
from vedette.models.base import ModelOptions
from vedette.models.registry import build
from vedette.models.trained import REPORT, read_manifest

PICTURES = 30
"""Of each kind."""


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Reddish and bluish blocks, each its own pattern, so that none counts as a copy."""
    monkeypatch.setenv("VEDETTE_DATA", str(tmp_path / "vault"))
    rng = np.random.default_rng(0)
    for name, channel in (("Violence", 0), ("safe", 2)):
        folder = tmp_path / "set" / name
        folder.mkdir(parents=True)
        for number in range(PICTURES):
            blocks = rng.integers(0, 160, (6, 6, 3), dtype=np.uint8)
            blocks[..., channel] += 95
            Image.fromarray(blocks.repeat(8, 0).repeat(8, 1)).save(folder / f"{number:02}.png")
    return tmp_path / "set"


def vedette(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def few_shot(data: object, out: Path, *more: object) -> Result:
    return vedette(
        *("train", "few-shot", data, "--model", "dummy", "--out", out),
        *("--store", out.parent / "store", *more),
    )


@pytest.fixture
def imported(pictures: Path) -> str:
    """The same pictures in the vault, under the terms of a set that forbids commercial use."""
    given = ("--name", "one", "--set", "unsafebench", "--accept-terms")
    done = vedette("data", "import", pictures, *given)
    assert done.exit_code == 0, done.output
    return "vault:one"


@pytest.fixture
def commercial(tmp_path: Path) -> Path:
    config = tmp_path / "vedette.toml"
    config.write_text("commercial = true\n")
    return config


@pytest.mark.parametrize("more", [(), ("--set", "none")])
def test_a_set_from_the_vault_carries_its_terms(
    imported: str, tmp_path: Path, more: tuple[str, ...]
) -> None:
    done = few_shot(imported, tmp_path / "own", *more)

    assert done.exit_code == 0, done.output
    card = read_manifest(tmp_path / "own").card
    assert "UnsafeBench" in card.trained_on
    assert "no commercial use" in card.terms
    assert not card.commercial


def test_no_picture_of_the_vault_is_in_the_report(
    imported: str, pictures: Path, tmp_path: Path
) -> None:
    # Labels that no model can learn: there are mistakes to show.
    for at, path in enumerate(sorted(pictures.rglob("*.png"))):
        path.rename(pictures / ("Violence" if at % 2 else "safe") / f"x{at:02}.png")
    vedette("data", "import", pictures, "--name", "bare", "--set", "none")

    inside = few_shot("vault:bare", tmp_path / "inside")
    outside = few_shot(pictures, tmp_path / "outside")

    assert inside.exit_code == outside.exit_code == 0, inside.output + outside.output
    assert "data:image/jpeg" in (tmp_path / "outside" / REPORT).read_text(encoding="utf-8")
    assert "data:image/jpeg" not in (tmp_path / "inside" / REPORT).read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["train", "embed"])
def test_a_set_that_forbids_it_is_refused_before_it_is_read(
    imported: str, commercial: Path, tmp_path: Path, command: str
) -> None:
    out = tmp_path / "own"
    if command == "train":
        done = few_shot(imported, out, "--config", commercial)
    else:
        given = ("--model", "dummy", "--out", out, "--store", tmp_path / "store")
        done = vedette("embed", imported, *given, "--config", commercial)

    assert done.exit_code == 2
    assert "[terms_refused]" in done.output
    assert "labelled images" not in done.output
    assert not out.exists()
    assert not (tmp_path / ".own.training").exists()


def test_embeddings_of_the_vault_carry_its_terms(imported: str, tmp_path: Path) -> None:
    out = tmp_path / "embedded"

    done = vedette(
        "embed", imported, "--model", "dummy", "--out", out, "--store", tmp_path / "store"
    )

    assert done.exit_code == 0, done.output
    assert json.loads((out / "vedette-embeddings.json").read_text())["set"] == "unsafebench"
    trained = vedette("train", "few-shot", out, "--model", "dummy", "--out", tmp_path / "own")
    assert trained.exit_code == 0, trained.output
    assert "UnsafeBench" in read_manifest(tmp_path / "own").card.trained_on
    assert "warning: Only copies of one file were looked for" in trained.output


def stopped(asked: Asked) -> None:
    """A training that leaves a checkpoint when it is stopped by hand."""
    with suppress(KeyboardInterrupt), training(asked, {}) as one:
        (one.place.state / "checkpoint").write_text("x")
        raise KeyboardInterrupt


def test_the_same_command_finds_its_checkpoints(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = Asked(str(pictures), tmp_path / "own")
    stopped(asked)

    with training(asked, {}) as one:
        assert (one.place.state / "checkpoint").is_file()

    assert "going on where an earlier run" in capsys.readouterr().err


@pytest.mark.parametrize("change", ["bytes", "label"])
def test_checkpoints_of_a_set_that_has_changed_are_thrown_away(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    asked = Asked(str(pictures), tmp_path / "own")
    stopped(asked)
    first = pictures / "safe" / "00.png"
    if change == "bytes":
        Image.new("RGB", (48, 48), "green").save(first)
    else:
        first.rename(pictures / "Violence" / "zz.png")

    with training(asked, {}) as one:
        assert not (one.place.state / "checkpoint").exists()

    assert "has changed" in capsys.readouterr().err


def test_checkpoints_of_another_split_of_the_same_set_are_thrown_away(
    pictures: Path, tmp_path: Path
) -> None:
    keys = sorted(path.relative_to(pictures).as_posix() for path in pictures.rglob("*.png"))
    path = tmp_path / "split.jsonl"
    asked = Asked(str(pictures), tmp_path / "own", split=path)

    def write(turn: int) -> Split:
        entries = tuple(
            Entry(key, "0" * 64, key, "test" if at % 4 == turn else "train")
            for at, key in enumerate(keys)
        )
        made = Split({"train": 0.75, "test": 0.25}, 1, None, entries)
        write_split(path, made)
        return made

    first = write(0)
    stopped(asked)
    second = write(1)

    assert first.set_sha256 == second.set_sha256
    with training(asked, {}) as one:
        assert not (one.place.state / "checkpoint").exists()


def test_a_backbone_that_is_none_is_told_before_the_set_is_read(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEDETTE_MODELS", str(tmp_path / "none"))  # other tests put weights there
    for model in ("dumy", "adamcodd"):  # a typing error; a model whose weights are not here
        done = vedette("train", "few-shot", pictures, "--model", model, "--out", tmp_path / "own")
        assert done.exit_code == 2, done.output
        assert "labelled images" not in done.output
        assert not (tmp_path / ".own.training").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes")
def test_a_name_that_no_card_can_hold_is_refused_at_once(pictures: Path, tmp_path: Path) -> None:
    out = Path(os.fsdecode(bytes(tmp_path) + b"/b\xff"))

    with pytest.raises(UsageError, match="UTF-8"), training(Asked(str(pictures), out), {}):
        pass


def test_a_trained_folder_is_a_backbone(pictures: Path, tmp_path: Path) -> None:
    assert few_shot(pictures, tmp_path / "own").exit_code == 0

    done = vedette(
        *("train", "few-shot", pictures, "--model", tmp_path / "own"),
        *("--out", tmp_path / "next", "--store", tmp_path / "other"),
    )

    assert done.exit_code == 0, done.output
    assert build(str(tmp_path / "next"), ModelOptions()).card.needs[0].id == "own"
