"""Keras .h5 files, made here as Keras lays them out, and files that lead elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.formats.networks import Json, drawn, ending, layer, run, sequential, small
from vedette.backends.base import Array
from vedette.errors import ModelError
from vedette.formats.hdf5 import read_h5
from vedette.formats.hdf5_worker import read
from vedette.formats.keras import to_onnx

h5py: Any = pytest.importorskip("h5py")


def write_h5(path: Path, topology: Json, groups: Mapping[str, Mapping[str, Array]]) -> Path:
    """A file as Keras writes it: ``groups`` are layers, each with its weights' full names."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(topology)
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = [name.encode() for name in groups]
        for name, weights in groups.items():
            group = root.create_group(name)
            group.attrs["weight_names"] = np.array([n.encode() for n in weights], dtype="S")
            for weight, values in weights.items():
                group[weight] = values
    return path


def by_layer(weights: Mapping[str, Array], scope: str = "") -> dict[str, dict[str, Array]]:
    groups: dict[str, dict[str, Array]] = {"relu": {}}
    for name, values in weights.items():
        groups.setdefault(name.split("/")[0], {})[f"{scope}{name}:0"] = values
    return groups


@pytest.fixture
def h5(tmp_path: Path) -> Path:
    topology, weights = small()
    return write_h5(tmp_path / "model.h5", topology, by_layer(weights))


def same_weights(found: Mapping[str, Array], wanted: Mapping[str, Array]) -> None:
    assert sorted(found) == sorted(wanted)
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values)


def test_a_model_as_keras_writes_it(h5: Path) -> None:
    topology, weights = small()
    found_topology, found = read_h5(h5)
    assert found_topology == topology
    same_weights(found, weights)
    images = np.random.default_rng(0).random((2, 8, 8, 3))
    for one, two in zip(
        run(to_onnx(topology, weights), images),
        run(to_onnx(found_topology, found), images),
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)


def test_scopes_before_a_weights_name_do_not_count(tmp_path: Path) -> None:
    topology, weights = small()
    h5 = write_h5(tmp_path / "model.h5", topology, by_layer(weights, "net_1/other/"))
    same_weights(read_h5(h5)[1], weights)


def test_weights_of_a_network_inside_the_network(tmp_path: Path) -> None:
    weights = drawn({"c/kernel": (1, 1, 3, 3), "d/kernel": (1, 1, 3, 3)})
    convs = [layer("Conv2D", name, filters=3, kernel_size=1, use_bias=False) for name in ("c", "d")]
    inner = sequential((2, 2, 3), convs)
    inner["config"]["name"] = "inner"
    end = ending(weights, 12)
    topology = sequential((2, 2, 3), [inner, *end])
    groups = {
        "inner": {"c/kernel:0": weights["c/kernel"], "x/d/kernel:0": weights["d/kernel"]},
        "end": {"end/kernel:0": weights["end/kernel"], "end/bias:0": weights["end/bias"]},
    }
    found = read_h5(write_h5(tmp_path / "model.h5", topology, groups))
    same_weights(found[1], weights)
    assert to_onnx(*found).dim == 12


def test_long_lists_of_names_are_split_by_keras(h5: Path) -> None:
    with h5py.File(h5, "a") as file:
        root = file["model_weights"]
        names = list(root.attrs["layer_names"])
        del root.attrs["layer_names"]
        root.attrs["layer_names0"], root.attrs["layer_names1"] = names[:2], names[2:]
    same_weights(read_h5(h5)[1], small()[1])


def edited(path: Path, edit: Callable[[Any], None]) -> Path:
    with h5py.File(path, "a") as file:
        edit(file)
    return path


def refused(path: Path) -> ModelError:
    """In this process: files that are whole do not need another."""
    with pytest.raises(ModelError) as caught:
        read(path)
    return caught.value


def replaced(path: str, make: Callable[[Any, str], None]) -> Callable[[Any], None]:
    def edit(file: Any) -> None:
        del file[path]
        make(file, path)

    return edit


KERNEL = "model_weights/conv/conv/kernel:0"
SHAPE = (3, 3, 3, 4)


def external_link(file: Any, path: str) -> None:
    file[path] = h5py.ExternalLink("other.h5", "/kernel")


def soft_link(file: Any, path: str) -> None:
    file[path] = h5py.SoftLink("/model_weights/norm/norm/gamma:0")


def external_storage(file: Any, path: str) -> None:
    file.create_dataset(path, SHAPE, "f4", external=[("other.bin", 0, 4 * 108)])


def virtual(file: Any, path: str) -> None:
    layout = h5py.VirtualLayout(SHAPE, "f4")
    layout[:] = h5py.VirtualSource("other.h5", "kernel", SHAPE)
    file.create_virtual_dataset(path, layout)


