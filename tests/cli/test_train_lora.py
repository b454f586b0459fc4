"""``vedette train lora``, as a user calls it, and the scope of what it made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from typer.testing import CliRunner
from typer.testing import Result as Ran

from tests import vlm_zoo
from tests.train.lora import drawn
from vedette.cli import app
from vedette.models.base import ModelOptions
from vedette.models.registry import build, get
from vedette.models.scope import parse_scope


def run(*words: object) -> Ran:
    return CliRunner().invoke(app, [str(word) for word in words])


TINY = ("--rank", 16, "--alpha", 32, "--learning-rate", 5e-3)


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vlm_zoo.llava(tmp_path_factory.mktemp("vlm") / "llava")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn.pictures(tmp_path_factory.mktemp("set") / "pictures")


@pytest.fixture(scope="module")
def folder(pictures: Path, llava: Path) -> Path:
    """A model that was trained long enough to know its colours."""
    out = pictures.parent / "colours"
    done = run("train", "lora", pictures, "-m", f"vlm:{llava}", "-o", out, *TINY, "--epochs", 5)
    assert done.exit_code == 0, done.output
    assert "unsafe F1" in done.stdout
    assert "step 40 of 40" in done.stderr
    return out


@pytest.fixture(scope="module")
def unseen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of each colour that was in no part."""
    place = tmp_path_factory.mktemp("unseen")
    for name in drawn.COLOURS:
        PIL.Image.fromarray(drawn.square(name, 10_000)).save(place / f"{name}.png")
    return place


def scanned(model: Path, pictures: Path, *more: object) -> dict[str, dict[str, Any]]:
    done = run("scan", pictures, "-m", model, "--json", *more)
    assert done.exit_code in (0, 1), done.output
    records = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {Path(record["key"]).stem: record for record in records}


def flagged(records: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    return {
        name: sorted(c for c, p in record["scores"].items() if p >= 0.5)
        for name, record in records.items()
    }


def test_each_category_is_seen_with_everything_in_scope(folder: Path, unseen: Path) -> None:
    assert flagged(scanned(folder, unseen)) == {
        "Hate": ["Hate"],
        "Violence": ["Violence"],
        "Sexual": ["Sexual"],
        "safe": [],
    }


@pytest.mark.parametrize("scope", ["Hate", "Violence,Sexual", "sexual,hate"])
def test_a_picture_is_unsafe_only_where_its_category_is_in_scope(
    folder: Path, unseen: Path, scope: str
) -> None:
    chosen = [category.value for category in parse_scope(scope)]

    records = scanned(folder, unseen, "--scope", scope)

    assert flagged(records) == {name: [name] if name in chosen else [] for name in drawn.COLOURS}
    assert all(list(record["scores"]) == chosen for record in records.values())


def test_the_scope_may_stand_in_the_settings(folder: Path, unseen: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('[scan]\nscope = "Violence"\n')

    assert list(scanned(folder, unseen, "--config", settings)["Hate"]["scores"]) == ["Violence"]


@pytest.mark.parametrize(
    ("model", "scope", "told"),
    [
        (None, "Spam", "cannot be asked about Spam"),
        (None, "Hat", "did you mean 'Hate'?"),
        ("dummy", "Hate", "only vision-language models take a scope"),
    ],
)
def test_a_scope_that_cannot_be_is_refused(
    folder: Path, unseen: Path, model: str | None, scope: str, told: str
) -> None:
    done = run("scan", unseen, "-m", model or folder, "--scope", scope)

    assert done.exit_code == 2
    assert told in done.stderr


def test_the_folder_says_how_it_came_about(folder: Path, llava: Path) -> None:
    card = get(str(folder)).card
    account = json.loads((folder / "training.json").read_text())

    assert [needed.id for needed in card.needs] == [f"vlm:{llava}"]
    assert tuple(card.labels) == ("Hate", "Violence", "Sexual")
    assert not card.commercial
    assert account["options"]["rank"] == 16
    assert account["facts"]["examples"] == 128
    assert account["trained_parameters"] < account["parameters"]
    assert account["history"][-1]["epoch"] == 5
    assert account["metrics"]["overall"]["f1"]["value"] > 0.9
    assert not list(folder.parent.glob(".colours*")), "no checkpoint is left"


def test_the_folder_gives_the_logits_that_were_measured(folder: Path) -> None:
    """Bit for bit: what the training scored is what the folder's user gets."""
    first, second = (build(str(folder), ModelOptions()) for _ in range(2))
    squares = np.stack([drawn.square(name, 7) for name in drawn.COLOURS])

    np.testing.assert_array_equal(
        first.logits(squares)[0],  # type: ignore[attr-defined]
        second.logits(squares)[0],  # type: ignore[attr-defined]
    )


def test_a_merged_model_stands_alone(pictures: Path, llava: Path, unseen: Path) -> None:
    alone = vlm_zoo.llava(pictures.parent / "moved")
    out = pictures.parent / "merged"
    given = ("train", "lora", pictures, "-m", f"vlm:{alone}", "-o", out, *TINY, "--merge", "-q")
    done = run(*given)
    assert done.exit_code == 0, done.output
    alone.rename(pictures.parent / "gone")

    records = scanned(out, unseen)

    assert len(records) == 4
    assert get(str(out)).card.needs == ()
    assert (out / "model.safetensors").is_file()
    assert not (out / "adapter_config.json").exists()


@pytest.mark.parametrize(
    ("more", "code", "told"),
    [
        (("-m", "clip-l14"), "usage", "is no vision-language model"),
        (("-m", "vlm:no/where"), "weights_missing", "are not here"),
        (("--learning-rate", "nan"), "usage", "must be positive"),
        (("--category", "Spam"), "too_few_labels", "too few images"),
        (("--4bit", "--merge"), "usage", "cannot be merged"),
        (("--learning-rate", "1e30", "--epochs", 2), "training_failed", "no number"),
        (("--category", "Spm"), "unknown_name", "did you mean 'Spam'?"),
    ],
)
def test_what_cannot_be_trained_is_told_and_leaves_nothing(
    pictures: Path, llava: Path, tmp_path: Path, more: tuple[object, ...], code: str, told: str
) -> None:
    out = tmp_path / "model"

    done = run("train", "lora", pictures, "-m", f"vlm:{llava}", "-o", out, "-q", *more)

    assert done.exit_code == 2
    assert f"[{code}]" in done.stderr
    assert told in done.stderr
    assert not list(tmp_path.iterdir())
