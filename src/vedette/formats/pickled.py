"""Arrays out of pickles, without letting a pickle do anything.

The one place in Vedette that unpickles, in three steps. First the opcodes are read: only those that
arrays and tensors are written with are let through. Then the pickle is loaded, with names that
stand for nothing: whatever it calls gives a note of the call (:class:`_Made`). At last arrays are
built here, from notes that were checked. numpy's and torch's own reconstruction is never called,
and no module is imported that a file names.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.errors import ModelError
from vedette.formats.archives import read_members
from vedette.types import Float32

_MOST_BYTES = 2**26
"""Of a file, and of all arrays made from it. The largest head has 22 megabytes."""
_MOST_DIMS = 8
_MOST_OPCODES = 2**20
_MOST_TUPLES = 2000
"""Python hashes a tuple in a tuple by recursion that nothing stops but the stack's end, where the
process dies. The heads have 40."""
_MOST_AGAIN = 16
"""Uses of a part that is there already, and may hold parts itself. Each may double the work of
whoever walks through it all, as an unpickler does that hashes the keys of a dictionary."""

_WITHOUT_PARTS = {
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("GLOBAL", "STACK_GLOBAL", "REDUCE", "BINPERSID", "BYTEARRAY8"),
}
"""After these a part is on top that is hashed in one step: text, bytes, or an object of ours."""
_PUTS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
_GETS = {"GET", "BINGET", "LONG_BINGET"}
_NO_VALUES = {"PROTO", "FRAME"}
_TUPLES = {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"}
_ALLOWED = {
    *(*_WITHOUT_PARTS, *_PUTS, *_GETS, *_NO_VALUES, "MARK", "STOP"),
    *("NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1"),
    *(*_TUPLES, "EMPTY_TUPLE", "EMPTY_DICT", "SETITEM", "SETITEMS", "BUILD"),
}
_OPCODES = {o.code.encode("latin1"): o for o in pickletools.opcodes if o.name in _ALLOWED}

_NUMPY = {
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("numpy.core.multiarray", "_reconstruct"): "array",
    ("numpy._core.multiarray", "_reconstruct"): "array",
    ("numpy.core.numeric", "_frombuffer"): "buffer",
    ("numpy._core.numeric", "_frombuffer"): "buffer",
    ("_codecs", "encode"): "encode",  # how protocols below 3 spell bytes: text in Latin-1
}
_TORCH = {
    ("collections", "OrderedDict"): "dictionary",
    ("torch._utils", "_rebuild_tensor_v2"): "tensor",
    ("torch._utils", "_rebuild_parameter"): "parameter",
    ("torch", "HalfStorage"): "<f2",
    ("torch", "FloatStorage"): "<f4",
    ("torch", "DoubleStorage"): "<f8",
    ("torch", "LongStorage"): "<i8",
    ("torch", "BFloat16Storage"): "bfloat16",
}
_ERRORS = (
    *(pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError),
    *(AttributeError, OverflowError, MemoryError, RecursionError),
)
"""What an unpickler raises on bytes that are no pickle of ours."""


class _Name:
    """A name in a pickle. Calling it notes the call."""

    __slots__ = ("role",)

    def __init__(self, role: str) -> None:
        self.role = role

    def __call__(self, *arguments: object) -> _Made:
        return _Made(self.role, arguments)

    def __setstate__(self, state: object) -> None:
        raise ValueError("a name that is given a state")


class _Made:
    """A note of a call: of which name, with what; and of what was then put into the result."""

    __slots__ = ("arguments", "entries", "role", "state")

    def __init__(self, role: str, arguments: tuple[object, ...]) -> None:
        self.role = role
        self.arguments = arguments
        self.entries: list[tuple[object, object]] = []
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state

    def __setitem__(self, key: object, value: object) -> None:
        self.entries.append((key, value))


class _Restricted(pickle.Unpickler):
    """An unpickler for which no name means anything, and most do not exist."""

    def __init__(self, data: bytes, names: Mapping[tuple[str, str], str]) -> None:
        super().__init__(io.BytesIO(data))
        self._names = names

    def find_class(self, module: str, name: str) -> _Name:
        role = self._names.get((module, name))
        if role is None:
            raise ValueError(f"it asks for {module[:60]!r} {name[:60]!r}")
        return _Name(role)

    def persistent_load(self, reference: object) -> _Made:
        if self._names is not _TORCH or not isinstance(reference, tuple):
            raise ValueError("it asks for something outside of it")
        return _Made("storage", reference)


def _notes(data: bytes, names: Mapping[tuple[str, str], str]) -> object:
    return _Restricted(_checked(data), names).load()


def _checked(data: bytes) -> bytes:
    """Refuse what an unpickler would do itself, before it asks for a name.

    That is: names by number (a registry of the process), instances made without a call, a memo
    index that has it reserve gigabytes, tuples of tuples of the same tuples, or thousands deep.

    Returns:
        The pickle without its frames. Where a frame ends inside of an opcode, Python's unpickler
        goes on with what follows the frame, and so would load other opcodes than those read here.
    """
    file = io.BytesIO(data)
    kept = bytearray()
    memo: dict[int, bool] = {}  # whether it may have parts
    parts_on_top = False
    again = count = tuples = 0
    name = ""
    while name != "STOP":
        count += 1
        start = file.tell()
        opcode = _OPCODES.get(file.read(1))
        if opcode is None or count > _MOST_OPCODES:
            raise ValueError("it ends early, or holds more than arrays")
        name = opcode.name
        argument: Any = None
        if name == "GLOBAL":
            file.readline()
            file.readline()
        elif opcode.arg is not None:
            argument = opcode.arg.reader(file)
        if name in _PUTS:
            index = len(memo) if argument is None else argument
            if not 0 <= index <= count:
                raise ValueError("it counts its parts wrongly")
            memo[index] = parts_on_top
        elif name in _GETS:
            parts_on_top = memo[argument]
            again += parts_on_top
        elif name not in _NO_VALUES:
            parts_on_top = name not in _WITHOUT_PARTS
        tuples += name in _TUPLES
        if again > _MOST_AGAIN or tuples > _MOST_TUPLES:
            raise ValueError("its parts are too much entangled")
        if name != "FRAME":
            kept += data[start : file.tell()]
    return bytes(kept)


def read_array(path: Path) -> Float32:
    """A pickled numpy array of floating point numbers, as float32; protocols 0 to 5.

    Raises:
        ModelError: ``weights_missing``, or ``weights_unusable``: it is anything else.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise _unusable(path, "too large")
        data = path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"{path} is not there", code="weights_missing") from None
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror}") from error
    try:
        return _array(_notes(data, _NUMPY))
    except _ERRORS as error:
        raise _unusable(path, f"no array in it: {error}") from error


