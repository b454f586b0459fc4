"""``vedette data split`` as a user runs it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.pictures import drawn, encoded, folder_of
from vedette.cli import app
from vedette.data.splits import read_split


def vedette(*args: object) -> Result:
    return CliRunner().invoke(app, ["data", "split", *map(str, args)])


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Twenty pictures, four of them again as a JPEG or byte for byte."""
    folder = folder_of(tmp_path / "in", 20)
    for seed in (0, 1):
        (folder / f"again-{seed}.jpg").write_bytes(encoded(drawn(seed, 40, 30), "JPEG"))
        (folder / f"copy-{seed}.png").write_bytes((folder / f"000{seed + 2}.png").read_bytes())
    return folder


def test_pictures_that_look_alike_stay_together(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "split.jsonl"
    done = vedette(pictures, "--test", "0.25", "--seed", "7", "--out", out)

    assert done.exit_code == 0, done.output
    split = read_split(out)
    assert split.near == 31
    assert {name: c["images"] for name, c in split.counts().items()} == {"train": 18, "test": 6}
    assert sum(c["groups"] for c in split.counts().values()) == 20
    at = {Path(e.key).name: e for e in split.entries}
    for one, other in (("0000.png", "again-0.jpg"), ("0003.png", "copy-1.png")):
        assert at[one].group == at[other].group
        assert at[one].part == at[other].part
    table = [line.split() for line in done.stdout.splitlines()]
    assert table[:3] == [["train", "test"], ["pictures", "18", "6"], ["groups", *table[2][1:]]]
    assert ["-", "/", "unlabelled", "/", "-", "18", "6"] in table
    assert "largest group: 2 pictures" in done.stdout


def test_threads_and_order_do_not_matter(pictures: Path, tmp_path: Path) -> None:
    # The same pictures under the same keys, listed the other way round.
    for number, paths in enumerate((sorted(pictures.iterdir()), sorted(pictures.iterdir())[::-1])):
        (tmp_path / f"{number}").mkdir()
        with zipfile.ZipFile(tmp_path / f"{number}" / "set.zip", "w") as file:
            for path in paths:
                file.write(path, path.name)
    written = []
    for number, workers in ((0, 1), (0, 4), (1, 2)):
        out = tmp_path / f"{number}-{workers}.jsonl"
        place = tmp_path / f"{number}" / "set.zip"
        assert vedette(place, "--folds", 4, "--workers", workers, "-o", out).exit_code == 0
        # Keys of an archive's members begin with its path.
        written.append(out.read_text().replace(f"{place}!/", ""))
    hashes = [json.loads(text.splitlines()[0]).pop("set_sha256") for text in written]

    assert written[0] == written[1]
    assert written[0].splitlines()[1:] == written[2].splitlines()[1:]
    assert hashes[0] == hashes[1]


def test_without_groups_every_picture_is_by_itself(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "split.jsonl"
    assert vedette(pictures, "--folds", "3", "--no-groups", "--out", out).exit_code == 0

    split = read_split(out)
    assert split.near is None
    assert [c["groups"] for c in split.counts().values()] == [8, 8, 8]


def test_only_copies_are_grouped_at_no_bits(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "split.jsonl"
    (pictures / "flat.png").write_bytes(encoded(drawn(1).resize((1, 1))))
    (pictures / "flat2.bmp").write_bytes(encoded(drawn(2).resize((1, 1)), "BMP"))
    assert vedette(pictures, "--test", "0.5", "--near", "0", "--out", out).exit_code == 0

    groups = {Path(e.key).name: e.group for e in read_split(out).entries}
    assert groups["0002.png"] == groups["copy-0.png"]
    # Nothing can be told of pictures of one colour: they are not all the same picture.
    assert groups["flat.png"] != groups["flat2.bmp"]


def test_what_cannot_be_read_is_in_no_part_and_named(pictures: Path, tmp_path: Path) -> None:
    (pictures / "cut.png").write_bytes((pictures / "0000.png").read_bytes()[:200])
    (pictures / "gone.png").symlink_to(tmp_path / "nowhere")
    out = tmp_path / "split.jsonl"
    done = vedette(pictures, "--test", "0.25", "--out", out)

    assert done.exit_code == 3
    assert f"excluded, truncated: {pictures}/cut.png" in done.stdout
    assert f"excluded, not_found: {pictures}/gone.png" in done.stdout
    assert "2 could not be read and are in no part" in done.stderr
    split = read_split(out)
    assert {Path(e.key).name: e.failure for e in split.excluded} == {
        "cut.png": "truncated",
        "gone.png": "not_found",
    }
    assert sum(c["images"] for c in split.counts().values()) == 24
    assert vedette(pictures, "--check", out).exit_code == 0


def test_a_split_is_held_against_its_set(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "split.jsonl"
    vedette(pictures, "--test", "0.25", "--out", out)
    done = vedette(pictures, "--check", out)
    assert done.exit_code == 0
    assert done.stdout == "the set is the one that was split\n"

    (pictures / "0007.png").unlink()
    for number in range(12):
        (pictures / f"new-{number:02d}.png").write_bytes(b"x")
    done = vedette(pictures, "--check", out)
    assert done.exit_code == 1
    assert f"missing: {pictures}/0007.png" in done.stdout
    assert f"new: {pictures}/new-09.png\nnew: and 2 more" in done.stdout


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--test", "0.2", "--folds", "3"), "either --test or --folds"),
        ((), "either --test or --folds"),
        (("--test", "1.5"), "leave no split"),
        (("--folds", "1"), "nothing to train on"),
        (("--folds", "3", "--validation", "0.1"), "goes with --test"),
        (("--test", "0.2", "--near", "3", "--no-groups"), "for groups"),
        (("--test", "0.001"), "test gets none"),
    ],
)
def test_wrong_usage(pictures: Path, tmp_path: Path, options: tuple[str, ...], why: str) -> None:
    done = vedette(pictures, *options, "--out", tmp_path / "s.jsonl")

    assert done.exit_code == 2
    assert why in done.stderr
    assert not (tmp_path / "s.jsonl").exists()


def test_where_the_split_goes(pictures: Path, tmp_path: Path) -> None:
    assert "add --out" in vedette(pictures, "--test", "0.2").stderr
    out = tmp_path / "s.jsonl"
    out.write_text("mine")
    assert "output_exists" in vedette(pictures, "--test", "0.2", "--out", out).stderr
    assert out.read_text() == "mine"
    assert vedette(pictures, "--test", "0.2", "--out", out, "--overwrite").exit_code == 0
    assert "makes no split" in vedette(pictures, "--check", out, "--out", out).stderr
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no picture" in vedette(empty, "--test", "0.2", "--out", tmp_path / "t").stderr
