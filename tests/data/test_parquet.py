from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.layouts import hub_table, picture, write
from vedette.data.base import SPLIT, Source, read_all
from vedette.data.labelling import SAFE, UNSAFE
from vedette.data.opening import SourceOptions, open_source
from vedette.errors import UsageError
from vedette.settings import Limits
from vedette.taxonomy import Category
from vedette.types import Failure, Item

CLASS_LABEL = {"label": {"names": ["safe", "Violence"], "_type": "ClassLabel"}}


def opened(path: Path, options: SourceOptions | None = None) -> Source:
    chosen, source = open_source(str(path), options=options)
    assert chosen.name == "parquet"
    return source


def items(path: Path, options: SourceOptions | None = None) -> list[Item]:
    return list(read_all(opened(path, options)))


def structs(*paths: str | None) -> list[dict[str, object]]:
    return [{"bytes": picture(at), "path": path} for at, path in enumerate(paths)]


def code(item: Item) -> str | None:
    return item.data.code if isinstance(item.data, Failure) else None


def test_the_hubs_layout(tmp_path: Path) -> None:
    table = hub_table({"image": structs("a.png", "b.png", None), "label": [0, 1, -1]}, CLASS_LABEL)
    write(table, tmp_path / "data" / "validation-00000-of-00001.parquet")
    source = opened(tmp_path)

    found = list(read_all(source))

    assert [shard.id for shard in source.shards()] == [
        "data/validation-00000-of-00001.parquet#0",
        "data/validation-00000-of-00001.parquet#1",
    ]
    assert [i.key for i in found] == [
        "a.png",
        "b.png",
        "data/validation-00000-of-00001.parquet#2",
    ]
    assert [i.data for i in found] == [picture(0), picture(1), picture(2)]
    assert [i.labels for i in found] == [frozenset(), {Category.VIOLENCE}, None]
    assert {i.meta[SPLIT] for i in found} == {"validation"}
    legend = source.legend.lines()  # type: ignore[attr-defined]
    assert "safe = safe (the file's schema)" in legend


def test_plain_bytes_in_the_one_binary_column(tmp_path: Path) -> None:
    write(pa.table({"data": [picture(0)], "label": ["safe"]}), tmp_path / "test.parquet")

    (item,) = items(tmp_path / "test.parquet")

    assert (item.key, item.data) == ("test.parquet#0", picture(0))
    assert (item.unsafe, item.meta) == (False, {SPLIT: "test"})


def test_numbers_without_names_are_never_guessed(tmp_path: Path) -> None:
    path = write(pa.table({"image": [picture(0)], "label": [0]}), tmp_path / "a.parquet")

    with pytest.raises(UsageError, match=r"a\.parquet, row 0: nothing says") as caught:
        items(path)
    assert caught.value.code == "unknown_label"
    (item,) = items(path, SourceOptions(labels={"0": UNSAFE, "1": SAFE}))
    assert item.unsafe is True


def test_several_classes_of_one_picture(tmp_path: Path) -> None:
    names = {"feature": {"names": ["Hate", "Violence"], "_type": "ClassLabel"}, "_type": "List"}
    columns = {"image": structs("a", "b"), "labels": [[0, 1], []]}
    path = write(hub_table(columns, {"labels": names}), tmp_path / "a.parquet")

    both, none = items(path)

    assert both.labels == frozenset({Category.HATE, Category.VIOLENCE})
    assert none.labels == frozenset()


def test_paths_that_several_rows_have_are_no_keys(tmp_path: Path) -> None:
    table = hub_table({"image": structs("0.png", "1.png", "0.png", "b.parquet#0")})
    for name in ("a", "b"):
        write(table.slice(0 if name == "a" else 3, 3), tmp_path / f"{name}.parquet")
    source = opened(tmp_path)

    keys = [i.key for i in read_all(source)]

    assert keys == ["a.parquet#0", "1.png", "a.parquet#2", "b.parquet#0"]
    assert all(source.find(key) is not None for key in keys)


