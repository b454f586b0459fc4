from __future__ import annotations

import copyreg
import math
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.formats import hostile
from tests.formats.refusals import read_or_refused
from vedette.errors import ModelError
from vedette.formats import pickled
from vedette.formats.pickled import read_array, read_state_dict

ROWS = np.random.default_rng(0).normal(size=(2, 5))


def refused(read: Callable[[Path], object], path: Path, why: str = ".") -> None:
    with pytest.raises(ModelError, match=why) as caught:
        read(path)
    assert caught.value.code == "weights_unusable"


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


# Arrays


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_of_any_protocol_is_read(
    tmp_path: Path, protocol: int, dtype: str, order: str
) -> None:
    rows = np.array(ROWS, dtype=dtype, order="F" if order == "F" else "C")
    path = written(tmp_path / "rows.p", pickle.dumps(rows, protocol=protocol))

    read = read_array(path)

    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, rows.astype(np.float32))


@pytest.mark.parametrize("protocol", range(6))
def test_names_of_older_and_newer_numpy_are_the_same(tmp_path: Path, protocol: int) -> None:
    data = pickle.dumps(ROWS, protocol=protocol)
    if protocol < 4:  # names are lines of text
        data = data.replace(b"numpy._core.", b"numpy.core.")
    else:  # counted, in a frame that is counted too
        data = data.replace(b"\x16numpy._core.multiarray", b"\x15numpy.core.multiarray")
        data = data.replace(b"\x13numpy._core.numeric", b"\x12numpy.core.numeric")
        (frame,) = struct.unpack("<Q", data[3:11])
        data = data[:3] + struct.pack("<Q", frame - 1) + data[11:]
    assert b"numpy.core." in data
    path = written(tmp_path / "rows.p", data)

    np.testing.assert_array_equal(read_array(path), ROWS.astype(np.float32))


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (1, 2, 3, 4)])
def test_an_array_of_any_shape_is_read(tmp_path: Path, shape: tuple[int, ...]) -> None:
    rows = np.zeros(shape, dtype=np.float32)

    assert read_array(written(tmp_path / "rows.p", pickle.dumps(rows, protocol=3))).shape == shape


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        [1.0, 2.0],
        {"a": 1.0},
        (ROWS,),
        np.zeros(3, dtype=np.int64),
        np.zeros(3, dtype=np.complex64),
        np.zeros(3, dtype="datetime64[s]"),
        np.array(["text"]),
        np.zeros(2, dtype=[("a", "f4")]),
        np.array([np.nan], dtype=np.float32),
        np.array([1e300]),
        np.float32(3),
        np.dtype("f4"),
        np.zeros((1,) * 20, dtype=np.float32),
        np.ma.MaskedArray([1.0, 2.0]),
    ],
    ids=str,
)
def test_anything_else_is_refused(tmp_path: Path, value: object) -> None:
    for protocol in (2, 5):
        refused(read_array, written(tmp_path / "rows.p", pickle.dumps(value, protocol=protocol)))


def altered(old: bytes, new: bytes) -> bytes:
    data = pickle.dumps(ROWS.astype(np.float32), protocol=3)
    assert old in data
    return data.replace(old, new)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (altered(b"K\x02K\x05\x86", b"K\x03K\x05\x86"), "not its shape's"),
        (altered(b"K\x02K\x05\x86", b"J\xff\xff\xff\xffK\x05\x86"), "a shape that is none"),
        (altered(b"K\x02K\x05\x86", b"\x88K\x05\x86"), "a shape that is none"),
        (altered(b"K\x02K\x05\x86", b"X\x01\0\0\0aK\x05\x86"), "a shape that is none"),
        (altered(b"X\x02\0\0\0f4", b"X\x02\0\0\0f8"), "not its shape's"),
        (altered(b"X\x02\0\0\0f4", b"X\x02\0\0\0O8"), "not of floating point numbers"),
        (altered(b"X\x01\0\0\0<", b"X\x01\0\0\0!"), "not of floating point numbers"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(
    tmp_path: Path, data: bytes, why: str
) -> None:
    refused(read_array, written(tmp_path / "rows.p", data), why)


def test_a_missing_array_is_missing(tmp_path: Path) -> None:
    for read in (read_array, read_state_dict):
        with pytest.raises(ModelError) as caught:
            read(tmp_path / "none.p")
        assert caught.value.code == "weights_missing"
        refused(read, tmp_path)


def test_a_file_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickled, "_MOST_BYTES", 100)

    refused(read_array, written(tmp_path / "rows.p", pickle.dumps(ROWS)), "too large")


