from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.formats import savedmodels as made
from tests.formats.refusals import read_or_refused
from vedette.errors import ModelError
from vedette.formats.savedmodel import read_saved_model
from vedette.formats.sstable import masked_crc32c

VARIABLES = {
    "layer_with_weights-1/mean": np.arange(6, dtype=np.float32),
    "layer_with_weights-2/kernel": np.arange(12, dtype=np.float32).reshape(6, 2),
    "layer_with_weights-2/steps": np.array([1, 2], dtype=np.int64),
    "save_counter": np.array(7, dtype=np.int64),
}
TABLES = {1: {"0.500000": 1, "-0.250000": 2}, 4: {"0.000000": 300, "-0.000000": 2}}
MEMBERS = made.members(6, TABLES, VARIABLES)
GRAPH, INDEX, DATA = MEMBERS
"""Their names."""


def read(folder: Path, changes: Mapping[str, bytes]) -> Mapping[int, Mapping[str, int]]:
    """The tables of the model whose members are changed so."""
    made.write_zip(folder / "m.zip", {**MEMBERS, **changes})
    return read_saved_model(folder / "m.zip").tables


def refused(folder: Path, changes: Mapping[str, bytes], why: str = "no usable SavedModel") -> None:
    with pytest.raises(ModelError, match=why) as caught:
        read(folder, changes)
    assert caught.value.code == "weights_unusable"


def changed(nodes: Sequence[bytes], *news: bytes) -> list[bytes]:
    """The nodes with those of the new ones' names replaced, and the others added."""
    by_name = {node[2 : 2 + node[1]]: node for node in (*nodes, *news)}
    return list(by_name.values())


def graph(
    main: Sequence[bytes] = (), inner: Sequence[bytes] = (), library: Sequence[bytes] = ()
) -> dict[str, bytes]:
    """The model's graph with other nodes in it, or in its innermost function, or functions."""
    columns = list(TABLES)
    arguments = ["inputs", *(n for k in range(2) for n in (f"handle_{k}", f"value_{k}"))]
    model = made.function("model", arguments, changed(made.model_nodes(6, columns), *inner))
    functions = [*made.functions(6, columns)[:-1], model, *library]
    return {GRAPH: made.saved(changed(made.graph_nodes(TABLES), *main), functions)}


def test_variables_and_tables_are_read(tmp_path: Path) -> None:
    made.write_zip(tmp_path / "m.zip", MEMBERS)

    saved = read_saved_model(tmp_path / "m.zip")

    assert saved.tables == TABLES
    assert saved.variables.keys() == VARIABLES.keys()
    for name, values in VARIABLES.items():
        np.testing.assert_array_equal(saved.variables[name], values, strict=True)


def test_an_unpacked_folder_is_read_too(tmp_path: Path) -> None:
    made.write_zip(tmp_path / "m.zip", MEMBERS)
    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        archive.extractall(tmp_path / "out")

    assert read_saved_model(tmp_path / "out").tables == TABLES
    assert read_saved_model(tmp_path / "out" / "model").tables == TABLES


def test_a_model_without_tables_has_none(tmp_path: Path) -> None:
    assert read(tmp_path, {GRAPH: made.saved_model_pb(6, {})}) == {}


def test_indices_may_be_packed_instead_of_raw(tmp_path: Path) -> None:
    numbers = b"".join(made.field(10, made.varint(n)) for n in TABLES[1].values())
    packed = made.constant("values_0", made.INT64, [2], numbers)

    assert read(tmp_path, graph(main=[packed])) == TABLES


def test_what_only_orders_the_nodes_is_passed_over(tmp_path: Path) -> None:
    given = ["serving_default_input_1", "table_0", "default_0", "table_1", "default_1", "^fill_0"]

    assert read(tmp_path, graph(main=[made.call("serve", "signature", given)])) == TABLES


def printed(**options: bytes) -> bytes:
    return made.node(
        "encode/AsString_0",
        "AsString",
        ["encode/split:output:1"],
        T=made.field(6, made.FLOAT),
        **options,
    )


def test_options_of_printing_that_are_the_defaults_change_nothing(tmp_path: Path) -> None:
    node = printed(precision=made.field(3, -1), shortest=made.field(5, 0), fill=made.field(2, b""))

    assert read(tmp_path, graph(inner=[node])) == TABLES


def of_a_function(name: str, op: str, *inputs: str) -> dict[str, bytes]:
    return graph(inner=[made.node(name, op, inputs)])


