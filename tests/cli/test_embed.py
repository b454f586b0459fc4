"""``vedette embed`` as a user runs it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.cli.test_cli import vedette
from tests.pictures import drawn, encoded


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for number in range(6):
        path = tmp_path / "set" / ("safe" if number % 2 else "Spam") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(drawn(number)))
    return tmp_path


CALL = ("embed", "set", "--model", "dummy", "--out", "out", "--store", "store")


def test_a_set_is_embedded_and_embedded_again(place: Path) -> None:
    done = vedette(*CALL, "--shard-size", "4", cwd=place)

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines()[-1] == (
        "out: 6 embeddings of dummy@1, fp32, 48 dimensions; 6 images ran through the model"
    )
    assert "label Spam = unsafe: Spam (its name)" in done.stderr
    shapes = [np.load(place / f"out/img_emb/img_emb_{n}.npy").shape for n in range(2)]
    assert shapes == [(4, 48), (2, 48)]
    told = json.loads((place / "out/vedette-embeddings.json").read_text())
    assert (told["model"], told["revision"], told["precision"]) == ("dummy", "1", "fp32")
    assert (told["dim"], told["count"], told["complete"]) == (48, 6, True)
    assert [one["rows"] for one in told["shards"]] == [4, 2]
    assert (told["backbone"], told["data"], told["set"]) == ("dummy", "set", None)

    again = vedette(*CALL, "--shard-size", "4", cwd=place)

    assert again.returncode == 0
    assert again.stderr.splitlines()[-1].endswith("; 0 images ran through the model")


def test_images_that_cannot_be_read_are_named(place: Path) -> None:
    (place / "set/safe/bad.png").write_bytes(b"no picture")

    done = vedette(*CALL, "--quiet", cwd=place)

    assert done.returncode == 3
    assert "not embedded: safe/bad.png: unsupported_format" in done.stderr.splitlines()
    told = json.loads((place / "out/vedette-embeddings.json").read_text())
    assert told["failed"] == [{"key": "safe/bad.png", "code": "unsupported_format"}]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--model", "nudenet"), "nudenet gives no embeddings to train on [usage]"),
        (("--model", "clip-l41"), "did you mean 'clip-l14'?"),
        (("--model", "clip-l14"), "[weights_missing]"),
        (("--out", "set"), "set has other files in it [output_exists]"),
        (("--set", "unsafebenhc"), "did you mean 'unsafebench'?"),
        (("--config", "gone.toml"), "cannot read settings gone.toml"),
    ],
)
def test_wrong_use_is_told_in_one_line(place: Path, more: tuple[str, ...], told: str) -> None:
    done = vedette(*CALL, *more, cwd=place, environ={"VEDETTE_MODELS": str(place)})

    assert done.returncode == 2
    assert told in done.stderr.splitlines()[-1]
    assert not (place / "out").exists()


def test_another_model_is_refused_and_overwrite_replaces(place: Path) -> None:
    vedette(*CALL, cwd=place)
    told = place / "out/vedette-embeddings.json"
    told.write_text(told.read_text().replace('"dummy"', '"clip-b32"', 2))
    shutil.rmtree(place / "store")

    done = vedette(*CALL, cwd=place)
    assert done.returncode == 2
    assert "[resume_mismatch]" in done.stderr

    assert vedette(*CALL, "--overwrite", cwd=place).returncode == 0
    assert json.loads(told.read_text())["model"] == "dummy"


def test_commercial_use_is_refused_where_the_terms_refuse_it(place: Path) -> None:
    (place / "settings.toml").write_text("commercial = true\n")
    done = vedette(
        *CALL,
        *("--model", "clip-l14/nsfw-detector-unsafebench", "--config", "settings.toml"),
        cwd=place,
    )
    assert done.returncode == 2
    assert "[terms_refused]" in done.stderr


def test_a_bare_backbone_embeds_and_a_head_scores_what_it_gave(place: Path, store: Path) -> None:
    done = vedette(
        *("embed", "set", "--model", "clip-l14", "--out", "out", "--quiet"),
        cwd=place,
        environ={"VEDETTE_CACHE": os.environ["VEDETTE_CACHE"], "VEDETTE_MODELS": str(store)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("set: ")
    rows = np.random.default_rng(0).standard_normal((2, 768), dtype=np.float32)
    np.save(place / "violence.npy", rows)
    scored = vedette(
        *("score-embeddings", "out/img_emb", "--head", "laion-violence-l14"),
        *("--weights", "violence.npy", "--out", "scores.npy"),
        cwd=place,
    )
    assert scored.returncode == 0, scored.stderr
    matrix = np.load(place / "out/img_emb/img_emb_0.npy").astype(np.float32)
    assert matrix.shape == (6, 768)
    assert np.load(place / "scores.npy").shape == (6, 2)
    told = json.loads((place / "out/vedette-embeddings.json").read_text())
    assert told["model"] == "clip-l14"
    assert told["revision"].startswith("local-")  # weights of one's own
