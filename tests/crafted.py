"""Hostile files put together byte by byte: bombs, liars and archives that no tool would write."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable

import numpy as np

from tests.samples import encode, sample
from vedette.types import UInt8

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
GREY, COLOUR = 0, 2
"""PNG colour types."""


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG, with its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int, height: int, depth: int, colour: int, rows: bytes, *chunks: tuple[bytes, bytes]
) -> bytes:
    """A PNG of unfiltered ``rows``, each with its leading filter byte; ``chunks`` before them."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return PNG_MAGIC + b"".join(png_chunk(kind, data) for kind, data in body)


def png16(levels: np.ndarray[tuple[int, ...], np.dtype[np.uint16]], clear: bytes = b"") -> bytes:
    """A 16-bit PNG, grey [h, w] or colour [h, w, 3], with ``clear`` as its transparent colour."""
    height, width = levels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    chunks = [(b"tRNS", clear)] if clear else []
    return png(width, height, 16, GREY if levels.ndim == 2 else COLOUR, rows, *chunks)


def png_bomb() -> bytes:
    """60000 x 60000 px of 1 bit in a few bytes."""
    return png(60000, 60000, 1, GREY, bytes(7501))


def gif(width: int, height: int, frames: int) -> bytes:
    """A GIF of that logical screen with frames of one black pixel."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0)
    palette = b"\0\0\0\xff\xff\xff"
    frame = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return screen + palette + frame * frames + b";"


def tiff(pages: int, loop: bool = False) -> bytes:
    """A TIFF of 1 x 1 px pages that share one strip; with ``loop``, the last leads to the first."""
    tags = (
        (256, 1),
        (257, 1),
        (258, 8),
        (259, 1),
        (262, 1),
        (273, 0),
        (277, 1),
        (278, 1),
        (279, 1),
    )
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    page_bytes = 2 + len(entries) + 4
    following = [8 + page * page_bytes for page in range(1, pages)] + [8 if loop else 0]
    return b"II*\0\x08\0\0\0" + b"".join(
        struct.pack("<H", len(tags)) + entries + struct.pack("<I", at) for at in following
    )


def ico(entries: int, picture: bytes) -> bytes:
    """An icon that lists one PNG or DIB many times."""
    offset = 6 + 16 * entries
    entry = struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, len(picture), offset)
    return struct.pack("<HHH", 0, 1, entries) + entry * entries + picture


def hidden_in_alpha(hidden: UInt8) -> bytes:
    """A PNG of black pixels whose alpha channel alone holds the grey picture ``hidden`` [h, w]."""
    return encode(np.dstack([np.zeros_like(hidden)] * 3 + [hidden]), "PNG")


def zip_of(
    members: Iterable[tuple[str | zipfile.ZipInfo, bytes]], compression: int = zipfile.ZIP_DEFLATED
) -> bytes:
    """A zip of those members, in their order."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name) if isinstance(name, str) else name
            info.compress_type = compression
            archive.writestr(info, data)
    return stream.getvalue()


def zip_encrypted(name: str) -> bytes:
    """A zip whose member has the flag of an encrypted one."""
    data = bytearray(zip_of([(name, sample("png"))]))
    data[6] |= 1
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def zip_wrong_checksum(*names: str) -> bytes:
    """A stored zip of pictures; a byte of the first is not the one that was summed up."""
    data = bytearray(zip_of([(name, sample("png")) for name in names], zipfile.ZIP_STORED))
    data[data.index(PNG_MAGIC) + 40] ^= 1
    return bytes(data)


def zip_unlisted(listed: str, unlisted: str) -> bytes:
    """A zip of two members whose end record makes Python's zipfile see the last one only."""
    data = bytearray(zip_of([(unlisted, sample("png")), (listed, sample("png"))]))
    end = data.rindex(b"PK\x05\x06")
    struct.pack_into("<I", data, end + 12, end - data.rindex(b"PK\x01\x02"))
    return bytes(data)


def zip_of_zeros(name: str, gigabytes: int) -> bytes:
    """A zip whose one member expands to that many GiB of zeros; made without compressing them."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = squeeze.compress(bytes(2**20)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    again = squeeze.compress(bytes(2**20)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    deflated = first + again * (1024 * gigabytes - 1) + squeeze.flush()
    sizes = struct.pack("<III", 0, len(deflated), min(gigabytes * 2**30, 2**32 - 1))
    raw = name.encode()
    local = b"PK\x03\x04" + struct.pack("<HHHHH", 20, 0, 8, 0, 0) + sizes
    local += struct.pack("<HH", len(raw), 0) + raw
    central = b"PK\x01\x02" + struct.pack("<HHHHHH", 20, 20, 0, 8, 0, 0) + sizes
    central += struct.pack("<HHHHHII", len(raw), 0, 0, 0, 0, 0, 0) + raw
    at = len(local) + len(deflated)
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), at, 0)
    return local + deflated + central + end


def tar_of(members: Iterable[tuple[str | tarfile.TarInfo, bytes]]) -> bytes:
    """An uncompressed tar of those members, in their order."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def tar_special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    """A member for :func:`tar_of` that is no file: a link, a device or a pipe."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def tar_claiming(name: str, size: int) -> bytes:
    """A tar whose pax header says that its one, empty member has ``size`` bytes."""
    record = f" size={size}\n".encode()
    length = len(record) + 2
    record = str(length).encode() + record
    pax = tarfile.TarInfo("claim")
    pax.type, pax.size = tarfile.XHDTYPE, len(record)
    member = tarfile.TarInfo(name)
    return (
        pax.tobuf(tarfile.USTAR_FORMAT)
        + record.ljust(tarfile.BLOCKSIZE, b"\0")
        + member.tobuf(tarfile.USTAR_FORMAT)
        + bytes(2 * tarfile.BLOCKSIZE)
    )


def tar_huge_header(size: int) -> bytes:
    """A tar that starts with a pax header of ``size`` bytes, for a reader that trusts it."""
    pax = tarfile.TarInfo("claim")
    pax.type, pax.size = tarfile.XHDTYPE, size
    return pax.tobuf(tarfile.GNU_FORMAT) + bytes(4 * tarfile.BLOCKSIZE)


def tar_sparse(name: str, size: int) -> tuple[bytes, bytes]:
    """Header and end of a GNU sparse member of ``size`` bytes that takes none in the archive."""
    info = tarfile.TarInfo(name)
    info.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[386:398] = header[398:410] = b"00000000000\0"  # an empty piece at 0
    header[483:495] = b"%011o\0" % size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header), bytes(2 * tarfile.BLOCKSIZE)