LOOP = made.function("signature", ["a", "b", "c", "d", "e"], [made.call("c", "signature", "abcde")])
ANOTHER = [
    made.strings("keys_9", ["0.500000"]),
    made.integers("values_9", [1]),
    made.call("fill_9", "initializer", ["table_9", "keys_9", "values_9"]),
]
STRANGE = [
    (graph(inner=[made.integers("encode/Const", [2, 1, 1, 1, 1], made.INT32)]), "single columns"),
    (graph(main=[made.scalar("default_0", 5)]), "not clear"),
    (graph(main=[made.integers("default_0", [0, 0])]), "not clear"),
    (graph(main=[made.integers("default_0", [0], made.INT32)]), "an index that is none"),
    (graph(inner=[printed(precision=made.field(3, 3))]), "printed number"),
    (graph(inner=[printed(scientific=made.field(5, 1))]), "printed number"),
    (of_a_function("encode/AsString_0", "StringLower", "encode/split:output:1"), "printed number"),
    (of_a_function("encode/Cast", "Neg", "inputs"), "changed before"),
    (of_a_function("encode/Cast", "Cast", "handle_1"), "something else than the input"),
    (of_a_function("encode/Const", "Placeholder"), "constant is none"),
    (of_a_function("encode/split", "Split", "encode/Cast:y:0"), "than a column"),
    (graph(library=[LOOP]), "without end"),
    (graph(main=[made.call("again", "initializer", ["table_0", "keys_0", "values_0"])]), "twice"),
    (
        graph(main=[made.call("again", "initializer", ["t", "keys_0", "values_0"])]),
        "twice|no column",
    ),
    (graph(main=ANOTHER), "no column"),
    (graph(main=[made.strings("keys_0", ["0.500000", "0.500000"])]), "twice"),
    (graph(main=[made.strings("keys_0", ["0.500000"])]), "ValueError"),
    (graph(main=[made.call("serve", "signature", ["serving_default_input_1"])]), "ValueError"),
    (graph(main=[made.call("serve", "unheard", ["serving_default_input_1"])]), "KeyError"),
    (graph(main=[made.call("serve", "signature", [])]), "0 of what"),
]


@pytest.mark.parametrize(("changes", "why"), STRANGE, ids=[str(k) for k in range(len(STRANGE))])
def test_a_graph_that_means_something_else_is_refused(
    tmp_path: Path, changes: dict[str, bytes], why: str
) -> None:
    refused(tmp_path, changes, why)


@pytest.mark.parametrize("left_out", list(MEMBERS))
def test_a_missing_member_is_refused(tmp_path: Path, left_out: str) -> None:
    kept = {name: data for name, data in MEMBERS.items() if name != left_out}
    made.write_zip(tmp_path / "m.zip", kept)

    with pytest.raises(ModelError, match="lacks") as caught:
        read_saved_model(tmp_path / "m.zip")
    assert caught.value.code == "weights_unusable"


@pytest.mark.parametrize("name", list(MEMBERS))
def test_a_truncated_member_is_refused(tmp_path: Path, name: str) -> None:
    for size in range(0, len(MEMBERS[name]), 7):
        refused(tmp_path, {name: MEMBERS[name][:size]})


@given(st.sampled_from(sorted(MEMBERS)), st.data())
def test_flipped_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    flipped = bytearray(MEMBERS[name])
    for at in data.draw(st.lists(st.integers(0, len(flipped) - 1), min_size=1, max_size=4)):
        flipped[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("flipped") / "m.zip"
    made.write_zip(path, {**MEMBERS, name: bytes(flipped)})

    saved = read_or_refused(lambda: read_saved_model(path))

    if saved and name != GRAPH:  # the variables have checksums; the graph has none
        assert all((saved.variables[k] == VARIABLES[k]).all() for k in saved.variables)


@given(st.binary(max_size=300))
def test_any_graph_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "m.zip"
    for pb in (content, made.field(2, made.field(2, content)), made.saved([content], [content])):
        made.write_zip(path, {**MEMBERS, GRAPH: pb})
        read_or_refused(lambda: read_saved_model(path))


def test_variables_that_overlap_are_refused(tmp_path: Path) -> None:
    index, data = made.bundle({"v": np.ones(9, dtype=np.float32)})
    entry = made.field(1, made.FLOAT) + made.field(2, made.shape([9])) + made.field(5, 36)
    entry += made.fixed32(6, masked_crc32c(data))
    ending = "/.ATTRIBUTES/VARIABLE_VALUE"
    index = made.table({f"{name}{ending}".encode(): entry for name in "vw"})

    refused(tmp_path, {INDEX: index, DATA: data}, "overlap")


def test_a_variable_of_another_size_or_type_is_refused(tmp_path: Path) -> None:
    for entry in (
        made.field(1, made.FLOAT) + made.field(2, made.shape([8])) + made.field(5, 36),
        made.field(1, made.STRING) + made.field(2, made.shape([9])) + made.field(5, 36),
        made.field(1, made.FLOAT) + made.field(2, made.shape([9])) + made.field(5, 36),
    ):
        index = made.table({b"v/.ATTRIBUTES/VARIABLE_VALUE": entry})
        refused(tmp_path, {INDEX: index, DATA: bytes(36)}, "shape|checksum")