def _array(note: object) -> Float32:
    match note:
        case _Made(role="array", state=(_, shape, dtype, bool(fortran), data)):
            order = "F" if fortran else "C"
        case _Made(role="buffer", arguments=(data, dtype, shape, "C" | "F" as order)):
            pass
        case _:
            raise ValueError("it holds something else")
    stored, raw, sizes = _dtype(dtype), _bytes(data), _sizes(shape)
    if math.prod(sizes) * stored.itemsize != len(raw):
        raise ValueError("its bytes are not its shape's")
    return _float32(np.frombuffer(raw, stored).reshape(sizes, order="F" if order == "F" else "C"))


def _dtype(note: object) -> np.dtype[Any]:
    match note:
        case _Made(
            role="dtype",
            arguments=("f2" | "f4" | "f8" as kind, *_),
            state=(_, "<" | ">" | "=" as order, *_),
        ):
            return np.dtype(kind).newbyteorder(order)
    raise ValueError("it is not of floating point numbers")


def _bytes(data: object) -> bytes:
    match data:
        case bytes():
            return data
        case bytearray():
            return bytes(data)
        case _Made(role="encode", arguments=(str(text), "latin1")):
            return text.encode("latin1")
    raise ValueError("its numbers are no bytes")


def _sizes(shape: object) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or len(shape) > _MOST_DIMS:
        raise ValueError("a shape that is none")
    sizes: list[int] = []
    for size in shape:
        if type(size) is not int or not 0 <= size <= _MOST_BYTES:
            raise ValueError("a shape that is none")
        sizes.append(size)
    return tuple(sizes)


