"""A folder of hostile and odd files, and what a scan has to say about each of them."""

from __future__ import annotations

import gzip
import os
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from tests import crafted
from tests.samples import (
    FRAMES_OF,
    HEIGHT,
    SAMPLES,
    WIDTH,
    encode,
    noise,
    pattern,
    sample,
    video,
)
from vedette.settings import Limits

LIMITS = Limits(
    bytes=4 * 2**20,
    pixels=2_000_000,
    frames=32,
    seconds=30,
    video_seconds=30,
    archive_bytes=12 * 2**20,
    archive_members=100,
)
"""Small enough that every bomb of the corpus goes off quickly."""

QUIET = pytest.mark.filterwarnings(r"ignore:::(PIL|pillow_heif)\.")
"""For tests that decode damaged files. pytest puts its own ``error`` before the filter that
vedette.decode sets for the decoders' warnings."""

DAMAGE = frozenset(
    {
        "unsupported_format",
        "truncated",
        "corrupt",
        "too_many_pixels",
        "too_many_frames",
        "out_of_memory",
    }
)
"""What may come of a picture with a few wrong bits."""

CUTS = (10, 50, 99)
"""Percent of a file that are kept."""

_COMPLETE_AT_99 = frozenset({"png", "apng", "mp4"})
"""Samples whose last hundredth holds no pixels: cut there, they may scan."""


_OF_NO_LENGTH = frozenset({"ico", "tiff", "tiff-lzw"})
"""Samples that say nowhere how long they are: cut, they may pass for corrupt."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the Record of one key must say."""

    codes: frozenset[str] = frozenset()
    """One of these failures; empty: none."""
    may_scan: bool = False
    """No failure is right as well."""
    frames: int | None = None
    """Frames scanned, where only one number is right."""
    size: tuple[int, int] | None = None
    """(width, height) in px"""