# Hostile ones


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """What a hostile pickle would write; nobody does."""
    path = tmp_path / "marker"
    copyreg.add_extension("os", "system", 240)
    try:
        pickle.loads(b"\x80\x02\x82\xf0.")  # now the interpreter has it in its cache
        yield path
    finally:
        copyreg.remove_extension("os", "system", 240)
        copyreg.clear_extension_cache()
    assert not path.exists()


@pytest.mark.parametrize("way", sorted(hostile.pickles(Path("x"))))
def test_a_hostile_pickle_is_refused_and_does_nothing(
    tmp_path: Path, marker: Path, way: str
) -> None:
    data = hostile.pickles(marker)[way]

    refused(read_array, written(tmp_path / "prompts.p", data))
    refused(read_state_dict, written(tmp_path / "head.pt", hostile.torch_file(data)))
    refused(read_state_dict, written(tmp_path / "head.pt", data))


@pytest.mark.parametrize("way", hostile.RUNNING)
def test_the_hostile_pickles_would_run(tmp_path: Path, way: str) -> None:
    marker = tmp_path / "marker"

    pickle.loads(hostile.pickles(marker)[way])

    assert marker.exists()


def test_torch_files_of_something_hostile_are_refused(tmp_path: Path, marker: Path) -> None:
    evil = hostile.Evil(f"touch '{marker}'")
    for value in (evil, {"a": evil}, OrderedDict(a=torch.zeros(2), b=evil), [torch.zeros(2)]):
        torch.save(value, tmp_path / "head.pt")
        refused(read_state_dict, tmp_path / "head.pt")


TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"


def test_nothing_of_this_process_can_be_changed(tmp_path: Path) -> None:
    before = {name: dict(vars(kind)) for name, kind in vars(pickled).items() if callable(kind)}
    change = hostile.text("__call__") + hostile.text("x") + b"s"
    for state in (b"}" + change, b"N}" + change + b"\x86"):
        for name in (TENSOR, b"ccollections\nOrderedDict\n", b"ctorch\nFloatStorage\n"):
            data = hostile.torch_file(b"\x80\x02" + name + state + b"b.")
            refused(read_state_dict, written(tmp_path / "head.pt", data))
        refused(read_array, written(tmp_path / "a.p", b"\x80\x02cnumpy\ndtype\n" + state + b"b."))

    after = {name: dict(vars(kind)) for name, kind in vars(pickled).items() if callable(kind)}
    assert after == before


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02Nr\xff\xff\xff\x7f.",  # a memo of two thousand million places
        b"\x80\x02Np999999999\n.",
        b"\x80\x02Np-1\n.",
        b"\x80\x02h\x05.",
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x0f.",  # more bytes than there are
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x0f.",  # a frame of as many
        b"\x80\x02)q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"}" + b"h\x00Ns.",  # a key of 2^60 parts
        b"\x80\x02}" + b")" + b"2\x86" * 60 + b"Ns.",
        b"\x80\x02}" + b"(K\x01t(uq\x00" + b"h\x00\x86(uq\x00" * 60 + b"Ns.",
        b"\x80\x02" + b"N0" * 10 + b".",
        b"",
        b".",
        b"\x80\x02",
        b"\x80\x06N.",
        b"not a pickle",
    ],
)
def test_pickles_that_ask_for_too_much_are_refused_at_once(tmp_path: Path, data: bytes) -> None:
    refused(read_array, written(tmp_path / "rows.p", data))
    refused(read_state_dict, written(tmp_path / "head.pt", hostile.torch_file(data)))


