from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.data.layouts import img2dataset, jpeg, picture, tar
from vedette.data import webdataset
from vedette.data.base import SPLIT, TEXT, Shard, Source, read_all
from vedette.data.labelling import SAFE, UNSAFE
from vedette.data.opening import SourceOptions, open_source
from vedette.errors import UsageError
from vedette.settings import Limits
from vedette.taxonomy import Category
from vedette.types import Failure, Item


def opened(path: Path, options: SourceOptions | None = None) -> Source:
    chosen, source = open_source(str(path), "webdataset", options)
    assert chosen.name == "webdataset"
    return source


def items(path: Path, options: SourceOptions | None = None) -> list[Item]:
    return list(read_all(opened(path, options)))


def code(item: Item) -> str | None:
    return item.data.code if isinstance(item.data, Failure) else None


def test_img2datasets_folder(tmp_path: Path) -> None:
    chosen, source = open_source(str(img2dataset(tmp_path)))

    found = list(read_all(source))

    assert chosen.name == "webdataset"
    assert source.shards() == [Shard("00000.tar"), Shard("00001.tar")]
    assert [i.key for i in found[:2]] == ["00000.tar!/000000000.jpg", "00000.tar!/000000001.jpg"]
    assert [i.data for i in found] == [jpeg(seed) for seed in range(6)]
    assert [i.labels for i in found[:2]] == [{Category.VIOLENCE}, frozenset()]
    meta = found[0].meta
    assert meta[TEXT] == "picture 000000000"
    assert (meta["width"], meta["url"]) == ("24", "http://example.org/000000000.jpg")
    assert "error_message" not in meta


def test_one_tar(tmp_path: Path) -> None:
    path = img2dataset(tmp_path) / "00001.tar"

    assert open_source(str(path))[0].name == "webdataset"
    assert items(path)[0].key == "00001.tar!/000010000.jpg"


def test_class_numbers_and_split_tars(tmp_path: Path) -> None:
    tar(tmp_path / "train-000.tar", {"a/0.cls": b"1\n", "a/0.png": picture(0)})
    options = SourceOptions(labels={"0": SAFE, "1": UNSAFE})

    (item,) = items(tmp_path, options)

    assert (item.key, item.unsafe) == ("train-000.tar!/a/0.png", True)
    assert item.meta[SPLIT] == "train"
    with pytest.raises(UsageError, match=r"train-000\.tar!/a/0: nothing says") as caught:
        items(tmp_path)
    assert caught.value.code == "unknown_label"


def test_fields_that_the_user_names(tmp_path: Path) -> None:
    facts = {"nsfw": "UNLIKELY", "likes": 3, "label": "weapons"}
    files = {"0.jpg": jpeg(0), "0.json": json.dumps(facts).encode(), "1.jpg": jpeg(1)}
    options = SourceOptions(
        label="nsfw", labels={"UNLIKELY": SAFE}, columns={"popularity": "likes"}
    )

    first, bare = items(tar(tmp_path / "a.tar", files), options)

    assert (first.unsafe, first.meta["popularity"]) == (False, "3")
    assert (bare.labels, bare.meta) == (None, {})


def test_samples_that_are_not_whole(tmp_path: Path) -> None:
    files = {
        "0.json": b'{"label": "safe"}',
        "1.jpg": jpeg(1),
        "1.json": b'{"label": ',
        "2.jpg": jpeg(2),
        "2.json": b"[1]",
        "3.npy": b"an embedding",
        "3.jpg": b"no picture",
        "3.txt": b"\xff",
        "4.seg.png": picture(4),
        "4.jpg": jpeg(4),
    }

    found = items(tar(tmp_path / "a.tar", files))

    assert [(i.key.partition("!/")[2], code(i)) for i in found] == [
        ("0.json", "not_found"),
        ("1.jpg", "corrupt"),
        ("2.jpg", "corrupt"),
        ("3.jpg", None),
        ("4.seg.png", None),
        ("4.jpg", None),
    ]
    assert found[0].unsafe is False
    assert found[1].unsafe is None
    assert found[3].meta == {TEXT: "\ufffd"}


def test_a_tar_that_breaks_off_says_so_after_what_it_had(tmp_path: Path) -> None:
    path = img2dataset(tmp_path / "in", shards=2) / "00000.tar"
    path.write_bytes(path.read_bytes()[:4000])

    found = items(tmp_path / "in")

    keys = [i.key for i in found if isinstance(i.data, Failure)]
    assert keys[-1] == "00000.tar"
    assert found[0].data == jpeg(0)
    assert [i.key for i in found if i.key.startswith("00001")] == [
        f"00001.tar!/00001000{n}.jpg" for n in range(3)
    ]


def test_limits_bound_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webdataset, "_MOST_SIDECAR_BYTES", 50)
    files = {"0.jpg": jpeg(0), "0.png": picture(1), "1.jpg": jpeg(2), "1.json": b" " * 51}
    limits = Limits(bytes=len(jpeg(0)) + 10)

    found = items(tar(tmp_path / "a.tar", files), SourceOptions(limits=limits))

    assert [code(i) for i in found] == [None, "too_many_bytes", "too_many_bytes"]


def test_members_of_one_name_have_keys_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name, data in (("0.jpg", jpeg(0)), ("0.jpg", jpeg(1)), ("0.txt", b"dots")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    source = opened(path)

    found = list(read_all(source))

    assert [(i.key, i.data) for i in found] == [
        ("a.tar!/0.jpg", jpeg(0)),
        ("a.tar!/0.jpg#2", jpeg(1)),
    ]
    assert {i.meta[TEXT] for i in found} == {"dots"}
    assert source.find("a.tar!/0.jpg#2") == found[1]


def test_what_is_no_tar(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(picture(0))

    (item,) = items(tmp_path)

    assert (item.key, code(item)) == ("a.tar", "corrupt_archive")
    (tmp_path / "none").mkdir()
    with pytest.raises(UsageError, match="no tar in"):
        opened(tmp_path / "none")
    assert open_source(str(tmp_path / "a.tar"))[0].name == "files"