def test_a_key_column(tmp_path: Path) -> None:
    table = pa.table({"image": [picture(0), picture(1)], "id": [7, 8]})
    source = opened(write(table, tmp_path / "a.parquet"), SourceOptions(key="id"))

    assert [i.key for i in read_all(source)] == ["7", "8"]
    found = source.find("8")
    assert found is not None
    assert found.data == picture(1)


def test_pictures_that_are_not_there_or_too_large(tmp_path: Path) -> None:
    beside = tmp_path / "beside.png"
    beside.write_bytes(picture(1))
    images = [
        None,
        {"bytes": None, "path": None},
        {"bytes": None, "path": "beside.png"},
        {"bytes": None, "path": "../x.png"},
        {"bytes": bytes(1001), "path": "large"},
    ]
    path = write(hub_table({"image": images}), tmp_path / "a.parquet")

    found = items(path, SourceOptions(limits=Limits(bytes=1000)))

    assert [code(i) for i in found] == [
        *("not_found", "not_found", None, "unsafe_path", "too_many_bytes")
    ]
    assert found[2].data == beside


def test_a_row_group_that_breaks_off_is_a_failure_for_each_row(tmp_path: Path) -> None:
    table = hub_table({"image": structs(*"abcdef"), "label": ["safe"] * 6})
    path = write(table, tmp_path / "a.parquet", 2)
    data = bytearray(path.read_bytes())
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    at = column.dictionary_page_offset or column.data_page_offset
    data[at : at + 200] = bytes(200)
    path.write_bytes(data)
    source = opened(path)

    found = list(read_all(source))

    assert [code(i) for i in found] == [None, None, "corrupt", "corrupt", None, None]
    assert [i.labels for i in found[2:4]] == [None, None]
    assert len({i.key for i in found}) == 6
    assert source.find(found[5].key) == found[5]


def test_text_that_is_not_utf8_costs_one_row(tmp_path: Path) -> None:
    text = pa.array([b"a", b"\xff", b"c"]).view(pa.string())
    path = write(pa.table({"image": [picture(0)] * 3, "text": text}), tmp_path / "a.parquet", 3)

    assert [code(i) for i in items(path)] == [None, "corrupt", None]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write(hub_table({"image": structs("a")}), tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(whole[:-100])

    with pytest.raises(UsageError, match=r"b\.parquet cannot be read") as caught:
        items(tmp_path)
    assert caught.value.code == "bad_source"


def test_what_declares_too_much_is_refused(tmp_path: Path) -> None:
    path = write(hub_table({"image": structs("a", "b", "c")}), tmp_path / "a.parquet")

    for limits in (Limits(archive_members=2), Limits(archive_bytes=100)):
        with pytest.raises(UsageError) as caught:
            opened(path, SourceOptions(limits=limits))
        assert caught.value.code == "archive_bomb"


def test_a_billion_rows_in_a_few_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    nulls = pa.nulls(3_000_000, pa.binary())
    pq.write_table(pa.table({"image": nulls}), path, row_group_size=3_000_000)
    assert path.stat().st_size < 10_000

    with pytest.raises(UsageError, match="3000000 rows"):
        opened(path)


def test_tables_without_pictures(tmp_path: Path) -> None:
    path = write(pa.table({"url": ["x"], "n": [1]}), tmp_path / "a.parquet")

    with pytest.raises(UsageError, match="no column of pictures") as caught:
        opened(path)
    assert caught.value.code == "bad_source"
    assert "url, n" in caught.value.hint
    assert open_source(str(tmp_path))[0].name == "files"
    (tmp_path / "none").mkdir()
    with pytest.raises(UsageError, match="no Parquet file"):
        open_source(str(tmp_path / "none"), "parquet")


def test_files_of_one_set_have_the_same_columns(tmp_path: Path) -> None:
    write(hub_table({"image": structs("a"), "label": ["safe"]}), tmp_path / "a.parquet")
    write(hub_table({"image": structs("a")}), tmp_path / "b.parquet")

    with pytest.raises(UsageError, match=r"b\.parquet has no column 'label'"):
        opened(tmp_path)
