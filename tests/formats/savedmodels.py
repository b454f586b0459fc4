"""A writer of SavedModels with lookup tables: protocol buffers, LevelDB tables, ZIP.

The structure is that of AutoKeras' own files: tables are constants handed to an initialiser, the
serving call hands tables and defaults down through functions, the innermost of which splits its
input into columns, prints some, and looks the texts up.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vedette.formats.sstable import masked_crc32c

FLOAT, DOUBLE, INT32, STRING, INT64 = 1, 2, 3, 7, 9
"""``DataType`` of TensorFlow."""
MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")
Tables = Mapping[int, Mapping[str, int]]


# Protocol buffers


def varint(value: int) -> bytes:
    """A number of up to 64 bits; negative ones in two's complement."""
    value &= 2**64 - 1
    made = bytearray()
    while value >= 0x80:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def field(number: int, value: int | bytes | str) -> bytes:
    """One field: a varint, or something with a length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def fixed32(number: int, value: int) -> bytes:
    return varint(number << 3 | 5) + value.to_bytes(4, "little")


# The table of variables


def block(entries: Sequence[tuple[bytes, bytes]], interval: int = 16) -> bytes:
    """A block with its trailer; every ``interval``-th key is written in full."""
    made, restarts, before = b"", [], b""
    for position, (key, value) in enumerate(entries):
        shared = 0
        if position % interval == 0:
            restarts.append(len(made))
        else:
            while shared < min(len(key), len(before)) and key[shared] == before[shared]:
                shared += 1
        fresh = key[shared:]
        made += varint(shared) + varint(len(fresh)) + varint(len(value)) + fresh + value
        before = key
    restarts = restarts or [0]
    made += b"".join(r.to_bytes(4, "little") for r in (*restarts, len(restarts)))
    return sealed(made)


def sealed(content: bytes, compression: int = 0) -> bytes:
    """A block's content with its trailer."""
    whole = content + bytes([compression])
    return whole + masked_crc32c(whole).to_bytes(4, "little")


def table(entries: Mapping[bytes, bytes], per_block: int = 5) -> bytes:
    """A whole file: data blocks, the empty meta index, the index, the footer."""
    rows = sorted(entries.items())
    made, index = b"", []
    for at in range(0, len(rows), per_block):
        data = block(rows[at : at + per_block])
        index.append((rows[at : at + per_block][-1][0], handle(made, data)))
        made += data
    meta = block([])
    meta_handle = handle(made, meta)
    made += meta
    inner = block(index, interval=1)
    handles = meta_handle + handle(made, inner)
    return made + inner + handles.ljust(40, b"\0") + MAGIC


def handle(before: bytes, data: bytes) -> bytes:
    """Where a block lies that is written after ``before``."""
    return varint(len(before)) + varint(len(data) - 5)


# Variables


