"""The lookup tables of a TensorFlow graph, and which column of the input each is for.

A preprocessing layer of Keras may replace columns of the input by their index in a table of
strings. Such tables are no variables: keys and indices are constants of the graph, handed to a
lookup table's initialiser. Which column a table is for follows from the graph too. The walk begins
where serving begins and goes into the functions that are called from there: a lookup's key must be
one plainly printed column of the input, and its default 0.

Source: TensorFlow's ``graph.proto``, ``function.proto``, ``node_def.proto``, ``attr_value.proto``
and ``tensor.proto``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from vedette.formats.protobuf import fields, submessages, varint

_FLOAT, _STRING, _INT64 = 1, 7, 9
"""``DataType`` of TensorFlow."""
_MOST_STEPS = 100_000
"""Nodes and arguments on the way from the input to the tables. The published models have 2,400."""
_MOST_LOOKUPS = 1000
_MOST_BYTES = 2**22
"""Of what all tables are filled with, even if it is the same each time."""
_MOST_COLUMNS = 2**14
"""As bytes of what says how the input is split: 4096 columns."""
_OUTPUT = re.compile(r"([^:]+):\w+:(\d{1,6})\Z")
"""How a function's nodes name their inputs: node, output, and index within it."""
_PASSES = ("Cast", "Identity")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Node:
    """A ``NodeDef``."""

    name: str
    op: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class _Function:
    """A ``FunctionDef``."""

    arguments: tuple[str, ...]
    nodes: Mapping[str, _Node]


def read_tables(saved_model: bytes) -> dict[int, dict[str, int]]:
    """Index by string, for each column of the input that is looked up.

    Args:
        saved_model: the content of ``saved_model.pb``.

    Raises:
        ModelError: ``weights_unusable``: it is no protocol buffer.
        ValueError: it is another kind of model, or leaves open what a table is for.
        KeyError: as ``ValueError``.
    """
    graph = _only(submessages(_only(submessages(saved_model, 2)), 2))
    nodes = {node.name: node for node in map(_node, submessages(graph, 1))}
    by_handle: dict[str, dict[str, int]] = {}
    for handle, table in _initialised(nodes):
        if by_handle.setdefault(handle, table) is not table:
            raise ValueError("a table is filled twice")
    if not by_handle:
        return {}
    found: dict[int, dict[str, int]] = {}
    for column, handle, default in _lookups(graph, nodes):
        table = by_handle[handle]
        if found.setdefault(column, table) is not table or _indices(nodes[default]) != [0]:
            raise ValueError(f"how column {column} is looked up is not clear")
    if len({id(table) for table in found.values()}) != len(by_handle):
        raise ValueError("a table is there that no column is looked up in")
    return dict(sorted(found.items()))


def _initialised(nodes: Mapping[str, _Node]) -> Iterator[tuple[str, dict[str, int]]]:
    """Tables by the node that makes their handle: calls with (handle, strings, indices)."""
    left = _MOST_BYTES
    for node in nodes.values():
        if not node.op.endswith("PartitionedCall") or len(node.inputs) != 3:
            continue
        keys, values = (nodes.get(name) for name in node.inputs[1:])
        if keys is None or values is None or (keys.op, values.op) != ("Const", "Const"):
            continue
        if (_type(keys, "dtype"), _type(values, "dtype")) == (_STRING, _INT64):
            left -= len(keys.attributes["value"]) + len(values.attributes["value"])
            if left < 0:
                raise ValueError("its tables are too large")
            strings = [s.decode("ascii") for s in submessages(_tensor(keys), 8)]
            table = dict(zip(strings, _indices(values), strict=True))
            if len(table) != len(strings):
                raise ValueError("a string is in a table twice")
            yield node.inputs[0], table


def _lookups(graph: bytes, nodes: Mapping[str, _Node]) -> Iterator[tuple[int, str, str]]:
    """(column, node of the table, node of the default) of every lookup that serving does."""
    library = {
        _text(_only(submessages(function, 1)), 1): function
        for functions in submessages(graph, 2)
        for function in submessages(functions, 1)
    }
    parsed: dict[str, _Function] = {}
    inputs = {n.name for n in nodes.values() if n.op == "Placeholder" and _serving(n.name)}
    serving = _only([n for n in nodes.values() if _called(n) and inputs & set(n.inputs)])
    given = _only([name for name in serving.inputs if name in inputs])
    todo = [(serving, {name: name for name in serving.inputs})]
    steps = lookups = 0
    while todo:
        call, outer = todo.pop()
        name = _called(call)
        if name not in parsed:
            parsed[name] = _function(library[name])
        function = parsed[name]
        steps += len(function.nodes) + len(call.inputs)
        if steps > _MOST_STEPS:
            raise ValueError("its functions call each other without end")
        # What the call hands over, by the names in the whole graph; "" for what it has computed.
        handed = [outer.get(argument, "") for argument in call.inputs]
        scope = dict(zip(function.arguments, handed, strict=True))
        for node in function.nodes.values():
            if _called(node):
                todo.append((node, scope))
            elif node.op == "LookupTableFindV2":
                lookups += 1
                if lookups > _MOST_LOOKUPS:
                    raise ValueError("more lookups than columns")
                handle, key, default = node.inputs
                column, source = _column(function.nodes, key)
                if scope[source] != given:
                    raise ValueError("a lookup of something else than the input")
                yield column, scope[handle], scope[default]


