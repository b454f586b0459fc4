"""What every source keeps to."""

from __future__ import annotations

import base64
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data import layouts
from tests.pictures import folder_of
from vedette.data.base import Source, read_all
from vedette.data.labelling import SAFE, UNSAFE
from vedette.data.opening import SourceOptions, open_source
from vedette.data.paths import PathSource
from vedette.data.splits import Entry, Split, SplitSource
from vedette.data.vault.importing import ImportOptions, import_set
from vedette.data.vault.source import source_of
from vedette.settings import Settings
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


def part_of_a_split(root: Path) -> Source:
    whole = PathSource([folder_of(root / "in", 8)])
    keys = sorted(item.key for item in read_all(whole))
    entries = tuple(Entry(key, "0" * 64, key, "ab"[n % 2]) for n, key in enumerate(keys))
    return SplitSource(whole, Split({"a": 0.5, "b": 0.5}, 0, None, entries), "b")


def set_of(path: Path, fmt: str, **labels: bool) -> Source:
    """A published set's copy, recognised by what it holds."""
    said = {name: UNSAFE if unsafe else SAFE for name, unsafe in labels.items()}
    chosen, source = open_source(str(path), options=SourceOptions(labels=said))
    assert chosen.name == fmt
    return source


def class_folders(root: Path) -> Source:
    return set_of(layouts.class_tree(root / "in", splits=("train", "val")), "classes")


def class_zip(root: Path) -> Source:
    return set_of(layouts.class_zip(root / "hub" / "set.zip", wrapper="set/").parent, "classes")


def manifest(root: Path) -> Source:
    folder_of(root, 3)
    lines = "0000.png,safe\n0001.png,unsafe\n0000.png,safe\n../x.png,safe\ngone.png,safe\n"
    root.joinpath("set.csv").write_text("path,label\n" + lines)
    return set_of(root / "set.csv", "manifest")


def parquet(root: Path) -> Source:
    pictures = [{"bytes": layouts.picture(i), "path": f"{i % 4}.png"} for i in range(5)]
    table = layouts.hub_table({"image": pictures, "label": ["safe"] * 5})
    layouts.write(table, root / "in" / "data" / "train-00000-of-00001.parquet")
    return set_of(root / "in", "parquet")


def webdataset(root: Path) -> Source:
    return set_of(layouts.img2dataset(root / "in"), "webdataset")


def unsafebench(root: Path) -> Source:
    return set_of(layouts.unsafebench_hub(root / "in"), "unsafebench")


def unsafebench_folder(root: Path) -> Source:
    return set_of(layouts.unsafebench_folder(root / "in"), "unsafebench")


def external(root: Path) -> Source:
    images = ["2", layouts.base64_of(0), "1", "9"]
    return set_of(layouts.external(root / "in", images), "external", **{"0": False, "1": True})


def in_the_vault(root: Path, *, encrypt: bool = False) -> Source:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VEDETTE_DATA", str(root / "vault"))
        patch.setenv("VEDETTE_VAULT_KEY", base64.b64encode(bytes(32)).decode())
        options = ImportOptions("test", encrypt=encrypt)
        import_set(folder(root), "one", options, Settings())
        return source_of("one")


def stand_in(root: Path) -> Source:
    return open_source("synth:unsafebench?scale=0.002&size=48")[1]


def encrypted(root: Path) -> Source:
    return in_the_vault(root, encrypt=True)


SOURCES: list[Callable[[Path], Source]] = [
    *(part_of_a_split, folder, zipped, tarred, several),
    *(class_folders, class_zip, manifest, parquet, webdataset),
    *(unsafebench, unsafebench_folder, external),
    *(in_the_vault, encrypted, stand_in),
]


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
