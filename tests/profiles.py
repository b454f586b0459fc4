"""ICC profiles for tests, written byte by byte: matrix profiles of any primaries and gamma."""

from __future__ import annotations

import struct

SRGB_PRIMARIES = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7139))
"""XYZ of red, green and blue, adapted to D50."""
WIDE_PRIMARIES = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
"""Those of Adobe RGB (1998)."""
SWAPPED_PRIMARIES = (SRGB_PRIMARIES[1], SRGB_PRIMARIES[0], SRGB_PRIMARIES[2])
"""sRGB's, red and green exchanged: a picture looks quite another through it."""

_WHITE = (0.9642, 1.0, 0.8249)


def matrix_profile(
    primaries: tuple[tuple[float, float, float], ...], gamma: float = 2.2, name: str = "test"
) -> bytes:
    """An RGB display profile, version 2.1."""
    colours = dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), map(_xyz, primaries), strict=True))
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve(gamma))
    return _profile(b"RGB ", colours | curves, name)


def grey_profile(gamma: float) -> bytes:
    """A profile of grey, version 2.1."""
    return _profile(b"GRAY", {b"kTRC": _curve(gamma)}, "grey")


def cmyk_profile() -> bytes:
    """A printer's profile, version 2.1, in which every ink makes grey of a different darkness."""
    inks = [[(corner >> shift) & 1 for shift in (3, 2, 1, 0)] for corner in range(16)]
    lightness = [max(0, 255 - 40 * c - 60 * m - 20 * y - 120 * k) for c, m, y, k in inks]
    ramp = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0])
    table += struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    table += ramp * 4 + b"".join(bytes([level, 128, 128]) for level in lightness) + ramp * 3
    return _profile(b"CMYK", {b"A2B0": table}, "inks", kind=b"prtr", between=b"Lab ")


def _profile(
    space: bytes,
    tags: dict[bytes, bytes],
    name: str,
    kind: bytes = b"mntr",
    between: bytes = b"XYZ ",
) -> bytes:
    text = name.encode()
    described = b"desc" + struct.pack(">II", 0, len(text) + 1) + text + bytes(1 + 12 + 67)
    rights = b"text" + bytes(4) + b"none\0"
    tags = {b"desc": described, b"cprt": rights, b"wtpt": _xyz(_WHITE)} | tags
    at = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for tag, data in tags.items():
        data += bytes(-len(data) % 4)
        table += tag + struct.pack(">II", at + len(body), len(data))
        body += data
    size, version = at + len(body), 0x02100000
    header = struct.pack(">I4sI4s4s4s", size, b"none", version, kind, space, between)
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp"
    header = header.ljust(68, b"\0") + b"".join(_fixed(value) for value in _WHITE)
    return header.ljust(128, b"\0") + table + body


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(_fixed(value) for value in values)


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))
