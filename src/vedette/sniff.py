"""What a file is, by its first bytes. Names and extensions are never asked."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Literal

HEAD_BYTES = 512
"""How much of a file :func:`sniff` wants to see."""

Kind = Literal["picture", "video", "archive", "other"]


@dataclass(frozen=True, slots=True)
class Format:
    """A file format and what Vedette does with it."""

    name: str
    kind: Kind
    demuxer: str | None = None
    """FFmpeg's name of the container, for video: the demuxer is named, never guessed."""


JPEG = Format("JPEG", "picture")
PNG = Format("PNG", "picture")
GIF = Format("GIF", "picture")
WEBP = Format("WebP", "picture")
BMP = Format("BMP", "picture")
TIFF = Format("TIFF", "picture")
AVIF = Format("AVIF", "picture")
HEIC = Format("HEIC", "picture")
ICO = Format("ICO", "picture")
PPM = Format("PPM", "picture")
MP4 = Format("MP4", "video", "mov")
ZIP = Format("ZIP", "archive")
TAR = Format("TAR", "archive")

_PREFIXES: tuple[tuple[bytes, Format], ...] = (
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"II*\x00", TIFF),
    (b"MM\x00*", TIFF),
    (b"II+\x00", TIFF),
    (b"MM\x00+", TIFF),
    (b"\x00\x00\x01\x00", ICO),
    (b"\x1aE\xdf\xa3", Format("Matroska", "video", "matroska")),
    (b"FLV\x01", Format("FLV", "video", "flv")),
    (b"OggS", Format("Ogg", "video", "ogg")),
    (b"\x00\x00\x01\xba", Format("MPEG-PS", "video", "mpeg")),
    (b"PK\x03\x04", ZIP),
    (b"PK\x05\x06", ZIP),
    (b"PK\x07\x08", ZIP),
    (b"\x1f\x8b", Format("gzip", "archive")),
    (b"BZh", Format("bzip2", "archive")),
    (b"\xfd7zXZ\x00", Format("xz", "archive")),
    (b"7z\xbc\xaf\x27\x1c", Format("7-Zip", "other")),
    (b"Rar!\x1a\x07", Format("RAR", "other")),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", Format("JPEG XL", "other")),
    (b"\xff\x0a", Format("JPEG XL", "other")),
    (b"\x00\x00\x00\x0cjP  ", Format("JPEG 2000", "other")),
    (b"\xff\x4f\xff\x51", Format("JPEG 2000", "other")),
    (b"%PDF", Format("PDF", "other")),
    (b"8BPS", Format("Photoshop", "other")),
    (b"<svg", Format("SVG", "other")),
    (b"qoif", Format("QOI", "other")),
)
_RIFF = {
    b"WEBP": WEBP,
    b"AVI ": Format("AVI", "video", "avi"),
}
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_STILL_BRANDS = frozenset({b"mif1", b"msf1", b"miaf", b"MiHB", b"MiPr"})
_BMP_HEADER_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})


def sniff(head: bytes) -> Format | None:
    """The format of a file that starts with ``head``, or None for one that is not known."""
    for prefix, fmt in _PREFIXES:
        if head.startswith(prefix):
            return fmt
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _iso_media(head)
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return BMP
    if len(head) > 2 and head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return PPM
    if head[257:262] == b"ustar":
        return TAR
    if len(head) > 188 and head[0] == head[188] == 0x47:
        return Format("MPEG-TS", "video", "mpegts")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:5] in (b"<?xml", b"<svg ") and b"<svg" in head:
        return Format("SVG", "other")
    return None


def _iso_media(head: bytes) -> Format:
    size = int.from_bytes(head[:4], "big")
    box = head[8 : min(max(size, 12), len(head))]
    major, compatible = box[:4], {box[i : i + 4] for i in range(8, len(box), 4)}
    if major in _AVIF_BRANDS or (major in _STILL_BRANDS and compatible & _AVIF_BRANDS):
        return AVIF
    if major in _HEIC_BRANDS or major in _STILL_BRANDS:
        return HEIC
    return MP4


def looks_cut(fmt: Format, data: bytes) -> bool:
    """Whether a file that failed to decode ends before its own structure says it should.

    Only used to name the failure (``truncated`` or ``corrupt``), never to pass a file.
    """
    if fmt is JPEG:
        return b"\xff\xd9" not in data[-64:]
    if fmt is PNG:
        return b"IEND" not in data[-64:]
    if fmt is GIF:
        return not data.rstrip(b"\x00").endswith(b";")
    if data[:4] == b"RIFF":
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    if fmt is BMP:
        return int.from_bytes(data[2:6], "little") > len(data)
    if data[4:8] == b"ftyp":
        return boxes_cut(io.BytesIO(data))
    return False


def boxes_cut(stream: IO[bytes]) -> bool:
    """Whether the last top-level box of an ISO media file says that it ends past the file's end."""
    length = stream.seek(0, io.SEEK_END)
    return any(end > length for _, end in _boxes(stream))


def has_track(data: bytes) -> bool:
    """Whether an ISO media file (AVIF, HEIC) holds a track of pictures beside its still ones."""
    return any(name == b"moov" for name, _ in _boxes(io.BytesIO(data)))


def _boxes(stream: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """Name and end of each top-level box; a box that reaches to the file's end is the last."""
    length = stream.seek(0, io.SEEK_END)
    at = 0
    while at + 8 <= length:
        stream.seek(at)
        head = stream.read(16)
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        at = length if size < 8 else at + size  # 0 = to the end of the file
        yield head[4:8], at