def _serving(name: str) -> bool:
    return name.startswith("serving_default")


def _called(node: _Node) -> str:
    """The function that a node calls: an ``AttrValue`` with ``func``; empty if it calls none."""
    if not node.op.endswith("PartitionedCall") or "f" not in node.attributes:
        return ""
    return _text(_only(submessages(node.attributes["f"], 10)), 1)


def _column(nodes: Mapping[str, _Node], key: str) -> tuple[int, str]:
    """The column that ``key`` prints, and the argument that is split into columns."""
    printed, _ = _from(nodes, key)
    # Those with "_" are remarks of TensorFlow's.
    options = [v for n, v in printed.attributes.items() if n != "T" and not n.startswith("_")]
    if printed.op != "AsString" or _type(printed, "T") != _FLOAT or not all(map(_unset, options)):
        raise ValueError("a lookup of something else than a printed number")
    split, column = _from(nodes, printed.inputs[0])
    if split.op != "SplitV":
        raise ValueError("a lookup of something else than a column")
    source, sizes, _ = split.inputs
    ones = _tensor(_from(nodes, sizes)[0])
    if len(ones) > _MOST_COLUMNS or set(_numbers(ones, 7, "<i4")) != {1}:
        raise ValueError("the input is not split into single columns")
    for _ in _PASSES:  # at most one of each: a chain of many, or a ring, is no model's
        if ":" in source:
            above, _ = _from(nodes, source)
            if above.op not in _PASSES:
                raise ValueError("the input is changed before it is split")
            source = above.inputs[0]
    return column, source


def _from(nodes: Mapping[str, _Node], reference: str) -> tuple[_Node, int]:
    match = _OUTPUT.match(reference)
    if match is None:
        raise ValueError(f"an input named {reference[:60]!r}")
    return nodes[match[1]], int(match[2])


def _unset(option: bytes) -> bool:
    """Whether an option of ``AsString`` is its default: -1, false, or empty."""
    return all(value in (2**64 - 1, 0, b"") for _, _, value in fields(option))


def _function(data: bytes) -> _Function:
    signature = _only(submessages(data, 1))
    arguments = tuple(_text(argument, 1) for argument in submessages(signature, 2))
    return _Function(arguments, {n.name: n for n in map(_node, submessages(data, 3))})


def _node(data: bytes) -> _Node:
    attributes = {_text(a, 1): _only(submessages(a, 2)) for a in submessages(data, 5)}
    inputs = (v.decode("utf-8") for v in submessages(data, 3))
    # "^name" says only what has to run first.
    kept = tuple(name for name in inputs if not name.startswith("^"))
    return _Node(_text(data, 1), _text(data, 2), kept, attributes)


def _type(node: _Node, attribute: str) -> int | bytes:
    """An ``AttrValue`` with ``type``; 0 if there is none."""
    return {n: v for n, _, v in fields(node.attributes.get(attribute, b""))}.get(6, 0)


def _tensor(node: _Node) -> bytes:
    """The ``TensorProto`` of a constant."""
    if node.op != "Const":
        raise ValueError("a constant is none")
    return _only(submessages(node.attributes["value"], 8))


def _indices(node: _Node) -> list[int]:
    if _type(node, "dtype") != _INT64:
        raise ValueError("an index that is none")
    return _numbers(_tensor(node), 10, "<i8")


def _numbers(tensor: bytes, packed_as: int, dtype: str) -> list[int]:
    """Of a ``TensorProto``: from its raw content, or from its field ``packed_as``."""
    if content := b"".join(submessages(tensor, 4)):
        return [int(v) for v in np.frombuffer(content, dtype)]
    found: list[int] = []
    for packed in submessages(tensor, packed_as):
        at = 0
        while at < len(packed):
            value, at = varint(packed, at)
            found.append(value)
    return found


def _text(data: bytes, number: int) -> str:
    found = submessages(data, number)
    return found[0].decode("utf-8") if found else ""


def _only(found: list[_T]) -> _T:
    if len(found) != 1:
        raise ValueError(f"{len(found)} of what there must be one of")
    return found[0]