def test_a_pickle_of_endless_steps_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickled, "_MOST_OPCODES", 10)

    refused(read_array, written(tmp_path / "rows.p", pickle.dumps(ROWS)), "more than arrays")


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x80\x02", b"\x80\x04"]))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, start: bytes
) -> None:
    folder = tmp_path_factory.mktemp("any")
    for content in (start + data, start + data + b"."):
        path = written(folder / "rows.p", content)
        assert read_or_refused(lambda path=path: read_array(path)) is None  # type: ignore[misc]
        path = written(folder / "head.pt", hostile.torch_file(content))
        assert read_or_refused(lambda path=path: read_state_dict(path)) is None  # type: ignore[misc]


@given(st.integers(0, 5), st.data())
def test_flipped_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, protocol: int, data: st.DataObject
) -> None:
    flipped = bytearray(pickle.dumps(ROWS.astype(np.float32), protocol=protocol))
    for at in data.draw(st.lists(st.integers(0, len(flipped) - 1), min_size=1, max_size=3)):
        flipped[at] = data.draw(st.integers(0, 255))
    path = written(tmp_path_factory.mktemp("flipped") / "rows.p", bytes(flipped))

    read = read_or_refused(lambda: read_array(path))

    assert read is None or (read.size == ROWS.size and bool(np.isfinite(read).all()))


@pytest.mark.parametrize("protocol", range(6))
def test_every_truncation_is_refused(tmp_path: Path, protocol: int) -> None:
    whole = pickle.dumps(ROWS, protocol=protocol)

    for size in range(len(whole)):
        refused(read_array, written(tmp_path / "rows.p", whole[:size]))


# Torch files


def tensors() -> dict[str, torch.Tensor]:
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    return {
        "whole": base,
        "transposed": base.t(),
        "part": base[1:3, ::2],
        "shared": base,
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "half": base.half(),
        "double": base.double() / 3,
        "brain": base.bfloat16() / 3,
        "count": torch.tensor(9),
    }


@pytest.mark.parametrize("kind", [dict, OrderedDict])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_tensors_are_read_as_torch_reads_them(tmp_path: Path, kind: type, protocol: int) -> None:
    given = tensors()
    torch.save(kind(given), tmp_path / "head.pt", pickle_protocol=protocol)

    read = read_state_dict(tmp_path / "head.pt")

    assert list(read) == list(given)
    for name, tensor in given.items():
        np.testing.assert_array_equal(read[name], tensor.float().numpy(), strict=True)


