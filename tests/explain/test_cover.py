"""What is taken away is continued from its surroundings, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.explain.looking import image, noise, prepared
from tests.pictures import drawn
from vedette.explain.cover import Cover, filled
from vedette.models.base import ModelOptions
from vedette.models.registry import build


def masks(height: int, width: int) -> st.SearchStrategy[list[list[bool]]]:
    row = st.lists(st.booleans(), min_size=width, max_size=width)
    return st.lists(row, min_size=height, max_size=height)


SHAPED = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(lambda size: masks(*size))


@settings(max_examples=60)
@given(SHAPED, st.integers(0, 9))
def test_known_pixels_stay_and_others_lie_between_them(rows: list[list[bool]], seed: int) -> None:
    hidden = np.array(rows, dtype=np.bool_)
    pixels = np.random.default_rng(seed).integers(0, 256, (*hidden.shape, 3)).astype(np.uint8)
    out = filled(pixels, hidden)

    assert out.shape == pixels.shape
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out[~hidden], pixels[~hidden])
    known = pixels[~hidden] if not hidden.all() else pixels.reshape(-1, 3)
    assert (out.reshape(-1, 3) >= known.min(axis=0)).all()
    assert (out.reshape(-1, 3) <= known.max(axis=0)).all()


def test_what_was_hidden_leaves_no_trace() -> None:
    ground = np.broadcast_to(np.arange(64, dtype=np.uint8)[None, :, None], (64, 64, 3))
    hidden = np.zeros((64, 64), dtype=np.bool_)
    hidden[16:32, 16:32] = True
    one, other = (np.where(hidden[..., None], noise(64, seed), ground) for seed in (1, 2))

    np.testing.assert_array_equal(filled(one, hidden), filled(other, hidden))
    # The ramp goes on through the hole: no edge that could be seen.
    assert np.abs(filled(one, hidden).astype(int) - ground).max() <= 6


def test_without_anything_a_picture_is_its_mean() -> None:
    pixels = noise()
    out = filled(pixels, np.ones((64, 64), dtype=np.bool_))

    assert len(np.unique(out.reshape(-1, 3), axis=0)) == 1
    assert np.abs(out[0, 0] - pixels.mean(axis=(0, 1))).max() <= 0.5


@pytest.mark.parametrize(("height", "width", "grid"), [(64, 64, 8), (50, 31, 7), (3, 200, 8)])
def test_cells_cut_the_picture_without_gaps(height: int, width: int, grid: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    cover = Cover(prepared(pixels), grid)
    changed = np.zeros((height, width), dtype=int)
    for cell in range(grid * grid):
        mask = np.zeros(grid * grid, dtype=np.bool_)
        mask[cell] = True
        out = cover.without(mask.reshape(grid, grid)).pixels
        changed += (out != pixels).any(axis=2)

    assert changed.max() == 1
    assert changed.mean() > 0.95  # here and there a pixel is what its surroundings suggest


def test_every_member_of_a_combination_is_covered() -> None:
    model = build("any(dummy,nudenet)", ModelOptions(precision="fp32"))
    whole = model.prepare(image(np.asarray(drawn(1, 120, 90))))
    mask = np.array([[True, False], [False, False]])
    part = Cover(whole, 2).without(mask)

    assert len(part.others) == 2
    for before, after in zip(whole.others, part.others, strict=True):
        assert (before.pixels != after.pixels).any()
        assert after.scale == before.scale
    np.testing.assert_array_equal(part.pixels, part.others[0].pixels)
