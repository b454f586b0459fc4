"""What every decoder keeps to, in this process or in a guarded one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.pictures import drawn, encoded
from vedette.decode import DecodeOptions, Decoder, InlineDecoder
from vedette.errors import CODES, ItemError
from vedette.hardened import HardenedDecoder
from vedette.settings import Limits
from vedette.types import Failure, Item

LIMITS = Limits(pixels=10_000, frames=2)


@pytest.fixture(params=[InlineDecoder, HardenedDecoder])
def decoder(request: pytest.FixtureRequest) -> Iterator[Decoder]:
    made: Decoder = request.param(DecodeOptions(limits=LIMITS))
    yield made
    made.close()


def test_bytes_and_paths_alike(decoder: Decoder, tmp_path: Path) -> None:
    picture = drawn(1, 60, 40)
    path = tmp_path / "a.png"
    path.write_bytes(encoded(picture))
    for data in (path, path.read_bytes()):
        (image,) = decoder.frames(Item("a", data))
        np.testing.assert_array_equal(image.pixels, np.asarray(picture))
        assert (image.width, image.height, image.format) == (60, 40, "PNG")


@pytest.mark.parametrize(
    ("data", "stage", "code"),
    [
        (b"", "decode", "empty"),
        (b"hello", "decode", "unsupported_format"),
        (encoded(drawn(1, 60, 40))[:200], "decode", "truncated"),
        (encoded(drawn(1, 200, 200)), "decode", "too_many_pixels"),
        (Path("/no/such/file.png"), "fetch", "not_found"),
        (Failure("fetch", "encrypted", "locked"), "fetch", "encrypted"),
    ],
)
def test_failures_have_a_code(
    decoder: Decoder, data: bytes | Path | Failure, stage: str, code: str
) -> None:
    with pytest.raises(ItemError) as caught:
        list(decoder.frames(Item("x", data)))
    assert (caught.value.stage, caught.value.code) == (stage, code)
    assert code in CODES
    (image,) = decoder.frames(Item("y", encoded(drawn(2, 30, 30))))  # and it goes on
    assert image.pixels.shape == (30, 30, 3)


def test_frames_before_a_failure_are_given(decoder: Decoder) -> None:
    frames = [drawn(seed, 30, 20) for seed in range(4)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    iterator = decoder.frames(Item("x", data))
    assert [next(iterator).frame, next(iterator).frame] == [0, 1]
    with pytest.raises(ItemError) as caught:
        next(iterator)
    assert caught.value.code == "too_many_frames"


def test_leaving_off_in_the_middle_harms_nobody(decoder: Decoder) -> None:
    frames = [drawn(seed, 30, 20) for seed in range(2)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    iterator = decoder.frames(Item("x", data))
    next(iterator)
    del iterator
    assert len(list(decoder.frames(Item("x", data)))) == 2


def test_is_thread_safe(decoder: Decoder) -> None:
    items = [Item(str(s), encoded(drawn(s, 50, 40))) for s in range(24)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda item: next(iter(decoder.frames(item))), items))
    for seed, image in enumerate(results):
        np.testing.assert_array_equal(image.pixels, np.asarray(drawn(seed, 50, 40)))
