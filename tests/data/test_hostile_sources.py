"""Whatever a stranger puts where a set should be: a VedetteError or Items, and an end."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.layouts import base64_of, external, hub_table, jpeg, picture, tar, write
from vedette.data.base import read_all
from vedette.data.labelling import SAFE, UNSAFE
from vedette.data.opening import SourceOptions, formats, open_source
from vedette.errors import CODES, VedetteError
from vedette.settings import Limits

OPTIONS = SourceOptions(
    labels={"0": SAFE, "1": UNSAFE},
    limits=Limits(bytes=2**16, archive_bytes=2**20, archive_members=1_000),
)
FORMATS = ("unsafebench", "external", "webdataset", "parquet", "manifest", "classes", "auto")
MOST = 2_000


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def good(place: Path) -> dict[str, bytes]:
    """A whole file of each kind."""
    pictures = [{"bytes": picture(n), "path": f"{n}.png"} for n in range(4)]
    columns = {"image": pictures, "safety_label": ["Safe", "Unsafe"] * 2, "category": ["Hate"] * 4}
    hub = write(hub_table(columns), place / "hub.parquet")
    images = [base64_of(0), "0", "3", "2"]
    (outer,) = external(place / "set", images).rglob("*.parquet")
    tarred = tar(place / "good.tar", {"0.jpg": jpeg(0), "0.json": b'{"label": "safe"}'})
    return {
        "hub.parquet": hub.read_bytes(),
        "external.parquet": outer.read_bytes(),
        "set.tar": tarred.read_bytes(),
    }


def read(path: Path, fmt: str) -> None:
    """All there is, by the format's own way; an error must be ours."""
    refused: list[VedetteError] = []
    try:
        _, source = open_source(str(path), fmt, OPTIONS)
        seen = list(islice(read_all(source), MOST + 1))
        assert len(seen) <= MOST
        assert len({item.key for item in seen}) == len(seen)
        for item in seen[:3]:
            source.find(item.key)
    except VedetteError as error:
        refused.append(error)
    assert all(error.code in CODES and error.hint for error in refused)


def test_every_format_is_tried() -> None:
    assert set(FORMATS) - {"auto"} <= set(formats())


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "metadata.jsonl"])
@given(
    data=st.binary(max_size=300)
    | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
@settings(max_examples=150)
def test_any_bytes_as_a_manifest(place: Path, name: str, data: bytes) -> None:
    path = place / name
    for content in (data, b"path,label\n" + data, b'{"path": "x"}\n' + data):
        path.write_bytes(content)
        read(path, "auto")


CELL = st.none() | st.text(max_size=8) | st.integers() | st.floats() | st.lists(st.text(max_size=3))
ROW = st.dictionaries(
    st.sampled_from(["path", "label", "category", "key", "split", "text", "image_fname", "source"]),
    CELL | st.sampled_from(["0", "safe", "Hate", "../x", "/x", "train"]),
)


@pytest.mark.parametrize("fmt", ["manifest", "unsafebench"])
@given(rows=st.lists(ROW, max_size=6))
@settings(max_examples=150)
def test_any_rows_as_a_manifest(place: Path, fmt: str, rows: list[dict[str, object]]) -> None:
    path = place / "metadata.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))

    read(path, fmt)


@pytest.mark.parametrize("fmt", ["parquet", "external", "unsafebench", "auto"])
@given(data=st.binary(max_size=400))
@settings(max_examples=80)
def test_any_bytes_as_parquet(place: Path, fmt: str, data: bytes) -> None:
    path = place / "any.parquet"
    for content in (data, b"PAR1" + data + len(data).to_bytes(4, "little") + b"PAR1"):
        path.write_bytes(content)
        read(path, fmt)


@pytest.mark.parametrize("name", ["hub.parquet", "external.parquet", "set.tar"])
@given(data=st.data())
@settings(max_examples=120)
def test_a_damaged_file_of_a_set(
    place: Path, good: dict[str, bytes], name: str, data: st.DataObject
) -> None:
    content = bytearray(good[name])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.none() | st.integers(0, len(content)))
    path = place / f"damaged-{name}"
    path.write_bytes(content[:cut])

    read(path, "auto")
    read(path, "webdataset" if name.endswith("tar") else "parquet")


@pytest.mark.parametrize("fmt", FORMATS)
@given(data=st.binary(max_size=400), tarlike=st.booleans())
@settings(max_examples=40)
def test_any_bytes_as_an_archive(place: Path, fmt: str, data: bytes, tarlike: bool) -> None:
    path = place / "any.tar"
    path.write_bytes(data.ljust(257, b"\0") + b"ustar" + data if tarlike else b"PK\3\4" + data)

    read(path, fmt)


@given(sidecar=st.binary(max_size=60) | ROW.map(lambda row: json.dumps(row).encode()))
@settings(max_examples=100)
def test_any_bytes_beside_a_picture(place: Path, sidecar: bytes) -> None:
    files = {"0.jpg": jpeg(0), "0.json": sidecar, "1.jpg": jpeg(0), "1.cls": sidecar}
    read(tar(place / "beside.tar", files), "webdataset")
