"""Keys: file names as text that survives JSON, CSV and a terminal, and the way back.

A name that is valid UTF-8 is its own key. One that is not has each bad byte written ``\\xNN``;
there, and in a name that happens to contain such a sequence, a backslash itself is ``\\x5c``. So
two different names never share a key, and a key always leads back to its file.
"""

from __future__ import annotations

import os
import re

_ESCAPE = re.compile(r"\\x[0-9a-f]{2}")
MEMBER = "!/"
"""Between an archive's key and a member's name."""


def to_key(path: str) -> str:
    """The key of a path as Python has it (``surrogateescape`` for undecodable bytes)."""
    name = path.replace(os.sep, "/") if os.sep != "/" else path
    if _is_text(name) and not _ESCAPE.search(name):
        return name
    out: list[str] = []
    for char in name:
        if char == "\\":
            out.append("\\x5c")
        elif "\udc80" <= char <= "\udcff":
            out.append(f"\\x{ord(char) - 0xDC00:02x}")
        elif "\ud800" <= char <= "\udfff":  # other lone surrogates: Windows names, odd archives
            out.append("".join(f"\\x{b:02x}" for b in char.encode("utf-8", "surrogatepass")))
        else:
            out.append(char)
    return "".join(out)


def to_path(key: str) -> str:
    """The path of a key made by :func:`to_key`."""
    if not _ESCAPE.search(key):
        return key
    raw = b"".join(
        bytes([int(part[2:], 16)])
        if _ESCAPE.fullmatch(part)
        else part.encode("utf-8", "surrogateescape")
        for part in re.split(r"(\\x[0-9a-f]{2})", key)
    )
    return os.fsdecode(raw)


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