def test_a_modules_own_state_is_read(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    torch.save(module.state_dict(), tmp_path / "head.pt")

    read = read_state_dict(tmp_path / "head.pt")

    for name, tensor in module.state_dict().items():
        np.testing.assert_array_equal(read[name], tensor.float().numpy())


@pytest.mark.parametrize("value", [torch.ones(2, 3), torch.nn.Parameter(torch.ones(2, 3))])
def test_a_tensor_by_itself_is_read(tmp_path: Path, value: torch.Tensor) -> None:
    torch.save(value, tmp_path / "prompts.pt")

    read = read_state_dict(tmp_path / "prompts.pt")

    assert list(read) == [""]
    np.testing.assert_array_equal(read[""], np.ones((2, 3), np.float32))


@pytest.mark.parametrize(
    "value",
    [
        {},
        None,
        "text",
        {"a": 1.0},
        {1: torch.zeros(2)},
        {"a": {"b": torch.zeros(2)}},
        {"a": torch.zeros(2, dtype=torch.int32)},
        {"a": torch.zeros(2, dtype=torch.bool)},
        {"a": torch.zeros(2, dtype=torch.complex64)},
        {"a": torch.full((2,), math.nan)},
        {"a": torch.tensor(1e300, dtype=torch.float64)},
        {"a": torch.zeros(1).expand(1000)},
        {"a": torch.zeros(2).to_sparse()},
        torch.nn.Linear(2, 2),
    ],
    ids=str,
)
def test_files_of_something_else_are_refused(tmp_path: Path, value: object) -> None:
    torch.save(value, tmp_path / "head.pt")

    refused(read_state_dict, tmp_path / "head.pt")


def test_torchs_old_format_is_refused(tmp_path: Path) -> None:
    torch.save(tensors(), tmp_path / "head.pt", _use_new_zipfile_serialization=False)

    refused(read_state_dict, tmp_path / "head.pt", "ZIP")


def tensor(
    count: int = 6,
    offset: int = 0,
    shape: bytes = b"K\x02K\x03\x86",
    strides: bytes = b"K\x03K\x01\x86",
    key: str = "0",
    kind: bytes = b"ctorch\nFloatStorage\n",
    marker: str = "storage",
) -> bytes:
    """A tensor's pickle, 2 by 3."""
    size = b"J" + struct.pack("<i", count)
    storage = hostile.text(marker) + kind + hostile.text(key) + hostile.text("cpu") + size
    place = b"J" + struct.pack("<i", offset) + shape + strides
    hooks = b"\x89ccollections\nOrderedDict\n)R"
    return b"\x80\x02" + TENSOR + b"((" + storage + b"tQ" + place + hooks + b"tR."


STORAGE = {"data/0": np.arange(6, dtype=np.float32).tobytes()}


def test_the_tensor_that_the_next_tests_alter_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "t.pt", hostile.torch_file(tensor(), STORAGE))

    np.testing.assert_array_equal(read_state_dict(path)[""], [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize(
    "data",
    [
        tensor(count=7),
        tensor(offset=1),
        tensor(offset=-1),
        tensor(offset=2**31 - 1),
        tensor(strides=b"K\x04K\x01\x86"),
        tensor(strides=b"J\xfd\xff\xff\xffK\x01\x86"),
        tensor(strides=b"K\x01\x85"),
        tensor(shape=b"K\x02K\x04\x86", strides=b"K\x00K\x00\x86"),
        tensor(shape=b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86", strides=b"K\x00K\x00\x86"),
        tensor(shape=b"K\x02K\x03\x86" * 2),
        tensor(key="1"),
        tensor(key="../0"),
        tensor(key="²"),
        tensor(kind=b"ctorch\nIntStorage\n"),
        tensor(kind=b"ccollections\nOrderedDict\n"),
        tensor(marker="module"),
    ],
)
def test_a_tensor_that_does_not_fit_its_storage_is_refused(tmp_path: Path, data: bytes) -> None:
    refused(read_state_dict, written(tmp_path / "t.pt", hostile.torch_file(data, STORAGE)))


def test_numbers_that_are_not_little_endian_are_refused(tmp_path: Path) -> None:
    file = hostile.torch_file(tensor(), {**STORAGE, "byteorder": b"big"})

    refused(read_state_dict, written(tmp_path / "t.pt", file), "little-endian")


def test_a_storage_of_half_a_number_is_refused(tmp_path: Path) -> None:
    file = hostile.torch_file(tensor(), {"data/0": bytes(25)})

    refused(read_state_dict, written(tmp_path / "t.pt", file))


def test_all_tensors_together_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = torch.zeros(100)
    torch.save({str(k): shared for k in range(20)}, tmp_path / "t.pt")
    assert len(read_state_dict(tmp_path / "t.pt")) == 20

    monkeypatch.setattr(pickled, "_MOST_BYTES", 19 * 400)

    refused(read_state_dict, tmp_path / "t.pt", "does not fit")


def test_truncated_and_flipped_torch_files_are_refused(tmp_path: Path) -> None:
    torch.save(tensors(), tmp_path / "head.pt")
    whole = tmp_path.joinpath("head.pt").read_bytes()
    path = tmp_path / "bad.pt"
    rng = np.random.default_rng(0)

    for size in range(0, len(whole), 29):
        refused(read_state_dict, written(path, whole[:size]))
    for at in rng.integers(0, len(whole), 200):
        read_or_refused(
            lambda at=at: read_state_dict(  # type: ignore[misc]
                written(path, whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
            )
        )


@given(st.data())
def test_flipped_bytes_in_its_pickle_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    flipped = bytearray(tensor())
    for at in data.draw(st.lists(st.integers(0, len(flipped) - 1), min_size=1, max_size=3)):
        flipped[at] = data.draw(st.integers(0, 255))
    file = hostile.torch_file(bytes(flipped), STORAGE)
    path = written(tmp_path_factory.mktemp("flipped") / "t.pt", file)

    read = read_or_refused(lambda: read_state_dict(path))

    assert read is None or all(values.size <= 6 for values in read.values())
