"""Small files that would take gigabytes, minutes, or the whole process."""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
import sys
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.formats import hostile, savedmodels
from vedette.errors import ModelError
from vedette.formats.archives import read_members
from vedette.formats.lookups import read_tables
from vedette.formats.pickled import read_array, read_state_dict
from vedette.formats.savedmodel import read_saved_model
from vedette.formats.sstable import read_table

MIB = 2**20


@contextmanager
def within(mebibytes: int) -> Iterator[None]:
    """What is read in here takes no more memory."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < mebibytes * MIB
    finally:
        tracemalloc.stop()


def refused(read: Callable[[], object]) -> None:
    with pytest.raises(ModelError) as caught:
        read()
    assert caught.value.code == "weights_unusable"


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


# Archives


def archive(content: bytes, size: int, method: int) -> bytes:
    """One member, compressed already, that says it has ``size`` zeros."""
    shared = struct.pack(
        "<HHHHIIIHH", 0, method, 0, 0, zlib.crc32(bytes(size)), len(content), size, 1, 0
    )
    local = b"PK\3\4" + struct.pack("<H", 20) + shared + b"m" + content
    central = b"PK\1\2" + struct.pack("<HH", 20, 20) + shared + struct.pack("<HHHII", 0, 0, 0, 0, 0)
    central += b"m"
    end = struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)
    return local + central + b"PK\5\6" + end


def test_a_member_is_not_expanded_beyond_the_size_that_it_claims(tmp_path: Path) -> None:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    content = b"".join(deflate.compress(bytes(MIB)) for _ in range(300)) + deflate.flush()
    path = written(tmp_path / "m.zip", archive(content, 100, zipfile.ZIP_DEFLATED))

    with within(4):
        assert read_members(path) == {"m": bytes(100)}


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_to_compress_are_refused(tmp_path: Path, method: int) -> None:
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w", method) as made:
        made.writestr("m", bytes(1000))

    refused(lambda: read_members(path))


def test_a_file_that_is_too_large_is_not_opened(tmp_path: Path) -> None:
    with (tmp_path / "m.zip").open("wb") as file:
        file.truncate(2**26 + 1)

    refused(lambda: read_members(tmp_path / "m.zip"))


# Tables of variables


def test_long_keys_that_are_repeated_by_four_bytes_are_refused() -> None:
    first = savedmodels.varint(0) + savedmodels.varint(300_000) + b"\0" + bytes(300_000)
    more = b"".join(savedmodels.varint(300_000 + k) + b"\x01\x00" + b"k" for k in range(10_000))
    content = first + more + bytes(4) + (1).to_bytes(4, "little")

    data = of_blocks(content)
    with within(4):
        refused(lambda: read_table(data))


def test_many_keys_that_repeat_each_other_are_refused() -> None:
    blocks = []
    for block in range(40):
        name = f"{block:04}".encode()
        content = b"\0" + savedmodels.varint(900) + b"\0" + name.ljust(900, b"-")
        for k in range(1000):  # five bytes each that stand for nine hundred
            content += savedmodels.varint(898) + b"\x02\x00" + struct.pack(">H", k)
        blocks.append(content + bytes(4) + (1).to_bytes(4, "little"))

    data = of_blocks(*blocks)
    with within(8):
        refused(lambda: read_table(data))


def of_blocks(*contents: bytes) -> bytes:
    made, index = b"", []
    for k, content in enumerate(contents):
        index.append((struct.pack(">H", k), savedmodels.handle(made, content + bytes(5))))
        made += savedmodels.sealed(content)
    meta, inner = savedmodels.block([]), savedmodels.block(index)
    handles = savedmodels.handle(made, meta) + savedmodels.handle(made + meta, inner)
    return made + meta + inner + handles.ljust(40, b"\0") + savedmodels.MAGIC


def test_a_variable_of_very_many_dimensions_is_refused(tmp_path: Path) -> None:
    sizes = [2**63 - 1] * 20_000
    entry = savedmodels.field(1, savedmodels.FLOAT) + savedmodels.field(2, savedmodels.shape(sizes))
    members = savedmodels.members(6, {}, {"v": np.zeros(3, dtype=np.float32)})
    index = savedmodels.table({b"v/.ATTRIBUTES/VARIABLE_VALUE": entry})
    savedmodels.write_zip(tmp_path / "m.zip", {**members, "model/variables/variables.index": index})

    refused(lambda: read_saved_model(tmp_path / "m.zip"))


def test_a_graph_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    members = savedmodels.members(6, {}, {"v": np.zeros(3, dtype=np.float32)})
    graph = savedmodels.field(2, b"\x12\x00" * 2**23)
    savedmodels.write_zip(tmp_path / "m.zip", {**members, "model/saved_model.pb": graph})

    refused(lambda: read_saved_model(tmp_path / "m.zip"))


# Graphs

TABLES = {1: {"0.500000": 1}}
ARGUMENTS = ["inputs", "handle_0", "value_0"]


def tables_refused(model: list[bytes], nodes: list[bytes] | None = None) -> None:
    graph = savedmodels.graph_nodes(TABLES) + (nodes or [])
    functions = [savedmodels.function("signature", ARGUMENTS, model)]
    with pytest.raises((ModelError, ValueError, KeyError)):
        read_tables(savedmodels.saved(graph, functions))


def test_nodes_in_a_ring_are_refused() -> None:
    model = savedmodels.model_nodes(6, [1])
    model[0] = savedmodels.node("encode/Cast", "Cast", ["ring:y:0"])

    tables_refused([*model, savedmodels.node("ring", "Identity", ["encode/Cast:y:0"])])


@pytest.mark.parametrize("calls", [1, 2, 1000])
def test_a_function_that_calls_itself_is_refused(calls: int) -> None:
    inner = [savedmodels.call(f"c{k}", "signature", ARGUMENTS) for k in range(calls)]

    tables_refused([*savedmodels.model_nodes(6, [1]), *inner])


def test_lookups_without_end_are_refused() -> None:
    tables_refused(savedmodels.model_nodes(2000, [1] * 5000))


def test_one_content_in_very_many_tables_is_refused() -> None:
    keys = savedmodels.strings("many", [str(k) for k in range(2000)])
    values = savedmodels.integers("indices", range(2000))
    fills = [
        savedmodels.call(f"f{k}", "initializer", [f"t{k}", "many", "indices"]) for k in range(5000)
    ]

    tables_refused(savedmodels.model_nodes(6, [1]), [keys, values, *fills])


# Pickles


def test_tuples_so_deep_that_hashing_them_ends_the_process_are_refused(tmp_path: Path) -> None:
    data = b"\x80\x04}N" + b"\x85" * 300_000 + b"Ns."

    refused(lambda: read_array(written(tmp_path / "a.p", data)))
    refused(lambda: read_state_dict(written(tmp_path / "t.pt", hostile.torch_file(data))))


@pytest.mark.parametrize("step", [b"}K\x01", b"cnumpy\ndtype\n)R"])
def test_other_parts_may_be_as_deep_as_they_like(tmp_path: Path, step: bytes) -> None:
    end = b"s" if step.startswith(b"}") else b"b"
    data = b"\x80\x04" + step * 50_000 + b"N" + end * 50_000 + b"."

    refused(lambda: read_array(written(tmp_path / "a.p", data)))


def misframed(hidden: bytes) -> bytes:
    """Opcodes that are seen as a text by whoever reads the bytes in their order.

    The frame has two letters of a text of six. CPython forgets these two, takes six bytes from
    behind the frame, and goes on behind those: inside of what else is the next text.
    """
    cut = b"\x8c\x06ab"
    return b"\x80\x04\x95" + struct.pack("<Q", len(cut)) + cut + b"cdefVg" + hidden + b"\n."


def test_a_frame_that_ends_inside_of_an_opcode_hides_no_others(tmp_path: Path) -> None:
    data = misframed(b"}N" + b"\x85" * 300_000 + b"Ns.")

    refused(lambda: read_array(written(tmp_path / "a.p", data)))
    refused(lambda: read_state_dict(written(tmp_path / "t.pt", hostile.torch_file(data))))


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="about CPython's unpickler")
def test_frames_are_dropped_for_a_reason() -> None:
    data = misframed(b"}N\x85Ns.")

    seen = [opcode.name for opcode, _, _ in pickletools.genops(data)]

    assert seen == ["PROTO", "FRAME", "SHORT_BINUNICODE", "UNICODE", "STOP"]
    assert pickle.Unpickler(io.BytesIO(data)).load() == {(None,): None}
