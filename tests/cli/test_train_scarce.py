"""``vedette train few-shot``, ``next`` and ``mine`` as a user runs them, one after the other."""

from __future__ import annotations

import csv
import json
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vedette.cli import app
from vedette.data.base import SPLIT, read_all
from vedette.data.labelling import Label
from vedette.data.opening import open_source
from vedette.data.splits import sha256_of
from vedette.models.trained import TRAINING, read_manifest
from vedette.taxonomy import Category
from vedette.train.scarce.mined_rows import written
from vedette.types import Item

PICTURES, LABELLED = 150, 40
"""Pictures of a user's folder, and how many of them come with a label."""
FEW_SHOT = (
    *("--model", "dummy", "--shots", "8"),
    *("--category", "Sexual", "--category", "Deception"),
)


def vedette(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in set as a labelled folder: drawing it again and again would take most time."""
    folder = tmp_path_factory.mktemp("whole")
    _, source = open_source("synth:0.05")
    items = sorted(read_all(source), key=lambda item: sha256_of(item) or "")
    for at, item in enumerate(items):
        assert isinstance(item.data, bytes)
        (folder / f"{at:03}.jpg").write_bytes(item.data)
    manifest(folder, [(f"{at:03}.jpg", label_of(item)) for at, item in enumerate(items)])
    return folder


@pytest.fixture(scope="module")
def trained(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few-shot head over the dummy."""
    out = tmp_path_factory.mktemp("trained") / "model"
    done = vedette("train", "few-shot", whole, *FEW_SHOT, "--out", out)
    assert done.exit_code == 0, done.output
    return out


@pytest.fixture
def pictures(whole: Path, tmp_path: Path) -> Path:
    """A folder of pictures with a manifest that labels the first of them."""
    folder = tmp_path / "set"
    (folder / "pics").mkdir(parents=True)
    with (whole / "manifest.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))[:PICTURES]
    for row in rows:
        shutil.copyfile(whole / row["path"], folder / "pics" / row["path"])
    labels = [row["label"] if at < LABELLED else "" for at, row in enumerate(rows)]
    paths = [f"pics/{row['path']}" for row in rows]
    manifest(folder, list(zip(paths, labels, strict=True)))
    return folder


def manifest(folder: Path, rows: list[tuple[str, str]]) -> None:
    with (folder / "manifest.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("path", "label"), *rows])


def label_of(item: Item) -> str:
    return written(Label(item.unsafe, item.labels))


def lines(path: Path) -> list[Mapping[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# few-shot


def test_a_few_shot_head_scans_and_says_how_it_came_to_be(trained: Path, tmp_path: Path) -> None:
    manifest = read_manifest(trained)
    account = json.loads((trained / TRAINING).read_text())

    assert set(manifest.card.labels) == {"Sexual", "Deception"}
    assert account["options"]["shots"] == 8
    assert account["facts"]["labels"]["Sexual"]["unsafe"] == 8
    out = tmp_path / "records.jsonl"
    done = vedette("scan", "docs/pictures", "--model", trained, "--out", out, "-q")
    assert done.exit_code in (0, 1), done.output
    assert all(set(row["scores"]) == {"Sexual", "Deception"} for row in lines(out))  # type: ignore[call-overload]


def test_the_same_command_gives_the_same_weights_and_a_start_is_told(
    trained: Path, whole: Path, tmp_path: Path
) -> None:
    again, leaning = tmp_path / "again", tmp_path / "leaning"
    given = ("train", "few-shot", whole, *FEW_SHOT)

    assert vedette(*given, "--out", again).exit_code == 0
    assert vedette(*given, "--start", trained, "--out", leaning).exit_code == 0
    weights = "head.safetensors"
    assert (again / weights).read_bytes() == (trained / weights).read_bytes()
    told = json.loads((leaning / TRAINING).read_text())["facts"]["labels"]["Sexual"]
    assert told["prior_from"] == "model"


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (("--shots", "5"), "too_few_labels"),
        (("--category", "Hate", "--shots", "8"), "too_few_labels"),
        (("--prior", "texts"), "no text tower"),
        (("--start", "nowhere"), "weights_missing"),
    ],
)
def test_few_shot_refuses_and_leaves_nothing(
    more: tuple[str, ...], what: str, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "m"
    done = vedette("train", "few-shot", whole, "--model", "dummy", "--out", out, *more)

    assert done.exit_code == 2
    assert what in done.output
    assert list(tmp_path.iterdir()) == []


# next


@pytest.mark.parametrize("strategy", ["mixed", "uncertain", "diverse", "random"])
def test_the_next_images_are_unlabelled_and_annotators_get_them(
    strategy: str, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    out = pictures / "next.jsonl"
    given = ("train", "next", pictures, "--model", trained, "--n", 7, "--strategy", strategy)
    done = vedette(*given, "--out", out)

    assert done.exit_code == 0, done.output
    rows = lines(out)
    paths = [str(row["path"]) for row in rows]
    assert len(set(paths)) == 7
    assert all(int(Path(path).stem) >= LABELLED for path in paths)
    assert [line.split()[-1] for line in done.stdout.splitlines()[1:]] == paths
    assert vedette(*given, "--out", out).exit_code == 2
    before = out.read_bytes()
    assert vedette(*given, "--out", out, "--overwrite").exit_code == 0
    assert out.read_bytes() == before

    store = tmp_path / "store.sqlite"
    made = vedette("annotate", "create", store, out)
    assert made.exit_code == 0, made.output
    assert "7 pictures" in made.output
    labels = pictures / "labels.csv"
    assert vedette("annotate", "export", store, labels, "--what", "labels").exit_code == 0


def test_a_second_round_takes_others(trained: Path, pictures: Path) -> None:
    first, second = pictures / "first.jsonl", pictures / "second.csv"
    given = ("train", "next", pictures, "--model", trained, "--n", 10)
    assert vedette(*given, "--out", first).exit_code == 0

    done = vedette(*given, "--labelled", first, "--out", second)
    assert done.exit_code == 0, done.output
    with second.open(newline="") as stream:
        others = {row["sha256"] for row in csv.DictReader(stream)}
    assert len(others) == 10
    assert others.isdisjoint(str(row["sha256"]) for row in lines(first))


def test_pictures_in_an_archive_are_copied_beside_the_list(
    trained: Path, pictures: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as stream:
        for path in sorted(pictures.glob("pics/*.jpg"))[:20]:
            stream.write(path, path.name)
    out = tmp_path / "out" / "next.jsonl"
    out.parent.mkdir()
    given = ("train", "next", archive, "--model", trained, "--n", 3, "--out", out)

    refused = vedette(*given)
    assert refused.exit_code == 2
    assert "--copy" in refused.output
    assert vedette(*given, "--copy").exit_code == 0
    for row in lines(out):
        item = open_source(str(out))[1].find(str(row["path"]))
        assert item is not None
        assert sha256_of(item) == row["sha256"]
        assert str(row["of"]).startswith(f"{archive}!/")


def test_what_next_cannot_do_is_said(trained: Path, pictures: Path, tmp_path: Path) -> None:
    given = ("train", "next", pictures, "--model", trained)
    strange = tmp_path / "strange.csv"
    strange.write_text("key,label\nnowhere.png,safe\n")
    named = vedette(*given, "--labelled", strange)
    assert named.exit_code == 2
    assert "none of the 1 images" in named.output

    everything = pictures / "everything.csv"
    everything.write_text(
        "path\n" + "".join(f"pics/{p.name}\n" for p in sorted(pictures.glob("pics/*")))
    )
    done = vedette(*given, "--labelled", everything)
    assert done.exit_code == 2
    assert "nothing is left to label" in done.output

    assert vedette(*given, "--copy").exit_code == 2
    assert vedette(*given, "--out", pictures / "x.txt").exit_code == 2


def test_an_image_that_cannot_be_scanned_is_named_and_not_chosen(
    trained: Path, pictures: Path
) -> None:
    (pictures / "pics" / "149.jpg").write_bytes(b"no picture")
    out = pictures / "next.jsonl"
    done = vedette("train", "next", pictures, "--model", trained, "--n", 500, "--out", out)

    assert done.exit_code == 3
    assert "pics/149.jpg: unsupported_format" in done.output
    assert "pics/149.jpg" not in [row["path"] for row in lines(out)]


# mine


@pytest.fixture
def records(trained: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(pictures)
    out = pictures / "records.jsonl"
    policy = trained / "policy.toml"
    done = vedette("scan", "pics", "--model", trained, "--policy", policy, "--out", out, "-q")
    assert done.exit_code in (0, 1), done.output
    return out


def reviewed(records: Path) -> dict[str, str]:
    """Decisions against the model for every third image, for it otherwise."""
    found = {}
    for at, row in enumerate(lines(records)):
        flagged = [str(reason["category"]) for reason in row["reasons"]]  # type: ignore[attr-defined]
        if at % 3:
            found[str(row["key"])] = ";".join(flagged) or "safe"
        else:
            found[str(row["key"])] = "safe" if flagged else "Violence"
    return found


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_mistakes_come_back_as_a_set_with_the_reviewers_labels(
    suffix: str, records: Path, pictures: Path
) -> None:
    said = reviewed(records)
    table = pictures / "reviews.csv"
    table.write_text("key,decision\n" + "".join(f"{key},{one}\n" for key, one in said.items()))
    out = pictures / f"mined{suffix}"
    done = vedette("train", "mine", records, "--reviews", table, "--out", out, "--agreed", 0.5)

    assert done.exit_code == 0, done.output
    items = list(read_all(open_source(str(out))[1]))
    wrong = [key for at, key in enumerate(said) if at % 3 == 0]
    different = {sha256_of(item) for item in items}
    assert len(different) == len(items)
    assert {item.key for item in items} <= said.keys()
    mistakes = [item for item in items if item.key in wrong]
    assert len(items) == len(mistakes) + round(0.5 * len(mistakes))
    for item in items:
        told = () if said[item.key] == "safe" else said[item.key].split(";")
        assert item.labels == frozenset(Category(name) for name in told)
        assert item.meta[SPLIT] == "train"
    assert f"{len(said):,} images reviewed" in done.stdout


def test_what_mine_leaves_out_is_told(records: Path, pictures: Path) -> None:
    said = reviewed(records)
    first, second, *_ = said
    (pictures / second).write_bytes(b"changed since")
    other = "Spam" if said[first] == "safe" else "safe"
    table = pictures / "reviews.jsonl"
    rows = [{"key": key, "label": one} for key, one in said.items()]
    rows += [{"key": first, "label": other}, {"key": "gone.png", "label": "safe"}]
    rows += [{"key": second, "label": ""}]
    table.write_text("\n".join(map(json.dumps, rows)))
    done = vedette("train", "mine", records, "--reviews", table, "--out", pictures / "m.jsonl")

    assert done.exit_code == 0, done.output
    assert f"called safe and unsafe: {first}" in done.stderr
    assert "in no Record: gone.png" in done.stderr
    assert "1 reviews decide nothing" in done.stderr
    mined = [row["path"] for row in lines(pictures / "m.jsonl")]
    assert first not in mined
    assert second not in mined


def test_most_takes_the_worst_and_another_policy_decides_again(
    records: Path, pictures: Path
) -> None:
    table = pictures / "reviews.csv"
    table.write_text("key,decision\n" + "".join(f"{k},{v}\n" for k, v in reviewed(records).items()))
    given = ("train", "mine", records, "--reviews", table, "--overwrite", "--agreed", 0)
    out = pictures / "m.jsonl"

    assert vedette(*given, "--out", out, "--most", 1).exit_code == 0
    rows = lines(out)
    assert len({(row["why"], row["about"]) for row in rows}) == len(rows)
    strict = vedette(*given, "--policy", "strict").stdout
    assert strict != vedette(*given).stdout


@pytest.mark.parametrize(
    ("table", "code"),
    [
        ("key,decision\nnowhere,safe\n", "[usage]"),
        ("key,decision\npics/000.jpg,hm\n", "[unknown_label]"),
        ("key,decision\npics/000.jpg,\n", "[too_few_labels]"),
        ("", "[bad_source]"),
    ],
)
def test_reviews_that_cannot_be_used_are_refused(
    table: str, code: str, records: Path, pictures: Path
) -> None:
    path = pictures / "reviews.csv"
    path.write_text(table)
    done = vedette("train", "mine", records, "--reviews", path, "--out", pictures / "m.jsonl")

    assert done.exit_code == 2
    assert code in done.output
    assert not (pictures / "m.jsonl").exists()
