from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.corpus import LIMITS
from tests.crafted import gif, png_bomb
from tests.samples import SAMPLES, encode, flat, noise, pattern, sample, video
from vedette.decode import DecodeOptions, InlineDecoder
from vedette.errors import DecodeError, FetchError, ItemError
from vedette.hardened import HardenedDecoder
from vedette.resize import Fit
from vedette.settings import Limits, VideoSampling
from vedette.types import Failure, Image, Item

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX resource limits")

OPTIONS = DecodeOptions(limits=LIMITS, sampling=VideoSampling(interval_s=0.3))


@pytest.fixture
def decoder() -> Iterator[HardenedDecoder]:
    made = HardenedDecoder(OPTIONS)
    yield made
    made.close()


def children() -> set[int]:
    """Ids of the decode workers that this process has."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # other processes come and go
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"decode_worker" in (process / "cmdline").read_bytes():
                found.add(int(process.name))
    return found


def as_seen(images: list[Image]) -> list[tuple[object, ...]]:
    """Everything about each frame; pixels as bytes."""
    return [
        (replace(image, pixels=np.empty((0, 0, 3), np.uint8)).__repr__(), image.pixels.tobytes())
        for image in images
    ]


def code_of(decoder: HardenedDecoder, data: bytes | Path) -> str:
    with pytest.raises(ItemError) as info:
        list(decoder.frames(Item("key", data)))
    return info.value.code


def works(decoder: HardenedDecoder) -> bool:
    (image,) = decoder.frames(Item("key", sample("png")))
    return bool(np.array_equal(image.pixels, pattern()))


# The same as without


@pytest.mark.parametrize("name", SAMPLES)
def test_frames_are_the_same_as_in_the_own_process(
    decoder: HardenedDecoder, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(sample(name))
    plain = as_seen(list(InlineDecoder(OPTIONS).frames(Item("key", sample(name)))))

    assert plain
    assert as_seen(list(decoder.frames(Item("key", sample(name))))) == plain
    assert as_seen(list(decoder.frames(Item("key", path)))) == plain


def test_options_reach_the_worker() -> None:
    data = encode(pattern(640, 480), "JPEG")
    options = DecodeOptions(LIMITS, fit=Fit(100, "inside"))
    decoder = HardenedDecoder(options)

    (image,) = decoder.frames(Item("key", data))
    decoder.close()

    (plain,) = InlineDecoder(options).frames(Item("key", data))
    assert image.pixels.shape == plain.pixels.shape == (240, 320, 3)
    assert (image.width, image.height) == (640, 480)
    assert np.array_equal(image.pixels, plain.pixels)


def test_both_views_of_a_transparent_picture_arrive(decoder: HardenedDecoder) -> None:
    clear = np.zeros((4, 4, 4), np.uint8)

    images = list(decoder.frames(Item("key", encode(clear, "PNG"))))

    assert [(image.view, int(image.pixels[0, 0, 0])) for image in images] == [
        ("", 255),
        ("on-black", 0),
    ]


def test_failures_are_the_same_as_in_the_own_process(
    decoder: HardenedDecoder, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    cases: list[bytes | Path | Failure] = [
        b"",
        b"prose",
        png_bomb(),
        sample("jpeg")[:500],
        sample("gif")[:-30],
        bytes(LIMITS.bytes + 1),
        tmp_path / "pipe",
        tmp_path / "missing\udcff\n.jpg",
        Failure("fetch", "encrypted", "an encrypted member"),
        Failure("decode", "corrupt", "no picture"),
    ]
    for data in cases:
        found = []
        for kind in (InlineDecoder(OPTIONS), decoder):
            with pytest.raises(ItemError) as info:
                list(kind.frames(Item("key", data)))
            found.append((type(info.value), info.value.failure()))
        assert found[0] == found[1]


def test_frames_before_the_failure_are_kept(decoder: HardenedDecoder) -> None:
    frames = decoder.frames(Item("key", video([flat((9, 9, 9))] * 500)))
    images: list[Image] = []
    with pytest.raises(DecodeError, match="more than 32 frames"):
        images.extend(frames)

    assert len(images) == LIMITS.frames
    assert works(decoder)


# Workers


def test_a_worker_is_used_again_and_ends_with_the_decoder() -> None:
    decoder = HardenedDecoder(OPTIONS)
    before = children()
    assert works(decoder)
    workers = children() - before
    assert code_of(decoder, b"prose") == "unsupported_format"
    assert works(decoder)

    assert len(workers) == 1
    assert children() - before == workers

    decoder.close()
    assert children() & workers == set()


def test_threads_have_workers_of_their_own(decoder: HardenedDecoder) -> None:
    first = decoder.frames(Item("key", sample("gif")))
    second = decoder.frames(Item("key", sample("png")))
    next(first)
    (image,) = second

    assert np.array_equal(image.pixels, pattern())
    assert len(list(first)) == 3


def test_an_iteration_given_up_leaves_nothing_behind(decoder: HardenedDecoder) -> None:
    before = children()
    frames = decoder.frames(Item("key", sample("gif")))
    next(frames)
    frames.close()  # type: ignore[attr-defined]  # it is a generator

    assert children() == before
    assert works(decoder)


def test_an_idle_worker_that_died_costs_no_file(decoder: HardenedDecoder) -> None:
    before = children()
    assert works(decoder)
    (worker,) = children() - before
    os.kill(worker, signal.SIGKILL)
    os.waitid(os.P_PID, worker, os.WEXITED | os.WNOWAIT)

    assert works(decoder)


def test_a_relative_path_is_meant_where_it_was_given(
    decoder: HardenedDecoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert works(decoder)  # the worker starts in another folder
    (tmp_path / "a.png").write_bytes(sample("png"))
    monkeypatch.chdir(tmp_path)

    (image,) = decoder.frames(Item("key", Path("a.png")))

    assert np.array_equal(image.pixels, pattern())


# What may go wrong


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_worker_that_dies_while_it_decodes(
    decoder: HardenedDecoder, number: signal.Signals
) -> None:
    before = children()
    data = video([noise(320, 240)] * 60, rate=2)
    frames = decoder.frames(Item("key", data))
    first = next(frames)
    (worker,) = children() - before
    os.kill(worker, number)

    with pytest.raises(DecodeError) as info:
        list(frames)

    assert first.frame == 0
    assert info.value.code == "decoder_crashed"
    assert info.value.sha256 == hashlib.sha256(data).hexdigest()
    assert works(decoder)


def test_a_worker_that_dies_before_its_first_frame(decoder: HardenedDecoder) -> None:
    before = children()
    assert works(decoder)
    (worker,) = children() - before
    large = encode(noise(1400, 1400), "PNG", compress_level=1)
    assert len(large) > LIMITS.bytes
    os.kill(worker, signal.SIGSTOP)  # so that it surely dies with the file in its hands
    threading.Timer(0.2, os.kill, (worker, signal.SIGKILL)).start()

    assert code_of(decoder, large) == "decoder_crashed"
    assert works(decoder)


def test_a_worker_that_hangs_is_stopped_at_the_limit() -> None:
    decoder = HardenedDecoder(DecodeOptions(limits=Limits(seconds=0.5)))
    before = children()
    assert works(decoder)
    (worker,) = children() - before
    started = time.monotonic()
    for data in (sample("png"), bytes(1_000_000)):  # the second fills the wire
        os.kill(worker, signal.SIGSTOP)
        assert code_of(decoder, data) == "timeout"
        assert works(decoder)
        (worker,) = children() - before
    decoder.close()

    assert time.monotonic() - started < 20


def test_a_slow_file_is_stopped_at_the_limit() -> None:
    decoder = HardenedDecoder(DecodeOptions(limits=Limits(seconds=0.5, frames=100_000)))
    started = time.monotonic()

    assert code_of(decoder, gif(1000, 1000, 20_000)) == "timeout"
    assert works(decoder)
    decoder.close()
    assert time.monotonic() - started < 10


def test_a_picture_too_large_for_the_memory() -> None:
    decoder = HardenedDecoder(DecodeOptions(limits=Limits(worker_bytes=600 * 2**20)))
    large = encode(np.zeros((9000, 12000, 3), np.uint8), "PNG", compress_level=1)

    assert code_of(decoder, large) == "out_of_memory"
    assert works(decoder)
    decoder.close()


def test_limits_without_end_are_no_limits() -> None:
    endless = Limits(seconds=float("inf"), video_seconds=float("inf"), worker_bytes=2**62)
    decoder = HardenedDecoder(DecodeOptions(limits=endless))

    assert works(decoder)
    assert len(list(decoder.frames(Item("key", sample("mp4"))))) == 2
    decoder.close()


def test_a_file_that_cannot_be_read_costs_no_worker(decoder: HardenedDecoder) -> None:
    before = children()
    with pytest.raises(FetchError) as info:
        list(decoder.frames(Item("key", Path("/proc/self/mem"))))

    assert info.value.code == "unreadable"
    assert children() == before
