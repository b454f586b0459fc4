from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.pictures import folder_of
from vedette.data import manifest
from vedette.data.base import SPLIT, TEXT, Source, read_all
from vedette.data.labelling import SAFE, UNSAFE
from vedette.data.opening import SourceOptions, open_source
from vedette.errors import UsageError
from vedette.taxonomy import Category
from vedette.types import Failure, Item


def csv(root: Path, text: str, name: str = "set.csv") -> Path:
    folder_of(root, 3)
    (root / name).write_text(text)
    return root / name


def opened(path: Path, options: SourceOptions | None = None) -> Source:
    chosen, source = open_source(str(path), options=options)
    assert chosen.name == "manifest"
    return source


def items(path: Path, options: SourceOptions | None = None) -> list[Item]:
    return list(read_all(opened(path, options)))


def test_a_row_is_an_item(tmp_path: Path) -> None:
    text = "file_name,label,caption,split\n0000.png,safe,a dot,val\n0001.png,Violence,,\n"

    first, second = items(csv(tmp_path, text))

    assert first.key == "0000.png"
    assert first.data == tmp_path / "0000.png"
    assert (first.labels, first.unsafe) == (frozenset(), False)
    assert first.meta == {SPLIT: "validation", TEXT: "a dot"}
    assert (second.labels, second.meta) == (frozenset({Category.VIOLENCE}), {})


def test_jsonl_with_several_labels_and_none(tmp_path: Path) -> None:
    rows = [
        {"image": "0000.png", "labels": ["Violence", "Hate"]},
        {"image": "0001.png", "labels": []},
        {"image": "0002.png"},
    ]

    both, none, unlabelled = items(csv(tmp_path, "\n".join(map(json.dumps, rows)), "a.jsonl"))

    assert both.labels == frozenset({Category.HATE, Category.VIOLENCE})
    assert none.labels == frozenset()
    assert (unlabelled.labels, unlabelled.unsafe) == (None, None)


def test_columns_that_the_user_names(tmp_path: Path) -> None:
    text = "where,nr,n,who\n0000.png,0,k0,ann\n0001.png,1,k1,bob\n"
    options = SourceOptions(
        image="where",
        label="nr",
        key="n",
        columns={"annotator": "who"},
        labels={"0": SAFE, "1": UNSAFE},
    )

    found = items(csv(tmp_path, text), options)

    assert [(i.key, i.unsafe, i.meta["annotator"]) for i in found] == [
        ("k0", False, "ann"),
        ("k1", True, "bob"),
    ]


@pytest.mark.parametrize("name", ["../secret.png", "/etc/hostname", "out.png"])
def test_no_row_reads_outside_of_the_set(tmp_path: Path, name: str) -> None:
    path = csv(tmp_path / "set", f"path,label\n{name},safe\n0000.png,safe\n")
    (tmp_path / "secret.png").write_bytes(b"secret")
    (tmp_path / "set" / "out.png").symlink_to("../secret.png")

    bad, good = items(path)

    assert isinstance(bad.data, Failure)
    assert bad.data.code == "unsafe_path"
    assert good.data == tmp_path / "set" / "0000.png"


def test_missing_pictures_and_empty_names_are_failures(tmp_path: Path) -> None:
    found = items(csv(tmp_path, "path,label\ngone.png,safe\n,safe\n,safe\n"))

    assert [i.data.code for i in found if isinstance(i.data, Failure)] == ["not_found"] * 3
    assert len({i.key for i in found}) == 3


def test_a_malformed_row_is_found_before_the_first_picture(tmp_path: Path) -> None:
    source = opened(csv(tmp_path, "path,label\n0000.png,safe\n0001.png\n"))

    with pytest.raises(UsageError, match=r"set\.csv, line 3") as caught:
        source.shards()
    assert caught.value.code == "bad_source"


def test_a_label_that_nobody_explains_is_named_with_its_line(tmp_path: Path) -> None:
    path = csv(tmp_path, "path,label\n0000.png,safe\n\n0001.png,1\n")

    with pytest.raises(UsageError, match=r"set\.csv, line 4: nothing says .* '1'") as caught:
        items(path)
    assert caught.value.code == "unknown_label"


@pytest.mark.parametrize(
    ("text", "said"),
    [("a,b\n1,2\n", "no field that names pictures"), ("", ""), ("path\n", "")],
)
def test_a_manifest_without_pictures(tmp_path: Path, text: str, said: str) -> None:
    path = csv(tmp_path, text)
    if not said:
        assert items(path) == []
        return
    with pytest.raises(UsageError, match=said) as caught:
        items(path)
    assert caught.value.code == "bad_source"


def test_jsonl_rows_that_lack_the_pictures_field(tmp_path: Path) -> None:
    path = csv(tmp_path, '{"path": "0000.png"}\n{"file": "0001.png"}\n', "a.jsonl")

    with pytest.raises(UsageError, match="line 2: no field 'path'"):
        items(path)


def test_shards_hold_so_many_rows_and_are_read_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "SHARD_ROWS", 2)
    text = "path,text\n" + "".join(f'{i % 3:04d}.png,"line\n{i}"\n' for i in range(5))
    source = opened(csv(tmp_path, text))

    shards = source.shards()
    last = list(source.read(shards[-1]))

    assert [shard.id for shard in shards] == ["set.csv#0", "set.csv#2", "set.csv#4"]
    assert [(i.key, i.meta[TEXT]) for i in last] == [("0001.png#4", "line\n4")]
    for item in read_all(source):
        assert source.find(item.key) == item


def test_a_name_that_comes_twice_gets_its_rows_number(tmp_path: Path) -> None:
    text = "path\n0000.png\n./0000.png\n0000.png#1\n"

    assert [i.key for i in items(csv(tmp_path, text))] == [
        "0000.png",
        "0000.png#1#1",
        "0000.png#1",
    ]


def test_a_folder_with_manifests_in_its_splits(tmp_path: Path) -> None:
    for split in ("train", "test"):
        csv(tmp_path / split, "file_name,label\n0000.png,safe\n", "metadata.csv")

    found = items(tmp_path)

    assert [(i.key, i.meta[SPLIT]) for i in found] == [
        ("test/0000.png", "test"),
        ("train/0000.png", "train"),
    ]
    assert found[0].data == tmp_path / "test" / "0000.png"


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    folder_of(tmp_path, 1)

    with pytest.raises(UsageError, match="no manifest") as caught:
        open_source(str(tmp_path), "manifest")
    assert caught.value.code == "bad_source"
