"""``vedette explain`` as a user runs it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from typer.testing import CliRunner, Result

from tests import zoo
from tests.pictures import drawn, face
from tests.samples import animation
from vedette.cli import app
from vedette.cli import explain as command
from vedette.models import registry
from vedette.models.base import ModelEntry, Prepared
from vedette.models.dummy import CARD, Dummy
from vedette.types import Prediction

QUICK = ("--grid", "4", "--orders", "2")


def vedette(*args: object) -> Result:
    return CliRunner().invoke(app, ["explain", *map(str, args)])


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    drawn(1, 120, 90).save(path)
    return path


def test_a_map_with_its_test(picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "map.png"
    done = vedette(picture, "-m", "dummy", "--out", out)

    assert done.exit_code == 0, done.output
    first, model, *rest = done.stdout.splitlines()
    assert first == f"Self-harm 0.64  {picture}"
    assert model == "model    dummy@1"
    assert rest[0] == "label    0.64  Self-harm"
    assert any(line.startswith("map      strongest in row ") for line in rest)
    assert "test     the map beats random" in rest
    assert f"wrote {out}" in done.stderr
    with PIL.Image.open(out) as written:
        assert written.format == "PNG"
        assert written.size[0] == 640
        assert not written.info  # no text, no profile, no trace of the original


def test_a_detector_shows_its_regions(tmp_path: Path) -> None:
    path = tmp_path / "face.png"
    face().save(path)
    args = (path, "--precision", "fp32", "--backend", "onnx")
    steps = {}
    for name, options in (("hidden", ()), ("shown", ("--show-picture",))):
        out = tmp_path / f"{name}.png"
        done = vedette(*args, "--out", out, *options)

        assert done.exit_code == 0, done.output
        (region,) = [line for line in done.stdout.splitlines() if line.startswith("region ")]
        assert " x " in region
        assert "\nmap " not in done.stdout
        with PIL.Image.open(out) as written:
            pixels = np.asarray(written).astype(int)
        assert (pixels == (0, 255, 200)).all(axis=2).sum() > 500  # its box
        steps[name] = np.abs(np.diff(pixels[60:420, 180:460], axis=1)).max()

    # Within the box: the picture's own edges only where they were asked for.
    assert steps["hidden"] <= 3
    assert steps["shown"] > 40


def test_a_vit_of_ones_own(picture: Path, tmp_path: Path) -> None:
    folder = zoo.vit(tmp_path / "vit", ["normal", "nsfw"])
    done = vedette(picture, "-m", f"vit:{folder}", "--backend", "onnx", *QUICK, "--json")
    told = json.loads(done.stdout)

    assert done.exit_code == 0, done.output
    assert told["category"] == "Sexual"
    assert {label["label"]: label["categories"] for label in told["labels"]} == {
        "normal": [],
        "nsfw": ["Sexual"],
    }
    assert isinstance(told["deletion"]["beats_random"], bool)


def test_json_is_one_object_the_same_every_time(picture: Path) -> None:
    args = (picture, "-m", "dummy", "--category", "spam", *QUICK, "--seed", 1, "--json")
    first, again = vedette(*args), vedette(*args)
    told = json.loads(first.stdout)

    assert first.stdout == again.stdout
    assert first.stdout.count("\n") == 1
    assert told["key"] == str(picture)
    assert told["category"] == "Spam"
    assert told["p"] == told["scores"]["Spam"]
    assert np.array(told["map"]).shape == (4, 4)
    assert told["deletion"]["orders"] == 2
    assert told["deletion"]["curve"][0] == told["p"]


class Same(Dummy):
    """Ignores its picture."""

    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        grey = np.full((32, 32, 3), 99, dtype=np.uint8)
        return super().infer([replace(p, pixels=grey) for p in batch])


def test_a_map_of_nothing_is_said_plainly(
    picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blind = Same()
    monkeypatch.setattr(registry, "get", lambda name: ModelEntry(name, CARD, lambda options: blind))
    out = tmp_path / "map.png"
    done = vedette(picture, "-m", "blind", *QUICK, "-o", out)

    assert done.exit_code == 0, done.output
    assert "test     the map DOES NOT BEAT RANDOM: do not rely on it" in done.stdout
    assert (np.asarray(PIL.Image.open(out)) == (255, 120, 110)).all(axis=2).any()


def test_of_an_animation_a_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    path.write_bytes(animation("GIF"))

    worst = json.loads(vedette(path, "-m", "dummy", *QUICK, "--json").stdout)
    third = vedette(path, "-m", "dummy", *QUICK, "--frame", 2)
    assert worst["frame"] >= 0
    assert "\nframe    2" in third.stdout
    none = vedette(path, "-m", "dummy", "--frame", 77)
    assert none.exit_code == 2
    assert "[usage]" in none.stderr


def test_a_file_that_is_not_whole_is_explained_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    path.write_bytes(animation("GIF"))
    config = tmp_path / "settings.toml"
    config.write_text("[limits]\nframes = 2\n")
    done = vedette(path, "-m", "dummy", *QUICK, "--config", config)

    assert done.exit_code == 3
    assert "test     the map" in done.stdout
    assert "[too_many_frames]" in done.stderr


def test_a_member_of_an_archive_by_its_key(picture: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(picture, "in/a.png")
    key = f"{tmp_path}/a.zip!/in/a.png"
    alone = json.loads(vedette(picture, "-m", "dummy", *QUICK, "--json").stdout)
    member = json.loads(vedette(key, "-m", "dummy", *QUICK, "--json").stdout)

    assert member == alone | {"key": key}


def test_long_lists_of_labels_are_cut(picture: Path) -> None:
    done = vedette(picture, "-m", "dummy", *QUICK)

    assert done.stdout.count("\nlabel ") == command._LABELS
    assert "and 3 more (--json has all)" in done.stdout


def test_outputs_are_not_overwritten_unasked(picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "map.png"
    out.write_bytes(b"mine")
    args = (picture, "-m", "dummy", *QUICK, "--out", out)

    assert "[output_exists]" in vedette(*args).stderr
    assert out.read_bytes() == b"mine"
    assert vedette(*args, "--overwrite").exit_code == 0
    assert out.read_bytes() != b"mine"
    own = vedette(picture, "-m", "dummy", "--out", picture, "--overwrite")
    assert own.exit_code == 2
    assert "is the picture itself" in own.stderr
    with PIL.Image.open(picture) as untouched:
        assert untouched.size == (120, 90)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("args", "status", "code"),
    [
        (["no.png", "-m", "dummy"], 3, "not_found"),
        (["broken.png", "-m", "dummy"], 3, "unsupported_format"),
        ([".", "-m", "dummy"], 3, "not_a_file"),
        (["a.png", "-m", "dumy"], 2, "unknown_name"),
        (["a.png", "-m", "dummy", "--category", "Spum"], 2, "unknown_name"),
        (["a.png", "-m", "nudenet", "--category", "Spam"], 2, "usage"),
        (["a.png", "-m", "dummy", "--out", "map.jpg"], 2, "unknown_name"),
        (["a.png", "-m", "dummy", "--out", "no/map.png"], 2, "write_failed"),
        (["a.png", "-m", "dummy", "--backend", "cuda"], 2, "unknown_name"),
    ],
)
def test_errors_have_their_code(
    picture: Path, args: list[str], status: int, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (picture.parent / "broken.png").write_bytes(b"no picture")
    monkeypatch.chdir(picture.parent)
    done = vedette(*args)

    assert done.exit_code == status, done.output
    assert f"[{code}]" in done.stderr
    assert done.stdout == ""
