"""What decoding refuses, and how it says so: limits, damage, missing libraries, time."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import PIL.Image
import pytest

from tests import crafted
from tests.corpus import QUIET
from tests.samples import HEIGHT, WIDTH, animation, encode, pattern, sample
from tests.test_decode import PICTURES, caught
from vedette.decode import DecodeOptions, decode
from vedette.decoding import Deadline
from vedette.errors import DecodeError
from vedette.settings import Limits
from vedette.types import Image

pytestmark = QUIET


def code_of(data: bytes, **limits: Any) -> str:
    images, error = caught(data, DecodeOptions(limits=Limits(**limits)))
    assert images == []
    return error.code


# Limits


@pytest.mark.parametrize(
    "data",
    [animation("GIF", 6), animation("WEBP", 6), crafted.tiff(6), crafted.ico(6, sample("png"))],
    ids=["gif", "webp", "tiff", "ico"],
)
def test_too_many_frames_come_up_to_the_limit(data: bytes) -> None:
    images, error = caught(data, DecodeOptions(limits=Limits(frames=4)))

    assert [image.frame for image in images] == [0, 1, 2, 3]
    assert error.code == "too_many_frames"
    assert len(list(decode(data, DecodeOptions(limits=Limits(frames=6))))) == 6


def test_counting_hostile_pages_is_quick() -> None:
    data = crafted.tiff(50_000)
    started = time.monotonic()

    images, error = caught(data, DecodeOptions(limits=Limits(frames=10)))

    assert len(images) == 10
    assert error.code == "too_many_frames"
    assert time.monotonic() - started < 2


def test_the_limits_of_a_picture() -> None:
    large = encode(pattern(100, 100), "PNG")

    assert code_of(large, pixels=9_999) == "too_many_pixels"
    assert code_of(large, bytes=len(large) - 1) == "too_many_bytes"
    assert len(list(decode(large, DecodeOptions(limits=Limits(100_000, pixels=10_000))))) == 1


@pytest.mark.parametrize(
    "data",
    [
        crafted.png_bomb(),
        crafted.gif(65000, 65000, 1),
        crafted.ico(1, crafted.png_bomb()),
        crafted.ico(
            1, encode(pattern(64, 64), "BMP")[14:].replace(b"\x40\0\0\0", b"\0\0\x01\0", 2)
        ),
        b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\x3f\0" * 2,
    ],
    ids=["png", "gif", "ico-png", "ico-dib", "webp"],
)
def test_bombs_are_refused_before_they_expand(data: bytes) -> None:
    started = time.monotonic()

    assert code_of(data) == "too_many_pixels"
    assert time.monotonic() - started < 0.5


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b"prose", "unsupported_format"),
        (b"%PDF-1.7", "unsupported_format"),
        (crafted.zip_of([("a", b"b")]), "nested_archive"),
        (b"\x1f\x8b\x08", "nested_archive"),
        (crafted.ico(0, b""), "corrupt"),
        (crafted.png(0, 5, 8, crafted.GREY, b""), "corrupt"),
        (b"\xff\xd8\xff\xd9", "corrupt"),
    ],
)
def test_what_is_no_picture(data: bytes, code: str) -> None:
    images, error = caught(data)

    assert images == []
    assert error.code == code
    assert error.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("percent", [10, 50])
def test_cut_files(name: str, percent: int) -> None:
    data = sample(name)
    _, error = caught(data[: len(data) * percent // 100])

    of_no_length = ("ico", "tiff", "tiff-lzw")
    assert error.code in ({"truncated", "corrupt"} if name in of_no_length else {"truncated"})


@pytest.mark.parametrize("name", ["jpeg", "png", "gif", "webp", "avif", "heic"])
def test_whole_files_with_wrong_content_are_corrupt(name: str) -> None:
    data = bytearray(sample(name))
    middle = len(data) // 2
    data[40 : middle + 40] = bytes(middle)

    _, error = caught(bytes(data))

    assert error.code == "corrupt"


def test_frames_before_the_damage_are_kept() -> None:
    gif = animation("GIF", 6)
    tiff = encode(pattern(), "TIFF", save_all=True, append_images=[PIL.Image.new("L", (9, 9))] * 3)
    for data, least in ((gif[:-20], 5), (tiff[:-100], 3)):
        images, error = caught(data)

        assert len(images) >= least
        assert error.code in ("truncated", "corrupt")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    files = ((sample("heic"), "vedette[heif]"), (sample("mp4"), "vedette[video]"))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setitem(sys.modules, "av", None)

    for data, extra in files:
        _, error = caught(data)

        assert error.code == "extra_missing"
        assert extra in error.message


def test_warnings_as_errors_change_nothing() -> None:
    # A JPEG whose index of further pictures is damaged: Pillow warns and shows the first.
    mpo = sample("mpo")
    data = mpo.replace(b"MPF\0II*\0", b"MPF\0II*\xff")
    assert data != mpo
    program = (
        "import sys; from vedette.decode import decode;"
        "print(len(list(decode(sys.stdin.buffer.read()))))"
    )

    for options in ([], ["-W", "error"]):
        done = subprocess.run(
            [sys.executable, *options, "-c", program], input=data, capture_output=True, check=True
        )
        assert (done.stdout.strip(), done.stderr) == (b"1", b"")


# Time


def _images(seconds: float, count: int = 3) -> Iterator[Image]:
    for number in range(count):
        time.sleep(seconds)
        yield Image(pattern(), "", WIDTH, HEIGHT, "PNG", number, count)


def test_the_consumers_time_does_not_count() -> None:
    deadline = Deadline(0.5)
    for _ in deadline.lend(_images(0.001)):
        time.sleep(0.2)

    deadline.check()


def test_the_decoders_time_counts() -> None:
    deadline = Deadline(0.1)
    for _ in deadline.lend(_images(0.05)):
        pass

    with pytest.raises(DecodeError) as info:
        deadline.check()
    assert info.value.code == "timeout"


def test_a_slow_consumer_gets_the_whole_animation() -> None:
    frames = 0
    for _ in decode(animation("GIF", 5), DecodeOptions(limits=Limits(seconds=0.5))):
        frames += 1
        time.sleep(0.15)

    assert frames == 5


@pytest.mark.parametrize("name", ["gif", "tiff", "jpeg", "ico", "mp4"])
def test_no_time_is_a_timeout(name: str) -> None:
    _, error = caught(sample(name), DecodeOptions(limits=Limits(seconds=1e-9, video_seconds=1e-9)))

    assert error.code == "timeout"
