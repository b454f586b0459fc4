from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.data.layouts import SPECIALIST, class_tar, class_tree, class_zip, picture
from tests.pictures import folder_of
from vedette.data.base import SPLIT, Source, read_all
from vedette.data.labelling import SAFE, UNSAFE
from vedette.data.opening import SourceOptions, open_source
from vedette.errors import UsageError
from vedette.taxonomy import Category
from vedette.types import Failure, Item


def opened(path: Path, options: SourceOptions | None = None, fmt: str = "auto") -> Source:
    chosen, source = open_source(str(path), fmt, options)
    assert chosen.name == "classes"
    return source


def items(path: Path, options: SourceOptions | None = None, fmt: str = "auto") -> list[Item]:
    source = opened(path, options, fmt)
    found = list(read_all(source))
    assert [source.find(item.key) for item in found] == found
    return found


def zipped(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for seed, name in enumerate(names):
            archive.writestr(name, picture(seed))
    return path


@pytest.mark.parametrize("wrapper", ["", "image-moderation-dataset/"])
def test_the_moderation_set_as_it_is_downloaded(tmp_path: Path, wrapper: str) -> None:
    class_zip(tmp_path / "dataset.zip", wrapper=wrapper)
    (tmp_path / "README.md").write_text("about")
    (tmp_path / ".gitattributes").write_text("x")
    source = opened(tmp_path, SourceOptions(card="image-moderation"))

    found = list(read_all(source))

    assert [i.key for i in found] == [
        f"dataset.zip!/{wrapper}{name}/0000{n}.png" for name in ("SAFE", "UNSAFE") for n in (0, 1)
    ]
    assert [i.unsafe for i in found] == [False, False, True, True]
    assert found[3].labels is None
    assert [i.data for i in found] == [picture(seed) for seed in range(4)]
    lines = list(source.legend.lines())  # type: ignore[attr-defined]
    assert lines == ["SAFE = safe (the set's card)", "UNSAFE = unsafe (the set's card)"]


def test_the_archive_itself_gives_the_same_keys(tmp_path: Path) -> None:
    path = class_zip(tmp_path / "dataset.zip")

    assert items(path) == items(tmp_path)


def test_a_tar_is_read_when_the_format_is_named(tmp_path: Path) -> None:
    path = class_tar(tmp_path / "set.tar")

    assert [i.unsafe for i in items(path, fmt="classes")] == [False, False, True, True]


def test_the_multi_class_sibling_wants_its_unknown_names_explained(tmp_path: Path) -> None:
    path = class_zip(tmp_path / "specialist.zip", SPECIALIST, each=1)

    with pytest.raises(UsageError, match="class the folder 'weapons' is") as caught:
        items(path)
    assert caught.value.code == "unknown_label"
    assert "--labels 'weapons=safe'" in caught.value.hint
    names = {
        "neutral": SAFE,
        "Violence": UNSAFE,
        "sexual": UNSAFE,
        "weapons": UNSAFE,
    }
    assert [i.unsafe for i in items(path, SourceOptions(labels=names))] == [False, *[True] * 3]


def test_splits_above_the_classes(tmp_path: Path) -> None:
    found = items(class_tree(tmp_path / "set", splits=("train", "val")))

    assert [(i.key, i.meta[SPLIT]) for i in found[::4]] == [
        ("train/SAFE/0.png", "train"),
        ("val/SAFE/0.png", "validation"),
    ]
    assert found[0].data == tmp_path / "set" / "train" / "SAFE" / "0.png"


def test_keys_do_not_depend_on_where_the_set_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class_tree(tmp_path / "here" / "set")
    keys = [i.key for i in items(tmp_path / "here" / "set")]

    monkeypatch.chdir(tmp_path / "here" / "set")

    assert [i.key for i in items(Path("."))] == keys
    assert [i.key for i in items(Path("../set"))] == keys


@pytest.mark.parametrize(
    ("folders", "categories"),
    [
        ("UNSAFE/violence", {Category.VIOLENCE}),
        ("violence/UNSAFE", {Category.VIOLENCE}),
        ("wrapped/SAFE/deeper/still", set()),
        ("porn/nsfw", {Category.SEXUAL}),
    ],
)
def test_folders_within_folders(tmp_path: Path, folders: str, categories: set[Category]) -> None:
    (item,) = items(zipped(tmp_path / "a.zip", f"{folders}/0.png"), fmt="classes")

    assert item.labels == frozenset(categories)


@pytest.mark.parametrize("folders", ["nsfw/SAFE", "SAFE/nsfw", "violence/porn"])
def test_folders_that_contradict_each_other_are_refused(tmp_path: Path, folders: str) -> None:
    path = zipped(tmp_path / "a.zip", f"{folders}/0.png")

    with pytest.raises(UsageError, match="a picture lies in") as caught:
        items(path, fmt="classes")
    assert caught.value.code == "unknown_label"
    inner = folders.split("/")[1]
    (item,) = items(path, SourceOptions(labels={inner: UNSAFE}), "classes")
    assert item.unsafe is True


def test_archives_called_after_their_class(tmp_path: Path) -> None:
    zipped(tmp_path / "SAFE.zip", "0.png")
    zipped(tmp_path / "porn.zip", "0.png", "more/1.png")

    found = items(tmp_path, fmt="classes")

    assert [i.key for i in found] == [
        *("SAFE.zip!/0.png", "porn.zip!/0.png", "porn.zip!/more/1.png")
    ]
    assert [i.unsafe for i in found] == [False, True, True]


def test_what_is_outside_of_class_folders(tmp_path: Path) -> None:
    class_tree(tmp_path)
    folder_of(tmp_path, 1)
    (tmp_path / "labels.txt").write_text("0 SAFE")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "x.png").write_bytes(b"x")
    (tmp_path / "SAFE" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "SAFE" / "notes.txt").write_text("a stray file is seen, and cannot be decoded")

    found = items(tmp_path)

    assert [i.key for i in found] == [
        *("SAFE/0.png", "SAFE/1.png", "SAFE/notes.txt", "UNSAFE/0.png", "UNSAFE/1.png", "0000.png")
    ]
    assert (found[-1].labels, found[-1].unsafe) == (None, None)