def compressed(file: Any, path: str) -> None:
    file.create_dataset(path, (1 << 14, 1 << 14), "f4", compression="gzip")


def unwritten(file: Any, path: str) -> None:
    file.create_dataset(path, (1 << 14, 1 << 14), "f4")


def text(file: Any, path: str) -> None:
    file[path] = "a string"


def whole(file: Any, path: str) -> None:
    file[path] = np.zeros(SHAPE, np.int32)


def folder(file: Any, path: str) -> None:
    file.create_group(path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (external_link, "a link, which is not followed"),
        (soft_link, "a link, which is not followed"),
        (external_storage, "outside the file"),
        (virtual, "outside the file"),
        (compressed, "not stored as plain numbers"),
        (unwritten, "not stored as plain numbers"),
        (text, "no array of numbers"),
        (whole, "no array of numbers"),
        (folder, "no array of numbers"),
    ],
)
def test_what_is_not_plain_numbers_inside_the_file_is_refused(
    h5: Path, make: Callable[[Any, str], None], words: str
) -> None:
    other = h5.parent / "other.h5"
    with h5py.File(other, "w") as file:
        file["kernel"] = np.zeros(SHAPE, np.float32)
    h5.with_name("other.bin").write_bytes(bytes(4 * 108))
    error = refused(edited(h5, replaced(KERNEL, make)))
    assert error.code == "weights_unusable"
    assert words in error.message


def test_a_linked_group_is_refused(h5: Path) -> None:
    edit = replaced("model_weights", external_link)
    assert "a link, which is not followed" in refused(edited(h5, edit)).message


def without(name: str) -> Callable[[Any], None]:
    return lambda file: file.attrs.__delitem__(name)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (without("model_config"), "says nothing about the network"),
        (lambda f: f.attrs.update(model_config=7), "not text"),
        (lambda f: f.attrs.update(model_config=np.bytes_(b"\xff{")), "not text"),
        (lambda f: f.attrs.update(model_config="{"), "not JSON"),
        (lambda f: f["model_weights"].attrs.clear(), "no layer_names"),
        (lambda f: f["model_weights"].attrs.update(layer_names=[1, 2]), "not text"),
        (lambda f: f["model_weights"].attrs.update(layer_names=[b"no"]), "a link"),
        (lambda f: f["model_weights"].attrs.update(layer_names=[b""]), "nothing at"),
        (lambda f: f["model_weights"].attrs.update(layer_names=[b"conv"] * 2), "two weights"),
    ],
)
def test_files_that_are_no_models_are_refused(
    h5: Path, edit: Callable[[Any], None], words: str
) -> None:
    error = refused(edited(h5, edit))
    assert error.code == "weights_unusable"
    assert words in error.message


def test_missing_empty_and_other_files_are_refused(tmp_path: Path) -> None:
    assert outcome(tmp_path / "no.h5") == "weights_missing"
    for data in (b"", b"PK\3\4" + bytes(100), b"\x89HDF\r\n\x1a\n", bytes(5000)):
        (tmp_path / "x.h5").write_bytes(data)
        assert outcome(tmp_path / "x.h5") == "weights_unusable"


def test_the_words_of_the_other_process_arrive(h5: Path) -> None:
    edited(h5, without("model_config"))
    with pytest.raises(ModelError) as caught:
        read_h5(h5)
    assert "says nothing about the network" in caught.value.message


def test_a_reader_that_never_ends_or_dies_is_no_answer(h5: Path) -> None:
    with pytest.raises(ModelError) as caught:
        read_h5(h5, seconds=0.001)
    assert caught.value.message == "model.h5 was not read within 0.001 s"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.executable", "/bin/false")
        with pytest.raises(ModelError) as caught:
            read_h5(h5)
    assert caught.value.message == "reading model.h5 ended with status 1"
    assert caught.value.code == "weights_unusable"


@settings(max_examples=30)
@given(data=st.data())
def test_damaged_files_are_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    scratch = tmp_path_factory.getbasetemp() / "damaged.h5"
    topology, weights = small()
    whole_file = write_h5(scratch, topology, by_layer(weights)).read_bytes()
    if data.draw(st.booleans()):
        scratch.write_bytes(whole_file[: data.draw(st.integers(0, len(whole_file) - 1))])
        assert outcome(scratch) == "weights_unusable"
        return
    damaged = bytearray(whole_file)
    for _ in range(data.draw(st.integers(1, 20))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    scratch.write_bytes(damaged)
    assert outcome(scratch) in ("read", "weights_unusable")


def outcome(path: Path) -> str:
    try:
        to_onnx(*read_h5(path, seconds=20))
    except ModelError as error:
        return error.code
    return "read"
