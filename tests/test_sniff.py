from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import crafted
from tests.samples import SAMPLES, pattern, sample, video
from vedette import sniff
from vedette.sniff import HEAD_BYTES, boxes_cut, looks_cut

PROFILE = settings(deadline=None, derandomize=True, database=None, max_examples=300)

FORMATS = {
    "jpeg": sniff.JPEG,
    "mpo": sniff.JPEG,
    "png": sniff.PNG,
    "apng": sniff.PNG,
    "gif": sniff.GIF,
    "webp": sniff.WEBP,
    "webp-animated": sniff.WEBP,
    "bmp": sniff.BMP,
    "tiff": sniff.TIFF,
    "tiff-lzw": sniff.TIFF,
    "avif": sniff.AVIF,
    "avif-animated": sniff.AVIF,
    "heic": sniff.HEIC,
    "ico": sniff.ICO,
    "ppm": sniff.PPM,
    "mp4": sniff.MP4,
}


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_known_by_their_content(name: str) -> None:
    assert sniff.sniff(sample(name)[:HEAD_BYTES]) is FORMATS[name]


@pytest.mark.parametrize(
    ("head", "name", "kind"),
    [
        (b"PK\x03\x04\x14\x00", "ZIP", "archive"),
        (b"PK\x05\x06" + bytes(18), "ZIP", "archive"),
        (b"\x1f\x8b\x08\x00", "gzip", "archive"),
        (b"BZh91AY", "bzip2", "archive"),
        (b"\xfd7zXZ\x00\x00", "xz", "archive"),
        (crafted.tar_of([("a", b"b")])[:HEAD_BYTES], "TAR", "archive"),
        (b"%PDF-1.7", "PDF", "other"),
        (b"\xff\x0a\x00", "JPEG XL", "other"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL", "other"),
        (b"\xff\x4f\xff\x51\x00", "JPEG 2000", "other"),
        (b"<svg width='1'>", "SVG", "other"),
        (b"\xef\xbb\xbf\n<?xml version='1.0'?><svg/>", "SVG", "other"),
        (b"8BPS\x00\x01", "Photoshop", "other"),
        (b"Rar!\x1a\x07\x01\x00", "RAR", "other"),
        (b"RIFF\x00\x00\x00\x00AVI LIST", "AVI", "video"),
        (b"FLV\x01\x05", "FLV", "video"),
        (b"\x47" + bytes(187) + b"\x47" + bytes(3), "MPEG-TS", "video"),
        (b"MM\x00+\x00\x08", "TIFF", "picture"),
        (b"P1\n1 1\n0", "PPM", "picture"),
    ],
)
def test_signatures(head: bytes, name: str, kind: str) -> None:
    found = sniff.sniff(head)

    assert found is not None
    assert (found.name, found.kind) == (name, kind)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\xff",
        b"\xff\xd8",
        b"hello, world",
        b"<?xml version='1.0'?><html/>",
        b"RIFF\x00\x00\x00\x00WAVEfmt ",
        b"BMW is a car, and no bitmap",
        b"Prose that starts with a P",
        b"P9 1 1",
        bytes(HEAD_BYTES),
    ],
)
def test_what_is_not_known_is_none(head: bytes) -> None:
    assert sniff.sniff(head) is None


@pytest.mark.parametrize(
    ("major", "compatible", "expected"),
    [
        (b"avif", (b"mif1",), sniff.AVIF),
        (b"mif1", (b"avif", b"miaf"), sniff.AVIF),
        (b"mif1", (b"heic",), sniff.HEIC),
        (b"heic", (b"mif1",), sniff.HEIC),
        (b"msf1", (b"hevc",), sniff.HEIC),
        (b"isom", (b"avc1", b"mp41"), sniff.MP4),
        (b"qt  ", (), sniff.MP4),
    ],
)
def test_brands_of_iso_media(
    major: bytes, compatible: tuple[bytes, ...], expected: sniff.Format
) -> None:
    brands = major + bytes(4) + b"".join(compatible)
    head = (8 + len(brands)).to_bytes(4, "big") + b"ftyp" + brands + b"\0\0\0\x08avif"

    assert sniff.sniff(head) is expected


def test_only_videos_have_a_demuxer() -> None:
    matroska = sniff.sniff(video([pattern()], "mkv"))

    assert matroska is not None
    assert (matroska.kind, matroska.demuxer) == ("video", "matroska")
    assert sniff.MP4.demuxer == "mov"
    assert sniff.PNG.demuxer is None


@PROFILE
@given(st.binary(max_size=600))
def test_sniff_never_raises(head: bytes) -> None:
    sniff.sniff(head)


@PROFILE
@given(st.sampled_from(SAMPLES), st.integers(0, HEAD_BYTES), st.binary(max_size=64))
def test_sniff_never_raises_on_half_known_heads(name: str, kept: int, rest: bytes) -> None:
    head = sample(name)[:kept] + rest
    found = sniff.sniff(head)

    assert found is None or found.kind in ("picture", "video", "archive", "other")


@pytest.mark.parametrize(
    "name", ["jpeg", "png", "apng", "gif", "webp", "bmp", "avif", "heic", "mp4"]
)
def test_looks_cut_tells_a_cut_file_from_a_whole_one(name: str) -> None:
    data, fmt = sample(name), FORMATS[name]

    assert not looks_cut(fmt, data)
    assert looks_cut(fmt, data[: len(data) // 2])


@PROFILE
@given(st.sampled_from(sorted(FORMATS)), st.binary(max_size=100))
def test_looks_cut_never_raises(name: str, data: bytes) -> None:
    assert looks_cut(FORMATS[name], data) in (True, False)


def test_boxes_may_reach_to_the_end_or_have_long_sizes() -> None:
    to_the_end = b"\0\0\0\0mdat" + bytes(50)
    long = b"\0\0\0\x01mdat" + (40).to_bytes(8, "big") + bytes(24)

    assert not boxes_cut(io.BytesIO(to_the_end))
    assert not boxes_cut(io.BytesIO(long))
    assert boxes_cut(io.BytesIO(long[:-1]))