def test_broken_members_are_failures_with_their_labels(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", "SAFE/0.png", "UNSAFE/1.png", "UNSAFE/2.png")
    data = path.read_bytes()
    at = data.index(picture(1))
    path.write_bytes(data[:at] + bytes(50) + data[at + 50 :])

    found = items(path)

    assert [isinstance(i.data, Failure) for i in found] == [False, True, False]
    assert [i.unsafe for i in found] == [False, True, True]


def test_a_folder_whose_name_ends_as_an_archives_does(tmp_path: Path) -> None:
    for name in ("wow!", "SAFE!"):
        (tmp_path / "SAFE" / name).mkdir(parents=True)
        (tmp_path / "SAFE" / name / "0.png").write_bytes(picture(0))
    (tmp_path / "UNSAFE").mkdir()
    (tmp_path / "SAFE" / "wow!" / "gone.png").symlink_to("nowhere")

    found = list(read_all(opened(tmp_path)))

    assert [i.key for i in found] == [
        *("SAFE/SAFE!/0.png", "SAFE/wow!/0.png", "SAFE/wow!/gone.png")
    ]
    assert {i.unsafe for i in found} == {False}


@pytest.mark.parametrize(
    "key", ["../secret.png", "SAFE/../../secret.png", "", "SAFE", "SAFE/9.png"]
)
def test_keys_that_are_none_of_the_sets(tmp_path: Path, key: str) -> None:
    (tmp_path / "secret.png").write_bytes(b"x")

    assert opened(class_tree(tmp_path / "set")).find(key) is None
    assert opened(class_zip(tmp_path / "set.zip")).find(key) is None


def test_plain_folders_are_no_classes(tmp_path: Path) -> None:
    folder_of(tmp_path / "holiday", 1)
    folder_of(tmp_path / "drawings", 1)
    zipped(tmp_path / "a.zip", "one/0.png", "0/1.png", "1/2.png")

    assert open_source(str(tmp_path))[0].name == "files"
    assert open_source(str(tmp_path / "a.zip"))[0].name == "files"
    with pytest.raises(UsageError) as caught:
        open_source(str(tmp_path / "gone"), "classes")
    assert caught.value.code == "not_found"
