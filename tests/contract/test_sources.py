"""What every source keeps to."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pictures import folder_of
from vedette.data.base import Source, read_all
from vedette.data.paths import PathSource
from vedette.types import Failure, Item


def folder(root: Path) -> Source:
    folder_of(root / "in" / "deep", 3)
    (root / "in" / "z.txt").write_text("text")
    (root / "in" / "gone.png").symlink_to(root / "nowhere")
    return PathSource([root / "in"])


def zipped(root: Path) -> Source:
    path = root / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder_of(root / "in", 3).iterdir()):
            archive.write(file, file.name)
            archive.write(file, "again/" + file.name)
    return PathSource([path])


def tarred(root: Path) -> Source:
    path = root / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder_of(root / "in", 3), "in")
    return PathSource([path])


def several(root: Path) -> Source:
    return PathSource(
        [folder_of(root / "one", 2), root / "one" / "0000.png", root / "t*", root / "missing"]
    )


SOURCES: list[Callable[[Path], Source]] = [folder, zipped, tarred, several]


@pytest.fixture(params=SOURCES, ids=lambda make: make.__name__)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    made: Source = request.param(tmp_path)
    return made


def shown(items: list[Item]) -> list[tuple[str, object]]:
    return [(item.key, item.data) for item in items]


def test_yields_something_with_keys_of_its_own(source: Source) -> None:
    keys = [item.key for item in read_all(source)]
    assert len(keys) >= 3
    assert len(set(keys)) == len(keys)


def test_reading_again_is_the_same(source: Source) -> None:
    assert shown(list(read_all(source))) == shown(list(read_all(source)))


def test_shards_are_the_whole_and_can_be_read_alone(source: Source) -> None:
    whole = list(read_all(source))
    parts = {shard.id: list(source.read(shard)) for shard in reversed(source.shards())}
    joined = [item for shard in source.shards() for item in parts[shard.id]]
    assert shown(joined) == shown(whole)


def test_what_was_yielded_is_found_again(source: Source) -> None:
    for item in read_all(source):
        found = source.find(item.key)
        if isinstance(item.data, Failure):
            continue  # what could not be read need not be found
        assert found is not None
        assert (found.key, found.data) == (item.key, item.data)
    assert source.find("no such key") is None
    assert source.find("no/such.zip!/member") is None
