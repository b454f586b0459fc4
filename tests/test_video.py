from __future__ import annotations

import hashlib
import io
import struct
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.corpus import QUIET, flipped
from tests.samples import (
    BLUE,
    HEIGHT,
    RED,
    VIDEO_FRAMES,
    VIDEO_RATE,
    WIDTH,
    flat,
    noise,
    pattern,
    sample,
    video,
)
from vedette.decode import DecodeOptions, decode, decode_item
from vedette.errors import DecodeError
from vedette.settings import Limits, VideoSampling
from vedette.types import Image, Item, UInt8

pytestmark = QUIET

EVERY_FRAME = VideoSampling(interval_s=1e-6)


def sampled(data: bytes, interval_s: float = 1.0, scene_change: float = 0.08) -> list[Image]:
    sampling = VideoSampling(interval_s, scene_change)
    return list(decode(data, DecodeOptions(sampling=sampling)))


def caught(data: bytes, **limits: Any) -> tuple[list[Image], DecodeError]:
    """The frames of a video that fails, every one being sampled, and its error."""
    images: list[Image] = []
    try:
        images.extend(decode(data, DecodeOptions(Limits(**limits), EVERY_FRAME)))
    except DecodeError as error:
        return images, error
    pytest.fail("it decodes")


def is_near(image: Image, colour: tuple[int, int, int]) -> bool:
    height, width = image.pixels.shape[:2]
    return bool(np.abs(image.pixels[height // 2, width // 2].astype(int) - colour).max() < 24)


# Sampling


def test_frames_come_at_the_interval_and_have_their_times() -> None:
    still = video([flat(RED)] * 35)

    images = sampled(still, interval_s=1.0)

    assert [image.time_s for image in images] == pytest.approx([0, 1, 2, 3])
    assert [image.frame for image in images] == [0, 10, 20, 30]
    assert all(is_near(image, RED) for image in images)


@pytest.mark.parametrize(("interval_s", "count"), [(0.1, 35), (0.25, 12), (10, 1)])
def test_the_interval_is_a_setting(interval_s: float, count: int) -> None:
    assert len(sampled(video([flat(RED)] * 35), interval_s)) == count


def test_a_video_has_its_facts() -> None:
    images = sampled(sample("mp4"))

    for image in images:
        assert image.pixels.dtype == np.uint8
        assert image.pixels.shape == (HEIGHT, WIDTH, 3)
        assert (image.width, image.height) == (WIDTH, HEIGHT)
        assert (image.format, image.frames, image.view) == ("MP4", VIDEO_FRAMES, "")
        assert image.sha256 == hashlib.sha256(sample("mp4")).hexdigest()


def test_a_single_odd_frame_is_sampled_and_so_is_what_follows() -> None:
    pictures = [flat(RED)] * 30
    pictures[17] = flat(BLUE)

    images = sampled(video(pictures), interval_s=100)

    assert [image.frame for image in images] == [0, 17, 18]
    assert [is_near(image, BLUE) for image in images] == [False, True, False]
    assert images[1].time_s == pytest.approx(17 / VIDEO_RATE)


def test_a_scene_change_starts_the_interval_anew() -> None:
    pictures = [flat(RED)] * 15 + [flat(BLUE)] * 20

    assert [image.frame for image in sampled(video(pictures))] == [0, 10, 15, 25]


def test_the_threshold_of_a_scene_change_is_a_setting() -> None:
    pictures = [flat((100, 100, 100))] * 5 + [flat((130, 130, 130))] * 5  # 30 / 255 = 0.12

    assert len(sampled(video(pictures), 100, scene_change=0.08)) == 2
    assert len(sampled(video(pictures), 100, scene_change=0.2)) == 1
    assert len(sampled(video(pictures), 100, scene_change=0.0)) == 10


@pytest.mark.parametrize(
    ("container", "codec", "name"),
    [
        ("mp4", "libx264", "MP4"),
        ("mov", "mpeg4", "MP4"),
        ("mkv", "libx264", "Matroska"),
        ("webm", "libvpx", "Matroska"),
        ("avi", "mpeg4", "AVI"),
        ("ts", "mpeg2video", "MPEG-TS"),
        ("mpg", "mpeg2video", "MPEG-PS"),
        ("flv", "flv", "FLV"),
    ],
)
def test_containers(container: str, codec: str, name: str) -> None:
    data = video([flat(RED)] * 25 + [flat(BLUE)] * 25, container, codec, rate=25)

    images = sampled(data, interval_s=100)

    assert [is_near(image, BLUE) for image in images] == [False, True]
    assert {image.format for image in images} == {name}
    first, second = (image.time_s for image in images)
    assert first is not None
    assert second is not None
    assert second - first == pytest.approx(1.0, abs=0.05)


def test_a_file_is_read_like_bytes(tmp_path: Path) -> None:
    path = tmp_path / "named.jpg"
    path.write_bytes(sample("mp4"))

    from_path = list(decode_item(Item("key", path), DecodeOptions()))

    assert [(i.frame, i.sha256) for i in from_path] == [
        (i.frame, i.sha256) for i in sampled(sample("mp4"))
    ]


def test_every_video_track_is_scanned() -> None:
    images = sampled(_two_tracks(flat(RED), flat(BLUE)), interval_s=100)

    assert sorted(is_near(image, BLUE) for image in images) == [False, True]
    assert len({image.frame for image in images}) == 2


def _two_tracks(*pictures: UInt8) -> bytes:
    stream = io.BytesIO()
    with av.open(stream, "w", format="matroska") as file:
        tracks: list[Any] = [file.add_stream("mpeg4", rate=VIDEO_RATE) for _ in pictures]
        for track in tracks:
            track.width, track.height, track.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for track, pixels in zip(tracks, pictures, strict=True):
            for _ in range(5):
                file.mux(track.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            file.mux(track.encode())
    return stream.getvalue()


# The display matrix


def _turned(data: bytes, a: int, b: int, c: int, d: int) -> bytes:
    """An MP4 with that matrix in its track's header: x' = a x + c y, y' = b x + d y."""
    at = data.index(b"tkhd") + 4 + 40
    matrix = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    assert data[at : at + 4] == (1 << 16).to_bytes(4, "big")
    return data[:at] + matrix + data[at + 36 :]


@pytest.mark.parametrize(
    ("matrix", "corner"),
    [
        ((1, 0, 0, 1), (0, 0)),
        ((0, 1, -1, 0), (0, -1)),  # a quarter clockwise: top left to top right
        ((-1, 0, 0, -1), (-1, -1)),
        ((0, -1, 1, 0), (-1, 0)),
    ],
)
def test_a_turned_video_is_upright(
    matrix: tuple[int, int, int, int], corner: tuple[int, int]
) -> None:
    data = _turned(video([pattern(160, 96)] * 3), *matrix)

    (image,) = sampled(data)
    height, width = image.pixels.shape[:2]
    y, x = (10 if corner[0] == 0 else height - 10, 10 if corner[1] == 0 else width - 10)

    assert (image.width, image.height) == ((96, 160) if matrix[0] == 0 else (160, 96))
    assert (width, height) == (image.width, image.height)
    assert np.abs(image.pixels[y, x].astype(int) - RED).max() < 40


# What goes wrong


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
@pytest.mark.parametrize("percent", [10, 50, 80])
def test_a_cut_video_gives_its_frames_and_then_fails(codec: str, percent: int) -> None:
    pictures = [noise(WIDTH, HEIGHT, seed) for seed in range(40)]
    data = video(pictures, codec=codec, movflags="faststart")

    images, error = caught(data[: len(data) * percent // 100])

    assert 0 < len(images) <= 40 * percent // 100 + 1
    assert error.code == "truncated"


@pytest.mark.parametrize("percent", [10, 50, 99])
def test_a_cut_video_whose_index_was_at_its_end(percent: int) -> None:
    data = video([noise(WIDTH, HEIGHT, seed) for seed in range(40)])

    images, error = caught(data[: len(data) * percent // 100])

    assert images == []
    assert error.code == "truncated"


def test_too_many_frames_come_up_to_the_limit() -> None:
    images, error = caught(sample("mp4"), frames=7)

    assert [image.frame for image in images] == list(range(7))
    assert error.code == "too_many_frames"


def test_the_limits_of_a_video() -> None:
    data = sample("mp4")

    for limits, code in (
        ({"pixels": WIDTH * HEIGHT - 1}, "too_many_pixels"),
        ({"video_bytes": len(data) - 1}, "too_many_bytes"),
        ({"video_seconds": 1e-9}, "timeout"),
    ):
        images, error = caught(data, **limits)
        assert (images, error.code) == ([], code)
    assert len(list(decode(data, DecodeOptions(Limits(bytes=10))))) == 2  # that is for pictures


def test_sound_alone_is_no_picture() -> None:
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as file:
        track: Any = file.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate = 8000
        file.mux(track.encode(silence))
        file.mux(track.encode())

    images, error = caught(stream.getvalue())

    assert (images, error.code) == ([], "unsupported_format")


def test_an_unknown_codec_is_said_to_be_one() -> None:
    data = bytearray(sample("mp4").replace(b"mp4v", b"zzzz"))
    data[data.index(b"\x04\x80\x80\x80", data.index(b"esds")) + 5] = 0  # the codec once more

    images, error = caught(bytes(data))

    assert (images, error.code) == ([], "unsupported_format")


def test_a_known_track_is_scanned_beside_an_unknown_one() -> None:
    data = _two_tracks(flat(RED), flat(BLUE)).replace(b"V_MPEG4/ISO/ASP", b"V_UNKNOWN/CODEC", 1)

    images, error = caught(data)

    assert images
    assert all(is_near(image, BLUE) for image in images)
    assert error.code == "unsupported_format"


def test_a_video_names_no_other_file(tmp_path: Path) -> None:
    # A playlist is text to us, whatever it is called and wherever it points.
    (tmp_path / "other.ts").write_bytes(video([flat(RED)] * 3, "ts", "mpeg2video", rate=25))
    playlist = f"#EXTM3U\n#EXTINF:1,\nfile://{tmp_path}/other.ts\n#EXT-X-ENDLIST\n".encode()

    images, error = caught(playlist)

    assert (images, error.code) == ([], "unsupported_format")


@pytest.mark.parametrize("container", ["mp4", "mkv", "avi", "ts"])
def test_wrong_bits_fail_as_they_should(container: str) -> None:
    codec = "mpeg2video" if container == "ts" else "mpeg4"
    data = video([pattern()] * 10, container, codec, rate=25)
    options = DecodeOptions(Limits(pixels=2_000_000, video_seconds=10))

    for seed in range(60):
        try:
            for image in decode(flipped(data, seed), options):
                assert image.pixels.ndim == 3
        except DecodeError:
            continue