def _float32(values: NDArray[Any]) -> Float32:
    with np.errstate(over="ignore", invalid="ignore"):
        converted = np.ascontiguousarray(values, dtype=np.float32).reshape(values.shape)
    if not np.isfinite(converted).all():
        raise ValueError("a number is not finite")
    return converted


def read_state_dict(path: Path) -> dict[str, Float32]:
    """The tensors of a ``.pt`` or ``.pth`` file, as float32; without torch.

    A file that holds one tensor instead of a dictionary gives it under the name ``""``.

    Raises:
        ModelError: ``weights_missing``, or ``weights_unusable``: no such file of tensors.
    """
    if path.is_dir():
        raise _unusable(path, "a folder")
    members = read_members(path)
    try:
        (name,) = [name for name in members if name.rpartition("/")[2] == "data.pkl"]
    except ValueError:
        raise _unusable(path, "it is no file of torch's") from None
    root = name.removesuffix("data.pkl")
    try:
        if members.get(f"{root}byteorder", b"little") != b"little":
            raise ValueError("its numbers are not little-endian")
        tensors = _Tensors(lambda key: members[f"{root}data/{key}"])
        return tensors.by_name(_entries(_notes(members[name], _TORCH)))
    except _ERRORS as error:
        raise _unusable(path, f"no tensors in it: {error}") from error


def _entries(note: object) -> Iterable[tuple[object, object]]:
    match note:
        case dict():
            return note.items()
        case _Made(role="dictionary", arguments=()):
            return note.entries
    return [("", note)]


class _Tensors:
    """Tensors from notes; each storage is read once, however many look into it."""

    def __init__(self, read: Callable[[str], bytes]) -> None:
        self._read = read
        self._storages: dict[tuple[str, str], NDArray[Any]] = {}
        self._left = _MOST_BYTES

    def by_name(self, entries: Iterable[tuple[object, object]]) -> dict[str, Float32]:
        found: dict[str, Float32] = {}
        for name, note in entries:
            if not isinstance(name, str) or name in found:
                raise ValueError("a tensor without a name of its own")
            found[name] = self._tensor(note)
        if not found:
            raise ValueError("it is empty")
        return found

    def _tensor(self, note: object) -> Float32:
        match note:
            case _Made(role="parameter", arguments=(_Made(role="tensor") as tensor, *_)):
                return self._tensor(tensor)
            case _Made(role="tensor", arguments=(storage, int(offset), shape, strides, *_)):
                values, sizes, steps = self._storage(storage), _sizes(shape), _sizes(strides)
            case _:
                raise ValueError("it holds something else")
        count = math.prod(sizes)
        self._left -= 4 * count
        if len(sizes) != len(steps) or offset < 0 or count > len(values) or self._left < 0:
            raise ValueError("a tensor that does not fit its storage")
        last = offset + sum((n - 1) * step for n, step in zip(sizes, steps, strict=True))
        if count == 0:
            return np.zeros(sizes, dtype=np.float32)
        if last >= len(values):
            raise ValueError("a tensor that lies beyond its storage")
        distances = tuple(step * values.itemsize for step in steps)
        return _float32(np.lib.stride_tricks.as_strided(values[offset:], sizes, distances))

    def _storage(self, note: object) -> NDArray[Any]:
        match note:
            case _Made(
                role="storage", arguments=("storage", _Name(role=kind), str(key), _, int(count))
            ) if key.isascii() and key.isdigit():
                known = (kind, key)
            case _:
                raise ValueError("a storage that is none")
        if known not in self._storages:
            self._storages[known] = _numbers(self._read(key), kind)
        if len(self._storages[known]) < count:
            raise ValueError("a storage that is too short")
        return self._storages[known]


def _numbers(data: bytes, kind: str) -> NDArray[Any]:
    if kind == "bfloat16":  # the upper half of a float32
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    if not kind.startswith("<"):
        raise ValueError("a storage of no numbers")
    return np.frombuffer(data, kind)


def _unusable(path: Path, why: str) -> ModelError:
    return ModelError(f"{path.name}: no weights that can be read: {why}", code="weights_unusable")
