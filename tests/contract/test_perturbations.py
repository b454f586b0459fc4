"""Every registered perturbation keeps the contract of bench/perturbations/base.py."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tests.pictures import drawn
from vedette.bench.perturbations.base import Perturbation
from vedette.bench.perturbations.registry import perturbations
from vedette.types import UInt8

KINDS = list(perturbations().values())
SIZES = [(1, 1), (1, 2), (2, 1), (1, 9), (9, 1), (3, 2), (1, 300), (300, 1), (31, 57), (64, 64)]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def picture(height: int, width: int) -> UInt8:
    return np.asarray(drawn(height * 1000 + width, max(width, 2), max(height, 2)))[:height, :width]


def done(kind: Perturbation, pixels: UInt8, level: float, seed: int = 5) -> UInt8:
    return kind.apply(pixels, level, np.random.default_rng(seed))


@every_kind
def test_pictures_of_any_size_come_out_as_pictures(kind: Perturbation) -> None:
    for height, width in SIZES:
        pixels = picture(height, width)
        for level in {kind.levels[0], kind.levels[-1]}:
            out = done(kind, pixels, level)
            assert out.dtype == np.uint8, (height, width, level)
            assert out.ndim == 3, (height, width, level)
            assert out.shape[2] == 3, (height, width, level)
            assert min(out.shape) >= 1, (height, width, level)


@every_kind
@pytest.mark.parametrize("value", [0, 128, 255])
def test_grey_and_plain_pictures_come_out_as_pictures(kind: Perturbation, value: int) -> None:
    plain = np.full((24, 17, 3), value, dtype=np.uint8)
    grey = np.repeat(picture(24, 17)[..., :1], 3, axis=2)

    for level in kind.levels:
        assert done(kind, plain, level).dtype == np.uint8
        assert done(kind, grey, level).dtype == np.uint8


@every_kind
def test_the_argument_is_not_changed_and_not_given_back(kind: Perturbation) -> None:
    pixels = picture(31, 57).copy()
    before = pixels.copy()

    for level in kind.levels:
        out = done(kind, pixels, level)
        assert not np.shares_memory(out, pixels)
        assert (pixels == before).all()


@every_kind
def test_pixels_that_may_not_be_written_and_views_are_taken(kind: Perturbation) -> None:
    view = picture(40, 60)[::-1, ::2]
    view.flags.writeable = False

    assert (done(kind, view, kind.levels[0]) == done(kind, view.copy(), kind.levels[0])).all()


@every_kind
def test_the_same_seed_gives_the_same_pixels(kind: Perturbation) -> None:
    pixels = picture(31, 57)

    for level in kind.levels:
        assert (done(kind, pixels, level, 1) == done(kind, pixels, level, 1)).all()


@every_kind
def test_every_severity_changes_the_picture(kind: Perturbation) -> None:
    pixels = picture(120, 150)

    for level in kind.levels:
        out = done(kind, pixels, level)
        assert out.shape != pixels.shape or (out != pixels).any(), level


@every_kind
def test_its_card_is_whole(kind: Perturbation) -> None:
    assert kind.name == kind.name.lower().replace(" ", "-")
    assert kind.summary.endswith(".")
    assert "\n" not in kind.summary
    assert len(set(kind.levels)) == len(kind.levels) >= 1


MONOTONE = [kind for kind in KINDS if kind.family in ("noise", "blur")]


def test_there_are_noises_and_blurs() -> None:
    assert len(MONOTONE) >= 7


@pytest.mark.parametrize("kind", MONOTONE, ids=lambda kind: kind.name)
@pytest.mark.parametrize("side", [64, 224])
def test_noise_and_blur_grow_with_severity(kind: Perturbation, side: int) -> None:
    pixels = picture(side, side).astype(np.int16)
    moved = [
        float(np.abs(done(kind, pixels.astype(np.uint8), level).astype(np.int16) - pixels).mean())
        for level in kind.levels
    ]

    assert all(less < more for less, more in pairwise([0.0, *moved])), moved