def bundle(variables: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """``variables.index`` and ``variables.data-00000-of-00001``."""
    entries, data = {b"": field(1, 1) + field(3, field(1, 1))}, b""
    for name, value in variables.items():
        raw = value.tobytes()
        dtype = {"f4": FLOAT, "f8": DOUBLE, "i8": INT64}[value.dtype.str[1:]]
        entry = field(1, dtype) + field(2, shape(value.shape))
        if data:
            entry += field(4, len(data))
        entry += field(5, len(raw)) + fixed32(6, masked_crc32c(raw))
        entries[f"{name}/.ATTRIBUTES/VARIABLE_VALUE".encode()] = entry
        data += raw
    return table(entries), data


def shape(sizes: Sequence[int]) -> bytes:
    """A ``TensorShapeProto``."""
    return b"".join(field(2, field(1, size)) for size in sizes)


# The graph


def node(name: str, op: str, inputs: Sequence[str] = (), **attributes: bytes) -> bytes:
    """A ``NodeDef``."""
    made = field(1, name) + field(2, op) + b"".join(field(3, i) for i in inputs)
    for key, value in attributes.items():
        made += field(5, field(1, key) + field(2, value))
    return made


def constant(name: str, dtype: int, sizes: Sequence[int], content: bytes) -> bytes:
    tensor = field(1, dtype) + field(2, shape(sizes)) + content
    return node(name, "Const", dtype=field(6, dtype), value=field(8, tensor))


def strings(name: str, texts: Sequence[str]) -> bytes:
    return constant(name, STRING, [len(texts)], b"".join(field(8, text) for text in texts))


def integers(name: str, numbers: Sequence[int], dtype: int = INT64) -> bytes:
    raw = np.array(numbers, "<i8" if dtype == INT64 else "<i4").tobytes()
    return constant(name, dtype, [len(numbers)], field(4, raw))


def scalar(name: str, number: int) -> bytes:
    """An int64 as TensorFlow writes a single one: packed, not raw."""
    return constant(name, INT64, [], field(10, varint(number)))


def call(name: str, function: str, inputs: Sequence[str]) -> bytes:
    return node(name, "StatefulPartitionedCall", inputs, f=field(10, field(1, function)))


def function(name: str, arguments: Sequence[str], nodes: Sequence[bytes]) -> bytes:
    """A ``FunctionDef``."""
    signature = field(1, name) + b"".join(field(2, field(1, a)) for a in arguments)
    return field(1, signature) + b"".join(field(3, n) for n in nodes)


def saved(nodes: Sequence[bytes], functions: Sequence[bytes]) -> bytes:
    """A ``SavedModel`` of one graph."""
    library = b"".join(field(1, f) for f in functions)
    graph = b"".join(field(1, n) for n in nodes) + field(2, library)
    return field(1, 1) + field(2, field(2, graph))


def graph_nodes(tables: Tables) -> list[bytes]:
    """The main graph: tables, their contents and defaults, the input and the serving call."""
    nodes, handed = [], []
    for k, texts in enumerate(tables.values()):
        handed += [f"table_{k}", f"default_{k}"]
        nodes += [
            call(f"table_{k}", "creator", []),
            scalar(f"default_{k}", 0),
            strings(f"keys_{k}", list(texts)),
            integers(f"values_{k}", list(texts.values())),
            call(f"fill_{k}", "initializer", [f"table_{k}", f"keys_{k}", f"values_{k}"]),
        ]
    placeholder = node("serving_default_input_1", "Placeholder", dtype=field(6, DOUBLE))
    serving = call("serve", "signature", ["serving_default_input_1", *handed])
    return [*nodes, placeholder, serving]


def model_nodes(dim: int, columns: Sequence[int]) -> list[bytes]:
    """The innermost function: the input is split into columns; some are looked up."""
    nodes = [
        node("encode/Cast", "Cast", ["inputs"], SrcT=field(6, DOUBLE), DstT=field(6, FLOAT)),
        integers("encode/Const", [1] * dim, INT32),
        integers("encode/split_dim", [-1], INT32),
        node(
            "encode/split",
            "SplitV",
            ["encode/Cast:y:0", "encode/Const:output:0", "encode/split_dim:output:0"],
        ),
    ]
    for k, column in enumerate(columns):
        printed = f"encode/AsString_{k}"
        found = [f"handle_{k}", f"{printed}:output:0", f"value_{k}"]
        nodes += [
            node(printed, "AsString", [f"encode/split:output:{column}"], T=field(6, FLOAT)),
            node(f"encode/lookup_{k}/LookupTableFindV2", "LookupTableFindV2", found),
        ]
    return nodes


def functions(dim: int, columns: Sequence[int]) -> list[bytes]:
    """The library: initialisers, the signature, and the model that it calls."""
    inner = [name for k in range(len(columns)) for name in (f"handle_{k}", f"value_{k}")]
    unknown = [f"unknown_{k}" for k in range(len(inner))]
    return [
        function("creator", [], []),
        function("initializer", ["handle", "keys", "values"], []),
        function("signature", ["input_1", *unknown], [call("c", "model", ["input_1", *unknown])]),
        function("model", ["inputs", *inner], model_nodes(dim, columns)),
    ]


def saved_model_pb(dim: int, tables: Tables) -> bytes:
    return saved(graph_nodes(tables), functions(dim, list(tables)))


def members(dim: int, tables: Tables, variables: Mapping[str, Any]) -> dict[str, bytes]:
    """The files of a SavedModel, by their names."""
    index, data = bundle(variables)
    return {
        "model/saved_model.pb": saved_model_pb(dim, tables),
        "model/variables/variables.index": index,
        "model/variables/variables.data-00000-of-00001": data,
    }


def write_zip(path: Path, content: Mapping[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
