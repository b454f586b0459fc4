"""PDQ: bit for bit what the reference implementation says, and what it is for."""

from __future__ import annotations

import io
import tracemalloc

import numpy as np
import PIL.Image
import pytest

from tests.pictures import drawn
from vedette.hashlists.pdq import MIN_QUALITY, NEAR, parse, pdq
from vedette.perceptual import Hashes, distances

REFERENCE = [
    # Seed, width, height of a drawn picture; hash and quality by Facebook's C++ (pdqhash 0.2.8).
    (1, 120, 90, "c2761d89c076672de1995654853935751d53c17c53c6a8eb3ee4d8da23a6a8b9", 57),
    (2, 640, 480, "aa8e55d7c71daaa228a2c75d3ce73596d71d28a2aaa2c75d55d728a2ca0c34c7", 50),
    (3, 7, 300, "838fc18f947a287d2b853b846f213c706fc1c787c783c673c673c7834f816f81", 100),
    (4, 129, 127, "acada4a949544953554ad6d2dad626aba5a5aab54b495d499954b6d2b4dacb26", 91),
    (5, 1000, 777, "408bcd99ecf83332bb54def9566b6003c88dac54b124118bdd9bfef937768044", 100),
    (6, 64, 64, "ff09003e3fc1cc037594007fffc10036fbd84be3a4011bffc84025b7c80fffcc", 96),
]
TURNED = [
    # Of drawn(1), by its compute_dihedral, in the order of PdqHash.hashes.
    "c2761d89c076672de1995654853935751d53c17c53c6a8eb3ee4d8da23a6a8b9",
    "ba55439b391bba53429da877d42aa45d483f5a03b35b503a5a556a95e0b7a46e",
    "9723b7239523cd87b4ccfcfe986c9fdf48066bd6069302416bb1727076f30213",
    "ff00eb314c4e30f917c802ddc17f2eb71d6af0a9e60efa900f00e03ff5e30ec4",
    "c276e276d17698d2e199a9abcd39ca8a1d533e8353c657143ee4272523a65746",
    "97234adeb527b278b4cc0301d86c6020480695290693fdbe6bb18d8f76f3fdee",
    "aa55bc64191b45ac409d5788942a5be2483fa5fcb35bafc55a55b56aa0b65b91",
    "ff0014ce4c4eef0617c8fd22c17ff1481d6a0f56e60e056f0f001fc0f5e3f13b",
]
ROUNDING = 2
"""Bits in which another processor's sums of float32 may differ."""


def pixels(picture: PIL.Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(picture.convert("RGB"))


def words(text: str) -> Hashes:
    return np.frombuffer(parse(text), np.uint64)


@pytest.mark.parametrize(("seed", "width", "height", "expected", "quality"), REFERENCE)
def test_it_is_the_reference_implementations_hash(
    seed: int, width: int, height: int, expected: str, quality: int
) -> None:
    found = pdq(pixels(drawn(seed, width, height)))

    assert distances(found.hashes[0], words(expected)) <= ROUNDING
    assert abs(found.quality - quality) <= 1


def test_turns_and_mirror_images_are_the_reference_implementations() -> None:
    found = pdq(pixels(drawn(1)))

    for mine, expected in zip(found.hashes, TURNED, strict=True):
        assert distances(mine, words(expected)) <= ROUNDING
    assert distances(words(found.hex), found.hashes[0]) == 0


@pytest.mark.parametrize(
    "turn",
    [
        PIL.Image.Transpose.ROTATE_90,
        PIL.Image.Transpose.ROTATE_180,
        PIL.Image.Transpose.ROTATE_270,
        PIL.Image.Transpose.FLIP_TOP_BOTTOM,
        PIL.Image.Transpose.FLIP_LEFT_RIGHT,
        PIL.Image.Transpose.TRANSPOSE,
        PIL.Image.Transpose.TRANSVERSE,
    ],
)
def test_a_turned_picture_is_among_the_eight(turn: PIL.Image.Transpose) -> None:
    picture = drawn(5, 640, 512)
    found = pdq(pixels(picture.transpose(turn)))

    assert int(distances(found.hashes, pdq(pixels(picture)).hashes[0]).min()) <= NEAR // 2
    assert int(distances(found.hashes[0], pdq(pixels(picture)).hashes[0])) > NEAR


def test_a_picture_that_was_passed_on_is_near_and_others_are_far() -> None:
    picture = drawn(5, 640, 480)
    stream = io.BytesIO()
    picture.resize((320, 240)).save(stream, "JPEG", quality=40)
    passed_on = PIL.Image.open(stream)
    own = pdq(pixels(picture)).hashes[0]

    assert distances(pdq(pixels(passed_on)).hashes[0], own) <= NEAR
    for seed in (4, 6, 7):
        assert distances(pdq(pixels(drawn(seed, 640, 480))).hashes[0], own) > 2 * NEAR


def test_pictures_without_detail_say_so() -> None:
    for picture in (
        PIL.Image.new("RGB", (300, 200), (10, 20, 200)),
        PIL.Image.new("RGB", (4, 300)),
        PIL.Image.linear_gradient("L").convert("RGB"),
    ):
        assert pdq(pixels(picture)).quality < MIN_QUALITY


@pytest.mark.parametrize("shape", [(5, 400_000), (400_000, 5)])
def test_the_shape_of_a_picture_costs_no_memory(shape: tuple[int, int]) -> None:
    bands = np.random.default_rng(1).integers(0, 256, (5, 50, 3), dtype=np.uint8)
    long = np.repeat(bands, shape[1] // 50, axis=1) if shape[0] == 5 else None
    picture = np.repeat(bands.swapaxes(0, 1), shape[0] // 50, axis=0) if long is None else long
    tracemalloc.start()
    try:
        found = pdq(picture)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most < 40 * 2**20
    assert found.quality >= MIN_QUALITY
    step = (100 if shape[0] > 5 else 1, 100 if shape[1] > 5 else 1)
    smaller = pdq(np.ascontiguousarray(picture[:: step[0], :: step[1]]))
    assert distances(found.hashes[0], smaller.hashes[0]) <= NEAR // 2


@pytest.mark.parametrize("text", ["", "0" * 63, "0" * 65, "g" * 64, "0x" + "0" * 62, " " * 64])
def test_what_is_no_hash_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match="hex"):
        parse(text)


def test_hashes_are_read_in_capitals_too() -> None:
    assert parse("AB" * 32) == parse("ab" * 32) == b"\xab" * 32