def fine(frames: int = 1, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Expected:
    """It scans without a failure."""
    return Expected(frames=frames, size=size)


def fails(*codes: str, frames: int = 0) -> Expected:
    """It fails with one of ``codes`` after ``frames`` frames."""
    return Expected(frozenset(codes), frames=frames)


def make(root: Path, flips: int = 10) -> dict[str, Expected]:
    """Fill the empty folder ``root``.

    Args:
        root: where.
        flips: files with seeded random bit errors of each format.

    Returns:
        What is expected, by key: the path below ``root``, as PathSource makes it.
    """
    expected: dict[str, Expected] = {}
    for files in (_valid(), _odd(), _cut(), _bombs(), _flipped(flips), _archives()):
        for name, data, expectation in files:
            path = root / os.fsdecode(name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
            if isinstance(expectation, Expected):
                expected[_key(name)] = expectation
            else:
                expected |= {_key(name) + suffix: e for suffix, e in expectation.items()}
    return expected | _special(root)


_File = tuple[str | bytes, bytes, Expected | dict[str, Expected]]
"""A name, what is in it, and what is expected: of itself, or by suffix of the key, of the members
of an archive (``!/name``) and of itself (````)."""


def _key(name: str | bytes) -> str:
    # Written down here once more, and only for the names used here: not what is under test.
    text = name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name
    return text.replace("\\x41", "\\x5cx41")


def _valid() -> Iterator[_File]:
    for name in SAMPLES:
        size = (48, 48) if name == "ico" else (WIDTH, HEIGHT)
        frames = 2 if name == "mp4" else FRAMES_OF.get(name, 1)
        yield f"valid/{name}", sample(name), fine(frames, size)
    yield "valid/png.jpg", sample("png"), fine()
    yield "valid/jpeg.gif", sample("jpeg"), fine()
    yield "valid/gif.txt", sample("gif"), fine(FRAMES_OF["gif"])
    yield "valid/mp4.png", sample("mp4"), fine(2)
    yield "valid/1x1.png", encode(pattern(1, 1), "PNG"), fine(size=(1, 1))
    yield "valid/1x20000.png", encode(pattern(1, 20000), "PNG"), fine(size=(1, 20000))
    yield "valid/20000x1.jpg", encode(pattern(20000, 1), "JPEG"), fine(size=(20000, 1))
    picture = PIL.Image.fromarray(pattern())
    deep = PIL.Image.fromarray(pattern()[..., 1].astype(np.uint16) * 257)
    yield "valid/cmyk.jpg", encode(picture.convert("CMYK"), "JPEG"), fine()
    yield "valid/grey16.png", encode(deep, "PNG"), fine()
    yield "valid/grey16.tiff", encode(deep, "TIFF"), fine()
    palette = picture.quantize(16)
    yield "valid/palette-alpha.png", encode(palette, "PNG", transparency=b"\0\x80\xff"), fine()
    yield "valid/la.png", encode(picture.convert("LA"), "PNG"), fine()
    yield "valid/hidden.png", crafted.hidden_in_alpha(pattern()[..., 1]), fine()
    for turn in range(1, 9):
        exif = PIL.Image.Exif()
        exif[0x0112] = turn
        size = (WIDTH, HEIGHT) if turn < 5 else (HEIGHT, WIDTH)
        yield f"valid/exif-{turn}.jpg", encode(picture, "JPEG", exif=exif), fine(size=size)
    yield "valid/loop.tiff", crafted.tiff(3, loop=True), fine(3, size=(1, 1))


def _odd() -> Iterator[_File]:
    unsupported = fails("unsupported_format")
    yield "odd/empty", b"", fails("empty")
    yield "odd/text.jpg", b"not a picture at all\n", unsupported
    yield "odd/drawing.svg", b'<?xml version="1.0"?>\n<svg xmlns="x"/>\n', unsupported
    yield "odd/page.pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", unsupported
    yield "odd/new.jxl", b"\x00\x00\x00\x0cJXL \r\n\x87\n" + bytes(40), unsupported
    yield "odd/bare.jxl", b"\xff\x0a" + bytes(40), unsupported
    yield "odd/zeros", bytes(5000), unsupported
    levels = np.full((8, 8, 3), 0x8080, np.uint16)
    yield "odd/key16.png", crafted.png16(levels, bytes([0x80, 0x81] * 3)), unsupported
    yield "odd/two\nlines.png", sample("png"), fine()
    yield b"odd/bad\xff.png", sample("png"), fine()
    yield "odd/a\\x41.png", sample("png"), fine()
    yield "odd/[a-z]*.png", sample("png"), fine()
    yield "odd/!/mark!.png", sample("png"), fine()
    yield "odd/ünï côdé.png", sample("png"), fine()


def _cut() -> Iterator[_File]:
    for name in SAMPLES:
        data = sample(name)
        for percent in CUTS:
            may_scan = percent == 99 and name in _COMPLETE_AT_99
            codes = {"truncated", "corrupt"} if name in _OF_NO_LENGTH else {"truncated"}
            cut = data[: len(data) * percent // 100]
            yield f"cut/{name}-{percent:02}", cut, Expected(frozenset(codes), may_scan)


def _bombs() -> Iterator[_File]:
    yield "bombs/png", crafted.png_bomb(), fails("too_many_pixels")
    yield "bombs/ico", crafted.ico(1, crafted.png_bomb()), fails("too_many_pixels")
    yield "bombs/gif-canvas", crafted.gif(65000, 65000, 1), fails("too_many_pixels")
    many = fails("too_many_frames", frames=LIMITS.frames)
    yield "bombs/gif-frames", crafted.gif(8, 8, 5000), many
    yield "bombs/tiff-pages", crafted.tiff(5000), many
    yield "bombs/ico-entries", crafted.ico(5000, sample("png")), many
    noisy = encode(noise(1300, 1200), "BMP")
    yield "bombs/bytes.bmp", noisy, fails("too_many_bytes")
    large = video([pattern(1600, 1300)])
    yield "bombs/pixels.mp4", large, fails("too_many_pixels")


def _flipped(count: int) -> Iterator[_File]:
    for name in SAMPLES:
        for number in range(count):
            damaged = flipped(sample(name), number)
            yield f"flips/{name}-{number:03}", damaged, Expected(DAMAGE, may_scan=True)


def flipped(data: bytes, seed: int) -> bytes:
    """``data`` with one to eight wrong bits, behind the four bytes that say what it is."""
    rng = np.random.default_rng(seed)
    out = bytearray(data)
    for _ in range(rng.integers(1, 9)):
        out[rng.integers(4, len(out))] ^= 1 << rng.integers(8)
    return bytes(out)


def _archives() -> Iterator[_File]:
    picture, ok, broken = sample("png"), fine(), fails("corrupt_archive")
    bomb, link = fails("archive_bomb"), fails("link_in_archive")
    whole = [("a.png", picture), ("b/c.png", picture)]
    yield "archives/good.zip", crafted.zip_of(whole), {"!/a.png": ok, "!/b/c.png": ok}
    yield "archives/good.tar", crafted.tar_of(whole), {"!/a.png": ok, "!/b/c.png": ok}
    twice = crafted.tar_of([("a.png", picture), ("a.png#2", picture), ("a.png", picture)])
    yield "archives/twice.tar", twice, {"!/a.png": ok, "!/a.png#2": ok, "!/a.png#3": ok}
    yield (
        "archives/crc.zip",
        crafted.zip_wrong_checksum("a", "b"),
        {
            "!/a": fails("corrupt"),
            "!/b": ok,
        },
    )
    yield "archives/secret.zip", crafted.zip_encrypted("a"), {"!/a": fails("encrypted")}
    nested = crafted.zip_of([("in.zip", crafted.zip_of(whole)), ("a.png", picture)])
    yield "archives/nested.zip", nested, {"!/in.zip": fails("nested_archive"), "!/a.png": ok}
    shortcut = zipfile.ZipInfo("link")
    shortcut.external_attr = 0o120777 << 16
    yield "archives/link.zip", crafted.zip_of([(shortcut, b"/etc/passwd")]), {"!/link": link}
    yield (
        "archives/unlisted.zip",
        crafted.zip_unlisted("a", "b"),
        {
            "!/a": fails("corrupt"),
            "": broken,
        },
    )
    yield "archives/cut.zip", crafted.zip_of(whole)[:1500], {"": broken}
    zeros = bytes(3 * 2**20)
    yield (
        "archives/zeros.zip",
        crafted.zip_of([(f"{i}", zeros) for i in range(6)]),
        {
            **{f"!/{i}": fails("unsupported_format") for i in range(4)},
            "": bomb,
        },
    )
    large = fails("too_many_bytes")
    yield "archives/gigabytes.zip", crafted.zip_of_zeros("a", 2), {"!/a": large}
    yield "archives/directory.zip", crafted.zip_of([(f"{i}", b"") for i in range(101)]), {"": bomb}
    odd: list[tuple[str | tarfile.TarInfo, bytes]] = [
        ("../../x.png", picture),
        ("/root.png", picture),
        crafted.tar_special("soft", tarfile.SYMTYPE, "/etc/passwd"),
        crafted.tar_special("hard", tarfile.LNKTYPE, "/root.png"),
        crafted.tar_special("disk", tarfile.BLKTYPE),
        crafted.tar_special("pipe", tarfile.FIFOTYPE),
        crafted.tar_special("folder", tarfile.DIRTYPE),
    ]
    yield (
        "archives/odd.tar",
        crafted.tar_of(odd),
        {
            "!/../../x.png": ok,
            "!//root.png": ok,
            **{f"!/{name}": link for name in ("soft", "hard", "disk", "pipe")},
        },
    )
    yield (
        "archives/claim.tar.gz",
        gzip.compress(crafted.tar_claiming("a", 2**40), mtime=0),
        {
            "!/a": fails("truncated"),
            "": bomb,
        },
    )
    yield (
        "archives/header.tar.gz",
        gzip.compress(crafted.tar_huge_header(2**33), mtime=0),
        {"": bomb},
    )
    header, end = crafted.tar_sparse("s", 3 * 2**20)
    yield (
        "archives/sparse.tar",
        header * 6 + end,
        {
            "!/s": fails("unsupported_format"),
            **{f"!/s#{i}": fails("unsupported_format") for i in (2, 3, 4)},
            "": bomb,
        },
    )
    squeezed = gzip.compress(crafted.tar_of([("a.bmp", encode(noise(60, 60), "BMP"))]), mtime=0)
    yield (
        "archives/cut.tar.gz",
        squeezed[: len(squeezed) // 2],
        {
            "!/a.bmp": fails("truncated"),
            "": broken,
        },
    )
    yield "archives/picture.png.gz", gzip.compress(picture, mtime=0), {"": broken}


def _special(root: Path) -> dict[str, Expected]:
    """What is in a folder and is no file that can be read."""
    folder = root / "tree"
    (folder / "inner").mkdir(parents=True)
    os.mkfifo(folder / "pipe")
    (folder / "inner" / "up").symlink_to("..")
    (folder / "broken").symlink_to("nowhere")
    (folder / "self").symlink_to("self")
    secret = folder / "secret"
    if os.geteuid() == 0:  # root may read everything but its own memory at address 0
        secret.symlink_to("/proc/self/mem")
    else:
        secret.write_bytes(sample("png"))
        secret.chmod(0)
    return {
        "tree/pipe": fails("not_a_file"),
        "tree/inner/up": fails("directory_loop"),
        "tree/broken": fails("not_found"),
        "tree/self": fails("not_found"),
        "tree/secret": fails("unreadable"),
    }
