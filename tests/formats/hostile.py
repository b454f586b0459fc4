"""Pickles that would run a command, in every way in which a pickle can."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np


class Evil:
    """Runs a command where it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def pickles(marker: Path) -> dict[str, bytes]:
    """By the way it takes: each would write ``marker``."""
    command = f"touch '{marker}'"
    code = f"open({str(marker)!r}, 'w').close()"
    evil = Evil(command)
    objects = np.empty(1, dtype=object)
    objects[0] = evil
    system = text("os") + text("system") + b"\x93"
    return {
        "reduce": b"\x80\x02cos\nsystem\n" + text(command) + b"\x85R.",
        "reduce of an older name": b"\x80\x02cposix\nsystem\n" + text(command) + b"\x85R.",
        "eval": b"\x80\x02cbuiltins\neval\n" + text(code) + b"\x85R.",
        "exec": b"\x80\x02cbuiltins\nexec\n" + text(code) + b"\x85R.",
        "a name of python 2": b"\x80\x02c__builtin__\neval\n" + text(code) + b"\x85R.",
        "an attribute": b"\x80\x04" + text("numpy") + text("f2py.os.system") + b"\x93.",
        "inst": b"(" + text(command) + b"ios\nsystem\n.",
        "obj": b"(cos\nsystem\n" + text(command) + b"o.",
        "stack global": b"\x80\x04" + system + text(command) + b"\x85R.",
        "new object": b"\x80\x02csubprocess\nPopen\n" + text(command) + b"\x85\x81.",
        "extension": b"\x80\x02\x82\xf0" + text(command) + b"\x85R.",
        "in a tuple": b"\x80\x02K\x01cos\nsystem\n" + text(command) + b"\x85R\x86.",
        **{f"pickled, protocol {k}": pickle.dumps(evil, protocol=k) for k in range(6)},
        **{f"object array, protocol {k}": pickle.dumps(objects, protocol=k) for k in range(6)},
    }


RUNNING = ("reduce", "eval", "exec", "inst", "obj", "stack global", "in a tuple")
"""Of these it is tested that they would run."""


def torch_file(pickled: bytes, members: Mapping[str, bytes] | None = None) -> bytes:
    """A file laid out as ``torch.save`` does, of any pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", b"3\n")
        for name, data in (members or {}).items():
            archive.writestr(f"archive/{name}", data)
    return buffer.getvalue()
